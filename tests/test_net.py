"""Crops and batches, the schedule, and the callbacks that guard a training."""

import math
import time

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback
from torch import nn

from colorvae_sk import _net
from colorvae_sk._images import as_images
from colorvae_sk._net import (
    Batches,
    BatchSource,
    GradientGuard,
    Patience,
    Schedule,
    TrainingImages,
    VAENet,
    WeightAverage,
    fill_up,
    shrink,
    turn,
)
from colorvae_sk.degradations import GaussianNoise, as_degrader
from colorvae_sk.losses import NegativeELBO
from colorvae_sk.networks import DenseVAE, LadderVAE, initialise


def coordinates(height, width):
    """An image whose two channels tell row and column of each pixel."""
    image = np.stack(np.mgrid[:height, :width], axis=2).astype(np.float32)
    return image / 1000


def dataset(X, y=None, indices=None, patch_size=(4, 4), far_share=0.0):
    images = as_images(X)
    target = None if y is None else as_images(y)
    indices = np.arange(len(images)) if indices is None else indices
    return TrainingImages(images, target, indices, patch_size, far_share)


# ------------------------------------------------------------------------- crops
def test_crop_of_an_image_and_of_its_target_are_of_one_place():
    clean = [coordinates(20, 17), coordinates(9, 31), coordinates(4, 4)]
    damaged = [image + 0.5 for image in clean]
    pairs = dataset(damaged, clean, far_share=0.5)
    rng = np.random.default_rng(0)
    for _ in range(20):
        crops, targets = pairs.crops([0, 1, 2], rng)
        assert crops.shape == targets.shape == (3, 2, 4, 4)
        assert_allclose(crops - 0.5, targets, atol=1e-6)


def test_crops_come_from_everywhere_and_from_nowhere_else():
    crops = dataset([coordinates(6, 7)], patch_size=(3, 2)).crops
    rng = np.random.default_rng(0)
    corners = {
        tuple((1000 * crops([0], rng)[0][0, :, 0, 0]).round().astype(int))
        for _ in range(500)
    }
    assert corners == {(row, column) for row in range(4) for column in range(6)}


def test_each_crop_is_a_part_of_the_image_at_its_position():
    X = [np.full((8, 8, 3), value) for value in (0.1, 0.2, 0.3, 0.4)]
    data = dataset(X, indices=np.array([3, 1]))
    (crops,) = data.crops([0, 1, 1], np.random.default_rng(0))
    assert_allclose(crops[:, 0, 0, 0], [0.4, 0.2, 0.2])


def test_crop_of_a_small_image_is_filled_up_with_nan():
    (crops,) = dataset([coordinates(2, 3)]).crops([0], np.random.default_rng(0))
    assert crops.shape == (1, 2, 4, 4)
    there = np.isfinite(crops[0, 0])
    assert there[:2, :3].all() and there.sum() == 6
    assert_allclose(np.moveaxis(crops[0, :, :2, :3], 0, -1), coordinates(2, 3))


def test_images_of_the_size_of_a_crop_are_taken_whole(photos):
    data = dataset(photos, photos[::-1].copy(), patch_size=(16, 16))
    crops, targets = data.crops([2, 0], np.random.default_rng(0))
    assert_array_equal(np.moveaxis(crops, 1, -1), photos[[2, 0]])
    assert_array_equal(np.moveaxis(targets, 1, -1), photos[[3, 5]])


def test_far_crops_are_the_means_of_blocks():
    image = np.random.default_rng(0).random((19, 40, 3))
    crop = dataset([image], far_share=1.0).crops
    rng = np.random.default_rng(1)
    steps = set()
    for _ in range(40):
        far = crop([0], rng)[0][0]
        step, place = find_blocks(far, image)
        steps.add(step)
        assert place is not None
    assert steps == {2, 3, 4}  # 19 // 4 = 4 crops fit into the height


