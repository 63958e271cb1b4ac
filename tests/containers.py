"""Images in containers of all kinds, for tests to draw from, and what is the same."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

INTEGERS = [bool, np.int8, np.uint8, np.uint16, np.int32, np.uint32, np.int64]
FLOATS = [np.float16, np.float32, np.float64]
LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "reversed": lambda a: a[::-1, ..., ::-1].copy()[::-1, ..., ::-1],
    "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
}
SIDES = st.sampled_from([1, 2, 5, 7, 11, 13])  # 3 and 4 look like channels
CHANNELS = st.sampled_from([(), (1,), (2,), (3,), (4,), (5,)])
quick = settings(deadline=None, max_examples=200)


@st.composite
def pixels(draw, shape, dtypes=(*INTEGERS, *FLOATS)):
    """A read-only array of this shape: any dtype, layout and range, NaN or none."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if dtype.kind == "f":
        array = rng.random(shape) * draw(st.sampled_from([1, 255]))
        array[rng.random(shape) < draw(st.sampled_from([0, 0.3]))] = np.nan
    elif dtype.kind == "b":
        array = rng.random(shape) < 0.5
    else:  # float32 holds integers up to 2**24
        limits = np.iinfo(dtype)
        low, high = max(limits.min, -1000), min(limits.max, 100_000)
        array = rng.integers(low, high, shape, endpoint=True)
    array = LAYOUTS[draw(st.sampled_from(list(LAYOUTS)))](array.astype(dtype))
    array.flags.writeable = False
    return array


@st.composite
def stacks(draw, **options):
    """An array (n, H, W) or (n, H, W, C)."""
    n = draw(st.integers(1, 3))
    shape = (n, draw(SIDES), draw(SIDES), *draw(CHANNELS))
    return draw(pixels(shape, **options))


@st.composite
def lists(draw):
    """A list or tuple of images that only share their number of colours."""
    kinds = draw(st.sampled_from([[(), (1,)], [(3,), (4,)], [(2,)]]))
    shapes = st.tuples(SIDES, SIDES, st.sampled_from(kinds))
    images = [
        draw(pixels((height, width, *channels), dtypes=(*INTEGERS[:4], *FLOATS)))
        for height, width, channels in draw(st.lists(shapes, min_size=1, max_size=3))
    ]
    return draw(st.sampled_from([list, tuple]))(images)


def tolerance(array):
    """How far numbers of this dtype may move on a way through float32."""
    if array.dtype.kind != "f":
        return 0
    coarser = max(np.finfo(array.dtype).eps, np.finfo(np.float32).eps)
    return 4 * float(coarser) * max(1, np.fmax.reduce(abs(array), axis=None))


def assert_same(back, array):
    """Same type, shape, dtype and, within rounding, values; other memory."""
    assert type(back) is type(array) is np.ndarray
    assert back.shape == array.shape
    assert back.dtype == array.dtype
    assert back.flags.writeable
    assert back.flags.c_contiguous
    assert not np.shares_memory(back, array)
    if array.dtype.kind != "f":
        assert_array_equal(back, array)
    else:
        assert_allclose(back, array, rtol=0, atol=tolerance(array))


class Frames:
    """Someone's own lazy sequence, which counts how often it is read."""

    _is_image_sequence = True

    def __init__(self, frames):
        self.frames = frames
        self.n_reads = 0

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, i):
        self.n_reads += 1
        return self.frames[i]

    def __repr__(self):
        return f"Frames of {len(self)}"
