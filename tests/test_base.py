"""How every ColorVAE learns: again, on, in time; and how it fails without a trace."""

import random
import time
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import every_model, tiny, weights
from numpy.testing import assert_allclose, assert_array_equal
from skimage.io import imsave
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import Pipeline
from skorch.callbacks import Callback

from colorvae_sk import GaussianNoise
from colorvae_sk import _training as training
from colorvae_sk.networks import LadderVAE

STAGES = LadderVAE.stages


@pytest.fixture(scope="module")
def fitted(photos):
    """A fitted ladder and a fitted dense ColorVAE."""
    return {name: tiny(name).fit(photos) for name in ("ladder", "dense")}


# ------------------------------------------------------------------ how it learns
def test_same_seed_gives_the_same_weights(photos):
    one = weights(tiny().fit(photos))
    assert_array_equal(weights(tiny().fit(photos)), one)
    state = np.random.RandomState(0)
    assert_array_equal(weights(tiny(random_state=state).fit(photos)), one)
    assert np.any(weights(tiny(random_state=state).fit(photos)) != one)
    assert np.any(weights(tiny(random_state=1).fit(photos)) != one)
    unseeded = (weights(tiny(random_state=None).fit(photos)) for _ in range(2))
    assert np.any(next(unseeded) != next(unseeded))


@every_model
def test_refit_forgets_what_was_learned(architecture, photos):
    once, vae = tiny(architecture).fit(photos), tiny(architecture).fit(photos[:, :9])
    assert_array_equal(weights(vae.fit(photos)), weights(once))
    assert len(vae.history_) == len(once.history_)
    assert vae.patch_size_ == (16, 16)


@every_model
def test_global_random_states_and_threads_are_left_alone(architecture, photos):
    def state():
        kind, keys, position, *_ = np.random.get_state()
        tail = kind, position, random.getstate(), torch.get_num_threads()
        return keys.tolist(), torch.get_rng_state().tolist(), *tail

    before = state()
    vae = tiny(architecture, early_stopping=True).fit(photos)
    vae.partial_fit(photos).predict(photos, return_std=True)
    vae.sample_posterior(photos, random_state=0)
    vae.sample(random_state=0)
    vae.score_samples(photos)
    assert state() == before


def learned(vae):
    """What an optimiser has learned, in one line; no running means.

    The scale of the latents is left out: ColorVAEGAN sets it anew after each fit.
    """
    learned = {
        name: parameter.detach().flatten().numpy()
        for name, parameter in vae.net_.module_.named_parameters()
        if not name.endswith("log_sigma.bias")
    }
    return np.concatenate(list(learned.values()))


@every_model
def test_partial_fit_goes_on(architecture, photos):
    vae = tiny(architecture)
    assert vae.partial_fit(photos) is vae
    n_stages, first = len(vae.net_.module_.stages), learned(vae)
    assert len(vae.history_) == n_stages
    vae.partial_fit(photos)
    assert len(vae.history_) == 2 * n_stages
    assert np.any(learned(vae) != first)
    assert np.abs(learned(vae) - first).max() < 0.2  # it is still the same network
    with pytest.raises(ValueError, match="fitted on images of 3"):
        vae.partial_fit(photos[..., :1])


def test_partial_fit_draws_other_damage_than_the_fit_before(photos):
    seen = []

    class Spy(GaussianNoise):
        def _degrade(self, images, generator):
            seen.append(super()._degrade(images, generator))
            return seen[-1]

    vae = tiny(degradation=Spy(), patch_size=16)
    vae.partial_fit(photos)
    first = [images.clone() for images in seen]
    seen.clear()
    vae.partial_fit(photos)
    assert not any(torch.equal(a, b) for a, b in zip(first, seen, strict=True))


def test_warm_start_goes_on_with_what_was_learned(photos):
    vae = tiny(warm_start=True).fit(photos)
    first = weights(vae)
    assert_array_equal(first, weights(tiny().fit(photos)))
    vae.fit(photos)
    assert len(vae.history_) == 2 * len(STAGES)
    assert 0 < np.abs(weights(vae) - first).max() < 0.2
    assert_array_equal(weights(tiny().fit(photos).fit(photos)), first)