def find_blocks(far, image):
    """The step and the place of a crop among the means of all blocks of an image."""
    for step in range(1, 5):
        size = 4 * step
        for row in range(image.shape[0] - size + 1):
            for column in range(image.shape[1] - size + 1):
                part = image[row : row + size, column : column + size]
                means = part.reshape(4, step, 4, step, 3).mean(axis=(1, 3))
                if np.allclose(np.moveaxis(means, 2, 0), far, atol=1e-6):
                    return step, (row, column)
    return None, None


def test_far_crops_are_as_frequent_as_asked_for():
    data = dataset([np.zeros((64, 64))], far_share=0.25)
    rng = np.random.default_rng(0)
    steps = np.array([data._step(64, 64, rng) for _ in range(4000)])
    assert np.mean(steps > 1) == pytest.approx(0.25, abs=0.03)
    counts = [np.sum(steps == step) for step in range(2, 17)]
    assert sum(counts) == np.sum(steps > 1) and min(counts) > 0.4 * max(counts)


def test_small_images_have_no_far_crops():
    data = dataset([np.zeros((7, 64))], far_share=1.0)
    assert {data._step(7, 64, np.random.default_rng(s)) for s in range(9)} == {1}


def test_shrink_takes_means_and_one_missing_value_hides_its_block():
    image = np.arange(16.0).reshape(1, 4, 4)
    assert_array_equal(shrink(image, 1), image)
    assert_array_equal(shrink(image, 2), [[[2.5, 4.5], [10.5, 12.5]]])
    assert_array_equal(shrink(image, 4), [[[7.5]]])


def test_fill_up_leaves_what_is_large_enough():
    image = np.ones((3, 4, 5), np.float32)
    assert fill_up(image, (4, 5)) is image
    assert np.isnan(fill_up(image, (4, 6))).sum() == 3 * 4


def test_epoch_sees_as_many_pixels_as_the_images_have():
    data = dataset([np.zeros((16, 16)), np.zeros((8, 4)), np.zeros((2, 2))])
    assert data.n_patches == 16 + 2 + 1


def test_each_image_has_its_turn_in_an_epoch():
    data = dataset([np.zeros((16, 16))] * 3 + [np.zeros((4, 4))])
    order = data.order(np.random.default_rng(0))
    assert len(order) == data.n_patches == 49
    counts = np.bincount(order)
    assert len(counts) == 4 and counts.max() - counts.min() <= 1
    assert not np.array_equal(order[:4], np.arange(4))
    assert sorted(order[:4]) == [0, 1, 2, 3]


# ----------------------------------------------------------------------- batches
class Never:
    """A schedule that is never over."""

    is_over = False


def batches(
    X,
    y=None,
    batch_size=2,
    degrade=None,
    posterior=False,
    training=True,
    turning=False,
    seed=0,
    patch_size=(4, 4),
):
    network = LadderVAE(np.shape(X[0])[2], widths=(4, 4), n_blocks=1, n_latent=2)
    source = BatchSource(network, degrade, "cpu", seed, turning)
    source.begin(Never(), posterior)
    data = dataset(X, y, patch_size=patch_size)
    return Batches(data, batch_size, source, training)


def test_epoch_is_cut_into_batches(photos):
    epoch = batches(photos, batch_size=20)
    sizes = [len(target) for _, target in epoch]
    assert sizes == [20] * 4 + [16] and len(epoch) == 5


def test_clean_images_are_damaged_and_are_the_target(photos):
    degrade = as_degrader(GaussianNoise(0.1, clip=False))
    epoch = batches(photos, degrade=degrade, batch_size=96)
    ((arguments, target),) = epoch
    assert set(arguments) == {"damaged"}
    noise = arguments["damaged"] - target
    assert noise.std().item() == pytest.approx(0.1, rel=0.05)
    assert target.min() >= 0 and target.max() <= 1


