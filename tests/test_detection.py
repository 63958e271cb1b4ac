"""What does not belong is found, outlined and told from what does."""

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from helpers import tiny
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from colorvae_sk import MissingPixels, RestorationOutlierDetector, load, save
from colorvae_sk._anomaly import boxes, checkerboard, evidence, fit_normal, strangeness


def waves(n, seed=0, shape=(32, 32)):
    """Pictures of a soft pattern with a little noise, float32 (n, H, W, 1)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    phases = rng.uniform(0, 6, (n, 1, 1))
    pictures = 0.5 + 0.2 * np.sin(0.8 * rows + phases) * np.cos(0.5 * columns)
    pictures = pictures + rng.normal(0, 0.02, pictures.shape)
    return np.float32(pictures[..., None])


def marked(pictures, seed=1):
    """The same with a rough patch, 12 pixels wide."""
    pictures = pictures.copy()
    rng = np.random.default_rng(seed)
    pictures[:, 10:22, 8:20] = rng.uniform(0.2, 0.8, pictures[:, 10:22, 8:20].shape)
    return pictures


def quick(**options):
    holes = MissingPixels((0.3, 0.7), size=(1, 3))
    vae = tiny(degradation=holes, augmentation=None, max_epochs=8)
    options = {"smoothing": 2.0, "random_state": 0} | options
    return RestorationOutlierDetector(vae, **options)


@pytest.fixture(scope="module")
def detector():
    return quick().fit(waves(20))


# ------------------------------------------------------------------ its parts
@pytest.mark.parametrize("side", [1, 2, 5])
def test_checkerboard_hides_each_pixel_once(side):
    board = checkerboard((11, 8), side)
    assert set(np.unique(board)) == {0, 1}
    assert (board[:side, :side] == 0).all()
    assert_array_equal(board[side:], 1 - board[:-side])


def test_evidence_is_the_mean_log_of_squared_residuals():
    restored, std = np.zeros((2, 16, 16)), np.full((2, 16, 16), 0.1)
    image = np.full((2, 16, 16), 0.2)
    image[1, 3, 4] = np.nan
    values, weight = evidence(image, restored, std, 2.0)
    assert_allclose(values, np.log(4 + 0.01))
    assert weight[8, 8] == pytest.approx(1, abs=1e-2)
    assert 0.25 < weight[0, 0] < 0.4  # a quarter of the window, and its middle
    values, weight = evidence(image, restored, std, 0)
    assert_allclose(values, 2)
    assert weight[3, 4] == 0.5


def test_strangeness_is_one_on_average_for_what_is_normal():
    rng = np.random.default_rng(0)
    samples = rng.normal(3, 2, (5000, 2)) @ [[1, 0.5], [0, 1]]
    maps = samples.T.reshape(2, 50, 100)
    strange = strangeness(maps, np.ones((50, 100)), *fit_normal(samples))
    assert np.mean(strange**2) == pytest.approx(1, abs=0.02)
    halved = strangeness(maps, np.full((50, 100), 0.25), *fit_normal(samples))
    assert_allclose(halved, strange / 2)


def test_boxes_hold_regions_the_strangest_first():
    strange = np.zeros((30, 40))
    strange[2:9, 3:12], strange[15:25, 20:34] = 2.0, 5.0
    strange[17:20, 34:38] = 2.5  # a slope beside the peak
    strange[28, 1] = 9.0  # too small
    assert_array_equal(boxes(strange, 1.0, 4), [[15, 20, 25, 34], [2, 3, 9, 12]])
    assert boxes(strange, 10.0, 4).shape == (0, 4)


# ------------------------------------------------------------------ the detector
def test_a_foreign_patch_is_found_and_outlined(detector):
    usual, strange = waves(10, seed=5), marked(waves(10, seed=6))
    assert (detector.predict(strange) == -1).all()
    assert (detector.predict(usual) == 1).mean() >= 0.7
    assert detector.score_samples(strange).max() < detector.score_samples(usual).min()
    for top, left, bottom, right in (found[0] for found in detector.detect(strange)):
        assert abs(top - 10) <= 4 and abs(bottom - 22) <= 4
        assert abs(left - 8) <= 4 and abs(right - 20) <= 4


def test_too_smooth_is_strange_too(detector):
    flat = waves(4, seed=7)
    flat[:, 10:22, 8:20] = 0.5
    inside = detector.anomaly_map(flat)[:, 12:20, 10:18].mean()
    assert inside > 1.5 * detector.anomaly_map(waves(4, seed=7)).mean()


def test_decisions_fit_each_other(detector):
    X = np.concatenate([waves(4, seed=8), marked(waves(4, seed=9))])
    decisions = detector.decision_function(X)
    assert_allclose(decisions, detector.score_samples(X) - detector.offset_)
    assert_array_equal(detector.predict(X), np.where(decisions >= 0, 1, -1))


@pytest.mark.parametrize("contamination", [0.1, 0.4])
def test_share_of_the_training_pictures_is_strange(contamination):
    X = waves(20)
    detector = quick(contamination=contamination).fit(X)
    assert np.sum(detector.predict(X) == -1) == 20 * contamination
    highest = detector.anomaly_map(X).max(axis=(1, 2))
    assert np.sum(highest > detector.threshold_) == 20 * contamination


def test_maps_come_in_the_container_of_the_images(detector):
    X = marked(waves(3))
    maps = detector.anomaly_map(X)
    assert maps.shape == (3, 32, 32)
    in_list = detector.anomaly_map([X[0], X[1, :24]])
    assert [each.shape for each in in_list] == [(32, 32), (24, 32)]
    assert_allclose(in_list[0], maps[0], rtol=1e-4, atol=1e-4)


def test_integers_are_judged_like_floats(detector):
    X = np.uint8(np.rint(255 * marked(waves(3)).clip(0, 1)))
    floats = detector.anomaly_map(np.float32(X / 255))
    assert_allclose(detector.anomaly_map(X), floats, rtol=1e-4, atol=1e-4)


def test_missing_pixels_are_not_strange(detector):
    X = marked(waves(2))
    X[:, 8:24, 6:22] = np.nan
    maps = detector.anomaly_map(X)
    assert np.isfinite(maps).all()
    assert maps[:, 15, 14].max() < 0.1
    assert np.isfinite(detector.score_samples(X)).all()


def test_picture_of_which_nothing_is_observed_has_no_score(detector):
    X = waves(2)
    X[1] = np.nan
    assert_array_equal(np.isnan(detector.score_samples(X)), [False, True])
    assert_array_equal(np.isnan(detector.decision_function(X)), [False, True])
    assert detector.predict(X)[1] == 1
    assert len(detector.detect(X)[1]) == 0


def test_picture_of_which_nothing_is_observed_may_be_learned_from():
    X = waves(6)
    X[1] = np.nan
    detector = quick().fit(X)
    assert np.isfinite([detector.offset_, detector.threshold_]).all()
    assert detector.predict(X)[1] == 1


def test_rows_that_are_images_have_maps_of_pixels():
    X = waves(12)
    vae = tiny(image_shape=(32, 32), max_epochs=2)
    detector = RestorationOutlierDetector(vae, random_state=0)
    maps = detector.fit(X.reshape(12, -1)).anomaly_map(X.reshape(12, -1))
    assert maps.shape == (12, 32, 32)


def test_strange_rows_are_found_and_their_strange_values():
    rng = np.random.default_rng(0)
    common = rng.normal(0.5, 0.15, (300, 1))
    X = common + rng.normal(0, 0.02, (300, 6))
    detector = RestorationOutlierDetector(tiny(max_epochs=40), random_state=0).fit(X)
    strange = X[:20].copy()
    strange[:, 2] += 0.5
    assert detector.score_samples(strange).mean() < detector.score_samples(X).mean() - 1
    assert (detector.anomaly_map(strange).argmax(axis=1) == 2).mean() > 0.8


def test_frozen_estimator_is_not_fitted_again(photos):
    vae = tiny().fit(photos)
    before = vae.transform(photos)
    detector = RestorationOutlierDetector(FrozenEstimator(vae)).fit(photos[:4])
    assert_array_equal(detector.estimator_.transform(photos), before)


def test_a_frozen_estimator_is_kept_in_files(photos, tmp_path):
    detector = RestorationOutlierDetector(FrozenEstimator(tiny().fit(photos)))
    detector.fit(photos)
    save(detector, tmp_path / "detector.safetensors")
    again = load(tmp_path / "detector.safetensors")
    assert isinstance(again.estimator_, FrozenEstimator)
    assert_array_equal(again.score_samples(photos), detector.score_samples(photos))


@pytest.mark.parametrize("as_frame", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("freeze", [FrozenEstimator, lambda vae: vae])
def test_data_frames_keep_their_names(freeze, as_frame):
    values = np.random.default_rng(0).random((9, 3))
    frame = as_frame(dict(zip("abc", values.T, strict=True)))
    detector = RestorationOutlierDetector(freeze(tiny().fit(frame)))
    detector.fit(frame).predict(frame)  # a warning would be an error
    assert list(detector.estimator_.feature_names_in_) == ["a", "b", "c"]


def test_lone_grey_image_is_not_taken_for_rows(detector):
    for call in (detector.predict, detector.detect, detector.anomaly_map):
        with pytest.raises(ValueError, match=r"\(32, 32\).*Pass X\[np.newaxis\]"):
            call(waves(1)[0, ..., 0])


def test_failed_fit_leaves_it_as_it_was():
    X = np.random.default_rng(0).random((20, 5))
    detector = RestorationOutlierDetector(tiny()).fit(X)
    before, state = detector.score_samples(X), vars(detector).copy()
    detector.set_params(estimator__callbacks=[5])
    with pytest.raises(TypeError, match="callbacks"):
        detector.fit(X[:, :3])
    assert vars(detector) == state
    assert_array_equal(detector.score_samples(X), before)


def test_failed_first_fit_leaves_it_unfitted():
    X = np.random.default_rng(0).random((20, 5))
    detector = RestorationOutlierDetector(tiny(callbacks=[5]))
    with pytest.raises(TypeError, match="callbacks"):
        detector.fit(X)
    with pytest.raises(NotFittedError):
        detector.predict(X)


def test_random_state_decides(photos):
    vae = tiny(random_state=None)
    scores = [
        RestorationOutlierDetector(vae, random_state=seed).fit(photos).offset_
        for seed in (0, 0, 1)
    ]
    assert scores[0] == scores[1] != scores[2]


@pytest.mark.slow
def test_without_an_estimator_it_makes_its_own(photos):
    detector = RestorationOutlierDetector(random_state=0).fit(photos)
    assert detector.estimator_.degradation.size == (1, 3)
    assert detector.estimator is None


def test_it_is_kept_in_files(detector, tmp_path):
    X = marked(waves(3))
    scores = detector.score_samples(X)
    joblib.dump(detector, tmp_path / "detector.joblib")
    save(detector, tmp_path / "detector.safetensors")
    for again in (
        joblib.load(tmp_path / "detector.joblib"),
        load(tmp_path / "detector.safetensors"),
    ):
        assert_array_equal(again.score_samples(X), scores)
        assert_array_equal(again.detect(X)[0], detector.detect(X)[0])


@pytest.mark.parametrize("sides", [(), (0,), (1, 2.5)])
def test_sides_are_whole_pixels(sides, photos):
    with pytest.raises(ValueError, match="'sides' parameter"):
        quick(sides=sides).fit(photos)


def test_estimator_must_restore(photos):
    with pytest.raises(ValueError, match="'estimator' parameter"):
        RestorationOutlierDetector(LogisticRegression()).fit(photos)
