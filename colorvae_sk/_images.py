"""What the user gives becomes float32 images, and goes back in kind.

An array, a list, picture files or rows of a table all become `Images`: a sequence of
float32 arrays (C, H, W) on the [0, 1] scale, NaN where a pixel is missing. What was
computed from them returns through `Images.give_back` to the container, layout and
dtype that it came in. The user's own data are never written to.
"""

import hashlib
import math
import os
from collections import OrderedDict
from functools import wraps
from numbers import Integral

import numpy as np
from sklearn.utils import check_array
from sklearn.utils._set_output import _wrap_data_with_container
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_is_fitted,
    validate_data,
)

from ._canvas import Canvas
from ._pictures import PictureFiles

_FULL_RANGES = {  # these dtypes say themselves which values are black and white
    np.bool_: (0.0, 1.0),
    np.uint8: (0.0, 255.0),
    np.uint16: (0.0, 65535.0),
}
LARGEST = 1e30  # of floats: the squares of larger ones overflow
FARTHEST = 10  # times the range, beyond it: no picture has such values
KEPT_BYTES = 2**28  # of images that were read from files, so as not to read them again
_EXPECTED = (
    "Pass an array (n_images, height, width[, channels]), a list of images or of "
    "paths of picture files, or rows (n_images, n_features)."
)


def _split_alpha(image):
    """Views of an image (H, W[, C]): its colours (H, W, C) and its alpha, if any."""
    image = image[..., np.newaxis] if image.ndim == 2 else image
    n_colours = 3 if image.shape[2] == 4 else image.shape[2]
    return image[..., :n_colours], image[..., n_colours:]


def _round_and_clip(values, dtype):
    """Turn floats into the nearest values that an integer dtype or bool has."""
    if dtype.kind == "b":
        return values > 0.5
    limits = np.iinfo(dtype)
    high = float(limits.max)
    if high > limits.max:  # 2**63 - 1 is no float: take the one below
        high = np.nextafter(high, 0.0)
    return np.clip(np.rint(values), float(limits.min), high)


def _float_dtype(dtype):
    """The dtype of what is computed from values of a dtype and isn't rounded."""
    return dtype if dtype.kind == "f" else np.dtype(np.float32)


def _lay_out(image, alpha, ndim):
    """Put an image (C, H, W) and its alpha (H, W, 0 or 1) as a user has them: a copy.

    A user whose images have two axes gets two, unless there are several channels now.
    """
    n_channels, height, width = image.shape
    result = np.empty((height, width, n_channels + alpha.shape[2]), image.dtype)
    result[..., :n_channels] = np.moveaxis(image, 0, 2)
    result[..., n_channels:] = alpha
    return result[..., 0] if ndim == 2 and n_channels == 1 else result


def _stack(images):
    """Join images of one shape and dtype, in that dtype's byte order too."""
    return np.stack(images, dtype=images[0].dtype)


def _stack_rows(images):
    """Join images of one shape and dtype as rows."""
    return _stack(images).reshape(len(images), -1)