def test_damage_is_drawn_anew_in_each_epoch_but_not_in_validation(photos):
    degrade = as_degrader(GaussianNoise(0.1))
    for training in (True, False):
        epoch = batches(
            photos,
            degrade=degrade,
            patch_size=(16, 16),
            batch_size=6,
            training=training,
        )
        one, two = (next(iter(epoch))[0]["damaged"] for _ in range(2))
        assert torch.equal(one, two) is not training


def test_same_seed_gives_the_same_batches(photos):
    degrade = as_degrader(GaussianNoise(0.1))
    options = {"degrade": degrade, "posterior": True, "turning": True}
    one, same, other = (
        list(batches(photos, seed=seed, **options)) for seed in (3, 3, 4)
    )
    for (a, target_a), (b, target_b) in zip(one, same, strict=True):
        assert torch.equal(a["damaged"], b["damaged"])
        assert torch.equal(target_a, target_b)
        assert all(map(torch.equal, a["noise"], b["noise"]))
    assert not torch.equal(one[0][1], other[0][1])


def test_posterior_way_is_given_target_and_noise(photos):
    epoch = batches(photos, photos / 2, posterior=True)
    arguments, target = next(iter(epoch))
    assert torch.equal(arguments["target"], target)
    assert_allclose(arguments["damaged"] / 2, target, rtol=1e-6)
    shapes = [tuple(part.shape) for part in arguments["noise"]]
    assert shapes == [(2, 4, 1, 1), (2, 2, 1, 1), (2, 2, 2, 2)]


def test_epoch_ends_when_the_time_is_over(photos):
    epoch = batches(photos)
    epoch.source.schedule.is_over = True
    assert len(list(epoch)) == 1  # one batch is always learned from
    epoch.training = False
    assert len(list(epoch)) == len(epoch)  # but all are judged


def test_turning_is_one_of_eight_ways_and_the_same_for_all():
    image = torch.arange(6.0).reshape(1, 1, 2, 3)
    square = torch.arange(9.0).reshape(1, 1, 3, 3)
    for tensor, n_ways in ((image, 4), (square, 8)):
        rng, ways = np.random.default_rng(0), set()
        for _ in range(200):
            turned, other = turn([tensor, tensor + 100], rng)
            assert torch.equal(turned + 100, other)
            assert turned.is_contiguous(memory_format=torch.channels_last)
            ways.add(tuple(turned.flatten().tolist()))
        assert len(ways) == n_ways


