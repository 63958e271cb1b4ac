"""Curves are drawn of what intervals claim and hold, and of how a fit went."""

import numpy as np
import pytest
from helpers import tiny
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

from colorvae_sk import (
    CalibrationDisplay,
    GaussianNoise,
    HistoryDisplay,
    coverage_score,
    interval_coverage_score,
)

pytestmark = pytest.mark.usefixtures("no_window")


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


# ------------------------------------------------------------------ histories
def curves(axis):
    """The curves of an axis with their names; without those between stages."""
    lines = [line for line in axis.get_lines() if len(set(line.get_xdata())) > 0]
    return [line for line in lines if line.get_linestyle() != ":"]


def test_history_is_drawn_epoch_by_epoch_and_stage_by_stage(photos):
    vae = tiny(max_epochs=8, early_stopping=True, validation_fraction=0.5).fit(photos)
    display = HistoryDisplay.from_estimator(vae)
    history = vae.history_
    for axis, key in zip(display.axes_[:2], ("loss", "psnr"), strict=True):
        for side, colour in (("train", "C0"), ("valid", "C1")):
            parts = [line for line in curves(axis) if line.get_color() == colour]
            assert len(parts) == 4  # stages
            drawn = np.concatenate([line.get_ydata() for line in parts])
            assert_array_equal(drawn, [row[f"{side}_{key}"] for row in history])
            epochs = np.concatenate([line.get_xdata() for line in parts])
            assert_array_equal(epochs, np.arange(len(history)) + 1)
        names = [text.get_text() for text in axis.get_legend().get_texts()]
        assert names == ["learned from", "held out"]
    stages = [text.get_text() for text in display.axes_[0].texts]
    assert stages == ["colours", "restoration", "error bars", "latents"]


def test_history_shows_what_each_latent_layer_costs(photos):
    vae = tiny(max_epochs=4).fit(photos)
    axis = HistoryDisplay.from_estimator(Pipeline([("restore", vae)])).axes_[2]
    names = [text.get_text() for text in axis.get_legend().get_texts()]
    assert names == ["colours", "scale 1/4", "scale 1/2"]
    for i, _ in enumerate(names):
        parts = [line for line in curves(axis) if line.get_color() == f"C{i}"]
        drawn = np.concatenate([line.get_ydata() for line in parts])
        assert_array_equal(drawn, [row["train_kl"][i] for row in vae.history_])


def test_a_steep_beginning_is_out_of_view():
    losses = [100.0, *np.linspace(1, 0, 19)]
    row = {"stage": "all", "train_psnr": 20.0, "train_kl": [0.1]}
    display = HistoryDisplay([row | {"train_loss": loss} for loss in losses]).plot()
    low, high = display.axes_[0].get_ylim()
    assert low < 0 and 0.8 < high < 1.2


def test_history_of_one_stage_has_one_curve_and_no_marks(photos):
    vae = tiny("dense").fit(photos)
    axes = HistoryDisplay.from_estimator(vae).axes_
    assert [len(axis.get_lines()) for axis in axes] == [1, 1, 1]
    assert axes[2].get_legend().get_texts()[0].get_text() == "latent vector"


def test_history_goes_to_axes_of_the_user_and_must_hold_something(photos):
    axes = HistoryDisplay(tiny("dense").fit(photos).history_).plot().axes_
    again = HistoryDisplay(tiny("dense").fit(photos).history_).plot(axes)
    assert again.axes_[0] is axes[0] and len(axes[0].get_lines()) == 2
    with pytest.raises(ValueError, match="history is empty"):
        HistoryDisplay([]).plot()
    with pytest.raises(NotFittedError):
        HistoryDisplay.from_estimator(tiny())
