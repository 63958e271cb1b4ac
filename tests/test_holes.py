"""Holes are of the share, shape and place asked for."""

import numpy as np
import pytest
import torch
from helpers import flat, tensor
from numpy.testing import assert_array_equal
from scipy import ndimage, stats

from colorvae_sk import MissingChannels, MissingPixels, MissingScratches


@pytest.mark.parametrize("size", [1, 4, 9])
@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.3, 0.8, 1.0])
def test_fraction_of_the_pixels_is_missing_in_all_channels(fraction, size, generator):
    images = flat(0.5, n=200, channels=3, size=32)
    missing = MissingPixels(fraction, size)._degrade(images, generator).isnan()
    assert torch.equal(missing.all(dim=1), missing.any(dim=1))
    shares = missing.float().mean(dim=(1, 2, 3))
    error = 4 * shares.std() / np.sqrt(len(shares)) + 1e-6
    assert abs(shares.mean() - fraction) < error
    corners = missing[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]].float().mean()
    assert abs(corners - fraction) < 0.1  # the border is no safer than the middle


def test_missing_blocks_are_squares_of_the_size_asked_for(generator):
    degradation = MissingPixels(0.3, size=(3, 7))
    drawn = degradation._draw_integer("size", flat(0, 20), generator).flatten()
    degradation._draw_integer = lambda *_: drawn.reshape(-1, 1, 1, 1)
    missing = degradation._degrade(flat(0, 20), generator).isnan()[:, 0].numpy()
    for size, image in zip(drawn.tolist(), missing, strict=True):
        # Beyond the border a block goes on, so everything there may be missing.
        image = np.pad(image, size, constant_values=True)
        opened = ndimage.binary_opening(image, np.ones((size, size)))
        assert_array_equal(opened, image)
        larger = ndimage.binary_opening(image, np.ones((size + 1, size + 1)))
        assert (
            larger[size:-size, size:-size].sum() < image[size:-size, size:-size].sum()
        )


# -------------------------------------------------------------------- scratches


def lost_pixels(image):
    """Positions (n, 2) of what is missing, x to the right and y up."""
    rows, columns = np.nonzero(image)
    return np.stack([columns, -rows], axis=1)


def narrowest(points):
    """The direction in which points spread least: (angle, spread)."""
    angles = np.linspace(0, np.pi, 6000, endpoint=False)
    across = points @ np.stack([-np.sin(angles), np.cos(angles)])
    spread = across.max(axis=0) - across.min(axis=0)
    return angles[spread.argmin()], spread.min()


def single_scratches(width, generator, n=300, size=(48, 64)):
    """Where pixels are missing, of images with one scratch each: (n, H, W)."""
    images = torch.full((n, 2, *size), 0.5)
    missing = MissingScratches(1, width)._degrade(images, generator).isnan()
    assert torch.equal(missing[:, 0], missing[:, 1])  # whole pixels are lost
    return missing[:, 0].numpy()


def reaches_the_border(point, size):
    """Whether a pixel is one of the outermost."""
    column, row = point[0], -point[1]
    return row in (0, size[0] - 1) or column in (0, size[1] - 1)


@pytest.mark.parametrize("width", [1, 1.6, 3, 7.5])
def test_scratch_is_a_connected_strip_from_border_to_border(width, generator):
    missing = single_scratches(width, generator)
    ratios = []
    for image in missing:
        points = lost_pixels(image)
        if len(points) < 2:  # it cut a corner off, or missed it
            continue
        assert ndimage.label(image, np.ones((3, 3)))[1] == 1
        angle, spread = narrowest(points)
        assert spread <= width + 0.03  # the angle is known to 1/2000
        along = points @ [np.cos(angle), np.sin(angle)]
        assert reaches_the_border(points[along.argmin()], image.shape)
        assert reaches_the_border(points[along.argmax()], image.shape)
        if np.ptp(along) > 40:
            ratios.append(len(points) / (np.ptp(along) + 1))
    assert len(ratios) > 150
    assert np.mean(ratios) == pytest.approx(width, rel=0.1)


