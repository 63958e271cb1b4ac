"""The display draws what intervals claim against what they hold."""

import matplotlib
import numpy as np
import pytest
from helpers import tiny
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

from colorvae_sk import (
    CalibrationDisplay,
    GaussianNoise,
    coverage_score,
    interval_coverage_score,
)


@pytest.fixture(autouse=True)
def no_window():
    """Draw into memory; close what was drawn."""
    matplotlib.use("agg")
    yield
    matplotlib.pyplot.close("all")


@pytest.fixture(scope="module")
def pair(photos):
    """Noisy and clean images."""
    clean = np.concatenate([photos] * 4)
    noise = np.random.default_rng(0).normal(0, 0.1, clean.shape)
    return (clean + noise).astype(np.float32), clean


@pytest.fixture
def vae(photos):
    return tiny(degradation=GaussianNoise(0.1)).fit(photos)


def labels(display):
    """What stands in the legend."""
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def test_observed_is_the_coverage_at_each_level(pair):
    noisy, clean = pair
    std, levels = np.full_like(noisy, 0.08), [0.3, 0.8, 0.99]
    display = CalibrationDisplay.from_predictions(clean, noisy, std, levels=levels)
    expected = [
        coverage_score(clean, noisy, std, level, clip=False) for level in levels
    ]
    assert_array_equal(display.nominal, levels)
    assert_allclose(display.observed, expected)


def test_line_and_diagonal_are_drawn(pair):
    noisy, clean = pair
    display = CalibrationDisplay.from_predictions(
        clean, noisy, 0 * noisy + 0.1, name="noise", color="red", marker="x"
    )
    assert len(display.nominal) == 19
    assert display.line_.get_color() == "red" and display.line_.get_marker() == "x"
    assert_array_equal(display.line_.get_xdata(), display.nominal)
    assert_array_equal(display.line_.get_ydata(), display.observed)
    diagonal, line = display.ax_.get_lines()
    assert line is display.line_
    assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert display.ax_.get_xlabel() == "nominal coverage"
    assert display.figure_ is display.ax_.figure
    assert labels(display) == ["as claimed", "noise"]


def test_several_lines_share_axes_and_diagonal(pair, vae):
    first = CalibrationDisplay.from_estimator(vae, *pair, name="before")
    vae.calibrate(*pair)
    second = CalibrationDisplay.from_estimator(vae, *pair, name="after", ax=first.ax_)
    assert second.ax_ is first.ax_
    assert labels(second) == ["as claimed", "before", "after"]
    again = second.plot(name="again")
    assert again is second and again.ax_ is not first.ax_
    assert labels(again) == ["as claimed", "again"]


@pytest.mark.parametrize("calibrated", [False, True])
def test_estimator_is_drawn_by_its_own_intervals(calibrated, vae, pair):
    if calibrated:
        vae.calibrate(*pair)
    levels = [0.2, 0.5, 0.9]
    display = CalibrationDisplay.from_estimator(vae, *pair, levels=levels)
    for level, share in zip(levels, display.observed, strict=True):
        ends = vae.predict_interval(pair[0], level)
        assert_allclose(share, interval_coverage_score(pair[1], ends), atol=1e-3)
    assert labels(display) == ["as claimed", "ColorVAE"]


def test_levels_end_where_the_calibration_images_do(vae, pair):
    vae.calibrate(pair[0][:8], pair[1][:8])  # four for the intervals: at most 0.8
    display = CalibrationDisplay.from_estimator(vae, *pair)
    assert display.nominal[-1] == 0.8 and len(display.nominal) == 16
    with pytest.raises(ValueError, match="Calibrate on at least 17 images"):
        CalibrationDisplay.from_estimator(vae, *pair, levels=[0.9])


def test_pipelines_lists_rows_and_integers(vae, photos_uint8, photos):
    pipe = Pipeline([("damage", GaussianNoise(0.1, random_state=0)), ("restore", vae)])
    noisy = pipe[:-1].transform(photos)
    expected = CalibrationDisplay.from_estimator(vae, noisy, photos)
    got = CalibrationDisplay.from_estimator(pipe, photos, photos)
    assert_array_equal(got.observed, expected.observed)
    got = CalibrationDisplay.from_estimator(vae, list(noisy), list(photos))
    assert_allclose(got.observed, expected.observed, atol=1e-3)
    stored = np.rint(255 * noisy.clip(0, 1)).astype(np.uint8)
    got = CalibrationDisplay.from_estimator(vae, stored, photos_uint8)
    assert_allclose(got.observed, expected.observed, atol=0.02)
    rows = tiny("ladder", image_shape=(16, 16, 3)).fit(photos.reshape(6, -1))
    display = CalibrationDisplay.from_estimator(rows, *[photos.reshape(6, -1)] * 2)
    assert np.all(np.diff(display.observed) >= 0)


@pytest.mark.parametrize("level", [0, 1, 50])
def test_levels_that_are_no_shares_are_refused(level, vae, pair):
    with pytest.raises(ValueError, match="number between 0 and 1"):
        CalibrationDisplay.from_estimator(vae, *pair, levels=[0.5, level])
    with pytest.raises(ValueError, match="number between 0 and 1"):
        CalibrationDisplay.from_predictions(pair[1], *pair, levels=[level])


def test_images_without_any_truth_are_left_out(vae, pair):
    noisy, clean = pair[0], pair[1].copy()
    clean[4:] = np.nan
    some = CalibrationDisplay.from_estimator(vae, noisy, clean)
    alone = CalibrationDisplay.from_estimator(vae, noisy[:4], clean[:4])
    assert_allclose(some.observed, alone.observed, atol=1e-3)
    for y, message in ((clean * np.nan, "nothing of y is observed"), (None, "none")):
        with pytest.raises(ValueError, match=message):
            CalibrationDisplay.from_estimator(vae, noisy, y)


def test_unfitted_estimator_is_refused(pair):
    with pytest.raises(NotFittedError):
        CalibrationDisplay.from_estimator(tiny(), *pair)
