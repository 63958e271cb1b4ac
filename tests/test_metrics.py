"""The measures agree with their papers and with scikit-image, and know what is missing.

The scorers do what scikit-learn's model selection asks of them.
"""

import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import correlate
from scipy.signal import convolve2d
from skimage.io import imsave
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, cross_validate

from colorvae_sk import coverage_score
from colorvae_sk.metrics import (
    _lab_difference,
    ciede2000_error,
    ciede2000_scorer,
    ms_ssim_score,
    ms_ssim_scorer,
    psnr_score,
    psnr_scorer,
    sharpness_ratio,
    ssim_score,
    ssim_scorer,
)


def coverage_of_tenths(y_true, y_pred, **options):
    """Coverage where every standard deviation is 0.1: a metric of two, like others."""
    std = [np.full(np.shape(x), 0.1) for x in y_pred]
    return coverage_score(y_true, y_pred, std, **options)


SIMILARITIES = [ssim_score, ms_ssim_score]
METRICS = [psnr_score, *SIMILARITIES, ciede2000_error]
ALL_METRICS = [*METRICS, coverage_of_tenths]
SCORERS = [psnr_scorer, ssim_scorer, ms_ssim_scorer, ciede2000_scorer]
C1, C2 = 0.01**2, 0.03**2  # SSIM's constants, Wang et al. 2004
WEIGHTS = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]  # Wang, Simoncelli and Bovik 2003

# L*, a*, b* of both colours and their difference: Table 1 of G. Sharma, W. Wu and
# E. N. Dalal, "The CIEDE2000 color-difference formula: implementation notes,
# supplementary test data, and mathematical observations", Color Research and
# Application 30(1), 21-30, 2005.
SHARMA = np.array(
    [
        [50.0000, 2.6772, -79.7751, 50.0000, 0.0000, -82.7485, 2.0425],
        [50.0000, 3.1571, -77.2803, 50.0000, 0.0000, -82.7485, 2.8615],
        [50.0000, 2.8361, -74.0200, 50.0000, 0.0000, -82.7485, 3.4412],
        [50.0000, -1.3802, -84.2814, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, -1.1848, -84.8006, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, -0.9009, -85.5211, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, 0.0000, 0.0000, 50.0000, -1.0000, 2.0000, 2.3669],
        [50.0000, -1.0000, 2.0000, 50.0000, 0.0000, 0.0000, 2.3669],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0009, 7.1792],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0010, 7.1792],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0011, 7.2195],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0012, 7.2195],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0009, -2.4900, 4.8045],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0010, -2.4900, 4.8045],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0011, -2.4900, 4.7461],
        [50.0000, 2.5000, 0.0000, 50.0000, 0.0000, -2.5000, 4.3065],
        [50.0000, 2.5000, 0.0000, 73.0000, 25.0000, -18.0000, 27.1492],
        [50.0000, 2.5000, 0.0000, 61.0000, -5.0000, 29.0000, 22.8977],
        [50.0000, 2.5000, 0.0000, 56.0000, -27.0000, -3.0000, 31.9030],
        [50.0000, 2.5000, 0.0000, 58.0000, 24.0000, 15.0000, 19.4535],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.1736, 0.5854, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.2972, 0.0000, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 1.8634, 0.5757, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.2592, 0.3350, 1.0000],
        [60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644],
        [63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630],
        [61.2901, 3.7196, -5.3901, 61.4292, 2.2480, -4.9620, 1.8731],
        [35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645],
        [22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373],
        [36.4612, 47.8580, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146],
        [90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441],
        [90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381],
        [6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377],
        [2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082],
    ]
)


def noisy_pair(shape, sigma=0.2, seed=0):
    """Images with some structure and noisy versions of them, float64 on [0, 1]."""
    rng = np.random.default_rng(seed)
    clean = rng.random(shape).cumsum(axis=1) % 1
    return clean, np.clip(clean + rng.normal(0, sigma, shape), 0, 1)


def hide(images, share=0.2, seed=1):
    """The same images with some values missing."""
    hidden = np.random.default_rng(seed).random(images.shape) < share
    return np.where(hidden, np.nan, images)


def gaussian_window():
    """Wang's window: a Gaussian of sigma 1.5 on 11 x 11 pixels, of sum 1."""
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    return np.outer(line, line) / line.sum() ** 2


