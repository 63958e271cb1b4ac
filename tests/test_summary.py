"""What the colours of whole pictures are judged by."""

import numpy as np
import pytest
import torch
from helpers import flat, noise_images, tensor
from numpy.testing import assert_allclose, assert_array_equal

from colorvae_sk._summary import (
    MOST_TILES,
    N_GRAINS,
    N_MEANS,
    N_QUANTILES,
    N_SEEN,
    TILE,
    block_means,
    grain,
    seams,
    summarise_colours,
    tile_pixels,
)
from colorvae_sk.degradations import GaussianBlur, JPEGCompression

COUNTS = N_QUANTILES, N_MEANS, N_GRAINS, 1, 1


def numbers(images):
    """The parts of a summary: pixels, means, grain, seams and share, (n, C, k) each."""
    parts = summarise_colours(images).split([3 * n for n in COUNTS], dim=1)
    return [part.unflatten(1, (3, -1)) for part in parts]


def smooth(size):
    """A picture in which colours change slowly."""
    rows, columns = torch.meshgrid(*map(torch.arange, size), indexing="ij")
    waves = torch.stack([torch.sin(rows / 37), torch.sin(columns / 29)]).sum(0)
    return (0.5 + 0.2 * waves).expand(1, 3, *size).clone()


# ----------------------------------------------------------------------- samples
@pytest.mark.parametrize("side", [1, 15, 16, 100, 256, 257, 321, 4000])
def test_tiles_are_spread_over_a_side_and_begin_where_blocks_of_jpeg_do(side):
    pixels = tile_pixels(side)
    assert pixels[0] == 0 and pixels[-1] < side
    assert len(np.unique(pixels)) == len(pixels) <= MOST_TILES * TILE
    if side < TILE:
        assert_array_equal(pixels, np.arange(side))
        return
    tiles = pixels.reshape(-1, TILE)
    assert (np.diff(tiles, axis=1) == 1).all() and (tiles[:, 0] % 8 == 0).all()
    assert len(tiles) == min(MOST_TILES, side // TILE)
    assert side - pixels[-1] <= TILE
    gaps = np.diff(tiles[:, 0])
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 8


def test_block_means_are_those_of_what_is_there():
    images = noise_images((96, 96))
    images[0, 0, :2, :2] = torch.tensor([[0.1, torch.nan], [0.4, 0.7]])
    images[1] = torch.nan
    means = block_means(images, (48, 48))
    assert_allclose(means[0, 0, 0, 0], 0.4)
    assert means[1].isnan().all()
    blocks = images[2].unflatten(1, (48, 2)).unflatten(3, (48, 2)).mean(dim=(2, 4))
    assert_allclose(means[2], blocks)


# --------------------------------------------------------------------- summaries
@pytest.mark.parametrize("size", [(1, 1), (5, 100), (48, 48), (97, 61), (300, 16)])
def test_one_colour_is_summarised_by_itself(size):
    images = torch.stack([torch.full((3, *size), value) for value in (0.3, 0.8)])
    pixels, means, rough, seam, share = numbers(images)
    for tones in (pixels, means):
        assert_allclose(tones[0], -0.4, rtol=1e-5)
        assert_allclose(tones[1], 0.6, rtol=1e-5)
    assert rough.max() <= 0 and (seam.abs() < 1e-6).all() and (share == 1).all()


def test_tones_are_quantiles_of_what_is_there_of_each_channel():
    images = noise_images((48, 48))
    images[0, 1, :24] = torch.nan
    images[2] = torch.nan
    pixels, means, _, _, share = numbers(images)
    points, blocks = images[..., ::2, ::2], block_means(images, (6, 6))
    for got, seen in ((pixels, points), (means, blocks)):
        levels = np.linspace(0, 1, got.shape[2])
        for k, image in enumerate(seen[:2]):
            expected = np.nanquantile(image.flatten(1).numpy(), levels, axis=1).T
            assert_allclose(got[k], 2 * expected - 1, atol=1e-12)
    assert (summarise_colours(images)[2] == 0).all()
    assert_allclose(share[..., 0], [[1, 0.5, 1], [1, 1, 1], [0, 0, 0]])


def test_summary_is_that_of_the_tiles_and_of_nothing_else():
    images = noise_images((400, 40))
    rows, columns = tile_pixels(400), tile_pixels(40)
    other = torch.full_like(images, torch.nan)
    other[:, :, rows[:, None], columns] = images[:, :, rows[:, None], columns]
    summary = summarise_colours(images)
    assert summary.shape == (3, 3 * N_SEEN)
    assert torch.equal(summarise_colours(other), summary)


def test_noise_is_seen_in_pixels_and_grain_and_not_in_the_means():
    grey = flat(0.5, channels=3, size=256)
    noisy = grey + 0.1 * torch.randn(grey.shape, generator=torch.Generator())
    changes = (
        (b - a).abs().max() for a, b in zip(*map(numbers, (grey, noisy)), strict=True)
    )
    pixels, means, rough, seam, share = changes
    assert pixels > 0.4 and rough > 0.4 and means < 0.15
    assert seam < 0.05 and share == 0


def test_grain_grows_with_noise_and_falls_with_blur():
    picture = noise_images((64, 64), n=1).float()
    image = picture.permute(0, 2, 3, 1).numpy()
    blurred = tensor(GaussianBlur(2).transform(image))
    slightly, much = (
        smooth((64, 64)) + sigma * torch.randn(1, 3, 64, 64) for sigma in (0.02, 0.1)
    )
    for less, more in ((blurred, picture), (slightly, much)):
        assert (grain(less).median() + 0.05) < grain(more).median()


def test_grain_of_a_linear_slope_is_none_even_where_tiles_meet():
    slope = torch.linspace(0, 1, 400).expand(1, 3, 400, 400)
    tiles = slope[..., tile_pixels(400)[:, None], tile_pixels(400)]
    assert grain(tiles).max() < 1e-3


def test_seams_tell_pictures_that_were_stored_as_jpeg():
    picture = smooth((128, 128)) + 0.02 * torch.randn(1, 3, 128, 128)
    image = picture.permute(0, 2, 3, 1).numpy()
    values = [seams(picture).mean()]
    for quality in (60, 40, 10):
        stored = JPEGCompression(quality).transform(image)
        values.append(seams(tensor(stored)).mean())
    assert abs(values[0]) < 0.1
    assert min(values[1:]) > values[0] + 0.2
