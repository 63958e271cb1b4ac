"""Fits that are cut off, and go on from their checkpoint."""

import itertools
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from helpers import ARCHITECTURES, every_model, every_relative, tiny, weights
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from colorvae_sk import GaussianNoise, _checkpoint, _parallel, save
from colorvae_sk._checkpoint import read, write

OPTIONS = {"max_epochs": 3, "batch_size": 2, "degradation": GaussianNoise(0.1)}


class CutOff(Exception):  # noqa: N818
    """What ends a fit."""


class Cut(Callback):
    """End the fit after so many batches."""

    def __init__(self, after):
        self.after = after

    def on_train_begin(self, net, **kwargs):
        self.n_batches_ = 0

    def on_batch_begin(self, net, training, **kwargs):
        self.n_batches_ += training
        if self.n_batches_ > self.after:
            raise CutOff


class Count(Callback):
    """Write down the stage of each batch."""

    seen = ()

    def on_batch_end(self, net, training, **kwargs):
        type(self).seen = (*self.seen, net.stage_)


@pytest.fixture(autouse=True)
def without_delay(monkeypatch):
    """Write a checkpoint after each batch."""
    monkeypatch.setattr(_checkpoint, "EVERY", 0.0)
    monkeypatch.setattr(_checkpoint, "PATIENCE", 0)
    monkeypatch.setattr(Count, "seen", ())


def cut_off(vae, photos, after, **fit_params):
    """Begin a fit that ends after so many batches."""
    vae.set_params(callbacks=[Cut(after)])
    with pytest.raises(CutOff):
        vae.fit(photos, **fit_params)
    assert not hasattr(vae, "net_")
    return vae.set_params(callbacks=None)


def options_for(architecture):
    """Long enough that there is something to cut."""
    is_short = architecture in ARCHITECTURES[1:]
    return OPTIONS if is_short else OPTIONS | {"max_epochs": 6}


@every_model
@pytest.mark.parametrize("after", [1, 3, 4, 7])
def test_fit_that_was_cut_off_ends_with_the_same_weights(
    architecture, after, photos, tmp_path
):
    options = options_for(architecture)
    whole = tiny(architecture, **options).fit(photos)
    vae = tiny(architecture, checkpoint=tmp_path, **options)
    cut_off(vae, photos, after).fit(photos)
    assert_same_fit(vae, whole)


def assert_same_fit(vae, whole):
    """Equal weights and an equal history, but for the time that it took."""
    assert_array_equal(weights(vae), weights(whole))
    untimed = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in v.history_]
        for v in (vae, whole)
    ]
    assert untimed[0] == untimed[1]


@every_relative
def test_latents_that_were_cut_off_go_on_with_codes_and_critic(
    architecture, photos, tmp_path
):
    options = OPTIONS | {"max_epochs": 6, "latent_share": 0.9}
    whole = tiny(architecture, **options).fit(photos)
    vae = tiny(architecture, checkpoint=tmp_path, **options)
    cut_off(vae, photos, 10)  # no other stage has as many batches
    (file,) = tmp_path.iterdir()
    assert read(file)["n_done"] == 3
    assert_same_fit(vae.fit(photos), whole)


def test_fit_can_be_cut_off_again_and_again(photos, tmp_path):
    options = OPTIONS | {"max_epochs": 10, "early_stopping": True}
    whole = tiny(**options).fit(photos)
    vae = tiny(checkpoint=tmp_path, **options)
    for after in (2, 2, 5):
        cut_off(vae, photos, after)
    vae.set_params(callbacks=[Count()]).fit(photos)
    assert_array_equal(weights(vae), weights(whole))
    assert (
        0
        < len(Count.seen)
        < sum(row["n_steps"] + row["n_valid_steps"] for row in whole.history_)
    )


def test_pairs_go_on_too(photos, tmp_path):
    pairs = {"y": (0.5 * photos).astype(np.float32)}
    whole = tiny(**OPTIONS).fit(photos, **pairs)
    vae = tiny(checkpoint=tmp_path, **OPTIONS)
    cut_off(vae, photos, 4, **pairs).fit(photos, **pairs)
    assert_array_equal(weights(vae), weights(whole))


