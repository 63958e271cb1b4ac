"""Threads and processes side by side; nothing of the rest of the program is touched."""

import multiprocessing
import os
import random
import signal
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers import ARCHITECTURES, tiny
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.base import clone
from sklearn.utils import get_tags
from threadpoolctl import threadpool_info
from workers import restore

import colorvae_sk as c

N_THREADS = 8


@pytest.fixture(scope="module")
def fitted(photos):
    """One calibrated ColorVAE of each architecture."""
    kinds = {name: tiny(name, max_epochs=1).fit(photos) for name in ARCHITECTURES}
    return {name: vae.calibrate(photos, photos) for name, vae in kinds.items()}


@pytest.fixture
def folder(photos_uint8, tmp_path):
    """Two picture files."""
    for i, photo in enumerate(photos_uint8[:2]):
        Image.fromarray(photo).save(tmp_path / f"{i}.png")
    return tmp_path


# ------------------------------------------------------------------ side by side
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_eight_threads_restore_like_one(architecture, fitted, photos):
    vae = fitted[architecture]
    calls = [
        lambda X: vae.transform(X),
        lambda X: vae.predict(X, return_std=True)[1],
        lambda X: vae.sample_posterior(X, random_state=0),
        lambda X: vae.predict_interval(X, 0.5)[0],
        lambda X: vae.encode(X),
        lambda X: vae.score_samples(X),
    ]
    work = [(call, np.roll(photos, k, axis=0)) for k in range(12) for call in calls]
    expected = [call(X) for call, X in work]
    with ThreadPoolExecutor(N_THREADS) as pool:
        results = list(pool.map(lambda pair: pair[0](pair[1]), work))
    for result, alone in zip(results, expected, strict=True):
        assert_array_equal(result, alone)


def test_eight_threads_read_files_and_damage_like_one(folder):
    blind = c.blind_degradation().set_params(random_state=0)
    pictures = c.ImageFolder(folder)
    expected = blind.transform(pictures)
    with ThreadPoolExecutor(N_THREADS) as pool:
        results = list(pool.map(lambda _: blind.transform(pictures), range(24)))
    for result in results:
        for one, other in zip(result, expected, strict=True):
            assert_array_equal(one, other)


def test_threads_that_fit_learn_what_one_learns(photos):
    vaes = [tiny(max_epochs=1, random_state=seed) for seed in (0, 1, 0, 1)]
    with ThreadPoolExecutor(len(vaes)) as pool:
        list(pool.map(lambda vae: vae.fit(photos), vaes))
    for vae in vaes:
        alone = clone(vae).fit(photos).transform(photos)
        assert_array_equal(vae.transform(photos), alone)


# Python warns of forks beside threads; torch is made for them when it has one.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_other_processes_restore_alike(method, fitted, photos):
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    vae = fitted["ladder"]
    expected = vae.transform(photos)
    with multiprocessing.get_context(method).Pool(1) as pool:
        result = pool.apply_async(restore, (vae, photos)).get(timeout=120)
    torch.set_num_threads(n_threads)
    assert_array_equal(result, expected)


# ------------------------------------------------------------------ public calls
def surroundings():
    """All that a library should leave alone, by name."""
    return {
        "numpy's random state": repr(np.random.get_state()),
        "Python's random state": random.getstate(),
        "torch's random state": torch.get_rng_state().tolist(),
        "torch's threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "other threads": [pool["num_threads"] for pool in threadpool_info()],
        "warnings": list(warnings.filters),
        "numpy's errors": np.geterr(),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "torch's types": (torch.get_default_dtype(), str(torch.get_default_device())),
        "determinism": torch.are_deterministic_algorithms_enabled(),
        "environment": dict(os.environ),
        "working folder": os.getcwd(),
        "Ctrl-C": signal.getsignal(signal.SIGINT),
        "Pillow": Image.MAX_IMAGE_PIXELS,
    }


def of_color_vae(vae, X, folder):
    vae = clone(vae).fit(X, X).partial_fit(X)
    vae.calibrate(X, X).predict_interval(X, 0.5)
    vae.predict(X, return_std=True), vae.fit_transform(X), vae.score(X, X)
    vae.sample_posterior(X, random_state=0), vae.sample(random_state=0)
    vae.decode(vae.encode(X)), vae.score_samples(X), get_tags(vae)


