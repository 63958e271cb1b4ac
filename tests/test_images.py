"""What goes in comes out in kind, and what can't go in is told why."""

import pickle
import re
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from containers import (
    FLOATS,
    INTEGERS,
    Frames,
    assert_same,
    lists,
    quick,
    stacks,
)
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator

from colorvae_sk import _images
from colorvae_sk._images import (
    ImageInputMixin,
    as_images,
    find_data_range,
    image_hash,
    strips,
)


def there_and_back(X, **options):
    """Convert all images and give them back as they are."""
    images = as_images(X, **options)
    return images.give_back(images)


# What goes in comes out ---------------------------------------------------------------


@quick
@given(X=stacks())
def test_array_comes_back_in_kind_and_is_not_changed(X):
    before = X.copy()
    assert_same(there_and_back(X), X)
    assert_array_equal(X, before)


@quick
@given(X=lists())
def test_list_comes_back_as_a_list_of_the_same_kinds(X):
    before = [image.copy() for image in X]
    back = there_and_back(X, data_range=(0, 255))
    assert type(back) is list
    for image, unchanged, given_image in zip(back, before, X, strict=True):
        assert_same(image, given_image)
        assert_array_equal(given_image, unchanged)


@quick
@given(X=stacks())
def test_rows_give_the_same_as_images(X):
    rows = X.reshape(len(X), -1)
    folded = as_images(rows, image_shape=X.shape[1:])
    images = as_images(X)
    assert folded.is_rows
    assert not images.is_rows
    assert folded.data_range == images.data_range
    assert folded.n_channels == images.n_channels
    for row, image in zip(folded, images, strict=True):
        assert_array_equal(row, image)
    assert_same(folded.give_back(folded), rows)


@quick
@given(X=stacks())
def test_rows_without_a_shape_are_single_lines_of_grey(X):
    rows = X.reshape(len(X), -1)
    images = as_images(rows)
    assert images.n_channels == 1
    assert images.shape(0) == (1, rows.shape[1])
    assert images[0].shape == (1, 1, rows.shape[1])
    assert_same(images.give_back(images), rows)


@quick
@given(X=stacks())
def test_images_are_float32_with_channels_first_on_the_unit_interval(X):
    images = as_images(X)
    low, high = {"?": (0, 1), "B": (0, 255), "H": (0, 65535)}.get(
        X.dtype.char, images.data_range
    )
    colours = X[..., None] if X.ndim == 3 else X[..., : 3 if X.shape[3] == 4 else None]
    for i, (image, raw) in enumerate(zip(images, colours, strict=True)):
        assert image.dtype == np.float32
        assert image.flags.c_contiguous
        assert image.flags.writeable
        assert not np.shares_memory(image, X)
        assert image.shape == (images.n_channels, *images.shape(i))
        expected = (raw.astype(float) - low) / (high - low)
        assert_allclose(image, np.moveaxis(expected, 2, 0), rtol=0, atol=1e-6)
        assert_array_equal(images.raw(i), raw)
        assert images.raw(i).dtype == X.dtype
        assert np.shares_memory(images.raw(i), X)


@quick
@given(X=stacks(), data=st.data())
def test_a_crop_converts_like_the_whole(X, data):
    images = as_images(X)
    height, width = images.shape(0)
    top = data.draw(st.integers(0, height - 1))
    left = data.draw(st.integers(0, width - 1))
    crop = images.to_float(images.raw(0)[top:, left:])
    assert_array_equal(crop, images[0][:, top:, left:])


@quick
@given(X=stacks(dtypes=INTEGERS))
def test_integers_are_clipped(X):
    images = as_images(X)
    white = 1 if X.dtype == bool else np.iinfo(X.dtype).max
    black = 0 if X.dtype == bool else np.iinfo(X.dtype).min
    for value, limit in ((1e30, white), (-1e30, black)):
        back = as_images(images.give_back(np.full_like(x, value) for x in images))
        for i in range(len(back)):
            assert back.raw(i).dtype == X.dtype
            assert_allclose(back.raw(i).astype(float), float(limit), rtol=1e-15)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16])
