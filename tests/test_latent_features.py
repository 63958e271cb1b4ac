"""Codes as features: they are those of the estimator, in Pipelines and searches."""

import joblib
import numpy as np
import pytest
import torch
from helpers import tiny
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from colorvae_sk import ColorVAE, LatentFeatures, load, save


@pytest.fixture(scope="module")
def digits():
    """Rows and labels of the ten digits."""
    X, y = load_digits(return_X_y=True)
    return X[:300], y[:300]


@pytest.mark.parametrize("architecture", ["ladder", "conv", "dense"])
def test_codes_are_those_of_the_estimator(architecture, photos):
    codes = LatentFeatures(tiny(architecture)).fit(photos)
    Z = codes.transform(photos)
    assert_array_equal(Z, codes.estimator_.encode(photos))
    assert_array_equal(Z, tiny(architecture).fit(photos).encode(photos))
    assert codes.get_feature_names_out()[-1] == f"latentfeatures{Z.shape[1] - 1}"


def test_labels_are_no_clean_images(digits):
    X, y = digits
    several = np.stack([y, y], axis=1)  # of two outputs
    Z = [LatentFeatures(tiny()).fit(X, labels).transform(X) for labels in (y, several)]
    assert_array_equal(*Z)


def test_frozen_estimator_stays_as_it_is(photos):
    vae = tiny("dense").fit(photos)
    before = vae.encode(photos)
    codes = LatentFeatures(FrozenEstimator(vae)).fit(photos[:2])
    assert_array_equal(codes.transform(photos), before)


def test_codes_of_images_come_as_a_data_frame(photos):
    codes = LatentFeatures(tiny("conv", n_latent=3)).set_output(transform="pandas")
    frame = codes.fit_transform(list(photos))
    assert frame.shape == (len(photos), 3)
    assert list(frame.columns) == [f"latentfeatures{i}" for i in range(3)]


def test_digits_are_told_apart_in_a_search(digits):
    pipe = make_pipeline(LatentFeatures(tiny()), LogisticRegression(max_iter=500))
    grid = {"latentfeatures__estimator__n_latent": [1, 8]}
    search = GridSearchCV(pipe, grid, cv=2).fit(*digits)
    few, many = search.cv_results_["mean_test_score"]
    assert 0.1 < few < many


@pytest.mark.parametrize("architecture", ["conv", "dense"])
def test_codes_do_not_begin_as_noise(architecture, photos):
    """Else the decoder comes to ignore most of them for good."""
    vae = tiny(architecture, lr=1e-9).fit(photos)
    images = torch.from_numpy(np.moveaxis(photos, -1, 1))
    with torch.no_grad():
        mu, log_sigma = vae.net_.module_._posterior(images)
    assert mu.std(dim=0).mean() > 0.2 * log_sigma.exp().mean()
    assert mu.std() < 10


def test_missing_values_are_allowed(digits):
    X = digits[0].astype(float).copy()
    X[0, :10] = np.nan
    assert np.isfinite(LatentFeatures(tiny()).fit(X).transform(X)).all()


def test_it_is_kept_in_files(photos, tmp_path):
    codes = LatentFeatures(tiny("dense")).fit(photos)
    Z = codes.transform(photos)
    joblib.dump(codes, tmp_path / "codes.joblib")
    save(codes, tmp_path / "codes.safetensors")
    for again in (
        joblib.load(tmp_path / "codes.joblib"),
        load(tmp_path / "codes.safetensors"),
    ):
        assert_array_equal(again.transform(photos), Z)


@pytest.mark.parametrize(
    ("options", "as_container", "message"),
    [
        ({"architecture": "conv"}, np.asarray, r"\(8, 8\) to encode.*patch_size=16"),
        ({"architecture": "dense"}, np.asarray, r"\(8, 8\) to encode.*patch_size=16"),
        (
            {"architecture": "conv"},
            lambda X: [*X, X[0, :9]],
            r"\[\(9, 16\), \(16, 16\)\]",
        ),
        ({"architecture": "ladder"}, lambda X: [*X, X[0, :9]], "images of one size"),
    ],
)
def test_images_without_codes_are_refused_before_the_fit(
    options, as_container, message, photos, monkeypatch
):
    monkeypatch.setattr(ColorVAE, "_train", None)
    codes = LatentFeatures(tiny(**options, patch_size=8))
    with pytest.raises(ValueError, match=message):
        codes.fit(as_container(photos))
    assert vars(codes) == {"estimator": codes.estimator}


def test_larger_patches_are_the_way_out(photos):
    codes = LatentFeatures(tiny("conv", patch_size=16, n_latent=3)).fit(photos)
    assert codes.transform(photos).shape == (6, 3)


def test_failed_fit_leaves_it_as_it_was(digits):
    X, _ = digits
    codes = LatentFeatures(tiny()).fit(X)
    before, state = codes.transform(X), vars(codes).copy()
    codes.set_params(estimator__callbacks=[5])
    with pytest.raises(TypeError, match="callbacks"):
        codes.fit(X[:, :9])
    assert vars(codes) == state
    assert_array_equal(codes.transform(X), before)


def test_failed_first_fit_leaves_it_unfitted(digits):
    codes = LatentFeatures(tiny(callbacks=[5]))
    with pytest.raises(TypeError, match="callbacks"):
        codes.fit(digits[0])
    with pytest.raises(NotFittedError):
        codes.transform(digits[0])


def test_a_frozen_estimator_is_kept_in_files(photos, tmp_path):
    codes = LatentFeatures(FrozenEstimator(tiny("dense").fit(photos))).fit(photos)
    save(codes, tmp_path / "codes.safetensors")
    again = load(tmp_path / "codes.safetensors")
    assert isinstance(again.estimator, FrozenEstimator)
    assert_array_equal(again.transform(photos), codes.transform(photos))


def test_estimator_must_encode(photos):
    with pytest.raises(ValueError, match="'estimator' parameter of LatentFeatures"):
        LatentFeatures(LogisticRegression()).fit(photos)