def of_meta_estimator(meta, X, folder):
    meta = clone(meta).fit(X)
    if hasattr(meta, "detect"):
        meta.predict(X), meta.anomaly_map(X), meta.detect(X)
    else:
        meta.transform(X)


def of_degradation(degradation, X, folder):
    degradation.fit(X).transform_with_draws(X)
    degradation.fit_transform(X)


def of_augmentation(augmentation, X, folder):
    generator = torch.Generator().manual_seed(0)
    tiny(max_epochs=1, augmentation=augmentation).fit(X)
    augmentation([torch.zeros(1, 3, 4, 4)], generator)


def of_display(display, X, folder):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    vae = tiny("dense", max_epochs=1).fit(X).calibrate(X, X)
    if display is c.HistoryDisplay:
        display.from_estimator(vae)
    elif display is c.PosteriorDisplay:
        display.from_estimator(vae, X[:1], random_state=0)
    elif display is c.TraversalDisplay:
        display.from_estimator(vae, X[:1])
    else:
        y = np.arange(len(X)) if display is c.LatentDisplay else X
        display.from_estimator(vae, X, y)
    matplotlib.pyplot.close("all")


def of_files(_, X, folder):
    vae = tiny(max_epochs=1).fit(X)
    c.save(vae, folder / "vae.safetensors")
    c.load(folder / "vae.safetensors")
    c.restore_folder(vae, folder, folder / "restored", overwrite=True)
    c.load_pretrained(c.list_pretrained()[0]).transform(X[:1])
    c.ImageFolder(folder)[0], c.ImageFolder(folder).image_size(0), c.load_photos()


def of_measure(measure, X, folder):
    if measure is c.coverage_score:
        measure(X, X, X)
    elif measure is c.interval_coverage_score:
        measure(X, (X, X))
    else:
        measure(X, X + 0.1)


def of_scorer(scorer, X, folder):
    scorer(tiny(max_epochs=1).fit(X), X, X)


FILES = [
    "load",
    "save",
    "list_pretrained",
    "load_pretrained",
    "ImageFolder",
    "load_photos",
    "restore_folder",
]
NO_CALLS = {"__version__", "BaseDegradation", "FileReport"}


def calls():
    """For each public name an object and what to do with it."""
    for name in set(c.__all__) - NO_CALLS:
        public = getattr(c, name)
        if name in FILES:
            yield pytest.param(of_files, None, id=name)
        elif name == "blind_degradation":
            blind = public().set_params(random_state=0)
            yield pytest.param(of_degradation, blind, id=name)
        elif name == "make_masked_psnr_scorer":
            yield pytest.param(of_scorer, public(share=0.2), id=name)
        elif not isinstance(public, type):
            do = of_scorer if name.endswith("scorer") else of_measure
            yield pytest.param(do, public, id=name)
        elif name.endswith("Display"):
            yield pytest.param(of_display, public, id=name)
        elif issubclass(public, c.BaseDegradation):
            yield pytest.param(of_degradation, public(random_state=0), id=name)
        elif name in ("LatentFeatures", "RestorationOutlierDetector"):
            seeds = {"random_state": 0} if name.endswith("Detector") else {}
            meta = public(tiny("dense", max_epochs=1), **seeds)
            yield pytest.param(of_meta_estimator, meta, id=name)
        elif hasattr(public, "fit"):
            small = {"widths": (8,), "n_blocks": 1, "max_epochs": 1}
            names = set(public._get_param_names())
            small = {k: v for k, v in small.items() if k in names}
            vae = public(random_state=0, **small)
            yield pytest.param(of_color_vae, vae, id=name)
        else:
            yield pytest.param(of_augmentation, public(), id=name)


@pytest.mark.parametrize(("do", "what"), sorted(calls(), key=lambda p: p.id))
def test_no_public_call_touches_what_is_not_its_own(do, what, photos, folder):
    do(
        what, photos, folder
    )  # what is imported now for the first time may set itself up
    before = surroundings()
    do(what, photos, folder)
    after = surroundings()
    assert [name for name in before if before[name] != after[name]] == []


def test_without_a_seed_only_numpy_is_asked_for_one(photos):
    before = surroundings()
    tiny(random_state=None, max_epochs=1).fit(photos).sample()
    c.GaussianNoise().transform(photos)
    after = surroundings()
    changed = [name for name in before if before[name] != after[name]]
    assert changed == ["numpy's random state"]
