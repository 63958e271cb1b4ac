"""Blur is that of scipy.ndimage, with kernels that are built here once more."""

import numpy as np
import pytest
import torch
from helpers import holed, tensor
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from colorvae_sk import DefocusBlur, GaussianBlur, MotionBlur
from colorvae_sk._blur import IN_GROUP


@pytest.mark.parametrize("sigma", [0, 0.1, 0.3, 0.5, 1, 1.6, 2.9, 6.3])
@pytest.mark.parametrize("size", [(16, 16), (1, 1), (3, 1), (7, 13)])
def test_blur_is_that_of_scipy(sigma, size, photos):
    photos = photos[:, : size[0], : size[1]].astype(np.float64)
    expected = ndimage.gaussian_filter(photos, (0, sigma, sigma, 0), mode="reflect")
    assert_allclose(GaussianBlur(sigma).transform(photos), expected, atol=2e-6)


def test_each_image_of_a_batch_is_blurred_by_its_own_sigma(photos):
    blur, sigmas = GaussianBlur((0, 3)), [0.0, 0.2, 0.9, 1.6, 2.4, 3.0]
    blur._draw = lambda *_: torch.tensor(sigmas).reshape(-1, 1, 1, 1)
    blurred = np.moveaxis(blur._degrade(tensor(photos), None).numpy(), 1, -1)
    for image, photo, sigma in zip(blurred, photos, sigmas, strict=True):
        expected = ndimage.gaussian_filter(photo, (sigma, sigma, 0))
        assert_allclose(image, expected, atol=2e-6)


def test_blur_averages_the_pixels_that_are_there(photos):
    photos = holed(photos)[:2]
    there = ~np.isnan(photos)

    def smooth(images):
        return ndimage.gaussian_filter(images.astype(float), (0, 1.5, 1.5, 0))

    expected = smooth(np.where(there, photos, 0)) / smooth(there)
    blurred = GaussianBlur(1.5).transform(photos)
    assert_allclose(blurred[there], expected[there], atol=2e-6)


# ------------------------------------------- kernels of two dimensions, built anew


def motion_kernel(length, angle):
    """How near each pixel is to a segment, by way of the segment's nearest point."""
    reach = int(length / 2) + 2
    angle = np.deg2rad(angle)
    end = max(length - 1, 0) / 2 * np.array([np.cos(angle), -np.sin(angle)])
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for row, column in np.ndindex(kernel.shape):
        pixel = np.array([column - reach, row - reach])
        along = np.clip(pixel @ end / max(end @ end, 1e-12), -1, 1)
        kernel[row, column] = max(0, 1 - np.linalg.norm(pixel - along * end))
    return kernel / kernel.sum()


def defocus_kernel(radius):
    """A disc whose edge falls from one to zero over the width of a pixel."""
    reach = int(radius) + 2
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    distance = np.sqrt(down**2 + right**2)
    kernel = np.interp(distance, [radius - 0.5, radius + 0.5], [1, 0])
    return kernel / kernel.sum()


def filtered(images, kernel):
    """Images (n, H, W, C) convolved with a kernel, mirrored beyond the border."""
    images = images.astype(np.float64)
    return ndimage.convolve(images, kernel[None, :, :, None], mode="reflect")


