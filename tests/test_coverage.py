"""Coverage: the share of the true values inside intervals, of whatever make."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from colorvae_sk import coverage_score, interval_coverage_score


# ---------------------------------------------------------- from standard deviations
@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.99])
def test_coverage_of_gaussian_residuals_is_as_claimed(coverage):
    rng = np.random.default_rng(0)
    std = rng.uniform(0.01, 0.1, (4, 64, 64, 3))
    restored = np.full(std.shape, 0.5)
    clean = rng.normal(restored, std)
    n = std.size
    error = 4 * np.sqrt(coverage * (1 - coverage) / n)  # four standard errors
    assert abs(coverage_score(clean, restored, std, coverage) - coverage) < error


def test_coverage_counts_what_lies_inside():
    clean = np.array([[[0.5, 0.5 + 0.19], [0.5 - 0.19, 0.5 + 0.21]]])
    restored, std = np.full((1, 2, 2), 0.5), np.full((1, 2, 2), 0.1)
    score = coverage_score(clean, restored, std, coverage=0.9545)  # 2 sigma
    assert score == 0.75
    assert coverage_score(clean, restored, 0 * std) == 0.25


def test_coverage_scales_standard_deviations_without_shifting_them():
    rng = np.random.default_rng(0)
    clean = rng.random((2, 16, 16))
    restored = np.clip(rng.normal(clean, 0.2), 0, 1)
    expected = coverage_score(clean, restored, 0.1 * restored)
    assert 0.1 < expected < 0.9
    score = coverage_score(
        2 * clean - 1, 2 * restored - 1, 0.2 * restored, data_range=(-1, 1)
    )
    assert_allclose(score, expected, atol=0.005)  # some lie on the border


def test_coverage_takes_deviations_in_the_unit_of_the_restored():
    clean = np.array([[[100, 120]]], np.uint8)
    restored, std = np.full_like(clean, 100), np.full_like(clean, 10)
    assert coverage_score(clean, restored, std) == 0.5
    assert coverage_score(clean, restored, 10.0 * std / 10) == 0.5
    assert coverage_score(clean, restored / 255, std / 255) == 0.5


@pytest.mark.parametrize("coverage", [0, 1, 90])
def test_coverage_outside_of_0_and_1_is_refused(coverage):
    images = np.full((1, 2, 2), 0.5)
    with pytest.raises(ValueError, match="coverage"):
        coverage_score(images, images, images, coverage=coverage)


# ------------------------------------------------------------------- given both ends
CLEAN = np.array([[[10, 20], [30, 40]], [[50, 60], [70, 80]]], np.uint8)


def test_both_ends_belong_to_the_interval():
    low = CLEAN.astype(np.float32)
    assert interval_coverage_score(CLEAN, (low, low)) == 1
    assert interval_coverage_score(CLEAN, (low, low + 1)) == 1
    assert interval_coverage_score(CLEAN, (low - 1, low)) == 1
    assert interval_coverage_score(CLEAN, (low + 0.1, low + 1)) == 0
    assert interval_coverage_score(CLEAN, (low - 1, low - 0.1)) == 0


def test_ends_are_in_the_unit_of_the_truth():
    low, high = np.full(CLEAN.shape, 15), np.full(CLEAN.shape, 65)
    assert interval_coverage_score(CLEAN, (low, high)) == 5 / 8
    assert interval_coverage_score(CLEAN / 255, (low / 255, high / 255)) == 5 / 8
    ends = np.full(CLEAN.shape, 0, np.uint8), np.full(CLEAN.shape, 1, np.uint8)
    assert interval_coverage_score(CLEAN / 40, ends) == 4 / 8  # 0.25, 0.5, 0.75, 1


def test_ends_in_single_precision_hold_what_lies_on_them():
    clean = np.random.default_rng(0).random((1, 9, 9, 3))
    assert interval_coverage_score(clean, (clean.astype(np.float32),) * 2) == 1


def test_images_count_alike_and_by_their_weights():
    clean = [np.zeros((4, 4, 3)), np.zeros((1, 2, 3)), np.full((5, 1, 3), np.nan)]
    low = [image - 1 for image in clean]
    high = [low[0] + 2, low[1] + 0.5, low[2] + 2]
    assert interval_coverage_score(clean, (low, high)) == 0.5
    weights = [1, 3, 1]
    assert interval_coverage_score(clean, (low, high), sample_weight=weights) == 0.25


def test_missing_values_do_not_count():
    clean = np.array([[[0.1, np.nan], [0.9, 0.9]]])
    low, high = np.zeros((1, 2, 2)), np.array([[[0.5, 0.5], [0.5, np.nan]]])
    assert interval_coverage_score(clean, (low, high)) == 0.5
    with pytest.raises(ValueError, match="nothing to compare"):
        interval_coverage_score(clean * np.nan, (low, high))


def test_rows_and_alpha():
    low = np.zeros((2, 12))
    assert interval_coverage_score(low, (low, low), image_shape=(2, 2, 3)) == 1
    assert interval_coverage_score(low, (low, low)) == 1
    clean = np.zeros((1, 2, 2, 4))
    clean[..., 3] = 9
    assert interval_coverage_score(clean, (0 * clean, 0 * clean)) == 1


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ((CLEAN + 1.0, CLEAN - 1.0), "Image 0 has lower ends above the upper ones"),
        ((CLEAN[:1], CLEAN), "the lower ends 1"),
        ((CLEAN, CLEAN[:1]), "the upper ends 1"),
        ((CLEAN, CLEAN[:, :1]), r"\(1, 2, 1\) in the upper ends"),
        ((CLEAN,), r"the pair \(lower, upper\), got 1"),
    ],
)
def test_ends_that_are_no_intervals_are_refused(ends, message):
    with pytest.raises(ValueError, match=message):
        interval_coverage_score(CLEAN, ends)