def test_early_stopping_holds_images_out_and_stops(photos):
    options = {"early_stopping": True, "n_iter_no_change": 2}
    vae = tiny(max_epochs=100, lr=1e-12, validation_fraction=0.34, **options)
    history = vae.fit(photos).history_
    stages = [row["stage"] for row in history]
    assert stages == [s for s in STAGES for _ in range(3)]
    assert all(np.isfinite(row["valid_loss"]) for row in history)
    assert len(history[-1]["valid_kl"]) == 3
    assert history[0]["n_steps"] == 1  # four images, in batches of four


def test_early_stopping_judges_by_random_images_it_does_not_learn_from(photos):
    class Spy(Callback):
        def on_batch_end(self, net, batch, training, **kwargs):
            if net.stage_ == "restoration":  # which has other colours
                return
            brightness = batch[1].mean(dim=(1, 2, 3)).tolist()
            seen[training].update(round(value, 4) for value in brightness)

    held_out = []
    for seed in range(3):
        seen = {True: set(), False: set()}
        vae = tiny(early_stopping=True, random_state=seed, callbacks=[Spy()])
        vae.set_params(validation_fraction=0.34).fit(photos)
        assert len(seen[False]) == 2 and len(seen[True]) == 4
        assert not seen[False] & seen[True]
        held_out.append(seen[False])
    assert held_out[0] != held_out[1] or held_out[0] != held_out[2]


def test_time_limit_ends_the_fit_in_time(photos):
    began = time.monotonic()
    vae = tiny(max_epochs=10**6, max_seconds=1.5, latent_share=0.4).fit(photos)
    assert time.monotonic() - began < 10
    seconds = {row["stage"]: row["seconds"] for row in vae.history_}
    assert 0.09 <= seconds["colours"] < 3
    assert 0.76 <= seconds["restoration"] < 4
    assert 0.04 <= seconds["error bars"] < 3
    assert 0.6 <= seconds["latents"] < 4


def test_budget_is_shared_between_the_stages(photos):
    vae = tiny(max_epochs=10, latent_share=0.3).fit(photos)
    stages = [row["stage"] for row in vae.history_]
    assert stages == [
        *["colours"],
        *["restoration"] * 6,
        "error bars",
        *["latents"] * 3,
    ]
    keys = {"stage", "train_loss", "train_kl", "n_steps", "n_skipped", "seconds"}
    assert all(keys <= row.keys() for row in vae.history_)


class Log(Callback):
    """Write down what happened, in a list that all copies share."""

    events: ClassVar[list] = []

    def __init__(self, name="log"):
        self.name = name

    def on_train_begin(self, net, **kwargs):
        self.net_ = net
        self.events.append("stage")

    def on_batch_end(self, net, **kwargs):
        self.events.append("batch")

    def on_epoch_end(self, net, **kwargs):
        self.events.append("epoch")


class Precision(Callback):
    """Write down in which dtype each stage computes what is restored."""

    dtypes: ClassVar[dict] = {}

    def on_train_begin(self, net, **kwargs):
        seen = self.dtypes.setdefault(net.stage_, set())
        head = net.module_.head
        self.hook_ = head.register_forward_hook(lambda *args: seen.add(args[-1].dtype))

    def on_train_end(self, net, **kwargs):
        self.hook_.remove()


def test_error_bars_are_learned_in_full_precision(photos, monkeypatch):
    monkeypatch.setattr(Precision, "dtypes", {})
    tiny(mixed_precision=True, callbacks=[Precision()]).fit(photos)
    assert Precision.dtypes["restoration"] == {torch.bfloat16}
    assert Precision.dtypes["error bars"] == {torch.float32}


@pytest.mark.parametrize("named", [False, True])
def test_callbacks_of_the_user_are_called_and_not_changed(named, photos, monkeypatch):
    monkeypatch.setattr(Log, "events", [])
    log = Log()
    callbacks = [("mine", log)] if named else [log]
    tiny(callbacks=callbacks).fit(photos)
    stage = ["stage", "batch", "batch", "epoch"]
    assert Log.events[:4] == stage and Log.events.count("stage") == len(STAGES)
    assert vars(log) == {"name": "log"}