@pytest.mark.parametrize("shift", [-0.4, 0.4])
def test_integers_are_rounded(dtype, shift):
    white = 1 if dtype is bool else np.iinfo(dtype).max
    X = np.arange(white + 1).astype(dtype).reshape(1, 1, -1)
    images = as_images(X)
    assert_array_equal(images.give_back([images[0] + shift / white]), X)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_the_largest_integers_do_not_wrap_around(dtype):
    top = np.iinfo(dtype).max
    X = np.array([[[0, top]]], dtype=dtype)
    back = there_and_back(X)
    assert_allclose(back.astype(float), [[[0, float(top)]]], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_a_narrow_range_far_from_zero_keeps_its_digits(dtype):
    X = np.array([[[2**40, 2**40 + 1], [2**40 + 3, 2**40 + 4]]], dtype=dtype)
    images = as_images(X, data_range=(2**40, 2**40 + 4))
    assert_array_equal(images[0], [[[0, 0.25], [0.75, 1]]])
    assert_array_equal(images.give_back(images), X)


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_outside_of_the_range_are_kept(dtype):
    X = np.array([[[-0.25, 0.5], [1.25, 1]]], dtype=dtype)
    images = as_images(X)
    assert_array_equal(images[0], [[[-0.25, 0.5], [1.25, 1]]])
    assert_array_equal(images.give_back(images), X)


def test_float64_results_keep_their_precision():
    images = as_images(np.zeros((1, 1, 1)))
    assert images.give_back([np.full((1, 1, 1), 1 / 3)])[0, 0, 0] == 1 / 3


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int32])
def test_integers_that_may_be_missing_come_back_as_floats(dtype):
    X = np.zeros((2, 5, 7, 4), dtype)
    X[..., 3] = X[0, 0, 0, 0] = 1
    images = as_images(X)
    results = [image.astype(float) for image in images]
    results[0][:, 0, 1] = np.nan
    back = images.give_back(results, with_nan=True)
    assert back.dtype == np.float32
    assert np.isnan(back[0, 0, 1, :3]).all()
    assert np.isnan(back).sum() == 3
    white = np.nanmax(back)
    assert_allclose(back[..., 3], white)
    assert white == pytest.approx(1 / {np.uint8: 255, np.uint16: 65535}.get(dtype, 1))


def test_floats_that_may_be_missing_keep_dtype_and_range():
    X = np.array([[[0.0, 255.0]]])
    back = as_images(X).give_back([np.array([[[np.nan, 1]]])], with_nan=True)
    assert_array_equal(back, [[[np.nan, 255.0]]])
    assert back.dtype == np.float64


@pytest.mark.parametrize("dtype", ["uint8", ">u2", "float32", ">f8"])
def test_alpha_is_put_back_untouched(dtype):
    rng = np.random.default_rng(0)
    X = (200 * rng.random((2, 5, 7, 4))).astype(dtype)
    images = as_images(X)
    assert images.n_channels == 3
    back = images.give_back(1 - image for image in images)
    assert back.dtype == X.dtype
    assert_array_equal(back[..., 3], X[..., 3])
    assert not np.array_equal(back[..., :3], X[..., :3])


def test_grey_may_come_back_in_colour_and_colour_in_grey():
    def colour(images):
        return [np.repeat(image, 3, axis=0) for image in images]

    def grey(images):
        return [image[:1] for image in images]

    greys, photos = np.zeros((2, 5, 7)), np.zeros((2, 5, 7, 3))
    images = as_images(greys)
    assert images.give_back(colour(images)).shape == (2, 5, 7, 3)
    images = as_images(list(greys))
    assert [x.shape for x in images.give_back(colour(images))] == [(5, 7, 3)] * 2
    images = as_images(photos)
    assert images.give_back(grey(images)).shape == (2, 5, 7, 1)
    images = as_images(greys.reshape(2, 35), image_shape=(5, 7))
    assert images.give_back(colour(images)).shape == (2, 105)


