"""Processes that learn one network together."""

import multiprocessing
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import workers
from helpers import every_model, tiny
from numpy.testing import assert_array_equal
from sklearn.base import clone
from torch import distributed

from colorvae_sk import GaussianNoise
from colorvae_sk._training import best_device

pytestmark = pytest.mark.skipif(
    not distributed.is_available() or not distributed.is_gloo_available(),
    reason="torch was built without gloo",
)
OPTIONS = {"batch_size": 2, "max_epochs": 2, "degradation": GaussianNoise(0.1)}
TRAIN = """
import sys
import numpy as np
import torch
from accelerate import PartialState
from colorvae_sk import ColorVAE, save

state = PartialState(cpu=True)
X = np.random.default_rng(0).random((6, 16, 16, 3), dtype=np.float32)
vae = ColorVAE(widths=(8,), n_blocks=1, max_epochs=1, device=state.device).fit(X)
assert state.num_processes == 2
save(vae, f"{sys.argv[1]}/{state.process_index}.safetensors")
"""


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    """Call a function in two processes that are connected: a list of two results."""
    context = multiprocessing.get_context("spawn")
    file = tmp_path_factory.mktemp("team") / "meeting"
    pools = [
        ProcessPoolExecutor(1, context, workers.connect, (rank, 2, file))
        for rank in range(2)
    ]

    def call(function, *arguments):
        """Arguments in a list are one for each process."""
        futures = []
        for rank, pool in enumerate(pools):
            own = [a[rank] if isinstance(a, list) else a for a in arguments]
            futures.append(pool.submit(function, *own))
        return [future.result(timeout=120) for future in futures]

    yield call
    for pool in pools:
        pool.shutdown(cancel_futures=True)


def test_gradients_are_averaged(team):
    gradients = ([1.0, 2.0, 3.0], [3.0, 2.0, 5.0])
    assert team(workers.average, gradients) == [[2.0, 2.0, 4.0]] * 2


def test_a_gradient_that_only_one_process_has_counts_half(team):
    assert team(workers.average, (None, [2.0, 0.0, 1.0])) == [[1.0, 0.0, 0.5]] * 2


def test_what_is_not_finite_in_one_process_is_so_in_all(team):
    for gradient in team(workers.average, ([1.0, 1.0, 1.0], [np.inf, 0.0, np.nan])):
        assert np.isfinite(gradient).tolist() == [False, True, False]


@every_model
def test_processes_see_other_images_and_learn_the_same(architecture, team, photos):
    vae = tiny(architecture, **OPTIONS)
    first, second = team(workers.learn, vae, photos)
    assert_array_equal(first["weights"], second["weights"])
    assert first["steps"] == second["steps"]  # so they did at any time
    assert first["history"] == second["history"]
    assert len(first["batches"]) == len(second["batches"])
    assert set(first["batches"]).isdisjoint(second["batches"])
    alone = clone(vae).fit(photos)
    n_steps = [row["n_steps"] for row in alone.history_]
    assert [row["n_steps"] for row in first["history"]] == [2] * len(n_steps)
    assert n_steps == [3] * len(n_steps)  # of six photos, not of three for each


def test_processes_need_not_have_the_same_seed(team, photos):
    vaes = [tiny(**OPTIONS, random_state=None) for _ in range(2)]
    first, second = team(workers.learn, vaes, photos)
    assert_array_equal(first["weights"], second["weights"])


def test_time_ends_all_processes_after_the_same_step(team, photos):
    vae = tiny(max_seconds=2.0, max_epochs=10**6, batch_size=2, callbacks=None)
    (steps, elapsed), (others, _) = team(workers.learn_unevenly, vae, photos, 0.02)
    assert steps == others
    assert elapsed < 20  # ends, also on a machine that has other work
    assert sum(steps) < 100  # the slow one sets the pace


def test_all_processes_stop_early_together(team, photos):
    options = OPTIONS | {"max_epochs": 20, "lr": 1e-9}  # so that nothing gets better
    vae = tiny("dense", **options, early_stopping=True, n_iter_no_change=2)
    first, second = team(workers.learn, vae, photos)
    assert first["history"] == second["history"]
    assert len(first["history"]) < 20


def test_one_process_speaks(team, photos):
    first, second = team(workers.learn, tiny("dense", **OPTIONS, verbose=1), photos)
    assert "100%" in first["said"] and second["said"] == ""


@pytest.mark.parametrize("cut_after", [3, 8])
def test_one_process_keeps_the_fit_and_all_go_on_from_it(
    cut_after, team, photos, tmp_path
):
    folders = [tmp_path / "first", tmp_path / "second"]  # of two machines, say
    vae = tiny(**OPTIONS | {"max_epochs": 3})
    whole = team(workers.learn, vae, photos)
    team(workers.learn, vae, photos, folders, cut_after)
    assert [len(list(folder.glob("*"))) for folder in folders] == [1, 0]
    rest = team(workers.learn, vae, photos, folders)
    for one, other in zip(whole, rest, strict=True):
        assert_array_equal(one["weights"], other["weights"])
        assert one["history"] == other["history"]
        n_seen = len(other["batches"])
        assert one["batches"][-n_seen:] == other["batches"]


def test_a_fit_of_two_processes_is_not_one_of_one(team, photos, tmp_path):
    vae = tiny(**OPTIONS)
    team(workers.learn, vae, photos, tmp_path)
    clone(vae).set_params(checkpoint=tmp_path).fit(photos)
    assert len(list(tmp_path.glob("*.pt"))) == 2


@pytest.mark.parametrize("what", ["images", "lr", "class"])
def test_processes_that_were_given_different_work_say_so(what, team, photos):
    vaes, X = [tiny(**OPTIONS), tiny(**OPTIONS)], photos
    if what == "images":
        X = [photos, photos[::-1].copy()]
    elif what == "lr":
        vaes[1].set_params(lr=0.02)
    else:
        vaes[1] = tiny("quantised", **OPTIONS)
    for message in team(workers.fail, vaes, X):
        assert message.startswith("The processes were given different parameters")


def test_each_process_takes_the_gpu_that_it_was_given(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert best_device() == "cuda:1"


@pytest.mark.slow
def test_accelerate_launches_processes_that_learn_together(tmp_path):
    pytest.importorskip("accelerate")
    program = tmp_path / "train.py"
    program.write_text(TRAIN)
    launch = [shutil.which("accelerate", path=Path(sys.executable).parent), "launch"]
    options = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    options += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    subprocess.run([*launch, *options, program, tmp_path], check=True, timeout=120)
    first, second = (tmp_path / f"{rank}.safetensors" for rank in range(2))
    assert first.read_bytes() == second.read_bytes()