@pytest.mark.parametrize(
    "options",
    [
        {"max_seconds": 0.3},
        {"lr": 1e-12, "early_stopping": True, "n_iter_no_change": 1},
    ],
    ids=["time", "patience"],
)
def test_end_of_the_last_epoch_is_told_to_all(options, photos, monkeypatch):
    monkeypatch.setattr(Log, "events", [])
    vae = tiny(max_epochs=10**6, callbacks=[Log()], **options).fit(photos)
    assert Log.events.count("epoch") == len(vae.history_) >= 2
    assert all(row.keys() == vae.history_[0].keys() for row in vae.history_)


def test_bar_is_shown_only_if_asked_for(photos, capsys):
    tiny(verbose=0).fit(photos)
    assert capsys.readouterr() == ("", "")
    tiny(verbose=1).fit(photos)
    assert "latents" in capsys.readouterr().err


def test_collapse_is_warned_of_where_fit_was_called(photos, monkeypatch):
    monkeypatch.setattr(training, "PATIENT_STEPS", 1)
    with pytest.warns(ConvergenceWarning, match="The latents collapsed") as caught:
        tiny(lr=1e-9).fit(photos)
    assert caught[0].filename == __file__
    with pytest.warns(ConvergenceWarning, match="The latents collapsed") as caught:
        tiny(lr=1e-9).partial_fit(photos)
    assert caught[0].filename == __file__


# ---------------------------------------------------------------- when things go wrong
class Interrupt(Callback):
    """Raise an error after some batches; on its copies too."""

    def __init__(self, error=KeyboardInterrupt, n_batches=3):
        self.error = error
        self.n_batches = n_batches

    def on_train_begin(self, net, **kwargs):
        self.left_ = self.n_batches if net.stage_ == "restoration" else 1

    def on_batch_end(self, net, **kwargs):
        self.left_ -= 1
        if self.left_ == 0:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("n_batches", [2, 99])  # in either stage
@pytest.mark.parametrize("way", ["fit", "partial_fit", "warm_start"])
def test_interrupted_fit_leaves_the_estimator_as_it_was(way, n_batches, error, photos):
    vae = tiny().fit(photos)
    interrupt = Interrupt(error, n_batches)
    vae.set_params(callbacks=[interrupt], warm_start=way == "warm_start")
    before, state = vae.transform(photos), vars(vae).copy()
    learn = vae.partial_fit if way == "partial_fit" else vae.fit
    with pytest.raises(error):
        learn(photos[:, ::-1] * 0.5)
    assert vars(vae) == state
    assert_array_equal(vae.transform(photos), before)


def test_interrupted_first_fit_leaves_the_estimator_unfitted(photos):
    vae = tiny(callbacks=[Interrupt()])
    with pytest.raises(KeyboardInterrupt):
        vae.fit(photos)
    assert vars(vae) == vars(tiny(callbacks=vae.callbacks))
    with pytest.raises(NotFittedError):
        vae.transform(photos)


@pytest.mark.parametrize(
    "bad",
    [
        np.full((2, 4, 4, 3), np.inf),
        np.zeros((0, 4, 4, 3)),
        "photos",
        None,
    ],
)
def test_refused_images_leave_the_estimator_as_it_was(bad, photos):
    vae = tiny().fit(photos)
    before, state = vae.transform(photos), vars(vae).copy()
    for attempt in (vae.fit, vae.partial_fit, lambda X: vae.fit(X, photos[:2])):
        with pytest.raises((TypeError, ValueError)):
            attempt(bad)
        assert vars(vae) == state
    assert_array_equal(vae.transform(photos), before)


def test_loss_that_is_not_finite_ends_with_a_way_out(photos):
    vae = tiny(lr=1e30, max_epochs=30)
    with pytest.raises(FloatingPointError, match=r"not finite .* lower lr or beta"):
        vae.fit(photos)
    with pytest.raises(NotFittedError):
        vae.transform(photos)


