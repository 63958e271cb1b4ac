"""What joblib and pickle write is small, restores alike, and goes on learning."""

import copy
import io
import os
import pickle

import joblib
import numpy as np
import pytest
import torch
from helpers import MODELS, every_model, tiny
from numpy.testing import assert_array_equal
from sklearn.base import clone

from colorvae_sk import ColorVAE

OPTIONS = {"n_blocks": 1, "max_epochs": 2, "lr": 0.01, "random_state": 0}


@pytest.fixture(scope="module")
def fitted(photos):
    """One fitted model of each kind."""
    return {name: tiny(name, widths=(24, 24)).fit(photos) for name in MODELS}


@pytest.fixture
def dumped(fitted, tmp_path):
    """Dump a fitted ColorVAE: architecture -> path."""

    def dump(architecture, **params):
        vae = copy.copy(fitted[architecture]).set_params(**params)
        return joblib.dump(vae, tmp_path / "vae.joblib")[0]

    return dump


def answers(vae, photos):
    """All that a ColorVAE says of photos."""
    restored, sigma = vae.predict(photos, return_std=True)
    return {
        "restored": restored,
        "sigma": sigma,
        "samples": vae.sample_posterior(photos, 2, random_state=0),
        "codes": vae.encode(photos),
        "elbo": vae.score_samples(photos),
        "imagined": vae.sample(2, random_state=0),
    }


@every_model
@pytest.mark.parametrize("way", ["joblib", "mmap", "pickle", "deepcopy"])
def test_copy_says_the_same_to_the_last_bit(architecture, way, fitted, dumped, photos):
    vae = fitted[architecture]
    expected = answers(vae, photos)
    load = {
        "joblib": lambda: joblib.load(dumped(architecture)),
        "mmap": lambda: joblib.load(dumped(architecture), mmap_mode="r"),
        "pickle": lambda: pickle.loads(pickle.dumps(vae)),
        "deepcopy": lambda: copy.deepcopy(vae),
    }
    loaded = load[way]()
    assert loaded is not vae and loaded.net_ is not vae.net_
    for name, answer in answers(loaded, photos).items():
        assert_array_equal(answer, expected[name], err_msg=name)
    assert loaded.history_ == vae.history_
    assert loaded.get_params() == vae.get_params()


def test_dump_is_about_as_large_as_the_weights(fitted, dumped):
    for architecture, vae in fitted.items():
        n_bytes = sum(p.nbytes for p in vae.net_.module_.parameters())
        assert n_bytes > 100_000
        assert n_bytes < os.path.getsize(dumped(architecture)) < 1.2 * n_bytes


def test_dump_holds_arrays_and_nothing_of_torch_or_skorch(fitted):
    names = set()

    class Unpickler(pickle._Unpickler):  # the one written in Python calls find_class
        def find_class(self, module, name):
            names.add(module.partition(".")[0])
            return super().find_class(module, name)

    Unpickler(io.BytesIO(pickle.dumps(fitted["ladder"]))).load()
    assert "numpy" in names and not names & {"torch", "skorch"}


def test_dumping_leaves_the_estimator_as_it_was(fitted, photos):
    vae = fitted["ladder"]
    before, restored = vars(vae).copy(), vae.transform(photos)
    pickle.dumps(vae)
    assert vars(vae) == before
    assert_array_equal(vae.transform(photos), restored)


def test_copies_share_no_weights(fitted, photos):
    vae = fitted["ladder"]
    expected = vae.transform(photos)
    for other in (copy.copy(vae), copy.deepcopy(vae), pickle.loads(pickle.dumps(vae))):
        with torch.no_grad():
            for parameter in other.net_.module_.parameters():
                parameter.fill_(0.5)
        assert_array_equal(vae.transform(photos), expected)


@every_model
def test_clone_of_what_was_loaded_learns_the_same_again(architecture, dumped, photos):
    loaded = joblib.load(dumped(architecture))
    again = clone(loaded)
    assert not hasattr(again, "net_")
    assert_array_equal(again.fit(photos).transform(photos), loaded.transform(photos))


@every_model
def test_partial_fit_goes_on_after_loading(architecture, fitted, dumped, photos):
    loaded = joblib.load(dumped(architecture))
    kept = copy.deepcopy(fitted[architecture])
    before = loaded.transform(photos)
    for vae in (loaded, kept):
        vae.partial_fit(photos)
    assert len(loaded.history_) > len(fitted[architecture].history_)
    assert np.any(loaded.transform(photos) != before)
    assert_array_equal(loaded.transform(photos), kept.transform(photos))


def test_state_from_a_gpu_loads_where_there_is_none(
    fitted, dumped, photos, monkeypatch
):
    path = dumped("ladder", device="cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    loaded = joblib.load(path)
    assert loaded.device == "cuda"
    assert loaded.net_.device == "cpu"
    assert_array_equal(loaded.transform(photos), fitted["ladder"].transform(photos))


def test_unfitted_estimator_can_be_dumped(tmp_path):
    path = joblib.dump(ColorVAE(beta=0.3), tmp_path / "new.joblib")[0]
    assert joblib.load(path).get_params() == ColorVAE(beta=0.3).get_params()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_dump_from_a_gpu_restores_on_a_cpu(photos, tmp_path, monkeypatch):
    vae = ColorVAE(widths=(24, 24), device="cuda", **OPTIONS).fit(photos)
    expected = vae.transform(photos)
    path = joblib.dump(vae, tmp_path / "vae.joblib")[0]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    loaded = joblib.load(path)
    assert not next(loaded.net_.module_.parameters()).is_cuda
    np.testing.assert_allclose(loaded.transform(photos), expected, atol=2e-3)