def wang_terms(x, y):
    """Mean SSIM and mean contrast-structure of grey images, as in Wang's ssim_index."""
    blur = [
        convolve2d(z, gaussian_window(), mode="valid") for z in (x, y, x * x, y * y)
    ]
    cross = convolve2d(x * y, gaussian_window(), mode="valid") - blur[0] * blur[1]
    spread = blur[2] - blur[0] ** 2 + blur[3] - blur[1] ** 2
    structure = (2 * cross + C2) / (spread + C2)
    luminance = (2 * blur[0] * blur[1] + C1) / (blur[0] ** 2 + blur[1] ** 2 + C1)
    return (luminance * structure).mean(), structure.mean()


def wang_ms_ssim(x, y):
    """MS-SSIM of grey images as in Wang's msssim: filter by 2 x 2, take every other."""
    score = 1.0
    for weight in WEIGHTS[:-1]:
        score *= wang_terms(x, y)[1] ** weight
        # The 2 x 2 mean of a pixel and those right of and below it.
        x, y = (
            correlate(z, np.full((2, 2), 0.25), mode="reflect", origin=-1)[::2, ::2]
            for z in (x, y)
        )
    return score * wang_terms(x, y)[0] ** WEIGHTS[-1]


def srgb_to_lab(image):
    """CIELAB from the definitions: chromaticities of IEC 61966-2-1, CIE 15."""
    xy = np.array([[0.64, 0.33], [0.30, 0.60], [0.15, 0.06], [0.3127, 0.3290]])
    xyz = np.column_stack([xy, 1 - xy.sum(axis=1)]) / xy[:, 1:]
    primaries, white = xyz[:3].T, xyz[3]
    to_xyz = primaries * np.linalg.solve(primaries, white)
    curve = ((image + 0.055) / 1.055) ** 2.4
    linear = np.where(image <= 0.04045, image / 12.92, curve)
    ratio = linear @ to_xyz.T / white
    line = (24389 / 27 * ratio + 16) / 116
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), line)
    fx, fy, fz = np.moveaxis(f, -1, 0)
    return np.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], axis=-1)


# ---------------------------------------------------------------- the single measures


@pytest.mark.parametrize("shape", [(3, 16, 16, 3), (2, 1, 1, 1), (1, 5, 30, 2)])
def test_psnr_is_scikit_images(shape):
    clean, noisy = noisy_pair(shape)
    expected = [
        peak_signal_noise_ratio(a, b, data_range=1)
        for a, b in zip(clean, noisy, strict=True)
    ]
    assert_allclose(psnr_score(clean, noisy), np.mean(expected), rtol=1e-12)


def test_psnr_tells_images_apart_that_are_nearly_equal():
    clean = np.full((1, 16, 16, 3), 0.5)
    assert_allclose(psnr_score(clean, clean + 1e-10), 200, atol=1e-4)


@pytest.mark.parametrize("shape", [(3, 16, 16, 3), (1, 11, 11, 1), (2, 11, 40, 4)])
def test_ssim_is_scikit_images(shape):
    clean, noisy = noisy_pair(shape)
    clean, noisy = clean[..., :3], noisy[..., :3]
    expected = [
        structural_similarity(
            a,
            b,
            channel_axis=-1,
            data_range=1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for a, b in zip(clean, noisy, strict=True)
    ]
    assert_allclose(ssim_score(clean, noisy), np.mean(expected), atol=1e-10)


@pytest.mark.parametrize("shape", [(4, 20), (10, 20), (20, 7), (3, 2)])
def test_ssim_of_an_image_smaller_than_the_window_reflects_it(shape):
    clean, noisy = noisy_pair((1, *shape))
    margins = [5 if n < 11 else 0 for n in shape]
    padding = [(margin, margin) for margin in margins]
    # Reflected by hand, every pixel of a short side has its window inside.
    expected, _ = wang_terms(
        np.pad(clean[0], padding, mode="symmetric"),
        np.pad(noisy[0], padding, mode="symmetric"),
    )
    assert_allclose(ssim_score(clean, noisy), expected, atol=1e-10)


@pytest.mark.parametrize("metric", SIMILARITIES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (8, 8), (16, 16)])
def test_similarity_of_constant_images_is_luminance(metric, shape):
    dark, light = np.full((1, *shape, 3), 0.2), np.full((1, *shape, 3), 0.6)
    expected = (2 * 0.2 * 0.6 + C1) / (0.2**2 + 0.6**2 + C1)
    assert_allclose(metric(dark, light), expected, rtol=1e-9)