X = np.random.default_rng(0).random((4, 8, 8, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "unet"}, "'architecture' parameter of ColorVAE must be"),
        ({"widths": 8}, "'widths'"),
        ({"widths": ()}, "'widths'"),
        ({"widths": (8, 0)}, "'widths'"),
        ({"widths": (8, "8")}, "'widths'"),
        ({"n_blocks": 0}, "'n_blocks'"),
        ({"n_blocks": (1, 1, 1)}, "one for each of the 2 widths"),
        ({"n_blocks": (1, 0)}, "one for each of the 2 widths"),
        ({"n_blocks": ((1, 1), (1, 0))}, "or two such tuples"),
        ({"n_blocks": ((1, 1), (1,))}, "or two such tuples"),
        ({"n_blocks": ((1, 1), 1)}, "or two such tuples"),
        ({"n_blocks": ()}, "or two such tuples"),
        ({"beta": -1}, "'beta'"),
        ({"degradation": "blurry"}, "'degradation'"),
        ({"degradation": 3}, "'degradation'"),
        ({"degradation": Pipeline([("no", 3)])}, "Expected a degradation of"),
        ({"degradation": GaussianNoise(-1)}, "'sigma' parameter of GaussianNoise"),
        ({"max_seconds": 0}, "'max_seconds'"),
        ({"lr": 0}, "'lr'"),
        ({"ema_decay": 1}, "'ema_decay'"),
        ({"callbacks": 3}, "'callbacks'"),
        ({"device": 0}, "'device'"),
        ({"device": "gpu"}, "device"),
        ({"random_state": "x"}, "'random_state'"),
    ],
)
def test_parameter_out_of_range_is_refused(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        tiny(**options).fit(X)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (X[:3], "X has 4 image.s., but y has 3"),
        (X[:, :7], r"Image 0 is \(8, 8, 3\) in X but \(7, 8, 3\) in y"),
        (X[..., :1], r"Image 0 is \(8, 8, 3\) in X but \(8, 8, 1\) in y"),
        ([*X[:3], X[3][:5]], "Image 3 is"),
        (X * np.inf, "y contains infinity"),
        (X.reshape(4, -1), "Image 0 is"),
    ],
)
def test_target_that_does_not_match_is_refused(y, message):
    with pytest.raises(ValueError, match=message):
        tiny().fit(X, y)


def test_floats_of_eight_bits_beside_eight_bits_are_refused():
    stored = (X * 255).astype(np.uint8)
    for pair, name in (((255 * X, stored), "X"), ((stored, 255 * X), "y")):
        with pytest.raises(ValueError, match=f"{name} is float64 that reaches from 0"):
            tiny().fit(*pair)
    one, other = tiny().fit(X, stored), tiny().fit(X, stored / 255)
    assert_allclose(weights(one), weights(other), atol=1e-4)


@pytest.mark.parametrize("stored", [np.uint8, np.uint16])
@pytest.mark.parametrize("dtype", [float, int])
@pytest.mark.parametrize("method", ["score", "partial_fit", "calibrate"])
def test_a_fitted_one_refuses_another_scale_as_fit_does(method, dtype, stored, photos):
    dark = (photos * 85).astype(stored)  # no lighter than a third
    vae = tiny().fit(photos)
    with pytest.raises(ValueError, match=r"y is \w+64 that reaches .* but X is uint"):
        getattr(vae, method)(dark, dark.astype(dtype))
    getattr(vae, method)(dark, (dark / np.iinfo(stored).max))


def test_fitted_on_floats_of_eight_bits_it_knows_their_scale(photos_uint8):
    vae = tiny().fit(photos_uint8.astype(float))
    expected = vae.score(photos_uint8, photos_uint8)
    floats = photos_uint8 * np.float64(vae.data_range_[1] / 255)
    assert vae.score(photos_uint8, floats) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("as_container", [np.array, pd.Series], ids=["array", "series"])
def test_paths_are_not_taken_for_labels(as_container, photos_uint8, tmp_path):
    paths = [str(tmp_path / f"{i}.png") for i in range(2)]
    for path, photo in zip(paths, photos_uint8, strict=False):
        imsave(path, photo, check_contrast=False)
    vae = tiny().fit(photos_uint8)
    for call in (vae.fit, vae.partial_fit, vae.score, vae.calibrate):
        with pytest.raises(TypeError, match=r"y has one axis.*list\(y\)"):
            call(paths, as_container(paths))
    assert vae.score(paths, paths) == vae.score(photos_uint8[:2], photos_uint8[:2])
    vae.partial_fit(paths, np.arange(2)).partial_fit(
        photos_uint8, np.array([*"abcdef"])
    )