def test_give_back_wants_one_result_for_each_image(photos):
    images = as_images(photos)
    for n_results in (1, 7):
        with pytest.raises(ValueError, match="zip"):
            images.give_back([images[0]] * n_results)


def test_images_survive_pickling(photos):
    for X in (photos, list(photos), photos.reshape(6, -1)):
        images = as_images(X)
        again = pickle.loads(pickle.dumps(images))
        assert again.is_rows == images.is_rows
        assert_array_equal(again.give_back(again), X)


# Containers of other kinds ------------------------------------------------------------


class ArrayLike:
    """What has ``__array__`` and nothing else."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype=dtype)


def test_array_likes_are_arrays(photos_uint8):
    for X in (photos_uint8, photos_uint8[..., 0], photos_uint8.reshape(6, -1)):
        assert_same(there_and_back(ArrayLike(X)), X)


def test_data_frames_are_rows(photos_uint8):
    rows = photos_uint8.reshape(6, -1)
    images = as_images(pd.DataFrame(rows), image_shape=(16, 16, 3))
    assert images.is_rows
    assert_same(images.give_back(images), rows)


def test_lists_of_numbers_are_rows():
    rows = [[0, 2, 4], [8, 8, 8]]
    for X in (rows, [np.array(row) for row in rows], tuple(rows)):
        images = as_images(X)
        assert images.is_rows
        assert images.data_range == (0, 8)
        assert_array_equal(images.give_back(images), rows)


def test_nested_lists_and_pillow_pictures_are_lists_of_images(photos_uint8):
    for X in (photos_uint8.tolist(), [Image.fromarray(p) for p in photos_uint8]):
        back = there_and_back(X)
        assert isinstance(back, list)
        assert_array_equal(back, photos_uint8)


def test_object_rows_of_numbers_become_floats():
    back = there_and_back(np.array([[0, 1], [0.5, 1]], dtype=object))
    assert back.dtype == np.float64


def test_memory_maps_are_not_written_to(tmp_path, photos):
    np.save(tmp_path / "photos.npy", photos)
    X = np.load(tmp_path / "photos.npy", mmap_mode="r")
    assert_array_equal(there_and_back(X), photos)


# What can't go in ---------------------------------------------------------------------


def with_inf(shape):
    """Zeros, the first of them infinite."""
    array = np.zeros(shape)
    array.flat[0] = np.inf
    return array


RAGGED = np.empty(2, dtype=object)
RAGGED[:] = [np.zeros((5, 7)), np.zeros((7, 5))]
WRONG = [
    (None, TypeError, "X is a NoneType. Pass an array (n_images,"),
    ("cat.png", TypeError, "X is a str. Pass an array"),
    ({}, TypeError, "X is a dict. Pass an array"),
    (3.0, TypeError, "X is a float. Pass an array"),
    ([None], TypeError, "X[0] is a NoneType. Pass an array"),
    (["cat.png", np.zeros((5, 7))], TypeError, "X[0] is a str. Pass an array"),
    (torch.zeros(1, 3, 5, 7), TypeError, "torch tensor. Pass a numpy array"),
    ([torch.zeros(3, 5, 7)], TypeError, "X[0] is a torch tensor"),
    (csr_array(np.eye(3)), TypeError, "dense data is required"),
    ([csr_array(np.eye(3))], TypeError, "X[0] has dtype object"),
    (RAGGED, TypeError, "as a list: list(X)"),
    (np.array(["a.png", "b.png"]), TypeError, "as a list: list(X)"),
    (pl.Series(["a.png", "b.png"]), TypeError, "as a list: list(X)"),
    (np.zeros((2, 5, 7), complex), TypeError, "dtype complex128; expected real"),
    (np.zeros((2, 35), complex), ValueError, "Complex data not supported"),
    (np.zeros((2, 5, 7), object), TypeError, "dtype object; expected real numbers"),
    (np.zeros((2, 5, 7), "U1"), TypeError, "expected real numbers. Convert it"),
    (np.zeros((2, 5), "M8[s]"), TypeError, "expected real numbers. Convert it"),
    ([np.zeros((5, 7), "U1")], TypeError, "X[0] has dtype <U1"),
    (np.zeros(5), ValueError, "Reshape your data"),
    (np.zeros((1, 2, 5, 7, 3)), ValueError, "X has 5 axes. Pass an array"),
    ([np.zeros((5, 7)), np.zeros(5)], ValueError, "X[1] has shape (5,); expected"),
    ([np.zeros((2, 5, 7, 3))], ValueError, "X[0] has shape (2, 5, 7, 3); expected"),
    ([], ValueError, "X is empty. Pass an array"),
    ((), ValueError, "X is empty. Pass an array"),
    (Frames([]), ValueError, "X is empty. Pass an array"),
    (np.zeros((0, 5, 7)), ValueError, "X is empty: its shape is (0, 5, 7)"),
    (np.zeros((2, 0, 7, 3)), ValueError, "Pass images of at least one pixel"),
    ([np.zeros((5, 7)), np.zeros((5, 0))], ValueError, "X[1] is empty: its shape"),
    (np.zeros((0, 5)), ValueError, "0 sample(s)"),
    (np.zeros((5, 0)), ValueError, "0 feature(s)"),
    (with_inf((2, 5, 7)), ValueError, "X contains infinity; expected finite numbers"),
    (with_inf((2, 35)), ValueError, "contains infinity"),
    ([with_inf((5, 7))], ValueError, "Replace what is infinite by NaN"),
    (np.zeros((5, 7, 3)), ValueError, "X[np.newaxis] for one colour image"),
    (np.zeros((5, 7, 4)), ValueError, "X[..., np.newaxis] for grey images that are 4"),
    (np.zeros((2, 3, 5, 7)), ValueError, "channels first. Pass the channels last"),
    ([np.zeros((3, 5, 7))], ValueError, "np.moveaxis(image, 0, -1)"),
    (
        [np.zeros((5, 7, 3)), np.zeros((5, 7, 4)), np.zeros((5, 7))],
        ValueError,
        "X[2] has 1 colour channel(s), but X[0] has 3. Pass images that all have",
    ),
]


@pytest.mark.parametrize(("X", "error", "message"), WRONG, ids=str)
def test_what_is_no_image_is_refused_with_a_way_out(X, error, message):
    with pytest.raises(error, match=re.escape(message)):
        as_images(X)


@pytest.mark.parametrize("shape", [(5, 8), (5,), (1, 5, 7, 1), (0, 7), (-5, -7)])
def test_rows_that_do_not_fold_are_refused(shape):
    message = re.escape(f"have 35 values, which do not fold into image_shape={shape}")
    with pytest.raises(ValueError, match=message):
        as_images(np.zeros((2, 35)), image_shape=shape)


def test_rows_that_fold_to_channels_first_are_refused():
    with pytest.raises(ValueError, match="looks like channels first"):
        as_images(np.zeros((2, 105)), image_shape=(3, 5, 7))


@pytest.mark.parametrize("shape", [(1, 3, 5, 4), (3, 5, 7), (3, 3, 3, 3)])
def test_three_rows_of_pixels_are_no_channels(shape):
    assert_same(there_and_back(np.zeros(shape)), np.zeros(shape))


def test_errors_call_the_images_by_their_name():
    for X in (with_inf((2, 5, 7)), with_inf((2, 35)), [with_inf((5, 7))], None):
        with pytest.raises((TypeError, ValueError), match="y_true"):
            as_images(X, name="y_true")


def test_single_images_pass_once_they_say_how_many_they_are():
    photo = np.zeros((5, 7, 3))
    assert as_images(photo[np.newaxis]).n_channels == 3
    assert len(as_images(photo[..., np.newaxis])) == 5


# The range of the data ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([True]), (0, 1)),
        (np.array([7], np.uint8), (0, 1)),  # it has a range of its own
        (np.array([7], ">u2"), (0, 1)),
        (np.array([0, 1, 1]), (0, 1)),
        (np.array([0, 0]), (0, 1)),
        (np.array([3, 16]), (0, 16)),
        (np.array([-3, 16]), (-3, 16)),
        (np.array([-3, -3]), (-3, -2)),
        (np.array([0.2, 0.9]), (0, 1)),
        (np.array([-0.5, 1.5]), (0, 1)),
        (np.array([0.5] * 19 + [9.0]), (0, 1)),  # 5 % may lie outside
        (np.array([0.5] * 18 + [9.0] * 2), (0, 9)),
        (np.array([0.5] * 19 + [-9.0]), (0, 1)),
        (np.array([0.5] * 18 + [-9.0] * 2), (-9, 0.5)),
        (np.array([20, 40, np.nan]), (0, 40)),
        (np.array([0] * 99 + [200]), (0, 200)),  # integers: always all of them
        (np.array([np.nan] * 90 + [0.5] * 5 + [9.0] * 5), (0, 9)),
        (np.array([-4.0, -2.0, np.nan]), (-4, -2)),
        (np.array([-4.0, -4.0]), (-4, -3)),
        (np.array([np.nan]), (0, 1)),
        (np.array([100, 200], np.float16), (0, 200)),
        (np.linspace(0, 255, 1_500_007), (0, 255)),
    ],
    ids=str,
)
def test_data_range_is_found(values, expected):
    found = find_data_range([values])
    assert found == expected
    assert [type(value) for value in found] == [float, float]


@quick
@given(X=stacks())
def test_data_range_is_never_empty(X):
    low, high = find_data_range([X])
    assert low < high


def test_data_range_spans_all_images_of_a_list():
    X = [np.full((5, 7), 100), np.full((2, 2), 255, np.uint8), np.full((1, 1), -5.0)]
    assert as_images(X).data_range == (-5, 100)
    assert as_images([np.full((1, 1), np.nan), X[0]]).data_range == (0, 100)


def test_data_range_can_be_given_but_not_to_8_bits():
    options = {"data_range": (-1, 1)}
    assert_array_equal(as_images(np.zeros((1, 1, 1)), **options)[0], [[[0.5]]])
    assert_array_equal(as_images(np.zeros((1, 1, 1), int), **options)[0], [[[0.5]]])
    for dtype, white in ((bool, 1), (np.uint8, 255), (np.uint16, 65535)):
        X = np.full((1, 1, 1), white, dtype)
        assert_array_equal(as_images(X, **options)[0], [[[1]]])


# Sequences ----------------------------------------------------------------------------


def test_the_last_images_of_a_sequence_are_kept_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(_images, "KEPT_BYTES", 250)
    frames = Frames([np.full((10, 10), i, np.uint8) for i in range(4)])
    images = as_images(frames)
    for i in (0, 1, 0, 1):
        images.raw(i)
    assert frames.n_reads == 2
    images.raw(2)  # in place of the first
    images.raw(1)
    assert frames.n_reads == 3
    assert images.raw(0)[0, 0] == 0
    assert frames.n_reads == 4


def test_an_image_above_the_limit_is_kept_alone(monkeypatch):
    monkeypatch.setattr(_images, "KEPT_BYTES", 0)
    frames = Frames([np.zeros((3, 4), np.uint8)] * 2)
    images = as_images(frames)
    for i in (0, 0, 1, 1):
        images.raw(i)
    assert frames.n_reads == 2


def test_an_image_is_hashed_as_its_floats_are(photos, monkeypatch):
    monkeypatch.setattr(_images, "strips", lambda *_: [slice(0, 5), slice(5, 16)])
    for X in (photos, np.uint8(255 * photos), photos[..., 0]):
        images = as_images(X)
        assert images.hash(1, key=3) == image_hash(images[1], key=3)


@pytest.mark.parametrize("shape", [(1, 7), (3, 2**20), (5000, 3000)])
def test_strips_cover_an_image(shape):
    parts = strips(*shape)
    assert parts[0].start == 0 and parts[-1].stop >= shape[0]
    assert all(a.stop == b.start for a, b in pairwise(parts))
    assert (parts[0].stop - parts[0].start) * shape[1] <= max(2**20, shape[1])


def test_infinity_is_found_in_a_large_array():
    X = np.zeros((1, 2500, 2500))
    X[0, 2000, 7] = np.inf
    with pytest.raises(ValueError, match="contains infinity"):
        as_images(X)


# Sequences ----------------------------------------------------------------------------


def test_a_sequence_is_read_once_on_the_way_through(photos_uint8):
    frames = Frames(list(photos_uint8))
    images = as_images(frames)
    assert frames.n_reads == 1  # 8 bits have a range of their own
    back = images.give_back(images[i] for i in range(len(images)))
    assert frames.n_reads == 6
    assert_array_equal(back, photos_uint8)


def test_the_range_of_a_sequence_of_floats_is_found_in_its_first_images():
    frames = Frames([np.full((1, 1), 10.0 * i) for i in range(100)])
    assert as_images(frames).data_range == (0, 70)
    assert frames.n_reads <= 10
    assert as_images(Frames(frames.frames[:3])).data_range == (0, 20)


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        (with_inf((5, 7)), ValueError, "X[1] contains infinity"),
        (np.zeros((5, 7, 3)), ValueError, "X[1] has 3 colour channel(s), but X[0]"),
        (np.zeros((2, 5, 7, 3)), ValueError, "X[1] has shape (2, 5, 7, 3)"),
        (np.zeros((5, 7), complex), TypeError, "X[1] has dtype complex128"),
    ],
)
def test_a_sequence_is_checked_when_it_is_read(frame, error, message):
    images = as_images(Frames([np.zeros((5, 7)), frame]), data_range=(0, 1))
    assert images.shape(0) == (5, 7)
    with pytest.raises(error, match=re.escape(message)):
        images[1]


# Hashes -------------------------------------------------------------------------------


def test_hash_depends_on_values_shape_and_key_alone():
    image = np.random.default_rng(0).random((3, 5, 7), dtype=np.float32)
    known = image_hash(image, key=1)
    assert 0 <= known < 2**128
    assert image_hash(np.asfortranarray(image), key=1) == known
    others = [
        image_hash(image, key=2),
        image_hash(image.reshape(3, 7, 5), key=1),
        image_hash(image[:, ::-1], key=1),
        image_hash(np.nextafter(image, np.float32(2)), key=1),
        image_hash(image, key=2**64 - 1),
    ]
    assert len({known, *others}) == 6


def test_hash_of_equal_pixels_is_equal_in_any_container(photos_uint8):
    floats = photos_uint8 / 255
    kinds = [photos_uint8, floats, floats.astype(np.float32), list(photos_uint8)]
    hashes = {image_hash(as_images(X)[2], key=0) for X in kinds}
    assert len(hashes) == 1


# Estimators ---------------------------------------------------------------------------


class Identity(ImageInputMixin, TransformerMixin, BaseEstimator):
    """A transformer that gives back what it is given."""

    def __init__(self, image_shape=None):
        self.image_shape = image_shape

    def fit(self, X, y=None):
        self._as_images(X, reset=True)
        return self

    def transform(self, X):
        if not hasattr(self, "image_mode_"):
            raise NotFittedError("Call fit first.")
        images = self._as_images(X)
        return images.give_back(images)


@pytest.mark.filterwarnings("ignore:Can't check dok sparse matrix:UserWarning")
def test_estimator_meets_the_contract_of_scikit_learn():
    check_estimator(Identity(), on_skip=None)


def test_estimator_says_that_it_takes_images_and_missing_pixels():
    tags = Identity().__sklearn_tags__()
    assert tags.requires_fit
    assert tags.input_tags.three_d_array
    assert tags.input_tags.allow_nan
    assert tags.transformer_tags.preserves_dtype == ["float32", "float64"]


def test_rows_must_agree_with_those_of_the_fit(photos):
    rows = photos.reshape(6, -1)
    identity = Identity(image_shape=(16, 16, 3)).fit(rows)
    assert identity.n_features_in_ == 768
    assert not identity.image_mode_
    assert identity._as_images(rows).shape(0) == (16, 16)
    with pytest.raises(ValueError, match="is expecting 768 features"):
        identity.transform(rows[:, :300])
    assert_array_equal(identity.transform(photos), photos)


def test_a_fit_on_images_forgets_the_columns_of_a_fit_on_rows(photos):
    rows = pd.DataFrame(photos.reshape(6, -1)).add_prefix("pixel")
    identity = Identity().fit(rows)
    assert identity.feature_names_in_[0] == "pixel0"
    identity.fit(photos)
    assert identity.image_mode_
    assert not hasattr(identity, "n_features_in_")
    assert not hasattr(identity, "feature_names_in_")


def test_a_transform_of_images_forgets_nothing(photos):
    identity = Identity().fit(photos.reshape(6, -1))
    identity.transform(photos)
    assert identity.n_features_in_ == 768
    assert not identity.image_mode_


def test_set_output_wraps_rows_and_leaves_images_alone(photos):
    identity = Identity().set_output(transform="pandas")
    frame = pd.DataFrame(photos[..., 0].reshape(6, -1)).add_prefix("pixel")
    pd.testing.assert_frame_equal(identity.fit_transform(frame), frame)
    assert list(identity.get_feature_names_out()) == list(frame)
    assert_array_equal(identity.fit_transform(photos), photos)
    assert not hasattr(identity, "get_feature_names_out")
    assert isinstance(identity.fit_transform(list(photos)), list)


def test_images_stay_arrays_after_a_fit_on_rows(photos):
    grey = photos[..., 0]
    identity = Identity(image_shape=(16, 16)).set_output(transform="pandas")
    identity.fit(grey.reshape(6, -1))
    assert_array_equal(identity.transform(grey), grey)
    assert isinstance(identity.transform(list(grey)), list)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.float32])
def test_values_beyond_ten_times_the_range_are_refused(dtype, photos):
    identity = Identity().fit(photos)
    levels = np.array([[[0, 11]]], dtype)
    assert_array_equal(identity.transform(levels), levels)
    for X in (levels + dtype(1), [levels[0] + dtype(1)]):
        with pytest.raises(ValueError, match="reaches from 1 to 12, but 0 and 1 mean"):
            identity.transform(X)


def test_the_range_of_the_fit_holds_afterwards():
    identity = Identity().fit(np.array([[[0, 200.0]]]))
    assert identity.data_range_ == (0, 200)
    darker = np.array([[[0, 50.0]]])
    assert identity._as_images(darker).data_range == (0, 200)
    assert identity.fit(darker).data_range_ == (0, 50)


def test_floats_are_on_the_unit_interval_after_a_fit_on_8_bits(photos, photos_uint8):
    identity = Identity().fit(photos_uint8)
    for X in (photos, photos_uint8):
        assert_array_equal(identity._as_images(X)[0], as_images(photos)[0])


@pytest.mark.parametrize(
    ("X", "options", "low", "high"),
    [
        (np.full((1, 2, 3, 3), 30.0), {"data_range": (10, 60)}, 10, 60),
        (np.full((1, 2, 3, 3), 7, np.uint8), {}, 0, 255),
        (np.full((1, 2, 3, 3), 0.5), {}, 0, 1),
    ],
)
def test_spreads_and_bounds_come_in_the_users_unit(X, options, low, high):
    images = as_images(X, **options)
    everywhere, unit = (slice(0, 2), slice(0, 3)), np.full((3, 2, 3), 0.25, np.float32)
    results = []
    for canvas in (images.spread_canvas(), images.bound_canvas()):
        canvas.write(0, *everywhere, unit)
        results.append(canvas.result())
    spread, bound = results
    assert spread.shape == bound.shape == X.shape
    assert_allclose(spread, 0.25 * (high - low))
    assert_allclose(bound, low + 0.25 * (high - low))
