"""Containers like a user's, filled part by part with what is computed."""

import numpy as np


class Canvas:
    """A container like a user's, to be filled.

    Parameters
    ----------
    sources : ndarray, list or other sequence of arrays (H, W) or (H, W, C)
        The user's images; four channels are three colours and alpha.

    shape : tuple or None
        The shape of the container; None where it is a list.

    dtype_of : callable
        From the dtype of an image to the dtype here.

    convert : callable
        From values on [0, 1] and the dtype of an image to values as they are here.

    has_alpha : bool, default=True
        Whether alpha is that of the user's image; else it is zero.

    out : ndarray or list of ndarrays, default=None
        Where to write: like what `result` gives without it.

    Raises
    ------
    TypeError
        If `out` does not consist of arrays.
    ValueError
        If it has another shape or dtype, is read-only, shares memory with the user's
        images, or holds an array twice.
    """

    def __init__(self, sources, shape, dtype_of, convert, has_alpha=True, out=None):
        self._sources, self._shape, self._out = sources, shape, out
        self._dtype_of, self._convert = dtype_of, convert
        self._has_alpha = has_alpha
        if shape is None:
            self._images = [None] * len(sources) if out is None else self._as_list(out)
        else:
            self._images = self._blank(sources) if out is None else self._as_array(out)

    def write(self, i, rows, columns, values):
        """Write values (C, h, w) on [0, 1] to a part of image i, two slices."""
        source = self._sources[i]
        if self._images[i] is None:
            self._images[i] = self._blank(source)
        values = self._convert(values, source.dtype)
        place = self._images[i][rows, columns]
        if source.ndim == 2:
            place[...] = values[0]
            return
        n_channels = len(values)
        place[..., :n_channels] = np.moveaxis(values, 0, 2)
        alpha = source[rows, columns, n_channels:] if self._has_alpha else 0
        place[..., n_channels:] = alpha

    def result(self):
        """The container: `out`, if there is one."""
        if self._out is not None:
            return self._out
        if self._shape is None:
            return self._images
        return self._images.reshape(self._shape)

    def _blank(self, source):
        return np.empty(source.shape, self._dtype_of(source.dtype))

    def _as_array(self, out):
        """`out`, seen as images, if it can hold them."""
        check_out(out, self._shape, self._dtype_of(self._sources.dtype), "out")
        check_apart(out, self._sources)
        if self._shape == self._sources.shape:
            return out
        if not out.flags.c_contiguous:
            raise ValueError("Expected out to be C-contiguous, as X is of rows.")
        return out.reshape(self._sources.shape)

    def _as_list(self, out):
        """`out` as a list, if it can hold the images."""
        if len(out) != len(self._sources):
            raise ValueError(
                f"X has {len(self._sources)} image(s), but out has {len(out)}. Pass an "
                "array for each."
            )
        for i, place in enumerate(out):
            image = self._sources[i]
            check_out(place, image.shape, self._dtype_of(image.dtype), f"out[{i}]")
            check_apart(place, image)
        check_distinct(out)
        return list(out)


def check_out(out, shape, dtype, label):
    """Complain unless `out` is an array of this shape and dtype to write to."""
    if not isinstance(out, np.ndarray):
        raise TypeError(
            f"Expected {label} to be a numpy array, such as one of np.memmap, got "
            f"{type(out).__name__}."
        )
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(
            f"Expected {label} of shape {shape} and dtype {dtype}, as the result has "
            f"them, got {out.shape} and {out.dtype}."
        )
    if not out.flags.writeable:
        raise ValueError(f"{label} is read-only. Pass an array that can be written to.")


def check_apart(out, source):
    """Complain if `out` is where the damaged image is."""
    if np.may_share_memory(out, source):
        raise ValueError(
            "out shares memory with X, which would be overwritten while it is needed. "
            "Pass another array."
        )


def check_distinct(out):
    """Complain if an array is there for two images."""
    first = {}
    for i, place in enumerate(out):
        k = first.setdefault(place.ctypes.data, i)
        if k != i:
            raise ValueError(
                f"out[{i}] is where out[{k}] is. Pass an array of its own for each."
            )