def test_lone_grey_image_is_not_taken_for_rows(photos):
    grey = photos[..., 0]
    vae = tiny().fit(grey)
    for call in (vae.predict, vae.partial_fit, vae.score):
        with pytest.raises(ValueError, match=r"\(16, 16\).*Pass X\[np.newaxis\]"):
            call(grey[0])
    assert vae.predict(grey[0][np.newaxis]).shape == (1, 16, 16)
    rows = tiny(image_shape=(16, 16)).fit(grey)
    assert rows.predict(grey.reshape(6, -1)).shape == (6, 256)


def test_refused_places_are_told_before_any_work(photos, monkeypatch):
    vae, out = tiny().fit(photos), np.empty_like(photos)
    monkeypatch.setattr(vae, "_restorer", None)
    with pytest.raises(ValueError, match="out\\[1\\] is where"):
        vae.predict(list(photos), out=[out[0]] * 6)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        vae.predict(photos, out=out)


def test_images_stay_arrays_whatever_set_output_says(photos):
    rows = photos.reshape(6, -1)
    vae = tiny(image_shape=(16, 16, 3)).fit(rows).set_output(transform="pandas")
    assert isinstance(vae.transform(rows), pd.DataFrame)
    assert_array_equal(vae.transform(photos).reshape(6, -1), vae.transform(rows))


def test_object_array_of_targets_is_not_taken_for_labels():
    y = np.empty(4, dtype=object)
    y[:] = list(X)
    with pytest.raises(TypeError, match=r"list\(y\)"):
        tiny().fit(X, y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda vae: vae.transform(X[..., :1]),
            "X has 1 channel.s., but ColorVAE was fit",
        ),
        (lambda vae: vae.sample_posterior(X, 0), "n_samples to be an int >= 1, got 0"),
        (lambda vae: vae.sample_posterior(X, 1.5), "n_samples to be an int"),
        (lambda vae: vae.sample(-1), "n_samples to be an int"),
        (lambda vae: vae.sample(size=16), "size to be"),
        (lambda vae: vae.sample(size=(8, 8, 3)), "size to be"),
        (lambda vae: vae.sample(size=(8, 0)), "size to be"),
        (lambda vae: vae.sample(size=(8, 7.5)), "size to be"),
        (lambda vae: vae.decode(np.zeros((1, 3))), "Z has 3 codes per image, expected"),
        (lambda vae: vae.decode(np.full((1, 3), np.nan)), "Z contains NaN"),
        (lambda vae: vae.encode([X[0], X[1][:5]]), "images of one size to encode, got"),
        (lambda vae: vae.score(X, X[:3]), "X has 4 image.s., but y has 3"),
    ],
)
def test_wrong_call_is_told_the_way_out(call, message, fitted):
    with pytest.raises(ValueError, match=message):
        call(fitted["ladder"])


def test_bottleneck_encodes_and_draws_at_its_own_size_only(fitted):
    vae = fitted["dense"]
    with pytest.raises(ValueError, match=r"size \(16, 16\) to encode.*patch_size=8"):
        vae.encode(X)
    with pytest.raises(ValueError, match=r"size to be \(16, 16\), got \(8, 8\)"):
        vae.sample(size=(8, 8))


@pytest.mark.parametrize(
    "method",
    [
        "transform",
        "predict",
        "sample_posterior",
        "score",
        "score_samples",
        "encode",
        "decode",
    ],
)
def test_before_the_fit_nothing_works(method, photos):
    with pytest.raises(NotFittedError):
        getattr(tiny(), method)(photos)


def test_single_image_cannot_be_held_out(photos):
    with pytest.raises(ValueError, match="leaves none to learn from"):
        tiny(early_stopping=True).fit(photos[:1])


def test_sample_weight_is_refused_by_fit(photos):
    with pytest.raises(TypeError, match="sample_weight"):
        tiny().fit(photos, sample_weight=np.ones(6))
