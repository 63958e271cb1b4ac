"""A canvas is filled part by part, in the kind of the user's images."""

import numpy as np
import pytest
from containers import assert_same, quick, stacks
from hypothesis import given
from numpy.testing import assert_array_equal

from colorvae_sk._images import as_images


def filled(canvas, arrays):
    """What a canvas holds after arrays (C, H, W) were written to it, in two parts."""
    for i, array in enumerate(arrays):
        middle, everywhere = array.shape[1] // 2, slice(None)
        for rows in (slice(0, middle), slice(middle, array.shape[1])):
            canvas.write(i, rows, everywhere, array[:, rows])
    return canvas.result()


@quick
@given(X=stacks())
def test_a_canvas_gives_back_what_is_written_to_it_part_by_part(X):
    images = as_images(X, data_range=(-50, 150))
    assert_same(filled(images.canvas(), images), images.give_back(images))


def test_a_canvas_is_the_container_of_the_images(photos_uint8):
    for X in (list(photos_uint8), photos_uint8.reshape(6, -1)):
        images = as_images(X)
        back = filled(images.canvas(), images)
        assert type(back) is type(X)
        assert_array_equal(np.asarray(back), X, strict=True)


def test_a_canvas_may_be_the_users_own_arrays(photos_uint8, tmp_path):
    memory = np.lib.format.open_memmap(
        tmp_path / "out.npy", "w+", photos_uint8.dtype, photos_uint8.shape
    )
    images = as_images(photos_uint8)
    assert filled(images.canvas(memory), images) is memory
    assert_array_equal(np.load(tmp_path / "out.npy"), photos_uint8)
    rows = photos_uint8.reshape(6, -1)
    images, memory = as_images(rows, image_shape=(16, 16, 3)), np.empty_like(rows)
    assert filled(images.canvas(memory), images) is memory
    assert_array_equal(memory, rows)
    images = as_images(list(photos_uint8))
    memory = [np.empty_like(photo) for photo in photos_uint8]
    assert filled(images.canvas(memory), images) is memory
    assert_array_equal(memory, photos_uint8)


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.empty((6, 16, 16, 3)), ValueError, r"dtype uint8.* got .* float64"),
        (np.empty((5, 16, 16, 3), np.uint8), ValueError, r"shape \(6, 16, 16, 3\)"),
        ([None] * 6, TypeError, "numpy array, such as one of np.memmap, got list"),
    ],
)
def test_a_canvas_unlike_the_images_is_refused(out, error, message, photos_uint8):
    with pytest.raises(error, match=message):
        as_images(photos_uint8).canvas(out)


def test_a_canvas_unlike_a_list_of_images_is_refused(photos_uint8):
    images = as_images(list(photos_uint8))
    with pytest.raises(ValueError, match=r"6 image.* but out has 1"):
        images.canvas([photos_uint8[0].copy()])
    with pytest.raises(TypeError, match=r"out\[0\] to be a numpy array"):
        images.canvas([None] * 6)


def test_a_canvas_where_the_images_are_is_refused(photos_uint8):
    for X in (photos_uint8, list(photos_uint8)):
        with pytest.raises(ValueError, match="out shares memory with X"):
            as_images(X).canvas(X)


def test_rows_need_a_canvas_without_gaps(photos_uint8):
    rows = photos_uint8.reshape(6, -1)
    gaps = np.empty((6, 2 * rows.shape[1]), np.uint8)[:, ::2]
    with pytest.raises(ValueError, match="out to be C-contiguous"):
        as_images(rows, image_shape=(16, 16, 3)).canvas(gaps)


@quick
@given(X=stacks())
def test_spread_is_in_the_unit_and_layout_of_the_images(X):
    images = as_images(X, data_range=(-50, 150))
    black = images.give_back((0 * image for image in images), with_nan=True)
    grey = images.give_back((0 * image + 0.5 for image in images), with_nan=True)
    halves = (np.full_like(image, 0.5) for image in images)
    spread = filled(images.spread_canvas(), halves)
    assert spread.shape == X.shape
    assert spread.dtype == (X.dtype if X.dtype.kind == "f" else np.float32)
    if X.ndim == 4 and X.shape[3] == 4:
        assert not spread[..., 3].any()
        black, grey, spread = black[..., :3], grey[..., :3], spread[..., :3]
    unit = {"?": 1, "B": 255, "H": 65535}.get(X.dtype.char, 200)
    assert_array_equal(spread, np.full(spread.shape, unit / 2))
    if X.dtype.kind == "f":
        assert_array_equal((grey - black)[~np.isnan(grey)], spread[~np.isnan(grey)])


def test_spread_has_the_container_of_the_images(photos_uint8):
    for X in (list(photos_uint8), photos_uint8.reshape(6, -1)):
        images = as_images(X)
        spread = filled(images.spread_canvas(), images)
        assert type(spread) is type(X)
        assert_array_equal(np.asarray(spread), X)
        assert np.asarray(spread).dtype == np.float32


@quick
@given(X=stacks())
def test_bounds_are_in_the_range_of_the_images_and_not_clipped(X):
    images = as_images(X, data_range=(-50, 150))
    bounds = filled(images.bound_canvas(), (0 * image + 2 for image in images))
    assert bounds.shape == X.shape
    assert bounds.dtype == (X.dtype if X.dtype.kind == "f" else np.float32)
    if X.ndim == 4 and X.shape[3] == 4:
        assert_array_equal(bounds[..., 3], X[..., 3])
        bounds = bounds[..., :3]
    expected = {"?": 2, "B": 510, "H": 131070}.get(X.dtype.char, 350)
    assert set(np.unique(bounds[~np.isnan(bounds)])) <= {expected}


def test_a_canvas_that_cannot_be_written_to_is_refused(photos_uint8):
    out = np.empty_like(photos_uint8)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        as_images(photos_uint8).canvas(out)
    with pytest.raises(ValueError, match=r"out\[0\] is read-only"):
        as_images(list(photos_uint8)).canvas(list(out))


def test_a_canvas_for_two_images_is_refused(photos_uint8):
    images, out = as_images(list(photos_uint8)), np.empty_like(photos_uint8)
    for twice in ([*out[:5], out[2]], [out[2, ...] for _ in range(6)]):
        with pytest.raises(ValueError, match=r"out\[\d\] is where out\[\d\] is"):
            images.canvas(twice)
    interleaved = np.empty((16, 16, 3, 6), np.uint8)
    images.canvas([interleaved[..., i] for i in range(6)])