def test_ssim_with_holes_is_the_statistics_of_what_is_there():
    clean, noisy = noisy_pair((13, 14))
    clean = hide(clean, 0.4)
    seen = ~np.isnan(clean)
    scores = []
    for r, c in np.argwhere(seen[5:-5, 5:-5]):
        here = np.s_[r : r + 11, c : c + 11]
        there = seen[here]
        weights = gaussian_window()[there]
        x, y = clean[here][there], noisy[here][there]
        mx, my = np.average([x, y], axis=1, weights=weights)
        (vx, cov), (_, vy) = np.cov([x, y], aweights=weights, ddof=0)
        luminance = (2 * mx * my + C1) / (mx**2 + my**2 + C1)
        scores.append(luminance * (2 * cov + C2) / (vx + vy + C2))
    assert len(scores) > 3
    assert_allclose(ssim_score(clean[None], noisy[None]), np.mean(scores), rtol=1e-9)


def test_ssim_is_negative_where_structure_is_reversed():
    clean, _ = noisy_pair((1, 16, 16, 3))
    assert ssim_score(clean, 1 - clean) < -0.5
    assert ms_ssim_score(clean, 1 - clean) == 0


def test_ms_ssim_is_zero_where_structure_is_reversed_at_one_scale():
    coarse = np.tile(0.5 + 0.3 * np.sin(np.arange(44) / 7), (44, 1))
    fine = 0.2 * (-1.0) ** np.add.outer(range(44), range(44))
    pair = (coarse + fine)[None], (coarse - fine)[None]
    assert ms_ssim_score(*pair) == 0
    assert ms_ssim_score(pair[0], coarse[None]) > 0


@pytest.mark.parametrize("shape", [(176, 176), (181, 203)])
def test_ms_ssim_is_wangs_program(shape):
    clean, noisy = noisy_pair((1, *shape, 3))
    expected = [wang_ms_ssim(clean[0, ..., c], noisy[0, ..., c]) for c in range(3)]
    assert_allclose(ms_ssim_score(clean, noisy), np.mean(expected), rtol=1e-9)


@pytest.mark.parametrize(
    ("side", "n_scales"), [(11, 1), (21, 1), (22, 2), (43, 2), (44, 3), (88, 4)]
)
@pytest.mark.parametrize("holes", [0, 0.5])
def test_ms_ssim_weighs_as_many_scales_as_fit(side, n_scales, holes):
    dark, light = np.full((1, side, 99), 0.2), np.full((1, side, 99), 0.6)
    luminance = (2 * 0.2 * 0.6 + C1) / (0.2**2 + 0.6**2 + C1)
    # Constant images differ in luminance alone, which counts at the last scale alone.
    exponent = WEIGHTS[n_scales - 1] / sum(WEIGHTS[:n_scales])
    score = ms_ssim_score(hide(dark, holes), light)
    assert_allclose(score, luminance**exponent, rtol=1e-9)


@pytest.mark.parametrize("n_scales", [1, 2, 3])
def test_ms_ssim_sees_lost_contrast_at_the_scales_that_show_it(n_scales):
    # Chequered squares of 1, 2 or 4 pixels: they average out at the scale after.
    size = 2 ** (n_scales - 1)
    sign = np.kron((-1.0) ** np.add.outer(range(48), range(48)), np.ones((size, size)))
    sign = sign[:176, :176] if size > 3 else np.tile(sign, (4, 4))[:176, :176]
    clean, faded = 0.5 + 0.3 * sign, 0.5 + 0.15 * sign
    contrast = (2 * 0.3 * 0.15 + C2) / (0.3**2 + 0.15**2 + C2)
    expected = contrast ** sum(WEIGHTS[:n_scales])
    assert_allclose(ms_ssim_score(clean[None], faded[None]), expected, rtol=5e-3)


def test_ms_ssim_below_22_pixels_is_ssim():
    clean, noisy = noisy_pair((2, 21, 30, 3))
    assert_allclose(ms_ssim_score(clean, noisy), ssim_score(clean, noisy), rtol=1e-12)


def test_ms_ssim_forgives_noise_that_coarse_scales_do_not_show():
    clean = np.tile(0.5 + 0.4 * np.sin(np.arange(88) * 2 * np.pi / 44), (1, 88, 1))
    noisy = clean + np.random.default_rng(0).normal(0, 0.1, clean.shape)
    assert ms_ssim_score(clean, noisy) > ssim_score(clean, noisy) + 0.2