class Images:
    """One user's images, each converted when it is asked for; see `as_images`.

    Attributes
    ----------
    n_channels : int
        Number of channels, not counting alpha.

    data_range : pair of floats
        User values that mean 0 and 1 in floats and in integers that have no range of
        their own. (bool, uint8 and uint16 have: it is always the whole of it.)

    is_rows : bool
        Whether the images came as rows of a table.
    """

    def __init__(self, source, pack, data_range, name):
        self._source = source  # sequence of checked arrays (H, W) or (H, W, C)
        self._pack = pack  # puts a list of such arrays into the user's container
        self._name = name
        self.n_channels = _split_alpha(source[0])[0].shape[2]
        self.data_range = data_range
        self.is_rows = pack is _stack_rows

    def __len__(self):
        return len(self._source)

    def __getitem__(self, i):
        """Image i as a float32 array (C, H, W) on the [0, 1] scale."""
        return self.to_float(self.raw(i))

    def raw(self, i):
        """Image i as (H, W, C) in the user's dtype and range, without alpha.

        A view, so not to be written to.
        """
        image, _ = _split_alpha(self._source[i])
        if image.shape[2] != self.n_channels:
            raise ValueError(
                f"{self._name}[{i}] has {image.shape[2]} colour channel(s), but "
                f"{self._name}[0] has {self.n_channels}. Pass images that all have the "
                "same number of channels."
            )
        return image

    @property
    def is_lazy(self):
        """Whether images are read when they are asked for."""
        return isinstance(self._source, _OnDemand)

    def shape(self, i):
        """Height and width of image i; a file's header is enough."""
        if self.is_lazy:
            return self._source.image_size(i)
        return self._source[i].shape[:2]

    @property
    def n_pixels(self):
        """Pixels of all images together."""
        return sum(math.prod(self.shape(i)) for i in range(len(self)))

    def check_scale(self):
        """Complain of values far out of the range; of files, when they are read."""
        if isinstance(self._source, _OnDemand):
            self._source.check = self._check_scale_of
        elif isinstance(self._source, list):
            for i, image in enumerate(self._source):
                self._check_scale_of(image, f"{self._name}[{i}]")
        else:
            self._check_scale_of(self._source, self._name)

    def _check_scale_of(self, array, label):
        if array.dtype.type in _FULL_RANGES:
            return
        low, high = self.data_range
        margin = FARTHEST * (high - low)
        least, most = extremes(array)
        if least < low - margin or most > high + margin:
            raise ValueError(
                f"{label} reaches from {least:g} to {most:g}, but {low:g} and {high:g} "
                "mean black and white. Pass values on that scale (X / 255 for floats "
                "that reach to 255), and NaN where a pixel is missing."
            )

    def find_range(self):
        """The range that the values show themselves, see `find_data_range`."""
        return find_data_range(_examples(self._source))

    @property
    def tells_scale(self):
        """Whether the first images hold more than 0, which is black on any scale."""
        pairs = map(extremes, _examples(self._source))
        return any(least < 0 or most > 0 for least, most in pairs)

    @property
    def all_missing(self):
        """Whether nothing is observed in any image; of files that is not known."""
        if isinstance(self._source, _OnDemand):
            return False
        arrays = self._source if isinstance(self._source, list) else [self._source]
        return all(math.isnan(extremes(array)[0]) for array in arrays)

    def to_float(self, raw):
        """Turn the user's pixels (h, w, C) into a new float32 array (C, h, w).

        The user's range becomes [0, 1]; values outside of it stay outside, and NaN
        stays NaN.
        """
        wide = np.promote_types(raw.dtype, np.float32)  # float64 for int32
        image = np.array(np.moveaxis(raw, 2, 0), dtype=wide, order="C")
        low, high = self._range_of(raw.dtype)
        if (low, high) != (0.0, 1.0):
            image -= low
            image /= high - low
        return image.astype(np.float32, copy=False)

    def part(self, i, rows, columns):
        """A part of image i, two slices, as a float32 array (C, h, w) on [0, 1]."""
        return self.to_float(self.raw(i)[rows, columns])

    def hash(self, i, key):
        """Hash image i, as `image_hash` does, without a copy of all of it."""
        raw = self.raw(i)
        height, width, n_channels = raw.shape
        parts = (
            self.to_float(raw[rows, :, c : c + 1])
            for c in range(n_channels)
            for rows in strips(height, width)
        )
        return _hash_parts((n_channels, height, width), parts, key)

    def give_back(self, images, with_nan=False):
        """Put what was computed from the images into the user's container.

        Parameters
        ----------
        images : iterable of float arrays of shape (C, H, W)
            One for each image, in the same order, on the [0, 1] scale. They may have
            another number of channels than the user's.

        with_nan : bool, default=False
            Whether they may hold NaN. Integers can't, so that users of integers then
            get float32 on the [0, 1] scale.

        Returns
        -------
        images : ndarray or list of ndarrays
            An array for an array, rows for rows and else a list. Integers are rounded
            and clipped to their dtype; floats are not clipped. Alpha is back in place.
        """
        pairs = zip(range(len(self)), images, strict=True)
        return self._pack([self._finish(i, image, with_nan) for i, image in pairs])

    def blank(self, n):
        """So many containers like the user's: empty arrays in one, or None each."""
        if not isinstance(self._source, np.ndarray):
            return [None] * n
        return np.empty((n, *self.container_shape), self._source.dtype)

    @property
    def container_shape(self):
        """The shape of the user's array; None of a list."""
        if not isinstance(self._source, np.ndarray):
            return None
        if self.is_rows:
            return len(self), math.prod(self._source.shape[1:])
        return self._source.shape

    def canvas(self, out=None):
        """A container like the user's, to be filled with images; see `Canvas`.

        Integers are rounded and clipped to their dtype; floats are not clipped. Alpha
        is put back.
        """
        return self._canvas(np.dtype, self._from_float, out=out)

    def spread_canvas(self):
        """The same for standard deviations, in the user's unit.

        That is grey levels of uint8, for instance; float32 where the user's images are
        integers. Alpha has none.
        """
        return self._canvas(_float_dtype, self._spread_from_float, has_alpha=False)

    def bound_canvas(self):
        """The same for ends of intervals, in the user's unit.

        They are not clipped; float32, not rounded, where the user's images are
        integers. Alpha is put back.
        """
        return self._canvas(_float_dtype, self._bound_from_float)

    def _canvas(self, dtype_of, convert, **options):
        kind = dtype_of, convert
        return Canvas(self._source, self.container_shape, *kind, **options)

    def _finish(self, i, image, with_nan):
        """Give an image (C, H, W) the dtype, layout and alpha of image i."""
        source = self._source[i]
        _, alpha = _split_alpha(source)
        if with_nan and source.dtype.kind in "bui":
            image = np.asarray(image, dtype=np.float32)
            alpha = np.moveaxis(self.to_float(alpha), 0, 2)
        else:
            image = self._from_float(np.asarray(image), source.dtype)
        return _lay_out(image, alpha, source.ndim)

    def _spread_from_float(self, spread, dtype):
        """Bring standard deviations from [0, 1] to the unit of this dtype."""
        low, high = self._range_of(dtype)
        return spread * (high - low)

    def _bound_from_float(self, bound, dtype):
        """Bring ends of intervals from [0, 1] to the range of this dtype."""
        low, high = self._range_of(dtype)
        return np.asarray(bound, dtype=np.float64) * (high - low) + low

    def _from_float(self, image, dtype):
        """Bring an image from [0, 1] to the user's range and dtype."""
        low, high = self._range_of(dtype)
        if (low, high) != (0.0, 1.0):
            wide = np.promote_types(dtype, np.result_type(image, np.float32))
            image = image.astype(wide) * (high - low) + low
        if dtype.kind in "bui":
            image = _round_and_clip(image, dtype)
        return image.astype(dtype, copy=False)

    def _range_of(self, dtype):
        """User values that mean 0 and 1 in this dtype."""
        return _FULL_RANGES.get(dtype.type, self.data_range)