# ----------------------------------------------------------------------- the net
class Scale(nn.Module):
    """Two factors on the image, learned in two stages: a net in miniature."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.tensor(1.0))
        self.second = nn.Parameter(torch.tensor(1.0))

    @staticmethod
    def stage_of(name):
        return name

    def forward(self, damaged):
        restored = self.first * self.second * damaged
        zero = 0 * restored
        return restored, zero, zero.flatten(1).sum(1)[:, None]

    def draw_noise(self, n, size, generator):
        return []


class Recorder(Callback):
    """Write down what the net is doing."""

    def __init__(self, read):
        self.read = read

    def on_train_begin(self, net, **kwargs):
        self.seen_ = []

    def on_batch_end(self, net, training, **kwargs):
        if training:
            self.seen_.append(self.read(net))


def rate(net):
    return net.optimizer_.param_groups[0]["lr"]


def weight(net):
    return net.module_.first.item()


def learn(
    callbacks,
    epochs=1,
    n_batches=10,
    stage="first",
    lr=0.01,
    target=0.5,
    schedule=None,
    **options,
):
    """Train the miniature on 0.5 -> 0.25 with these callbacks."""
    X = np.full((n_batches, 4, 4, 3), 0.5, np.float32)
    network = Scale()
    source = BatchSource(network, None, "cpu", 0, turn=False)
    source.begin(schedule or Never(), posterior=False)
    net = VAENet(
        network,
        NegativeELBO,
        optimizer=torch.optim.SGD,
        lr=lr,
        batch_size=1,
        iterator_train__source=source,
        iterator_valid__source=source,
        callbacks=callbacks,
        verbose=0,
        **{"train_split": None} | options,
    ).initialize()
    data = dataset(X, target * X)
    net.learn_stage(stage, data, epochs)
    return net


def test_stage_learns_its_own_parameters_only():
    net = learn([], stage="second")
    assert net.module_.first == 1.0
    assert net.module_.second < 1.0


def test_net_learns_the_factor():
    net = learn([GradientGuard(), Schedule(n_steps=300)], epochs=30, lr=0.02)
    assert net.module_.first.item() == pytest.approx(0.5, abs=0.02)
    losses = net.history[:, "train_loss"]
    assert losses[-1] < losses[0] - 1
    assert net.history[:, "n_steps"] == [10] * 30
    assert net.history[-1, "train_kl"] == [0.0]


def test_callback_that_interrupts_an_epochs_end_ends_the_stage_in_order():
    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 3:
                raise KeyboardInterrupt

        def on_train_end(self, net, **kwargs):
            self.ended_ = True

    stop = Stop()
    net = learn([stop], epochs=10)
    assert len(net.history) == 3 and stop.ended_


def test_interrupt_in_the_middle_of_an_epoch_is_the_users():
    class CtrlC(Callback):
        def on_batch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn([CtrlC()])


def test_mixed_precision_answers_in_float32():
    net = VAENet(DenseVAE(1, (2, 2)), NegativeELBO, mixed_precision=True).initialize()
    initialise(net.module_, torch.Generator())
    assert net.mixed_precision
    images = torch.rand(2, 1, 2, 2)
    low, seen = net.infer({"damaged": images}), []
    net.module_.mean[0].register_forward_hook(lambda *args: seen.append(args[-1]))
    net.infer({"damaged": images})
    assert seen[0].dtype == torch.bfloat16
    assert all(part.dtype == torch.float32 for part in low)
    assert_allclose(low[0].detach(), net.module_(images)[0].detach(), atol=0.02)


# ------------------------------------------------------------------------ schedule
def test_rate_warms_up_and_falls_to_zero_along_a_cosine():
    schedule, recorder = Schedule(n_steps=200), Recorder(rate)
    learn([schedule, recorder], epochs=2, n_batches=100, lr=0.01)
    steps = np.arange(200)
    cosine = 0.5 * (1 + np.cos(np.pi * steps / 200))
    warmup = np.minimum(1, (steps + 1) / 50)
    assert_allclose(recorder.seen_, 0.01 * cosine * warmup)
    assert schedule.progress() == 1


def test_rate_stays_constant_when_not_annealed():
    recorder = Recorder(rate)
    learn([Schedule(n_steps=100, anneal=False), recorder], n_batches=100, lr=0.01)
    assert_allclose(recorder.seen_[50:], 0.01)


def test_beta_rises_over_the_first_fifth():
    recorder = Recorder(lambda net: net.criterion_.warmup)
    learn([Schedule(n_steps=100), recorder], n_batches=100)
    assert_allclose(recorder.seen_, np.minimum(1, np.arange(100) / 20))


def test_time_ends_the_stage_and_anneals_too(monkeypatch):
    clock = iter(np.arange(0.0, 1000.0, 0.1))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    schedule, recorder = Schedule(n_steps=10**6, seconds=20.0), Recorder(rate)
    net = learn([schedule, recorder], epochs=10**5, lr=0.01, schedule=schedule)
    assert 60 < len(recorder.seen_) < 120  # two or three looks at the clock per step
    assert recorder.seen_[-1] < 0.01 * 1e-3
    assert net.history[-1, "seconds"] == pytest.approx(20.0, abs=0.5)


def test_without_a_time_limit_only_steps_count():
    schedule = Schedule(n_steps=10)
    net = learn([schedule], epochs=3, schedule=schedule)
    assert len(net.history) == 3 and not schedule.is_over


# -------------------------------------------------------------------------- guards
class Spoil(Callback):
    """Make the gradient NaN in some steps, as a loss that is not finite does."""

    def __init__(self, is_bad):
        self.is_bad = is_bad

    def on_train_begin(self, net, **kwargs):
        self.step_ = 0

    def on_grad_computed(self, net, named_parameters, **kwargs):
        if self.is_bad(self.step_):
            net.module_.first.grad.fill_(math.nan)
        self.step_ += 1


def test_step_whose_gradient_is_not_finite_is_dropped_and_counted():
    recorder = Recorder(weight)
    callbacks = [Spoil(lambda step: step in (2, 3, 7)), GradientGuard(), recorder]
    net = learn(callbacks)
    moves = np.diff([1.0, *recorder.seen_])
    assert_array_equal(np.flatnonzero(moves == 0), [2, 3, 7])
    assert np.isfinite(moves).all()
    assert net.history[-1, "n_skipped"] == 3


def test_more_than_a_few_in_a_row_end_the_fit():
    with pytest.raises(FloatingPointError, match="not finite in 11 steps in a row"):
        learn([Spoil(lambda step: step > 3), GradientGuard()], n_batches=20)


def test_a_good_step_between_starts_the_count_anew():
    net = learn([Spoil(lambda step: step % 11 != 10), GradientGuard()], n_batches=40)
    assert net.history[-1, "n_skipped"] == 37


def test_long_gradients_are_shortened():
    recorder = Recorder(lambda net: net.module_.first.grad.item())
    learn([GradientGuard(max_norm=0.01), recorder])
    assert_allclose(recorder.seen_, 0.01, rtol=1e-3)


def test_average_follows_the_weights_and_ends_the_stage():
    recorder = Recorder(weight)
    net = learn([recorder, WeightAverage(0.6)])
    average = 1.0
    for step, value in enumerate(recorder.seen_, start=1):
        decay = min(0.6, step / (step + 10))
        average = decay * average + (1 - decay) * value
    assert net.module_.first.item() == pytest.approx(average, rel=1e-5)
    assert net.module_.first.item() > recorder.seen_[-1]
    assert net.module_.second == 1.0


def test_average_leaves_validation_out(photos):
    steps = []

    class Count(WeightAverage):
        def on_train_end(self, net, **kwargs):
            steps.append(self.step_)
            super().on_train_end(net, **kwargs)

    held_out = dataset(np.full((3, 4, 4, 3), 0.5), np.full((3, 4, 4, 3), 0.25))
    learn([Count(0.9)], train_split=lambda data, y=None, **kw: (data, held_out))
    assert steps == [10]


class Losses(Callback):
    """Pretend that these are the validation losses."""

    def __init__(self, losses):
        self.losses = losses

    def on_epoch_end(self, net, **kwargs):
        net.history.record("valid_loss", self.losses[len(net.history) - 1])


@pytest.mark.parametrize(
    ("losses", "n_epochs"),
    [
        ([5, 4, 3, 2, 1, 0], 6),
        ([5, 4, 4, 4, 3, 2], 4),  # no better for two epochs
        ([5, 4, 6, 3, 6, 6, 1], 6),
        ([5, 5, 5, 5], 3),
        ([math.nan] * 6, 2),
    ],
)
def test_patience_ends_when_the_loss_has_stopped_falling(losses, n_epochs):
    net = learn([Losses(losses), Patience(2)], epochs=len(losses), n_batches=1)
    assert len(net.history) == n_epochs


def test_bar_reaches_the_end_and_tells_the_loss(capsys):
    schedule = Schedule(n_steps=20)
    learn([schedule, _net.ProgressBar(schedule)], epochs=2)
    shown = capsys.readouterr().err
    assert "first" in shown and "loss=" in shown
    assert max(int(part[-3:]) for part in shown.split("%|")[:-1]) >= 95
