"""Resolution: what is lost when a picture is stored too small."""

from functools import lru_cache
from numbers import Real
from typing import ClassVar

import torch
from sklearn.utils._param_validation import StrOptions
from torch.nn import functional

from ._degradation import BaseDegradation, fill_missing_with_means, number_or_range
from ._separable import LONGEST, apply_along_axes

_MODES = {  # how torch calls them, and whether they can smooth before they shrink
    "nearest": {"mode": "nearest-exact"},
    "bilinear": {"mode": "bilinear", "antialias": True},
    "bicubic": {"mode": "bicubic", "antialias": True},
    "area": {"mode": "area"},
}


class _SomeOf(StrOptions):
    """Constraint on a parameter: a list of some of several strings."""

    def is_satisfied_by(self, val):
        """Whether this is a list of them, not an empty one."""
        return (
            isinstance(val, (tuple, list))
            and len(val) > 0
            and all(super(_SomeOf, self).is_satisfied_by(one) for one in val)
        )

    def __str__(self):
        return "a list of some of these"


class Downsample(BaseDegradation):
    """Shrink an image and bring it back to its size.

    Its height and width are divided by `factor` and rounded, to 1 at least. The way
    back is cubic convolution [1]_, as in the test sets of the literature [2]_; a
    channel's values stay within the range that they had. Missing pixels are filled with
    their channel's mean before, and are missing again after.

    Parameters
    ----------
    factor : float or pair of floats in [1, inf), default=2
        How many times smaller. A pair (low, high) is drawn from uniformly, for each
        image anew.

    filter : {"nearest", "bilinear", "bicubic", "area"} or list, default="bicubic"
        How to shrink: by the nearest pixel alone, which leaves jagged edges; by a
        triangle or cubic filter as wide as `factor` asks; or by the mean over the
        pixels that become one. From a list of these, each image draws one [3]_.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same damage in each call.
        See scikit-learn's glossary.

    References
    ----------
    .. [1] R. G. Keys, "Cubic convolution interpolation for digital image processing",
       IEEE Transactions on Acoustics, Speech, and Signal Processing 29 (1981).
    .. [2] C. Dong, C. C. Loy, K. He and X. Tang, "Image super-resolution using deep
       convolutional networks", IEEE Transactions on Pattern Analysis and Machine
       Intelligence 38 (2016).
    .. [3] X. Wang, L. Xie, C. Dong and Y. Shan, "Real-ESRGAN: training real-world blind
       super-resolution with pure synthetic data", ICCV workshops (2021).

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import Downsample
    >>> stripes = np.array([[[0.0, 1.0] * 4]])
    >>> print(Downsample(factor=2, filter="area").transform(stripes)[0].round(2))
    [[0.5 0.5 0.5 0.5 0.5 0.5 0.5 0.5]]
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDegradation._parameter_constraints,
        "factor": number_or_range(Real, 1, None, closed="left"),
        "filter": [StrOptions(set(_MODES)), _SomeOf(set(_MODES))],
    }

    def __init__(self, factor=2, filter="bicubic", random_state=None):
        self.factor = factor
        self.filter = filter
        self.random_state = random_state

    def _degrade(self, images, generator):
        factors = self._draw("factor", images, generator).flatten().tolist()
        filters = self._draw_filters(images, generator)
        filled = fill_missing_with_means(images)
        resized = _resize(filled.contiguous(), factors, filters)
        low, high = filled.amin((2, 3), True), filled.amax((2, 3), True)
        resized = resized.maximum(low).minimum(high)
        if filled is images:
            return resized
        return torch.where(images.isnan(), images, resized)

    def _draw_filters(self, images, generator):
        """The name of a filter for each image."""
        if isinstance(self.filter, str):
            return [self.filter] * len(images)
        n, device = len(images), images.device
        drawn = torch.randint(
            len(self.filter), (n,), generator=generator, device=device
        )
        return [self.filter[i] for i in drawn.tolist()]


def _resize(images, factors, filters):
    """Shrink each image by a factor of its own and enlarge it again."""
    if max(images.shape[2:]) > LONGEST:
        return torch.cat(list(map(_shrink, images.split(1), factors, filters)))
    height, width = images.shape[2:]
    across = _matrices(width, factors, filters).to(images.device)
    if height == width:
        return apply_along_axes(images, across, across)
    down = _matrices(height, factors, filters).to(images.device)
    return apply_along_axes(images, down, across)


def _matrices(length, factors, filters):
    """What happens to an axis of each image, as matrices (n, length, length)."""
    small = [_small(length, factor) for factor in factors]
    return torch.stack(
        [_matrix(length, *how) for how in zip(small, filters, strict=True)]
    )


@lru_cache(1024)
def _matrix(length, small, filter):
    """What shrinking an axis to a small length and enlarging it does, as a matrix."""
    across = torch.eye(length).reshape(1, 1, length, length)
    shrunk = functional.interpolate(across, (length, small), **_MODES[filter])
    enlarged = functional.interpolate(shrunk, (length, length), **_MODES["bicubic"])
    return enlarged[0, 0].T.contiguous()


def _small(length, factor):
    """How long an axis is when it is so many times shorter."""
    return max(1, round(length / factor))


def _shrink(image, factor, filter):
    """Shrink an image (1, C, H, W) and enlarge it again."""
    size = tuple(image.shape[2:])
    small = tuple(_small(length, factor) for length in size)
    shrunk = functional.interpolate(image, small, **_MODES[filter])
    return functional.interpolate(shrunk, size, **_MODES["bicubic"])