def traced(blur, size=41):
    """What becomes of a white dot: the kernel itself."""
    dot = np.zeros((1, size, size))
    dot[0, size // 2, size // 2] = 1
    return blur.transform(dot)[0]


def moments(kernel, angle=0.0):
    """Second moments of a trace, along and across a direction in degrees."""
    reach, angle = len(kernel) // 2, np.deg2rad(angle)
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along = right * np.cos(angle) - down * np.sin(angle)
    across = right * np.sin(angle) + down * np.cos(angle)
    return (kernel * along**2).sum(), (kernel * across**2).sum()


BLURS = [
    *((MotionBlur(5.3, angle), motion_kernel(5.3, angle)) for angle in (0, 33, 90)),
    *((MotionBlur(n, 120), motion_kernel(n, 120)) for n in (0.3, 1, 1.4, 2, 12)),
    (MotionBlur(7, -400.5), motion_kernel(7, -40.5)),
    *((DefocusBlur(r), defocus_kernel(r)) for r in (0, 0.5, 0.8, 1, 2.3, 3, 7)),
]


@pytest.mark.parametrize(("blur", "kernel"), BLURS, ids=lambda x: str(x)[:40])
@pytest.mark.parametrize("size", [(16, 16), (1, 1), (3, 1), (7, 13)])
def test_blur_is_scipys_convolution_with_the_kernel(blur, kernel, size, photos):
    photos = photos[:, : size[0], : size[1]]
    assert_allclose(blur.transform(photos), filtered(photos, kernel), atol=2e-6)


@pytest.mark.parametrize(
    ("blur", "names", "kernel"),
    [
        (MotionBlur((0, 9)), {"length": (0, 9), "angle": (0, 180)}, motion_kernel),
        (DefocusBlur((0, 5)), {"radius": (0, 5)}, defocus_kernel),
    ],
    ids=["motion", "defocus"],
)
def test_each_image_of_a_batch_is_blurred_by_its_own_kernel(
    blur, names, kernel, photos
):
    n_images = 2 * IN_GROUP + 6
    photos = np.resize(photos, (n_images, *photos.shape[1:]))
    shuffle = np.random.default_rng(0).permutation
    drawn = {
        name: torch.tensor(shuffle(np.linspace(*ends, n_images, dtype=np.float32)))
        for name, ends in names.items()
    }
    blur._draw = lambda name, *_: drawn[name].reshape(-1, 1, 1, 1)
    blurred = np.moveaxis(blur._degrade(tensor(photos), None).numpy(), 1, -1)
    for i, image in enumerate(blurred):
        own = kernel(*(values[i].item() for values in drawn.values()))
        assert_allclose(image, filtered(photos[i : i + 1], own)[0], atol=2e-6)


@pytest.mark.parametrize(
    ("blur", "kernel"),
    [
        (MotionBlur(6, 30), motion_kernel(6, 30)),
        (DefocusBlur(2.5), defocus_kernel(2.5)),
    ],
    ids=str,
)
def test_pixels_that_are_not_there_are_left_out_of_the_mean(blur, kernel, photos):
    photos = holed(photos)[:2]
    there = ~np.isnan(photos)
    expected = filtered(np.where(there, photos, 0), kernel) / filtered(there, kernel)
    blurred = blur.transform(photos)
    assert_allclose(blurred[there], expected[there], atol=2e-6)
    assert_array_equal(np.isnan(blurred), ~there)


@pytest.mark.parametrize("angle", [0, 17, 45, 60, 90, 135, 171])
@pytest.mark.parametrize("length", [5, 7.5, 12, 20.3, 33])
def test_trace_of_motion_has_the_moments_of_a_segment(length, angle):
    trace = traced(MotionBlur(length, angle))
    along, across = moments(trace, angle)
    assert trace.sum() == pytest.approx(1, abs=1e-6)
    # The soft edge and the grid may move it by a quarter and by 4 %.
    assert abs(along - length**2 / 12) < 0.25 + 0.04 * length**2 / 12
    assert across < 0.25  # the soft edge: half a pixel to either side


def test_motion_at_45_degrees_rises_to_the_right():
    trace = traced(MotionBlur(5, 45), size=9)
    assert trace[3, 5] > 0.1 and trace[5, 3] > 0.1
    assert trace[3, 3] == trace[5, 5] == 0


@pytest.mark.parametrize("length", [3, 7])
@pytest.mark.parametrize("angle", [0, 90, 180])
def test_motion_of_odd_length_along_an_axis_is_an_even_mean(length, angle, photos):
    axis = 1 if angle == 90 else 2
    expected = ndimage.uniform_filter1d(photos, length, axis=axis, mode="reflect")
    assert_allclose(MotionBlur(length, angle).transform(photos), expected, atol=2e-6)


@pytest.mark.parametrize("blur", [MotionBlur(1), MotionBlur(0.2), DefocusBlur(0.5)])
def test_blur_below_a_pixel_changes_nothing(blur, photos):
    assert_array_equal(blur.transform(photos), photos)


def test_trace_of_motion_varies_continuously():
    lengths = np.arange(1, 12, 0.01)
    traces = np.stack([traced(MotionBlur(n, 25), size=15) for n in lengths])
    assert np.abs(np.diff(traces, axis=0)).max() < 0.02  # a jump: 0.1
    angles = np.arange(0, 180, 0.5)
    traces = np.stack([traced(MotionBlur(8, angle), size=11) for angle in angles])
    assert np.abs(np.diff(traces, axis=0)).max() < 0.02
    assert np.abs(traces[0] - traces[-1]).max() < 0.02


@pytest.mark.parametrize("radius", [1, 1.7, 2.5, 4, 6.2, 10])
def test_trace_of_defocus_has_the_moments_of_a_disc(radius):
    trace = traced(DefocusBlur(radius))
    assert trace.sum() == pytest.approx(1, abs=1e-6)
    for moment in moments(trace):
        # The soft edge and the grid add up to a sixth, as of a pixel's own variance.
        assert radius**2 / 4 - 0.01 < moment < radius**2 / 4 + 0.17


@pytest.mark.parametrize("radius", [1.5, 3, 4.4])
def test_weights_of_defocus_are_nearly_the_areas_under_the_disc(radius):
    fine = (np.arange(41 * 20) + 0.5) / 20 - 20.5
    inside = fine[:, None] ** 2 + fine**2 <= radius**2
    area = inside.reshape(41, 20, 41, 20).mean(axis=(1, 3))
    difference = traced(DefocusBlur(radius)) * area.sum() - area
    assert np.abs(difference).max() < 0.12