def test_fit_goes_on_after_its_process_was_killed(tmp_path):
    script = f"""
        import os, signal
        import numpy as np
        import torch
        from colorvae_sk import ColorVAE, GaussianNoise, _checkpoint
        from skorch.callbacks import Callback

        _checkpoint.EVERY = _checkpoint.PATIENCE = 0
        torch.set_num_threads({torch.get_num_threads()})

        class Kill(Callback):
            def on_batch_begin(self, net, **kwargs):
                if len(net.history) == 2:
                    os.kill(os.getpid(), signal.SIGKILL)

        X = np.random.default_rng(0).random((4, 16, 16, 3))
        ColorVAE(
            widths=(8, 8), n_blocks=1, max_epochs=5, degradation=GaussianNoise(0.1),
            random_state=3, device="cpu", checkpoint={str(tmp_path)!r},
            callbacks=[Kill()],
        ).fit(X)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)])
    assert done.returncode == -signal.SIGKILL
    assert [file.suffix for file in tmp_path.iterdir()] == [".pt"]
    options = {"max_epochs": 5, "lr": 4e-3, "random_state": 3}
    vae = tiny(degradation=GaussianNoise(0.1), **options)
    X = np.random.default_rng(0).random((4, 16, 16, 3))
    whole = weights(vae.fit(X))
    vae.set_params(checkpoint=str(tmp_path), callbacks=[Count()]).fit(X)
    assert_array_equal(weights(vae), whole)
    assert Count.seen.count("restoration") < 3


def test_seed_that_was_drawn_is_kept(photos, tmp_path):
    vae = tiny(checkpoint=tmp_path, **OPTIONS).set_params(random_state=None)
    (kept,) = [cut_off(vae, photos, 4)] and [read(*tmp_path.iterdir())]
    assert vae.fit(photos).seed_ == kept["seed"]


def test_finished_fit_is_not_repeated_and_another_is_not_mistaken_for_it(
    photos, tmp_path, capsys
):
    options = OPTIONS | {"checkpoint": tmp_path}
    first = tiny(**options).fit(photos)
    again = tiny(verbose=1, callbacks=[Count()], **options).fit(photos)
    assert_array_equal(weights(again), weights(first))
    assert Count.seen == () and "goes on from" in capsys.readouterr().out
    others = [
        lambda: tiny(**options | {"max_epochs": 4}).fit(photos),
        lambda: tiny(**options | {"degradation": GaussianNoise(0.2)}).fit(photos),
        lambda: tiny(**options).fit(photos[:-1]),
        lambda: tiny(**options).fit(photos[::-1]),
        lambda: tiny(**options).fit(photos, photos),
        lambda: first.set_params(warm_start=True).fit(photos),
    ]
    for n_files, fit in enumerate(others, start=2):
        fit()
        assert len(list(tmp_path.iterdir())) == n_files


def test_other_weights_to_start_from_make_another_fit(photos, tmp_path):
    start, folder = tmp_path / "start.safetensors", tmp_path / "fits"
    vae = tiny(checkpoint=folder, weights=str(start), **OPTIONS)
    for seed in (1, 2):
        save(tiny(random_state=seed, max_epochs=1).fit(photos), start)
        expected = tiny(weights=str(start), **OPTIONS).fit(photos)
        assert_array_equal(weights(vae.fit(photos)), weights(expected))
    assert len(list(folder.iterdir())) == 2


def test_time_that_was_spent_counts(photos, tmp_path, monkeypatch):
    ticks = itertools.count()  # a clock on which each look takes 0.1 s
    monkeypatch.setattr(_parallel.time, "monotonic", lambda: next(ticks) / 10)
    options = OPTIONS | {"max_epochs": 10**6, "checkpoint": tmp_path}
    vae = tiny("dense", max_seconds=20.0, **options)
    cut_off(vae, photos, 20)
    spent = read(*tmp_path.iterdir())["progress"]["callbacks"][-1]["elapsed"]
    vae.fit(photos)
    assert 2 < spent < 20 <= vae.history_[-1]["seconds"] < 22


def test_partial_fit_does_not_look_at_it(photos, tmp_path):
    tiny(checkpoint=tmp_path, **OPTIONS).partial_fit(photos)
    assert not list(tmp_path.iterdir())


def test_fits_of_a_search_have_files_of_their_own(photos, tmp_path):
    vae = tiny("dense", checkpoint=tmp_path, **OPTIONS)
    search = GridSearchCV(vae, {"lr": [1e-3, 1e-2]}, cv=2).fit(photos, photos)
    assert len(list(tmp_path.iterdir())) == 5
    expected = tiny("dense", **OPTIONS, **search.best_params_).fit(photos, photos)
    assert_array_equal(weights(search.best_estimator_), weights(expected))


def test_folder_is_made_and_history_of_users_callbacks_is_kept(photos, tmp_path):
    class Score(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("mine", np.float64(len(net.history)))

    folder = tmp_path / "deep" / "down"
    vae = tiny("dense", checkpoint=folder, callbacks=[Score()], **OPTIONS).fit(photos)
    again = tiny("dense", checkpoint=folder, **OPTIONS).fit(photos)
    assert [row["mine"] for row in again.history_] == [1.0, 2.0, 3.0]
    assert again.history_ == vae.history_


# ----------------------------------------------------------------------- the file
def test_file_that_can_not_be_written_leaves_the_last_one(tmp_path, monkeypatch):
    file = tmp_path / "fit.pt"
    write(file, {"n": 1})

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write(file, {"n": 2})
    assert read(file) == {"n": 1}
    assert os.listdir(tmp_path) == ["fit.pt"]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 cut"])
def test_file_that_is_broken_is_named(content, photos, tmp_path):
    vae = tiny("dense", checkpoint=tmp_path, **OPTIONS).fit(photos)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{file.name} can't be read.* Delete it"):
        tiny("dense", checkpoint=tmp_path, **OPTIONS).fit(photos)
    assert hasattr(vae, "net_")


def test_objects_are_not_unpickled(tmp_path):
    torch.save({"cut": Cut(3)}, tmp_path / "fit.pt")
    with pytest.raises(ValueError, match="can't be read"):
        read(tmp_path / "fit.pt")


def test_function_without_a_name_is_refused(photos, tmp_path):
    vae = tiny(checkpoint=tmp_path, degradation=lambda images: images)
    with pytest.raises(ValueError, match=r"can't be pickled.* checkpoint=None"):
        vae.fit(photos)
    assert not list(tmp_path.iterdir())
