"""How many of the true values lie inside predicted intervals.

Measures like those of `metrics`: each image by itself, what is observed of it, and then
the mean over images.
"""

from numbers import Real

import numpy as np
from scipy.special import ndtri
from sklearn.utils import check_scalar

from ._images import as_images
from .metrics import _average, _check_count, _check_shapes, _mean, _open, _pairs


def _open_with_std(y_true, y_pred, y_std, image_shape, data_range):
    """See the three as equally long `Images`; deviations keep their unit."""
    truth, estimate = _open(y_true, y_pred, image_shape, data_range)
    stds = as_images(y_std, image_shape=image_shape, data_range=(0, 1), name="y_std")
    _check_count(truth, stds, "y_std")
    return truth, estimate, stds


def _spreads(stds, estimate):
    """Yield the standard deviations of each image, float64 (C, H, W)."""
    for i in range(len(stds)):
        std, restored = stds.raw(i), estimate.raw(i)
        _check_shapes(i, restored, std, "y_std")
        if np.any(std < 0):
            raise ValueError(
                f"Image {i} of y_std has negative values. Expected standard "
                "deviations, as predict(X, return_std=True) gives them."
            )
        low, high = estimate._range_of(restored.dtype)
        yield np.moveaxis(std, -1, 0).astype(np.float64) / (high - low)


def _coverage(target, restored, half_width):
    """Share of the true values that are no further off than half the interval."""
    distance = np.abs(target - restored)
    seen = ~np.isnan(distance + half_width)
    return _mean((distance <= half_width)[seen])


def _coverages(truth, estimate, stds, reaches, clip):
    """Yield, of each image, its shares inside these many standard deviations."""
    images = zip(_pairs(truth, estimate, clip), _spreads(stds, estimate), strict=True)
    for pair, spread in images:
        yield [_coverage(*pair, reach * spread) for reach in reaches]


def _share_between(i, *images):
    """Share of the true values of image i between its ends."""
    raws = [each.raw(i) for each in images]
    _check_shapes(i, raws[0], raws[1], "the lower ends")
    _check_shapes(i, raws[0], raws[2], "the upper ends")
    if np.any(raws[1] > raws[2]):
        raise ValueError(
            f"Image {i} has lower ends above the upper ones. Pass the pair (lower, "
            "upper), as predict_interval(X) gives it."
        )
    dtype = np.result_type(*raws[1:], np.float32)  # as precise as the ends are
    target, lower, upper = (raw.astype(dtype) for raw in raws)
    seen = ~np.isnan(target + lower + upper)
    return _mean(((lower <= target) & (target <= upper))[seen])


def coverage_score(
    y_true,
    y_pred,
    y_std,
    coverage=0.9,
    *,
    sample_weight=None,
    clip=True,
    image_shape=None,
    data_range=None,
) -> float:
    """Share of the true values that lie inside the predicted intervals.

    The interval of a value is ``y_pred +- z * y_std``, where `z` is such that it holds
    the share `coverage` of a Gaussian. Error bars are honest if the score comes out
    as `coverage`: less means that they are too short, more that they are too long.

    Parameters
    ----------
    y_true : array-like of shape (n_images, height, width[, n_channels]), list of \
            images or array-like of shape (n_images, n_features)
        The clean images. bool, uint8 and uint16 are scaled by the range of their
        dtype; floats are on [0, 1], or on `data_range`. NaN marks what is missing.
        Alpha doesn't count.

    y_pred : array-like or list of the same shapes
        The restored images, on the same scale; the dtype may be another.

    y_std : array-like or list of the same shapes
        Standard deviations of `y_pred`, in the same unit, as
        ``predict(X, return_std=True)`` gives them: grey levels if `y_pred` is uint8.

    coverage : float in (0, 1), default=0.9
        The share that the intervals claim to hold.

    sample_weight : array-like of shape (n_images,), default=None
        Weights of the images.

    clip : bool, default=True
        Whether values of `y_pred` outside of [0, 1] are first clipped, as any screen
        or file would. `y_true` is never clipped.

    image_shape : tuple (height, width[, n_channels]), default=None
        How rows fold into images. None makes each row an image of a single line.

    data_range : pair of floats, default=None
        Values that mean 0 and 1 in floats, and in integers other than uint8 and
        uint16. None is (0, 1), unless `y_true` is plainly not on it: then the range
        of `y_true`.

    Returns
    -------
    score : float
        From 0 to 1; best where it equals `coverage`.

    Raises
    ------
    ValueError
        If `y_std` is negative, if `coverage` is not between 0 and 1, if the three
        differ in number or shape of the images or in their scale, or if they have no
        observed value in common.

    Notes
    -----
    A value counts where it is observed, that is not NaN, in all three. An image
    without any such value is left out of the average.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import coverage_score
    >>> rng = np.random.default_rng(0)
    >>> restored, std = np.full((2, 16, 16, 3), 0.5), np.full((2, 16, 16, 3), 0.1)
    >>> clean = restored + rng.normal(0, 0.1, restored.shape)
    >>> round(coverage_score(clean, restored, std, coverage=0.9), 1)
    0.9
    """
    check_scalar(
        coverage, "coverage", Real, min_val=0, max_val=1, include_boundaries="neither"
    )
    images = _open_with_std(y_true, y_pred, y_std, image_shape, data_range)
    shares = _coverages(*images, [ndtri((1 + coverage) / 2)], clip)
    return _average((share for (share,) in shares), images[0], sample_weight)


def interval_coverage_score(
    y_true, y_interval, *, sample_weight=None, image_shape=None
) -> float:
    """Share of the true values that lie inside given intervals.

    Parameters
    ----------
    y_true : array-like of shape (n_images, height, width[, n_channels]), list of \
            images or array-like of shape (n_images, n_features)
        The clean images. NaN marks what is missing. Alpha doesn't count.

    y_interval : pair of array-likes or lists of the same shapes
        Lower and upper ends, in the unit of `y_true`, as ``predict_interval(X)`` gives
        them: grey levels if `y_true` is uint8. Both ends belong to the interval.

    sample_weight : array-like of shape (n_images,), default=None
        Weights of the images.

    image_shape : tuple (height, width[, n_channels]), default=None
        How rows fold into images. None makes each row an image of a single line.

    Returns
    -------
    score : float
        From 0 to 1: the mean over images.

    Raises
    ------
    ValueError
        If a lower end lies above an upper one, if there are not as many ends as true
        images, or of other shapes, or if nothing is observed in all three.

    See Also
    --------
    coverage_score : The same of Gaussian intervals, from standard deviations.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import interval_coverage_score
    >>> clean = np.array([[[10, 20], [30, 40]]], np.uint8)
    >>> interval_coverage_score(clean, (clean - 2.5, np.array([[[15, 25], [35, 39]]])))
    0.75
    """
    if len(y_interval) != 2:
        raise ValueError(
            f"Expected y_interval to be the pair (lower, upper), got {len(y_interval)} "
            "of them. Pass what predict_interval(X) gives."
        )
    names = ("y_true", "the lower ends", "the upper ends")
    images = [
        as_images(each, image_shape=image_shape, data_range=(0, 1), name=name)
        for each, name in zip((y_true, *y_interval), names, strict=True)
    ]
    for ends, name in zip(images[1:], names[1:], strict=True):
        _check_count(images[0], ends, name)
    scores = (_share_between(i, *images) for i in range(len(images[0])))
    return _average(scores, images[0], sample_weight)
