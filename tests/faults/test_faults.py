"""Whatever goes wrong on the way, nothing that was there before is lost."""

import subprocess
import sys
import time
from pathlib import Path

import mutate
import numpy as np
import pytest
from helpers import tiny
from joblib.externals.loky.process_executor import TerminatedWorkerError
from sklearn.model_selection import cross_val_score
from skorch.callbacks import Callback
from workers import Dies

from colorvae_sk import BaseDegradation, ColorVAE, GaussianNoise, load

SCRIPTS = Path(__file__).with_name("scripts.py")
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
pytestmark = pytest.mark.filterwarnings("ignore:A worker stopped:UserWarning")


def command(name, folder):
    return [sys.executable, "-W", "ignore::RuntimeWarning", SCRIPTS, name, folder]


def run(name, folder):
    """What a script says; it must end well."""
    done = subprocess.run(command(name, folder), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def kill_when_ready(name, folder, seconds=0.0):
    with subprocess.Popen(command(name, folder), stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        time.sleep(seconds)
        process.kill()


# ------------------------------------------------------------------ processes
@posix
@pytest.mark.parametrize("seconds", [0.01, 0.05])
def test_a_killed_save_leaves_a_whole_file(seconds, tmp_path):
    kill_when_ready("save_without_end", tmp_path, seconds)
    files = list(tmp_path.glob("*.safetensors"))
    for file in files:
        assert load(file).n_fits_ == 1


@posix
def test_a_killed_fit_goes_on_where_it_was(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    kill_when_ready("fit_without_end", killed)
    continued = run("go_on", killed)
    assert "goes on from" in continued[0]
    assert continued[-1] == run("go_on", whole)[-1]


@posix
def test_a_full_disk_leaves_the_old_file(tmp_path):
    file = str(tmp_path / "vae.safetensors")
    refusal = f"refused: [Errno 27] File too large: {file!r}"
    assert refusal in run("save_to_a_full_disk", tmp_path)


@posix
def test_a_full_disk_does_not_end_a_fit(tmp_path):
    run("fit_on_a_full_disk", tmp_path)


@posix
def test_too_large_a_picture_leaves_a_working_estimator(tmp_path):
    (refusal,) = run("restore_beyond_memory", tmp_path)
    assert "alloc" in refusal


@posix
def test_folders_that_are_read_only_are_named_before_work_starts(tmp_path):
    tmp_path.chmod(0o555)
    refusals = run("write_where_nothing_may_be_written", tmp_path)
    tmp_path.chmod(0o755)
    assert len(refusals) == 3
    assert all(str(tmp_path) in refusal for refusal in refusals)


@posix
def test_ctrl_c_leaves_an_estimator_as_it_was(tmp_path):
    assert run("interrupt_a_fit", tmp_path) == ["interrupted"] * 2


@posix
def test_ctrl_c_leaves_a_file_as_it_was(tmp_path):
    assert run("interrupt_a_save", tmp_path) == ["interrupted"]


def test_a_worker_that_dies_is_told_of_and_the_estimator_is_as_before(photos):
    vae = tiny(degradation=Dies(), max_epochs=1)
    with pytest.raises(TerminatedWorkerError):
        cross_val_score(vae, photos, cv=2, n_jobs=2)
    assert not vae.__sklearn_is_fitted__()
    assert np.isfinite(tiny(max_epochs=1).fit(photos).transform(photos)).all()


def test_files_that_are_damaged_load_as_they_were_or_are_refused():
    counts, seconds, n_bytes = mutate.main(40)
    assert counts.total() == 40
    assert seconds < mutate.SECONDS
    assert n_bytes < mutate.BYTES


# ------------------------------------------------------------------ exceptions
class BoomError(Exception):
    pass


class Explodes(BaseDegradation):
    """Damage that goes wrong when it is done for the third time."""

    n_times = 0

    def __init__(self, random_state=None):
        self.random_state = random_state

    def _degrade(self, images, generator):
        Explodes.n_times += 1
        if Explodes.n_times % 3 == 0:
            raise BoomError
        return images + 0


class Bomb(Callback):
    """A callback that goes wrong at the end of a batch or of an epoch."""

    def __init__(self, event):
        self.event = event

    def on_batch_end(self, net, **kwargs):
        self._perhaps("batch")

    def on_epoch_end(self, net, **kwargs):
        self._perhaps("epoch")

    def on_train_end(self, net, **kwargs):
        self._perhaps("training")

    def _perhaps(self, event):
        if event == self.event:
            raise BoomError


BROKEN = {
    "degradation": {"degradation": Explodes()},
    "batch": {"callbacks": [Bomb("batch")]},
    "epoch": {"callbacks": [Bomb("epoch")]},
    "training": {"callbacks": [Bomb("training")]},
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_what_raises_during_a_fit_leaves_the_estimator_as_it_was(broken, photos):
    new = tiny(max_epochs=4, **broken)
    with pytest.raises(BoomError):
        new.fit(photos)
    assert not new.__sklearn_is_fitted__()
    old = tiny(max_epochs=1).fit(photos)
    before, attributes = old.transform(photos), vars(old).copy()
    old.set_params(warm_start=True, max_epochs=4, **broken)
    for learn in (old.fit, old.partial_fit):
        with pytest.raises(BoomError):
            while True:  # a single epoch may not be enough for it
                learn(photos)
                before, attributes = old.transform(photos), vars(old).copy()
    np.testing.assert_array_equal(old.transform(photos), before)
    assert set(vars(old)) == set(attributes)


def test_a_loss_that_is_not_finite_ends_the_fit_with_advice(photos):
    vae = tiny(lr=1e30, max_epochs=30)
    with pytest.raises(FloatingPointError, match="lower lr"):
        vae.fit(photos)
    assert not vae.__sklearn_is_fitted__()


def test_memory_that_runs_out_in_a_degradation_is_no_other_error(photos):
    def greedy(images):
        raise MemoryError("of the user's own function")

    vae = ColorVAE(degradation=greedy, widths=(8,), n_blocks=1, max_epochs=1)
    with pytest.raises(MemoryError, match="own function"):
        vae.fit(photos)
    assert not vae.__sklearn_is_fitted__()


def test_a_degradation_that_raises_names_no_other_cause(photos):
    with pytest.raises(BoomError):
        for _ in range(3):
            Explodes().transform(photos[:1])
    assert GaussianNoise().transform(photos).shape == photos.shape