# ------------------------------------------------------------------ sharpness
@pytest.mark.parametrize("shape", [(2, 16, 16, 3), (1, 3, 9, 1), (2, 12, 12)])
def test_sharpness_is_the_energy_of_the_laplacian(shape):
    clean, restored = np.random.default_rng(0).random((2, *shape))
    kernel = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]

    def energy(image):
        channels = np.moveaxis(image.reshape(*image.shape[:2], -1), -1, 0)
        return np.mean([convolve2d(c, kernel, mode="valid") ** 2 for c in channels])

    ratios = [energy(r) / energy(c) for c, r in zip(clean, restored, strict=True)]
    assert sharpness_ratio(clean, restored) == pytest.approx(np.mean(ratios))


def test_sharpness_falls_with_contrast_and_blur_and_rises_with_noise(photos):
    rng = np.random.default_rng(0)
    assert sharpness_ratio(photos, photos) == 1
    assert sharpness_ratio(photos, 0.5 * photos) == pytest.approx(0.25)
    noisy = photos + rng.normal(0, 0.1, photos.shape)
    assert sharpness_ratio(photos, noisy) > 1.5
    soft = 0.5 * (photos + np.roll(photos, 1, axis=2))
    assert sharpness_ratio(photos, soft) < 0.8


def test_sharpness_sees_only_pixels_whose_neighbours_are_there(photos):
    damaged, restored = photos.astype(float), 0.5 * photos.astype(float)
    damaged[:, 5, 5] = np.nan
    before = sharpness_ratio(damaged, restored)
    restored[:, 5, 5] = 7.0
    assert sharpness_ratio(damaged, restored) == before
    restored[:, 5, 4] = 7.0  # its own neighbours do see it
    assert sharpness_ratio(damaged, restored) > before


def test_flat_images_have_no_sharpness_to_compare_with(photos):
    clean = np.concatenate([photos[:1], np.full_like(photos[:1], 0.5)])
    restored = np.concatenate([0.5 * photos[:1], photos[:1]])
    assert sharpness_ratio(clean, restored) == pytest.approx(0.25)
    with pytest.raises(ValueError, match="nothing to compare"):
        sharpness_ratio(clean[1:], restored[1:])
    with pytest.raises(ValueError, match="nothing to compare"):
        sharpness_ratio(photos[:, :2], photos[:, :2])  # too small


@pytest.mark.parametrize("pair", SHARMA, ids=lambda pair: str(pair[-1]))
def test_ciede2000_is_that_of_the_published_table(pair):
    opposite = np.array_equal(pair[1:3], -pair[4:6])
    atol = 0.05 if opposite else 1e-4  # the formula jumps there: rounding decides
    for one, other in ((pair[:3], pair[3:6]), (pair[3:6], pair[:3])):
        assert_allclose(_lab_difference(one, other), pair[6], rtol=0, atol=atol)


def test_ciede2000_takes_images_as_srgb_under_d65():
    clean, noisy = noisy_pair((1, 16, 16, 3))
    expected = _lab_difference(srgb_to_lab(clean), srgb_to_lab(noisy)).mean()
    # scikit-image rounds the matrix and the white point: 0.005 in a* and b*.
    assert_allclose(ciede2000_error(clean, noisy), expected, atol=0.01)


@pytest.mark.parametrize("shape", [(2, 16, 16), (2, 16, 16, 1), (2, 12)])
def test_ciede2000_refuses_images_without_colour(shape):
    images = np.full(shape, 0.5)
    with pytest.raises(ValueError, match=r"3 channels.*y_true has 1.*psnr_score"):
        ciede2000_error(images, images)


# ----------------------------------------------------------------------- all measures


