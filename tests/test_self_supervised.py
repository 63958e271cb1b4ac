"""The score without clean images is the PSNR at hidden pixels, and ranks as it does."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from helpers import holed, tiny
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.ndimage import gaussian_filter
from skimage import data
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from colorvae_sk import (
    GaussianNoise,
    MissingPixels,
    make_masked_psnr_scorer,
    masked_psnr_scorer,
    psnr_score,
)


class Filler(BaseEstimator):
    """Fill what is missing with a value, and remember what came."""

    def __init__(self, value=0.25, seen=None):
        self.value = value
        self.seen = seen

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        if self.seen is not None:
            self.seen.append(X)
        if isinstance(X, list):
            return [np.where(np.isnan(x), self.value, x) for x in X]
        return np.where(np.isnan(X), self.value, X)


class FillerOfColours(Filler):
    """A filler that gives back no alpha."""

    def predict(self, X):
        return super().predict(X)[..., :3]


class Smoother(BaseEstimator):
    """A Gaussian mean of what is there."""

    def __init__(self, sigma=1.0):
        self.sigma = sigma

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        sigma = (0, self.sigma, self.sigma, 0)
        weight = gaussian_filter((~np.isnan(X)).astype(float), sigma)
        return gaussian_filter(np.nan_to_num(X).astype(float), sigma) / weight


def hidden_by(scorer, X):
    """What each mask hides: list of bool arrays like X."""
    seen = []
    scorer(Filler(seen=seen), X)
    return [np.isnan(x) & ~np.isnan(X) for x in seen]


# ------------------------------------------------------------------------- the masks
def test_masks_hide_whole_pixels_of_the_share_asked_for_and_none_twice(photos):
    masks = hidden_by(make_masked_psnr_scorer(share=0.1, n_masks=3), photos)
    assert len(masks) == 3
    for mask in masks:
        assert_array_equal(mask.any(axis=3), mask.all(axis=3))
        assert_array_equal(mask[..., 0].sum(axis=(1, 2)), 26)  # of 256
    assert np.sum(masks, axis=0).max() == 1


def test_estimator_sees_the_rest_as_it_is(photos):
    photos, seen = holed(photos), []
    photos[2, :4] = 0.5
    masked_psnr_scorer(Filler(seen=seen), photos)
    for given in seen:
        there = ~np.isnan(given)
        assert given.dtype == photos.dtype
        assert_array_equal(given[there], photos[there])
        assert np.isnan(given).sum() > np.isnan(photos).sum()


def test_masks_hang_on_the_image_and_the_random_state_alone(photos):
    masks = hidden_by(masked_psnr_scorer, photos)
    for turn, mask in enumerate(hidden_by(masked_psnr_scorer, photos[:2:-1])):
        assert_array_equal(mask, masks[turn][:2:-1])
    others = hidden_by(make_masked_psnr_scorer(random_state=1), photos)
    assert (others[0] != masks[0]).any()
    assert (masks[0][0] != masks[0][1]).any()


def test_pixel_that_is_alone_is_hidden_once():
    lone = np.full((2, 4, 4, 3), np.nan)
    lone[:, 1, 2] = 0.5
    assert masked_psnr_scorer(Filler(0.4), lone) == pytest.approx(20)


# ------------------------------------------------------------------------- the score
def test_score_is_the_psnr_at_the_hidden_pixels(photos):
    hidden = np.any(hidden_by(masked_psnr_scorer, photos), axis=0)
    squares = [
        np.mean((photo[h] - 0.25) ** 2) for photo, h in zip(photos, hidden, strict=True)
    ]
    expected = np.mean(-10 * np.log10(squares))
    assert masked_psnr_scorer(Filler(0.25), photos) == pytest.approx(expected, abs=1e-4)
    assert masked_psnr_scorer(Filler(0.25), photos, y=photos * 0) == pytest.approx(
        expected, abs=1e-4
    )


def test_score_counts_what_is_observed_and_clips_the_restoration(photos):
    half = np.full((2, 8, 8, 3), 0.5)
    half[0, :, :, 1] = half[1, 3] = np.nan
    assert masked_psnr_scorer(Filler(0.6), half) == pytest.approx(20)
    assert masked_psnr_scorer(Filler(3.0), half) == pytest.approx(-20 * np.log10(0.5))


def test_containers_and_dtypes_score_alike(photos, photos_uint8):
    expected = masked_psnr_scorer(Filler(), photos)
    alpha = np.full((*photos.shape[:3], 1), 7, np.uint8)
    rows = photos.reshape(6, -1)
    of_rows = make_masked_psnr_scorer(image_shape=(16, 16, 3))
    scores = [
        masked_psnr_scorer(Filler(), photos_uint8),
        masked_psnr_scorer(Filler(), photos.astype(np.float64)),
        masked_psnr_scorer(Filler(), list(photos)),
        masked_psnr_scorer(Filler(), list(photos_uint8)),
        masked_psnr_scorer(FillerOfColours(), np.concatenate([photos_uint8, alpha], 3)),
        of_rows(Filler(), rows),
        of_rows(Filler(), pd.DataFrame(rows)),
    ]
    assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.parametrize("as_container", [np.array, list], ids=["array", "list"])
def test_integers_without_a_range_of_their_own_keep_their_unit(as_container):
    digits = np.random.default_rng(0).integers(0, 17, (3, 8, 8))
    seen, digits[:, 0, 0] = [], 16
    score = masked_psnr_scorer(Filler(8, seen), as_container(digits))
    assert np.nanmax(seen[0]) == pytest.approx(16)
    assert score == pytest.approx(masked_psnr_scorer(Filler(0.5), digits / 16))


@pytest.mark.parametrize("as_frame", [pd.DataFrame, pl.DataFrame])
def test_data_frame_keeps_its_names(as_frame):
    columns = np.random.default_rng(0).random((7, 9))
    frame = as_frame(dict(zip("abcdefg", columns, strict=True)))
    vae = tiny().fit(frame)
    assert np.isfinite(masked_psnr_scorer(vae, frame))  # a warning would be an error


def test_lists_of_pictures_and_pipelines_are_scored(photos):
    ragged = [photo[: 10 + i] for i, photo in enumerate(photos)]
    vae = tiny().fit(ragged)
    pipe = make_pipeline(FunctionTransformer(), vae)
    score = masked_psnr_scorer(vae, ragged)
    assert 5 < score < 40
    assert masked_psnr_scorer(pipe, ragged) == score


# ----------------------------------------------------------------------- the ranking
def test_error_is_that_to_the_clean_image_plus_the_variance_of_the_noise():
    clean = data.astronaut()[None, :256, 100:356] / 255
    noisy = clean + np.random.default_rng(0).normal(0, 0.1, clean.shape)
    hidden = np.any(hidden_by(masked_psnr_scorer, noisy), axis=0)
    for value in (0.2, 0.5):
        error = 10 ** (-masked_psnr_scorer(Filler(value), noisy) / 10)
        expected = np.mean((clean[hidden] - value) ** 2) + 0.1**2
        assert error == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2])
def test_ranking_is_that_of_psnr(sigma):
    clean = data.astronaut()[None, :128, 160:288] / 255
    noisy = clean + np.random.default_rng(0).normal(0, sigma, clean.shape)
    smoothers = [Smoother(s) for s in (0.4, 0.6, 0.8, 1, 1.4, 2, 3, 4, 6, 9)]
    masked = [masked_psnr_scorer(each, noisy) for each in smoothers]
    psnr = [psnr_score(clean, each.predict(noisy)) for each in smoothers]
    assert stats.spearmanr(masked, psnr).statistic > 0.9
    assert psnr[np.argmax(masked)] > max(psnr) - 0.3


def test_search_without_clean_pictures_finds_the_better_restorer(photos):
    noisy = GaussianNoise(0.05, clip=False, random_state=0).transform(photos)
    vae = tiny(degradation=MissingPixels(0.1), batch_size=4)
    search = GridSearchCV(
        vae, {"max_epochs": [1, 20]}, scoring=masked_psnr_scorer, cv=2, refit=False
    )
    assert search.fit(noisy).best_params_ == {"max_epochs": 20}
    few, many = search.cv_results_["mean_test_score"]
    assert many > few + 1


# ------------------------------------------------------------------- errors and habits
class Keeper(Filler):
    """Leaves holes as they are."""

    def predict(self, X):
        return X


class Halver(Filler):
    """Gives back half of what it gets, along the axis `value`."""

    def predict(self, X):
        return np.nan_to_num(np.delete(X, slice(None, None, 2), axis=self.value))


def test_estimator_must_fill_what_is_hidden(photos):
    with pytest.raises(ValueError, match=r"left 156 hidden values of image 0 missing"):
        masked_psnr_scorer(Keeper(), photos)


def test_estimator_must_keep_number_and_shape(photos):
    with pytest.raises(ValueError, match=r"Image 0 is \(16, 16, 3\)"):
        masked_psnr_scorer(Halver(1), photos)
    with pytest.raises(ValueError, match="but y_pred 3"):
        masked_psnr_scorer(Halver(0), photos)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"share": 0.0}, "share == 0.0, must be > 0"),
        ({"share": 1.0}, "share == 1.0, must be < 1"),
        ({"n_masks": 0}, "n_masks == 0, must be >= 1"),
        ({"random_state": -1}, "random_state == -1, must be >= 0"),
        ({"share": 0.3, "n_masks": 4}, r"share \* n_masks 1 at most"),
    ],
)
def test_wrong_parameters_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        make_masked_psnr_scorer(**options)


def test_masks_may_hide_all_pixels_between_them(photos):
    masks = hidden_by(make_masked_psnr_scorer(share=0.1, n_masks=10), photos)
    assert np.sum(masks, axis=0).mean() > 0.97  # 26 of 256 each: the last has fewer


def test_scorer_survives_pickling_and_shows_what_it_is(photos):
    copy = pickle.loads(pickle.dumps(masked_psnr_scorer))
    assert copy(Filler(), photos) == masked_psnr_scorer(Filler(), photos)
    assert repr(copy) == (
        "make_masked_psnr_scorer(share=0.05, n_masks=4, image_shape=None, "
        "random_state=0)"
    )


def test_scorer_weighs_images_and_takes_part_in_metadata_routing(photos):
    weights = np.array([1, 2, 0, 0, 0, 0])
    expected = masked_psnr_scorer(Filler(), photos[:2], sample_weight=[1, 2])
    weighted = masked_psnr_scorer(Filler(), photos, sample_weight=weights)
    assert weighted == pytest.approx(expected)
    with config_context(enable_metadata_routing=True):
        asking = masked_psnr_scorer.set_score_request(sample_weight=True)
        params = {"sample_weight": weights + 1}
        scores = cross_validate(Filler(), photos, scoring=asking, cv=2, params=params)
    assert np.isfinite(scores["test_score"]).all()