def test_scratches_run_in_all_directions(generator):
    missing = single_scratches(2, generator, n=400, size=(64, 64))
    points = [lost_pixels(image) for image in missing]
    angles = [narrowest(p)[0] for p in points if len(p) > 40]
    assert len(angles) > 350
    assert stats.kstest(angles, stats.uniform(0, np.pi).cdf).pvalue > 0.01


def test_scratches_run_anywhere(generator):
    missing = single_scratches(2, generator, n=3000, size=(16, 24))
    assert missing.mean(axis=0).min() > 0.02
    # Mirrored pictures are scratched as often: left and right, top and bottom.
    for flipped in (missing[:, ::-1], missing[:, :, ::-1]):
        difference = missing.mean(axis=0) - flipped.mean(axis=0)
        assert (
            np.abs(difference).max() < 0.045
        )  # five standard errors at a share of 1/8


def test_scratches_fall_independently_of_each_other(generator):
    n_images = 4000
    images = flat(0.5, n_images, size=12)
    one, three = (
        (~MissingScratches(n)._degrade(images, generator).isnan()).float().mean(dim=0)
        for n in (1, 3)
    )
    error = ((three * (1 - three) + 9 * one**4 * (one - one**2)) / n_images).sqrt()
    assert ((three - one**3).abs() < 5 * error).all()


def test_number_of_scratches_is_drawn_from_the_pair(generator):
    scratches = MissingScratches((0, 1), width=3)
    missing = scratches._degrade(flat(0.5, 1000, size=32), generator).isnan()
    intact = (~missing).flatten(1).all(dim=1).sum().item()
    assert stats.binomtest(intact, 1000, 0.5).pvalue > 0.001
    none = MissingScratches(0)._degrade(flat(0.5, 9), generator)
    assert not none.isnan().any()


def test_each_image_has_scratches_of_its_own_width(generator):
    scratches, widths = MissingScratches(1, width=(1, 9)), [1.0, 2.5, 5.0, 9.0]
    scratches._draw = lambda *_: torch.tensor(widths * 50).reshape(-1, 1, 1, 1)
    missing = scratches._degrade(flat(0.5, 200), generator).isnan()[:, 0].numpy()
    spreads = [narrowest(lost_pixels(i))[1] if i.sum() > 80 else 0 for i in missing]
    widest = np.reshape(spreads, (50, 4)).max(axis=0)
    assert (widest <= np.array(widths) + 0.03).all()
    assert (widest > np.array(widths) - 0.6).all()


# ------------------------------------------------------------- missing channels


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("n_channels", [1, 3, 5])
def test_so_many_whole_channels_are_missing(n, n_channels, generator):
    images = torch.rand((50, n_channels, 4, 6), generator=generator)
    damaged = MissingChannels(n)._degrade(images, generator)
    missing = damaged.isnan()
    assert torch.equal(missing, missing[..., :1, :1].expand_as(missing))
    assert set(missing[..., 0, 0].sum(dim=1).tolist()) == {min(n, n_channels)}
    assert torch.equal(damaged[~missing], images[~missing])


@pytest.mark.parametrize("n", [1, 2])
def test_any_channels_are_as_likely_to_be_lost_as_others(n, generator):
    missing = MissingChannels(n)._degrade(flat(0.5, 3000, 3, size=1), generator).isnan()
    choices, counts = missing.flatten(1).unique(dim=0, return_counts=True)
    assert len(choices) == 3
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


def test_number_of_missing_channels_is_drawn_from_the_pair(generator):
    images = flat(0.5, 3000, 3, size=1)
    missing = MissingChannels((0, 2))._degrade(images, generator).isnan()
    counts = missing.sum(dim=(1, 2, 3)).bincount()
    assert len(counts) == 3
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


def test_channel_that_is_missing_already_may_be_drawn_too(photos):
    images = tensor(photos)
    images[:, 0] = torch.nan
    damaged = MissingChannels(3)._degrade(images, torch.Generator())
    assert_array_equal(damaged, torch.full_like(images, torch.nan))
