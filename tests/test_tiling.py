"""Tiles cover an image, overlap as asked and blend without seams."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import uniform_filter

from colorvae_sk._tiling import blend_tiles, ramp, tile_slices


def map_tiles(function, image, tile, overlap, multiple=1):
    """Blend what a function makes of the tiles of an image: all of it at once."""

    def look(rows, columns):
        return function(image[:, rows, columns], rows, columns)

    bands, height = [], 0
    for rows, band in blend_tiles(look, image.shape[1:], tile, overlap, multiple):
        assert rows == slice(height, height + band.shape[1])
        assert band.shape[1] <= max(tile[0] + multiple - 1, 1)
        bands.append(band)
        height = rows.stop
    return np.concatenate(bands, axis=1)


@st.composite
def layouts(draw):
    """Length of a side, and a valid tile, overlap and multiple."""
    multiple = draw(st.sampled_from([1, 2, 4, 8]))
    tile = multiple * draw(st.integers(1, 12))
    overlap = multiple * draw(st.integers(0, tile // multiple - 1))
    return draw(st.integers(1, 300)), tile, overlap, multiple


@settings(deadline=None)
@given(layouts())
def test_slices_cover_a_side_and_overlap_as_asked(layout):
    length, tile, overlap, multiple = layout
    slices = tile_slices(length, tile, overlap, multiple)
    assert slices[0].start == 0 and slices[-1].stop == length
    for before, after in pairwise(slices):
        assert before.stop - after.start >= overlap
        assert before.start < after.start and before.stop < after.stop


@settings(deadline=None)
@given(layouts())
def test_slices_start_at_multiples_and_have_the_size_of_a_tile(layout):
    length, tile, overlap, multiple = layout
    slices = tile_slices(length, tile, overlap, multiple)
    sizes = [s.stop - s.start for s in slices]
    assert all(s.start % multiple == 0 for s in slices)
    assert all(size == min(tile, length) for size in sizes[:-1])
    assert min(tile, length) <= sizes[-1] < min(tile, length) + multiple


@pytest.mark.parametrize("length", [1, 2, 7, 64])
@pytest.mark.parametrize("overlap", [0, 1, 16, 48])
def test_ramp_rises_from_the_rim_and_is_symmetric(length, overlap):
    weights = ramp(length, overlap)
    assert weights.shape == (length,) and weights.dtype == np.float32
    assert weights.min() > 0 and weights.max() <= 1
    assert_array_equal(weights, weights[::-1])
    assert (np.diff(weights[: (length + 1) // 2]) >= 0).all()


def test_ramp_ignores_the_outer_quarter_of_the_overlap_and_then_rises_to_one():
    weights = ramp(100, overlap=16)
    assert_allclose(weights[:4], 1e-6)
    assert_allclose(weights[4:12], (np.arange(8) + 0.5) / 8)
    assert_array_equal(weights[12:50], 1)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(1, 12))
def test_identity_gives_the_image_back(height, width, tile_height, tile_width):
    image = np.random.default_rng(0).random((2, height, width), dtype=np.float32)
    tile = tile_height, tile_width
    overlap = min(tile) // 2
    blended = map_tiles(lambda part, rows, columns: part, image, tile, overlap)
    assert blended.dtype == np.float32
    assert_allclose(blended, image, rtol=1e-6)


def test_function_sees_each_tile_and_where_it_is():
    image = np.arange(20 * 30, dtype=np.float32).reshape(1, 20, 30)
    seen = []

    def look(part, rows, columns):
        assert_array_equal(part, image[:, rows, columns])
        seen.append(part.shape[1:])
        return part

    map_tiles(look, image, tile=(8, 12), overlap=4, multiple=2)
    assert len(seen) == 4 * 4 and set(seen) == {(8, 12)}  # 12 - 4: every 8 columns


def test_function_of_a_neighbourhood_leaves_no_seams():
    image = np.random.default_rng(0).random((3, 70, 61), dtype=np.float32)

    def blur(part, *_):
        return uniform_filter(part, (0, 5, 5))  # sees 2 pixels around it

    blended = map_tiles(blur, image, tile=(32, 32), overlap=16)
    assert_allclose(blended, blur(image), atol=3e-6)  # 1e-6: the least weight


def test_neighbouring_tiles_fade_into_each_other():
    image, values = np.zeros((1, 1, 24), np.float32), iter([0.0, 1.0])

    def number_of_tile(part, *_):
        return np.full_like(part, next(values))

    line = map_tiles(number_of_tile, image, tile=(1, 16), overlap=8)[0, 0]
    assert_allclose(line[[0, 23]], [0, 1], atol=1e-5)
    assert (np.diff(line) >= 0).all()
    assert np.diff(line).max() < 0.3  # no step of the whole height


def test_result_may_have_another_number_of_channels():
    image = np.random.default_rng(0).random((3, 9, 10), dtype=np.float32)
    mean = map_tiles(lambda part, *_: part.mean(0, keepdims=True), image, (4, 4), 2)
    assert_allclose(mean, image.mean(0, keepdims=True), rtol=1e-6)