def strips(height, width):
    """Slices of rows that cover an image, each of about a million pixels."""
    n_rows = max(1, 2**20 // width)
    return [slice(top, top + n_rows) for top in range(0, height, n_rows)]


class _OnDemand:
    """A sequence that reads and checks an image when it is asked for.

    The last images are kept, up to `KEPT_BYTES`, and the very last in any case.
    """

    def __init__(self, items, name):
        self._items = items
        self._name = name
        self.check = None  # what else is asked of an image: called with its label
        self._kept, self._n_bytes = OrderedDict(), 0
        self._sizes = {}

    def __getstate__(self):
        """All but what can be read again."""
        return vars(self) | {"_kept": OrderedDict(), "_n_bytes": 0}

    def __len__(self):
        return len(self._items)

    def __getitem__(self, i):
        image = self._kept.get(i)
        if image is None:
            label = f"{self._name}[{i}]"
            image = _checked_image(self._items[i], label)
            if self.check is not None:
                self.check(image, label)
            self._keep(i, image)
        return image

    def _read_size(self, i):
        return self[i].shape[:2]

    def _keep(self, i, image):
        """Keep an image, in place of those that were read first."""
        self._kept[i] = image
        self._n_bytes += image.nbytes
        while self._n_bytes > KEPT_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._n_bytes -= oldest.nbytes

    def image_size(self, i):
        """Height and width of image i, which is read only if nothing else tells."""
        if i not in self._sizes:
            find = getattr(self._items, "image_size", self._read_size)
            self._sizes[i] = find(i)
        return self._sizes[i]


def extremes(array):
    """The least and the greatest value, as floats; NaN if there is none.

    Examples
    --------
    >>> import numpy as np
    >>> extremes(np.array([0.5, np.nan, 0.2]))
    (0.2, 0.5)
    """
    least, most = (f.reduce(array, axis=None) for f in (np.fmin, np.fmax))
    return float(least), float(most)


def find_data_range(arrays):
    """Find the values that mean 0 and 1.

    bool, uint8 and uint16 have a range of their own and are left out. Floats are on
    [0, 1], unless more than 5 % of them lie below -0.5 or more than 5 % above 1.5.
    Those, and all other integers, span from the lowest value, or 0 if that is lower,
    to the highest.

    Parameters
    ----------
    arrays : list of ndarrays
        Numbers without inf. NaN is left out.

    Returns
    -------
    low, high : float
        The values; ``low < high``.

    Examples
    --------
    >>> import numpy as np
    >>> find_data_range([np.array([-0.2, 0.9, np.nan])])
    (0.0, 1.0)
    >>> find_data_range([np.array([3, 16])])
    (0.0, 16.0)
    """
    arrays = [array for array in arrays if array.dtype.type not in _FULL_RANGES]
    if not arrays or _are_near_unit_interval(arrays):
        return 0.0, 1.0
    low = min(0.0, *(float(np.fmin.reduce(array, axis=None)) for array in arrays))
    high = max(low, *(float(np.fmax.reduce(array, axis=None)) for array in arrays))
    return (low, high) if low < high else (low, low + 1.0)


def _are_near_unit_interval(arrays):
    """Whether these are floats, and their middle 90 % inside [-0.5, 1.5]."""
    if any(array.dtype.kind != "f" for array in arrays):
        return False
    step = sum(array.size for array in arrays) // 1_000_000 + 1
    values = np.concatenate([array.flat[::step] for array in arrays])
    few = 0.05 * np.count_nonzero(np.isfinite(values))
    return np.sum(values < -0.5) <= few and np.sum(values > 1.5) <= few


def _examples(source):
    """The images to find a data range from; the first few, where they must be read."""
    if isinstance(source, np.ndarray):
        return [source]
    if isinstance(source, list):
        return source
    n_examples = 1 if source[0].dtype.type in _FULL_RANGES else min(8, len(source))
    return [source[i] for i in range(n_examples)]


def as_images(
    X, *, estimator=None, reset=False, image_shape=None, data_range=None, name="X"
):
    """Check what the user gives and see it as images.

    Parameters
    ----------
    X : array-like, list of images, list of paths or image sequence
        Images as an array of shape (n, H, W, C) or (n, H, W); as a list of arrays
        (H, W[, C]) of any sizes and dtypes; as a list of paths; as an object with
        ``len`` and integer indices that says ``_is_image_sequence = True``, and may
        tell (H, W) of image i by ``image_size(i)``; or as rows of shape
        (n, n_features). Four channels are three colours and alpha.

    estimator : estimator instance, default=None
        The estimator that X is for. Rows must agree with what it was fitted on.

    reset : bool, default=False
        Whether `estimator` is being fitted. It then learns ``n_features_in_`` and
        ``feature_names_in_`` from rows, and forgets them for images.

    image_shape : tuple (H, W) or (H, W, C), default=None
        How a row folds into an image. None: a row is one line of grey pixels.

    data_range : pair of floats, default=None
        Values that mean 0 and 1, see `Images`. None finds them by `find_data_range`.

    name : str, default="X"
        What the user calls X, for errors.

    Returns
    -------
    images : Images
        X, seen as images.

    Raises
    ------
    TypeError
        If X is of a kind or a dtype that can't be images.
    ValueError
        If X is empty, or has infinite values or a shape that can't be images.
    """
    source, pack = _open(X, estimator, reset, image_shape, name)
    if reset and pack is not _stack_rows:
        for learnt_from_rows in ("n_features_in_", "feature_names_in_"):
            vars(estimator).pop(learnt_from_rows, None)
    if data_range is None:
        data_range = find_data_range(_examples(source))
    images = Images(source, pack, data_range, name)
    if isinstance(source, list):
        for i in range(len(images)):
            images.raw(i)  # complains of an image with another number of channels
    return images


def _open(X, estimator, reset, image_shape, name):
    """The images in X, checked, and the function that puts such images together."""
    is_list = isinstance(X, (list, tuple))
    is_sequence = getattr(X, "_is_image_sequence", False)
    if (is_list or is_sequence) and len(X) == 0:
        raise ValueError(f"{name} is empty. {_EXPECTED}")
    if is_sequence:
        return _OnDemand(X, name), list
    if is_list and all(isinstance(path, (str, os.PathLike)) for path in X):
        return _OnDemand(PictureFiles(X), name), list
    if is_list and max(_count_axes(x, f"{name}[{i}]") for i, x in enumerate(X)) > 1:
        return [_checked_image(x, f"{name}[{i}]") for i, x in enumerate(X)], list
    if not is_list and _count_axes(X, name) > 2:
        return _checked_stack(np.asarray(X), name), _stack
    return _checked_rows(X, estimator, reset, image_shape, name), _stack_rows


def refuse_lone_image(images, estimator):
    """Complain of rows where images were learned from: they are one grey image."""
    is_folded = getattr(estimator, "image_shape", None) is not None
    if images.is_rows and estimator.image_mode_ and not is_folded:
        raise ValueError(
            f"X has shape {images.container_shape}, which looks like a single grey "
            "image. Pass X[np.newaxis] for one grey image, and rows as images: "
            "X.reshape(-1, height, width)."
        )


def like_frame(X, rows):
    """Rows with the names that X has, if it is a data frame of pandas or polars."""
    if hasattr(X, "iloc"):
        return type(X)(rows, index=X.index, columns=X.columns)
    if hasattr(X, "columns"):
        return type(X)(dict(zip(X.columns, np.transpose(rows), strict=True)))
    return rows


def _frame_rows_alone(transform):
    """A `transform` whose results `set_output` makes frames of if they are rows."""
    bare = transform.__wrapped__

    @wraps(bare)
    def wrapped(self, X, *args, **options):
        result = bare(self, X, *args, **options)
        is_table = isinstance(result, np.ndarray) and result.ndim == 2
        if not is_table:
            return result
        return _wrap_data_with_container("transform", result, X, self)

    return wrapped


def _count_axes(X, label):
    """The number of axes of what should be an array."""
    if type(X).__module__.partition(".")[0] == "torch":
        raise TypeError(
            f"{label} is a torch tensor. Pass a numpy array, its channels last: "
            "tensor.movedim(-3, -1).numpy() for images, tensor.numpy() for rows."
        )
    _refuse_mask(X, label)
    n_axes = X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim
    if n_axes == 0:
        raise TypeError(f"{label} is a {type(X).__name__}. {_EXPECTED}")
    return n_axes


def _refuse_mask(X, label):
    """Complain of a mask: numpy would show what is behind it."""
    if np.ma.is_masked(X):
        raise TypeError(
            f"{label} is a masked array. Pass floats that are NaN where a pixel is "
            "missing: X.astype(float).filled(np.nan)."
        )


def _checked_image(image, label):
    """An array (H, W[, C]), checked."""
    _refuse_mask(image, label)
    image = np.asarray(image)
    _check_values(image, label)
    if image.ndim not in (2, 3):
        raise ValueError(
            f"{label} has shape {image.shape}; expected (height, width) or (height, "
            "width, channels). Pass a list that holds one such array for each image."
        )
    _check_channels_last(image.shape, label)
    return image


def _checked_stack(X, name):
    """An array (n, H, W[, C]), checked."""
    if X.ndim == 3 and X.shape[2] in (3, 4):
        raise ValueError(
            f"{name} has shape {X.shape}, which looks like a single colour image. Pass "
            f"{name}[np.newaxis] for one colour image, or {name}[..., np.newaxis] for "
            f"grey images that are {X.shape[2]} pixels wide."
        )
    if X.ndim > 4:
        raise ValueError(f"{name} has {X.ndim} axes. {_EXPECTED}")
    _check_values(X, name)
    _check_channels_last(X.shape[1:], name)
    return X


def _checked_rows(X, estimator, reset, image_shape, name):
    """Rows as scikit-learn checks them, folded to images (n, H, W[, C])."""
    if _count_axes(X, name) == 1 and np.asarray(X).dtype.kind in "OUT":
        raise TypeError(
            f"{name} has one axis and dtype {X.dtype}. Pass images of different sizes, "
            f"or paths, as a list: list({name})."
        )
    options = {"dtype": "numeric", "ensure_all_finite": "allow-nan"}
    with np.errstate(invalid="ignore"):  # inf - inf, where infinity is looked for
        if estimator is None:
            rows = check_array(X, input_name=name, **options)
        else:
            rows = validate_data(estimator, X, reset=reset, **options)
    _check_values(rows, name)
    shape = (1, rows.shape[1]) if image_shape is None else image_shape
    if not _is_shape(shape) or math.prod(shape) != rows.shape[1]:
        raise ValueError(
            f"The rows of {name} have {rows.shape[1]} values, which do not fold into "
            f"image_shape={image_shape}. Pass (height, width) or (height, width, "
            "channels) with that product."
        )
    _check_channels_last(shape, name)
    shape = tuple(map(int, shape))
    return rows.reshape(-1, *shape)


def _is_shape(shape):
    """Whether this is (height, width) or (height, width, channels)."""
    is_sequence = isinstance(shape, (tuple, list, np.ndarray)) and len(shape) in (2, 3)
    return is_sequence and all(isinstance(n, Integral) and n >= 1 for n in shape)


def _check_values(array, label):
    """Complain of values that are no pixels."""
    if array.dtype.kind not in "buif":
        raise TypeError(
            f"{label} has dtype {array.dtype}; expected real numbers. Convert it to "
            "integers or floats; pass images of different sizes as a list."
        )
    if array.size == 0:
        raise ValueError(
            f"{label} is empty: its shape is {array.shape}. Pass images of at least "
            "one pixel."
        )
    if array.dtype.kind == "f":
        _check_floats(array, label)


def _check_floats(array, label):
    """Complain of infinity, and of floats whose squares would be infinite."""
    largest = max(map(abs, extremes(array)))
    if largest == math.inf:
        raise ValueError(
            f"{label} contains infinity; expected finite numbers, or NaN where a pixel "
            "is missing. Replace what is infinite by NaN: X[np.isinf(X)] = np.nan."
        )
    if largest > LARGEST:
        raise ValueError(
            f"{label} contains {largest:g}; expected numbers of at most {LARGEST:g}. "
            "Replace what is broken by NaN: X[np.abs(X) > 1e30] = np.nan."
        )


def _check_channels_last(shape, label):
    """Complain of an image shape that looks like (3, H, W)."""
    if len(shape) == 3 and shape[0] == 3 and shape[2] > 4:
        raise ValueError(
            f"{label} has images of shape {shape}, which looks like channels first. "
            "Pass the channels last: np.moveaxis(image, 0, -1), or "
            "np.moveaxis(X, 1, -1) for an array of images."
        )


class ImageInputMixin:
    """What estimators and transformers of images share: their input.

    It stands before ``TransformerMixin`` and ``BaseEstimator`` in the list of bases.
    Where an estimator has a parameter ``image_shape``, rows are folded by it. Whatever
    ``set_output`` says, images come out as arrays.

    Attributes
    ----------
    image_mode_ : bool
        Whether it was fitted on images rather than on rows.

    data_range_ : pair of floats
        Values that meant 0 and 1 when it was fitted, see `Images`.
    """

    _requires_fit = True

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "transform" in cls._sklearn_auto_wrap_output_keys & vars(cls).keys():
            cls.transform = _frame_rows_alone(cls.transform)

    # Where this is missing, set_output leaves what transform returns alone.
    @available_if(lambda self: not getattr(self, "image_mode_", False))
    def get_feature_names_out(self, input_features=None):
        """Names of the features of rows; images have none.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the input features. None: those seen in `fit`, else x0, x1, ...

        Returns
        -------
        feature_names_out : ndarray of str
            The same names.
        """
        check_is_fitted(self, "n_features_in_")
        return _check_feature_names_in(self, input_features)

    def _as_images(self, X, reset=False):
        """See X as images; with `reset`, as those that the estimator is fitted on."""
        images = as_images(
            X,
            estimator=self,
            reset=reset,
            image_shape=getattr(self, "image_shape", None),
            data_range=None if reset else getattr(self, "data_range_", None),
        )
        images.check_scale()
        if reset:
            self.image_mode_ = not images.is_rows
            self.data_range_ = images.data_range
        return images

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = self._requires_fit
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float32", "float64"]
        return tags


def image_hash(image, key):
    """Hash an image, so that it can seed a draw of its own.

    Parameters
    ----------
    image : float32 array of any shape
        As `Images` gives it: equal pixels of any dtype are then the same floats.

    key : int in [0, 2**64)
        Another key gives other hashes.

    Returns
    -------
    hash : int in [0, 2**128)

    Examples
    --------
    >>> import numpy as np
    >>> pixels = np.zeros((1, 2, 3), np.float32)
    >>> image_hash(pixels, key=0) == image_hash(pixels.copy(), key=0)
    True
    >>> image_hash(pixels, key=0) == image_hash(pixels, key=1)
    False
    """
    return _hash_parts(image.shape, [image], key)


def _hash_parts(shape, parts, key):
    """Hash an image of this shape, whose values come part by part."""
    digest = hashlib.blake2b(digest_size=16, key=key.to_bytes(8, "little"))
    digest.update(repr(tuple(shape)).encode())
    for part in parts:
        digest.update(np.ascontiguousarray(part, dtype=np.float32))
    return int.from_bytes(digest.digest(), "little")
