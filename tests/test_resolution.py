"""Shrinking and enlarging is Pillow's, channel by channel, on floats."""

import numpy as np
import pytest
import torch
from helpers import flat, holed, tensor
from numpy.testing import assert_allclose
from PIL import Image
from scipy import stats
from skimage import data

from colorvae_sk import Downsample

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
}


def enlarged_by_pillow(small, like):
    """A channel brought to the size of another, and to its range."""
    image = Image.fromarray(small).resize(like.shape[::-1], Image.Resampling.BICUBIC)
    return np.asarray(image).clip(like.min(), like.max())


def by_pillow(picture, factor, name):
    """A picture (H, W, C) shrunk and enlarged."""
    height, width = (max(1, round(length / factor)) for length in picture.shape[:2])
    channels = np.moveaxis(picture, 2, 0).astype(np.float32, order="C")
    small = (
        Image.fromarray(channel).resize((width, height), FILTERS[name])
        for channel in channels
    )
    pairs = zip(map(np.asarray, small), channels, strict=True)
    return np.stack([enlarged_by_pillow(*pair) for pair in pairs], axis=2)


def means(channel, n, axis):
    """A channel shrunk to n along an axis: means of all pixels that a new one meets."""
    length = channel.shape[axis]
    starts = [i * length // n for i in range(n)]
    stops = [-(-(i + 1) * length // n) for i in range(n)]
    parts = [
        channel.take(range(start, stop), axis).mean(axis, keepdims=True)
        for start, stop in zip(starts, stops, strict=True)
    ]
    return np.concatenate(parts, axis)


PICTURES = {
    "even": data.astronaut()[30:126, 150:246] / 255,
    "odd": data.coffee()[100:197, 250:383] / 255,
    "tiny": data.chelsea()[100:102, 200:203] / 255,
    "flat": data.chelsea()[60:61, 100:205] / 255,
}


@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic"])
# With other factors two pixels may be equally near.
@pytest.mark.parametrize("factor", [1.5, 2, 3.7, 1000])
@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_low_resolution_is_that_of_pillow(picture, factor, name):
    resized = Downsample(factor, name).transform([picture])[0]
    assert_allclose(resized, by_pillow(picture, factor, name), atol=1e-5)


@pytest.mark.parametrize("factor", [2, 3, 4, 6])
def test_area_is_pillows_box_where_the_factor_divides_the_size(factor):
    resized = Downsample(factor, "area").transform([PICTURES["even"]])[0]
    assert_allclose(resized, by_pillow(PICTURES["even"], factor, "area"), atol=1e-5)


@pytest.mark.parametrize("factor", [1.3, 2.5, 3.7])
def test_area_is_the_mean_of_all_pixels_that_a_new_one_meets(factor):
    picture = PICTURES["odd"][..., 0].astype(np.float32)
    height, width = (round(length / factor) for length in picture.shape)
    small = means(means(picture, height, 0), width, 1)
    resized = Downsample(factor, "area").transform([picture])[0]
    assert_allclose(resized, enlarged_by_pillow(small, picture), atol=1e-5)


@pytest.mark.parametrize("name", FILTERS)
def test_factor_one_changes_nothing(name, photos):
    assert_allclose(Downsample(1, name).transform(photos), photos, atol=1e-6)


@pytest.mark.parametrize("name", FILTERS)
def test_single_tone_stays_as_it_is(name):
    tone = np.full((1, 17, 23, 3), 0.3)
    assert_allclose(Downsample(2.7, name).transform(tone), tone, atol=1e-6)


def test_smoothing_filters_leave_next_to_nothing_of_stripes_and_nearest_does():
    stripes = np.tile([0.0, 1.0, 0.0], 16).reshape(1, 1, 48)
    contrast = {
        name: np.ptp(Downsample(3, name).transform(stripes)[0, 0, 9:-9])
        for name in ("bilinear", "bicubic", "area")
    }
    assert max(contrast.values()) < 1e-3
    assert_allclose(Downsample(3, "nearest").transform(stripes), 1, atol=1e-6)


@pytest.mark.parametrize("name", FILTERS)
def test_each_channel_stays_within_its_range(name):
    images = np.random.default_rng(0).choice([-0.5, 0.0, 1.0, 1.5], (4, 16, 16, 3))
    resized = Downsample(1.5, name).transform(images)
    assert (resized.max(axis=(1, 2)) <= images.max(axis=(1, 2))).all()
    assert (resized.min(axis=(1, 2)) >= images.min(axis=(1, 2))).all()


def test_each_image_of_a_batch_has_its_own_factor_and_filter(photos):
    factors, names = [1.0, 1.5, 2, 3, 4.2, 9], [*FILTERS, "area", "bicubic"]
    sample = Downsample((1, 9))
    sample._draw = lambda *_: torch.tensor(factors).reshape(-1, 1, 1, 1)
    sample._draw_filters = lambda *_: names
    batch = sample._degrade(tensor(photos), None)
    for i, pair in enumerate(zip(factors, names, strict=True)):
        alone = Downsample(*pair).transform(photos[i : i + 1])
        assert_allclose(batch[i : i + 1], np.moveaxis(alone, -1, 1), atol=1e-6)


def test_filters_of_a_list_are_drawn_with_equal_chances(generator):
    sample = Downsample(filter=["area", "nearest", "bicubic"])
    names = sample._draw_filters(flat(0, 3000, size=1), generator)
    values, counts = np.unique(names, return_counts=True)
    assert values.tolist() == ["area", "bicubic", "nearest"]
    assert stats.chisquare(counts).pvalue > 0.01


def test_missing_pixels_count_as_the_mean_of_their_channel(photos):
    photos = holed(photos)[:2]
    missing = np.isnan(photos)
    filled = np.where(missing, np.nanmean(photos, axis=(1, 2), keepdims=True), photos)
    expected = np.where(missing, np.nan, Downsample(2.5).transform(filled))
    assert_allclose(Downsample(2.5).transform(photos), expected, atol=1e-6)
