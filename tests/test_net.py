"""The net, the schedule, and the callbacks that guard a training."""

import math
import time

import numpy as np
import pytest
import torch
from helpers import Never, dataset
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback
from torch import nn

from colorvae_sk import _net
from colorvae_sk._batches import BatchSource
from colorvae_sk._blocks import initialise
from colorvae_sk._net import GradientGuard, Patience, Schedule, VAENet, WeightAverage
from colorvae_sk.losses import NegativeELBO
from colorvae_sk.networks import DenseVAE


# ----------------------------------------------------------------------- the net
class Scale(nn.Module):
    """Two factors on the image, learned in two stages: a net in miniature."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.tensor(1.0))
        self.second = nn.Parameter(torch.tensor(1.0))

    @staticmethod
    def stages_of(name):
        return (name,)

    units = (1,)

    def noise_shapes(self, size):
        return [(1, 1, 1)]

    def lesson(self, stage, damaged, target, pictures, generator, strictness):
        return {"damaged": damaged}, target

    def forward(self, damaged):
        restored = self.first * self.second * damaged
        zero = 0 * restored
        return restored, zero, zero.flatten(1).sum(1)[:, None]


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
    network=None,
    **options,
):
    """Train the miniature on 0.5 -> 0.25 with these callbacks."""
    X = np.full((n_batches, 4, 4, 3), 0.5, np.float32)
    network = network or Scale()
    source = BatchSource(network, None, "cpu", 0)
    source.begin(stage, schedule or Never())
    net = VAENet(
        network,
        NegativeELBO,
        lr=lr,
        batch_size=1,
        iterator_train__source=source,
        iterator_valid__source=source,
        callbacks=callbacks,
        verbose=0,
        **{"train_split": None, "optimizer": torch.optim.SGD} | options,
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
    assert net.history[-1, "train_active_units"] == [0]


def test_history_tells_the_price_of_each_layer_and_its_active_units():
    class Costly(Scale):
        units = (3, 2)

        def noise_shapes(self, size):
            return [(3, 1, 1), (2, 4, 4)]

        def forward(self, damaged):
            restored, log_sigma, _ = super().forward(damaged)
            costs = torch.tensor([[0.02, 0.0, 0.005, 0.32, 0.08]])  # nats per image
            return restored, log_sigma, costs.expand(len(damaged), -1)

    net = learn([], network=Costly())
    n_values = 4 * 4 * 3
    expected = [0.025 / n_values, 0.4 / n_values]
    assert_allclose(net.history[-1, "train_kl"], expected, rtol=1e-5)
    assert net.history[-1, "train_active_units"] == [1, 1]  # 16 codes share 0.08 nats


def test_callback_that_interrupts_an_epochs_end_ends_the_stage_in_order():
    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 3:
                raise KeyboardInterrupt

        def on_train_end(self, net, **kwargs):
            self.ended_ = True

    stop, schedule = Stop(), Schedule(n_steps=100)
    net = learn([stop, schedule], epochs=10)
    assert len(net.history) == 3 and stop.ended_
    assert all("seconds" in row for row in net.history)  # others had their say


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


def test_tolerance_falls_over_the_first_half():
    recorder = Recorder(lambda net: net.criterion_.tolerance * net.criterion_.leniency)
    learn([Schedule(n_steps=100), recorder], n_batches=100)
    assert_allclose(recorder.seen_[::25], [1e-2, 1e-2 * 10**-1.5, 1e-5, 1e-5])
    learn([Schedule(n_steps=100, lenient=False), recorder], n_batches=100)
    assert_allclose(recorder.seen_, 1e-5)


def test_time_ends_the_stage_and_anneals_too(monkeypatch):
    clock = iter(np.arange(0.0, 1000.0, 0.1))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    schedule, recorder = Schedule(n_steps=10**6, seconds=20.0), Recorder(rate)
    net = learn([schedule, recorder], epochs=10**5, lr=0.01, schedule=schedule)
    assert 40 < len(recorder.seen_) < 120  # two to four looks at the clock per step
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


def test_stage_without_a_single_good_step_is_an_error():
    with pytest.raises(FloatingPointError, match="not finite in 4 steps in a row"):
        learn([Spoil(lambda step: True), GradientGuard()], n_batches=4)


def test_a_good_step_between_starts_the_count_anew():
    net = learn([Spoil(lambda step: step % 11 != 10), GradientGuard()], n_batches=40)
    assert net.history[-1, "n_skipped"] == 37


class Report(Callback):
    """Tell of steps that an optimiser on CUDA did not take."""

    def __init__(self, is_bad):
        self.is_bad = is_bad

    def on_train_begin(self, net, **kwargs):
        self.step_ = 0

    def on_batch_end(self, net, **kwargs):
        net.optimizer_.found_inf = torch.tensor(float(self.is_bad(self.step_)))
        self.step_ += 1


class ForgetfulSGD(torch.optim.SGD):
    """It takes no notice of what it is told of the step before."""

    def step(self, closure=None):
        self.found_inf = None
        return super().step(closure)


def test_steps_that_a_gpu_did_not_take_are_counted():
    guard = GradientGuard()
    reports = Report(lambda step: step in (2, 3, 7))
    net = learn([reports, guard], optimizer=ForgetfulSGD)
    assert net.history[-1, "n_skipped"] == 3
    state = dict(net.callbacks_)["GradientGuard"].state()
    assert state == {"n_steps_": 10, "n_skipped_": 3, "n_in_a_row_": 0}
    assert all(type(count) is int for count in state.values())


def test_a_gpu_is_asked_now_and_then_whether_it_takes_any_steps(monkeypatch):
    monkeypatch.setattr(_net, "ASKED", 6)
    monkeypatch.setattr(GradientGuard, "_guard", lambda self, parameters: None)
    with pytest.raises(FloatingPointError, match="not finite in 15 steps in a row"):
        callbacks = [Report(lambda step: step > 2), GradientGuard()]
        learn(callbacks, n_batches=40, optimizer=ForgetfulSGD)


def test_long_gradients_are_shortened():
    recorder = Recorder(lambda net: net.module_.first.grad.item())
    learn([GradientGuard(max_norm=0.01), recorder])
    assert_allclose(recorder.seen_, 0.01, rtol=1e-3)


def test_average_follows_the_weights_and_ends_the_stage():
    recorder = Recorder(weight)
    net = learn([recorder, WeightAverage(0.6)])
    average = 1.0
    for step, n_steps in ((4, 4), (8, 4), (10, 2)):
        decay = min(0.6, step / (step + 10)) ** n_steps
        average = decay * average + (1 - decay) * recorder.seen_[step - 1]
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