@st.composite
def pairs(draw):
    """Two images of any small size in any relation, with or without holes."""
    shape = (1, draw(st.integers(1, 48)), draw(st.integers(1, 48)), 3)
    sigma = draw(st.sampled_from([0, 0.001, 0.1, 3]))
    first, second = noisy_pair(shape, sigma, seed=draw(st.integers(0, 2**32 - 1)))
    constant = draw(st.sampled_from([None, 0.0, 0.3, 1.0]))
    if constant is not None:
        first = np.full(shape, constant)
    if draw(st.booleans()):
        first = hide(first)
        first[0, shape[1] // 2, shape[2] // 2] = 0.5
    return first, second


@settings(max_examples=40, deadline=None, derandomize=True)
@given(pair=pairs())
def test_metrics_are_symmetric_and_bounded(pair):
    first, second = pair
    for metric in METRICS:
        assert_allclose(metric(first, second), metric(second, first), rtol=1e-9)
    assert psnr_score(*pair) >= 0
    assert -1 - 1e-9 <= ssim_score(*pair) <= 1 + 1e-9
    assert 0 <= ms_ssim_score(*pair) <= 1 + 1e-9
    assert 0 <= ciede2000_error(*pair) < 130
    assert 0 <= coverage_of_tenths(*pair) <= 1


@settings(max_examples=20, deadline=None, derandomize=True)
@given(pair=pairs())
def test_metrics_do_not_see_which_way_up_an_image_is(pair):
    # An odd side is halved from one end: MS-SSIM is left out.
    for metric in (psnr_score, ssim_score, ciede2000_error, coverage_of_tenths):
        turned = [np.rot90(image, axes=(1, 2)) for image in pair]
        assert_allclose(metric(*turned), metric(*pair), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("metric", "best"),
    [
        (psnr_score, np.inf),
        (ssim_score, 1),
        (ms_ssim_score, 1),
        (ciede2000_error, 0),
        (coverage_of_tenths, 1),
    ],
)
def test_equal_images_score_best(metric, best, photos):
    assert metric(photos, photos) == best
    assert metric(hide(photos), photos) == best
    assert metric(np.zeros((1, 30, 30, 3)), np.zeros((1, 30, 30, 3))) == best


@pytest.mark.parametrize("metric", ALL_METRICS)
def test_more_noise_scores_worse(metric, photos):
    noise = np.random.default_rng(0).normal(0, 0.1, photos.shape)
    scores = [metric(photos, photos + k * noise) for k in (0.5, 1, 2)]
    worse = sorted(scores, reverse=metric is not ciede2000_error)
    assert scores == worse
    assert len(set(scores)) == 3


@pytest.mark.parametrize("metric", ALL_METRICS)
def test_images_are_scored_one_by_one_and_averaged(metric):
    sizes = [(16, 16, 3), (23, 12, 3), (1, 7, 3), (46, 45, 3)]
    clean, noisy = zip(*(noisy_pair(size) for size in sizes), strict=True)
    single = [metric(a[None], b[None]) for a, b in zip(clean, noisy, strict=True)]
    assert len(set(single)) == 4
    assert_allclose(metric(list(clean), list(noisy)), np.mean(single), rtol=1e-12)
    assert_allclose(metric(clean[::-1], noisy[::-1]), np.mean(single), rtol=1e-12)


@pytest.mark.parametrize("metric", ALL_METRICS)
def test_a_weight_counts_an_image_several_times(metric, photos):
    noisy = photos + np.random.default_rng(0).normal(0, 0.1, photos.shape)
    times = [2, 0, 1, 3, 0, 1]
    repeated = metric(np.repeat(photos, times, axis=0), np.repeat(noisy, times, axis=0))
    assert_allclose(metric(photos, noisy, sample_weight=times), repeated, rtol=1e-12)
    assert metric(photos, noisy) != pytest.approx(repeated, rel=1e-6)


def test_an_image_of_weight_zero_may_be_perfect():
    clean, noisy = noisy_pair((2, 16, 16))
    noisy[0] = clean[0]
    assert psnr_score(clean, noisy) == np.inf
    weighted = psnr_score(clean, noisy, sample_weight=[0, 1])
    assert weighted == psnr_score(clean[1:], noisy[1:])


@pytest.mark.parametrize("weights", [[1, 2], [1, -1, 1], [0, 0, 0], [1, np.nan, 1]])
def test_wrong_weights_are_refused(weights):
    clean, noisy = noisy_pair((3, 16, 16))
    with pytest.raises(ValueError, match=r"(?i)weight"):
        psnr_score(clean, noisy, sample_weight=weights)


@pytest.mark.parametrize("metric", ALL_METRICS)
@pytest.mark.parametrize("size", [16, 45])
def test_what_is_missing_in_one_does_not_count_in_the_other(metric, size):
    clean, noisy = noisy_pair((2, size, size, 3))
    holed = hide(clean)
    hidden = np.isnan(holed)
    expected = metric(holed, noisy)
    junk = np.where(hidden, 0.9, noisy)
    assert_allclose(metric(holed, junk), expected, rtol=1e-9)
    assert_allclose(metric(holed, np.where(hidden, np.nan, noisy)), expected, rtol=1e-9)
    assert_allclose(metric(junk, np.where(hidden, np.nan, clean)), metric(junk, holed))
    assert metric(clean, junk) != pytest.approx(expected, rel=1e-6)


def test_psnr_counts_only_observed_values():
    clean, noisy = noisy_pair((1, 16, 16, 3))
    holed = hide(clean)
    error = np.nanmean((holed - noisy) ** 2)
    assert_allclose(psnr_score(holed, noisy), -10 * np.log10(error), rtol=1e-12)


def test_ciede2000_counts_pixels_that_have_all_channels():
    clean, noisy = noisy_pair((1, 16, 16, 3))
    clean[0, :, :4, 1] = np.nan
    seen = np.s_[:, :, 4:]
    assert ciede2000_error(clean, noisy) == pytest.approx(
        ciede2000_error(clean[seen], noisy[seen])
    )


@pytest.mark.parametrize("metric", SIMILARITIES)
def test_a_missing_channel_is_left_out(metric):
    clean, noisy = noisy_pair((1, 45, 45, 3))
    holed = clean.copy()
    holed[..., 1] = np.nan
    expected = metric(clean[..., [0, 2]], noisy[..., [0, 2]])
    assert_allclose(metric(holed, noisy), expected, rtol=1e-9)


@pytest.mark.parametrize("metric", ALL_METRICS)
def test_an_image_that_is_missing_is_left_out(metric):
    clean, noisy = noisy_pair((3, 16, 16, 3))
    expected = metric(clean[[0, 2]], noisy[[0, 2]])
    clean[1] = np.nan
    assert metric(clean, noisy) == expected
    with pytest.raises(ValueError, match="nothing to compare"):
        metric(clean, noisy, sample_weight=[0, 1, 0])
    with pytest.raises(ValueError, match="nothing to compare"):
        metric(clean[1:2], noisy[1:2])


@pytest.mark.parametrize("metric", ALL_METRICS)
def test_estimates_are_clipped_unless_told(metric, photos):
    rng = np.random.default_rng(0)
    noisy = photos + rng.normal(0, 0.4, photos.shape)
    clipped = np.clip(noisy, 0, 1)
    assert_allclose(metric(photos, noisy), metric(photos, clipped), rtol=1e-6)
    raw = metric(photos, noisy, clip=False)
    assert raw != pytest.approx(metric(photos, noisy), rel=1e-3)
    assert metric(photos, clipped, clip=False) == metric(photos, clipped)


@pytest.mark.parametrize("metric", ALL_METRICS)
def test_the_clean_images_are_not_clipped(metric, photos):
    bright = photos + 0.5
    assert metric(bright, photos) != metric(np.clip(bright, 0, 1), photos)


@pytest.mark.parametrize("metric", ALL_METRICS)
def test_images_are_left_as_they_are(metric, photos):
    noisy = photos + np.float32(0.3)
    before = photos.copy(), noisy.copy()
    noisy.flags.writeable = False
    metric(photos, noisy)
    assert_array_equal(photos, before[0])
    assert_array_equal(noisy, before[1])


# --------------------------------------------------------------- containers and scales


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_integers_equal_their_scaled_floats(dtype, precision):
    top = np.iinfo(dtype).max
    integers = np.arange(top + 1, dtype=dtype).reshape(1, 16, -1)
    floats = integers.astype(precision) / precision(top)
    assert psnr_score(integers, floats) == np.inf
    assert psnr_score(floats, integers) == np.inf


@pytest.mark.parametrize("metric", METRICS)
def test_scores_do_not_depend_on_the_dtype(metric, photos_uint8):
    rng = np.random.default_rng(0)
    noisy = rng.integers(0, 256, photos_uint8.shape, dtype=np.uint8)
    expected = metric(photos_uint8, noisy)
    floats = photos_uint8 / 255, noisy / 255
    assert_allclose(metric(*floats), expected, rtol=1e-12)
    assert_allclose(metric(photos_uint8, noisy.astype(np.float32) / 255), expected)
    deep = noisy.astype(np.uint16) * 257
    assert_allclose(metric(photos_uint8, deep), expected, rtol=1e-12)
    swapped = floats[0].astype(">f8")
    assert_allclose(metric(swapped, list(floats[1])), expected, rtol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_floats_that_are_not_on_0_1_share_the_range_of_the_clean(metric, photos_uint8):
    clean = photos_uint8.astype(float)
    noisy = clean + np.random.default_rng(0).normal(0, 20, clean.shape)
    expected = metric(clean / 255, noisy / 255)
    assert_allclose(metric(clean, noisy, data_range=(0, 255)), expected, rtol=1e-9)
    found = metric(clean, noisy)
    assert_allclose(found, metric(clean / clean.max(), noisy / clean.max()), rtol=1e-9)


@pytest.mark.parametrize("dtype", [float, int])
def test_an_integer_image_is_not_compared_with_another_scale(dtype, photos_uint8):
    levels = photos_uint8.astype(dtype)
    for pair in [(photos_uint8, levels), (levels, photos_uint8)]:
        with pytest.raises(ValueError, match=r"0 to \d+.*data_range=\(0, 255\)"):
            psnr_score(*pair)
        assert psnr_score(*pair, data_range=(0, 255)) == np.inf


@pytest.mark.parametrize("metric", ALL_METRICS)
@pytest.mark.parametrize("dtype", [float, int])
def test_values_on_0_1_are_not_compared_with_another_scale(metric, dtype, photos_uint8):
    levels, unit = photos_uint8.astype(dtype), photos_uint8 / 255
    for pair in [(levels, unit), (unit, levels), (list(levels), list(unit))]:
        with pytest.raises(
            ValueError, match=r"from 0 to \d+, .* on \[0, 1\]. Pass both"
        ):
            metric(*pair)
    assert np.isfinite(metric(levels, 0.0 * unit))  # black is black on any scale


@pytest.mark.parametrize("data_range", [(1, 0), (1, 1), (-np.inf, 1), (0, np.inf)])
def test_an_empty_or_endless_data_range_is_refused(data_range, photos):
    with pytest.raises(ValueError, match="data_range"):
        psnr_score(photos, photos, data_range=data_range)


@pytest.mark.parametrize("metric", METRICS)
def test_rows_fold_into_images(metric, photos):
    noisy = photos[::-1]
    rows, noisy_rows = (images.reshape(len(images), -1) for images in (photos, noisy))
    folded = metric(rows, noisy_rows, image_shape=(16, 16, 3))
    assert folded == metric(photos, noisy)


def test_rows_need_no_image_shape():
    rows, noisy = noisy_pair((5, 12))
    assert psnr_score(rows, noisy) == psnr_score(rows[:, None], noisy[:, None])


@pytest.mark.parametrize("metric", [psnr_score, *SIMILARITIES, coverage_of_tenths])
def test_grey_images_need_no_channel_axis(metric):
    clean, noisy = noisy_pair((2, 16, 16))
    assert metric(clean, noisy) == metric(clean[..., None], noisy[..., None])


def test_clean_images_may_be_files(tmp_path, photos_uint8):
    paths = [tmp_path / f"{i}.png" for i in range(len(photos_uint8))]
    for path, photo in zip(paths, photos_uint8, strict=True):
        imsave(path, photo, check_contrast=False)
    assert psnr_score(paths, photos_uint8 / 255) == np.inf
    expected = ciede2000_error(photos_uint8, photos_uint8[::-1])
    assert ciede2000_error(paths, photos_uint8[::-1]) == expected


@pytest.mark.parametrize("metric", ALL_METRICS)
def test_alpha_does_not_count(metric):
    clean, noisy = noisy_pair((2, 16, 16, 4))
    assert metric(clean, noisy) == metric(clean[..., :3], noisy[..., :3])


@pytest.mark.parametrize("metric", ALL_METRICS)
def test_an_image_of_another_shape_is_named(metric):
    clean = [np.full((16, 16, 3), 0.5), np.full((16, 12, 3), 0.5)]
    noisy = [np.full((16, 16, 3), 0.5), np.full((12, 16, 3), 0.5)]
    message = "Image 1 is {} in y_true but {} in y_pred. Pass"
    for pair in ((clean, noisy), (noisy, clean)):
        shapes = (re.escape(str(images[1].shape)) for images in pair)
        with pytest.raises(ValueError, match=message.format(*shapes)):
            metric(*pair)


@pytest.mark.parametrize("metric", ALL_METRICS)
def test_another_number_of_images_is_refused(metric, photos):
    with pytest.raises(ValueError, match=r"y_true holds 6 image\(s\), but y_pred 5"):
        metric(photos, photos[:5])


@pytest.mark.parametrize("metric", ALL_METRICS)
def test_a_single_image_is_refused(metric, photos):
    with pytest.raises(ValueError, match=r"y_true.*single colour image"):
        metric(photos[0], photos[0])


@pytest.mark.parametrize("metric", ALL_METRICS)
def test_infinite_estimates_are_refused(metric, photos):
    broken = photos.copy()
    broken[0, 0, 0, 0] = np.inf
    with pytest.raises(ValueError, match=r"y_pred.*infinit"):
        metric(photos, broken)


def test_wrong_standard_deviations_are_refused(photos):
    with pytest.raises(ValueError, match="Image 0 of y_std has negative values"):
        coverage_score(photos, photos, -photos - 0.1)
    with pytest.raises(ValueError, match=r"Image 0 is .* but \(16, 8, 3\) in y_std"):
        coverage_score(photos, photos, photos[:, :, :8])
    with pytest.raises(ValueError, match="but y_std 2"):
        coverage_score(photos, photos, photos[:2])


# ------------------------------------------------------------------------- the scorers


class Dimmer(BaseEstimator):
    """Multiply images; a gain of 1 restores clean ones perfectly."""

    def __init__(self, gain=1.0):
        self.gain = gain

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        return [self.gain * x for x in X]


@pytest.mark.parametrize("scorer", SCORERS, ids=str)
def test_scorer_is_the_metric_of_predict_and_more_is_better(scorer, photos):
    half = Dimmer(0.5)
    expected = scorer.metric(photos, half.predict(photos)) * scorer.sign
    assert scorer(half, photos, photos) == expected
    assert scorer(half, photos) == expected
    assert scorer(half, photos, photos) < scorer(Dimmer(0.9), photos, photos)
    bright = scorer(Dimmer(2.0), photos / 2, photos)
    assert bright == scorer(Dimmer(), photos)


@pytest.mark.parametrize("scorer", SCORERS, ids=str)
def test_scorer_is_what_make_scorer_makes(scorer, photos):
    made = make_scorer(scorer.metric, greater_is_better=scorer.sign > 0)
    half = Dimmer(0.5)
    assert made(half, photos, photos) == scorer(half, photos, photos)


@pytest.mark.parametrize("scorer", SCORERS, ids=str)
@pytest.mark.parametrize("ragged", [False, True])
def test_grid_search_finds_the_best_estimator(scorer, ragged, photos):
    images = [photo[: 10 + i] for i, photo in enumerate(photos)] if ragged else photos
    grid = {"gain": [0.5, 0.95, 0.8]}
    for y in (None, images):
        search = GridSearchCV(Dimmer(), grid, scoring=scorer, cv=3).fit(images, y)
        assert search.best_params_ == {"gain": 0.95}


def test_several_scorers_work_at_once(photos):
    scoring = {"psnr": psnr_scorer, "colour": ciede2000_scorer}
    scores = cross_validate(Dimmer(0.5), photos, photos, scoring=scoring, cv=3)
    assert np.all(scores["test_psnr"] > 0)
    assert np.all(scores["test_colour"] < 0)


def test_scorer_weighs_images(photos):
    half, weights = Dimmer(0.5), [1, 0, 0, 2, 0, 0]
    expected = psnr_score(photos, photos / 2, sample_weight=weights)
    weighted = psnr_scorer(half, photos, photos, sample_weight=weights)
    assert weighted == pytest.approx(expected)
    assert weighted != pytest.approx(psnr_scorer(half, photos, photos))


def test_scorer_takes_part_in_metadata_routing(photos):
    weights = np.array([1, 2, 3, 4, 5, 6.0])
    asking = psnr_scorer.set_score_request(sample_weight=True)
    params = {"sample_weight": weights}
    with config_context(enable_metadata_routing=True):
        scores = cross_validate(
            Dimmer(0.5), photos, photos, scoring=asking, cv=3, params=params
        )
        with pytest.raises(ValueError, match="sample_weight"):
            cross_validate(
                Dimmer(), photos, photos, scoring=psnr_scorer, cv=3, params=params
            )
    expected = psnr_scorer(Dimmer(0.5), photos[:2], photos[:2], sample_weight=[1, 2])
    assert scores["test_score"][0] == expected


@pytest.mark.parametrize("scorer", SCORERS, ids=str)
def test_scorer_survives_pickling(scorer, photos):
    copy = pickle.loads(pickle.dumps(scorer))
    assert copy(Dimmer(0.5), photos) == scorer(Dimmer(0.5), photos)
    assert repr(copy) == repr(scorer)


def test_scorer_shows_what_it_is():
    assert repr(psnr_scorer) == "_ImageScorer(psnr_score)"
    assert repr(ciede2000_scorer) == "_ImageScorer(ciede2000_error, sign=-1)"
