"""How close restored images come to the clean ones.

PSNR, SSIM, MS-SSIM, the colour difference CIEDE2000 and a ratio of sharpness as plain
functions of images, and the scorers that bring them to scikit-learn's model selection,
which looks for the highest: a ratio has none. All see images on the
[0, 1] scale, count only pixels that are observed, score each image by itself and
average over the images.
"""

from copy import copy
from itertools import starmap
from numbers import Real

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import _check_sample_weight

from ._images import _FULL_RANGES, FARTHEST, as_images

_RADIUS = 5  # of SSIM's Gaussian window, in pixels: 3.5 standard deviations of 1.5
_C1, _C2 = 0.01**2, 0.03**2  # SSIM's constants for images of range 1
_SCALE_WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])  # fine to coarse


def _mean(values):
    """Mean of the values that are not NaN; NaN if there is none."""
    values = values[~np.isnan(values)]
    return values.mean() if values.size else np.nan


def _psnr(target, restored):
    """PSNR in dB of one image (C, H, W) of range 1."""
    with np.errstate(divide="ignore"):  # equal images: inf
        return -10 * np.log10(_mean((target - restored) ** 2))


def _smooth(image):
    """Mean under a Gaussian window around each pixel, channel by channel."""
    return gaussian_filter(image, sigma=(0, 1.5, 1.5), truncate=3.5)


def _without_border(maps):
    """Leave out windows that hang over the edge, along sides that one fits in."""
    sides = [
        slice(_RADIUS, n - _RADIUS) if n > 2 * _RADIUS else slice(None)
        for n in maps.shape[1:]
    ]
    return maps[:, *sides]


def _similarity_maps(target, restored):
    """SSIM's luminance term and its contrast-structure term; NaN where none counts."""
    seen = ~np.isnan(target + restored)
    weight = np.where(seen, _smooth(seen.astype(float)), np.nan)

    def local_mean(values):
        return _smooth(np.where(seen, values, 0.0)) / weight

    mean_t, mean_r = local_mean(target), local_mean(restored)
    var_t = local_mean(target**2) - mean_t**2
    var_r = local_mean(restored**2) - mean_r**2
    covariance = local_mean(target * restored) - mean_t * mean_r
    luminance = (2 * mean_t * mean_r + _C1) / (mean_t**2 + mean_r**2 + _C1)
    structure = (2 * covariance + _C2) / (var_t + var_r + _C2)
    return _without_border(luminance), _without_border(structure)


def _channel_means(maps):
    """Mean of each channel over what counts, (C, H, W) -> (C,)."""
    return np.array([_mean(channel) for channel in maps])


def _ssim(target, restored):
    """SSIM of one image (C, H, W) of range 1."""
    luminance, structure = _similarity_maps(target, restored)
    return _mean(_channel_means(luminance * structure))


def _halve(image):
    """Average squares of 2 x 2 pixels; odd sides repeat their last line."""
    odd = [(0, n % 2) for n in image.shape[1:]]
    image = np.pad(image, [(0, 0), *odd], mode="edge")
    n_channels, height, width = image.shape
    squares = image.reshape(n_channels, height // 2, 2, width // 2, 2)
    n_seen = np.sum(~np.isnan(squares), axis=(2, 4))
    return np.nansum(squares, axis=(2, 4)) / np.where(n_seen, n_seen, np.nan)


def _scale_weights(shape):
    """Exponents of the scales at which SSIM's window still fits into the image."""
    n_fitting = int(np.log2(max(1, min(shape) / (2 * _RADIUS + 1)))) + 1
    weights = _SCALE_WEIGHTS[:n_fitting]
    all_fit = len(weights) == len(_SCALE_WEIGHTS)  # as published: the sum is 1.0001
    return weights if all_fit else weights / weights.sum()


def _ms_ssim(target, restored):
    """MS-SSIM of one image (C, H, W) of range 1."""
    hidden = np.isnan(target + restored)
    target, restored = (np.where(hidden, np.nan, x) for x in (target, restored))
    *fine, coarsest = _scale_weights(target.shape[1:])
    scores = np.ones(len(target))
    for weight in fine:
        _, structure = _similarity_maps(target, restored)
        scores *= np.maximum(_channel_means(structure), 0) ** weight
        target, restored = _halve(target), _halve(restored)
    luminance, structure = _similarity_maps(target, restored)
    scores *= np.maximum(_channel_means(luminance * structure), 0) ** coarsest
    return _mean(scores)


def _lab_difference(lab_true, lab_pred):
    """CIEDE2000 between colours (..., 3) in CIELAB."""
    from skimage.color import deltaE_ciede2000

    return deltaE_ciede2000(lab_true, lab_pred)


def _ciede2000(target, restored):
    """Mean CIEDE2000 of one sRGB image (3, H, W) of range 1."""
    from skimage.color import rgb2lab

    # A channel that is NaN makes its pixel's whole colour NaN.
    labs = (rgb2lab(np.moveaxis(image, 0, -1)) for image in (target, restored))
    return _mean(_lab_difference(*labs))


def _laplacian_energy(image, seen):
    """Mean square of the Laplacian of one image (C, H, W) over the inner pixels."""
    inner = image[:, 1:-1, 1:-1]
    around = image[:, :-2, 1:-1] + image[:, 2:, 1:-1]
    around = around + image[:, 1:-1, :-2] + image[:, 1:-1, 2:]
    return _mean(np.where(seen, around - 4 * inner, np.nan) ** 2)


def _sharpness(target, restored):
    """Energy of the Laplacian of one image beside that of the clean one."""
    seen = ~np.isnan(target + restored)
    seen = (
        seen[:, 1:-1, 1:-1]
        & seen[:, :-2, 1:-1]
        & seen[:, 2:, 1:-1]
        & seen[:, 1:-1, :-2]
        & seen[:, 1:-1, 2:]
    )
    energy, reference = (_laplacian_energy(x, seen) for x in (restored, target))
    return energy / reference if reference > 0 else np.nan


def _check_count(reference, images, name):
    """Refuse images that are not as many as the true ones."""
    if len(images) != len(reference):
        raise ValueError(
            f"y_true holds {len(reference)} image(s), but {name} {len(images)}. "
            f"Pass as {name} one image for each in y_true, in the same order."
        )


def _open_beside(reference, y, name, image_shape, data_range):
    """See y as images, as many as the reference's and on the same scale."""
    images = as_images(y, image_shape=image_shape, data_range=data_range, name=name)
    _check_count(reference, images, name)
    if data_range is None:
        _check_scales(reference, images, name)
    images.data_range = reference.data_range
    return images


def _check_scales(reference, images, name):
    """Refuse images whose scales plainly differ."""
    dtypes = [each.raw(0).dtype for each in (reference, images)]
    fixed = [dtype.type in _FULL_RANGES for dtype in dtypes]
    low, high = images.data_range if fixed[0] else reference.data_range
    if fixed[0] != fixed[1] and (low, high) != (0.0, 1.0):
        raise ValueError(
            f"{name} is {dtypes[1]} beside {dtypes[0]}, and the one that is not "
            f"{' or '.join(t.__name__ for t in _FULL_RANGES)} reaches from {low:g} to "
            f"{high:g}. Pass values on [0, 1], or say which of them mean 0 and 1, as "
            "in data_range=(0, 255)."
        )
    if not any(fixed):
        _check_reaches(reference, images)
        _check_reaches(images, reference)


def _check_reaches(near, far):
    """Refuse values on [0, 1] beside others that reach much further."""
    low, high = far.data_range
    is_unit = near.data_range == (0.0, 1.0)
    if is_unit and high - low > FARTHEST and near.tells_scale:
        raise ValueError(
            f"{far._name} reaches from {low:g} to {high:g}, but {near._name} is on "
            "[0, 1]. Pass both on the same scale."
        )


def _open(y_true, y_pred, image_shape, data_range):
    """See what the user gives as two equally long `Images` on one scale."""
    if data_range is not None:
        _check_range(data_range)
    truth = as_images(
        y_true, image_shape=image_shape, data_range=data_range, name="y_true"
    )
    return truth, _open_beside(truth, y_pred, "y_pred", image_shape, data_range)


def _check_range(data_range):
    """Refuse what is no pair of numbers, the lower one first."""
    is_pair = isinstance(data_range, (tuple, list, np.ndarray)) and len(data_range) == 2
    is_real = is_pair and all(isinstance(end, Real) for end in data_range)
    if not is_real or not -np.inf < data_range[0] < data_range[1] < np.inf:
        raise ValueError(
            f"data_range={data_range!r} is no range. Pass the values that mean 0 and "
            "1, the lower one first, as in (0, 255)."
        )


def _to_unit(images, raw, precision=np.float64):
    """Turn pixels (H, W, C) into float64 (C, H, W) on [0, 1], rounded to precision."""
    low, high = images._range_of(raw.dtype)
    unit = (np.moveaxis(raw, -1, 0).astype(np.float64) - low) / (high - low)
    return unit.astype(precision).astype(np.float64)


def _check_shapes(i, target, other, name):
    """Refuse an image that is not as large as its target."""
    if target.shape != other.shape:
        raise ValueError(
            f"Image {i} is {target.shape} in y_true but {other.shape} in {name}. "
            f"Pass as {name} one image for each in y_true, in the same order."
        )


def _pairs(truth, estimate, clip):
    """Yield each image as a pair of float64 arrays (C, H, W) of range 1."""
    for i in range(len(truth)):
        raws = truth.raw(i), estimate.raw(i)
        _check_shapes(i, *raws, "y_pred")
        single = any(r.dtype.kind == "f" and r.dtype.itemsize <= 4 for r in raws)
        precision = np.float32 if single else np.float64
        target, restored = (
            _to_unit(images, raw, precision)
            for images, raw in zip((truth, estimate), raws, strict=True)
        )
        yield target, np.clip(restored, 0, 1) if clip else restored


def _average(scores, truth, sample_weight):
    """Average the images' scores; those that are NaN have nothing to compare."""
    weights = _check_sample_weight(
        sample_weight, np.ones(len(truth)), ensure_non_negative=True
    )
    if weights.dtype.kind not in "buif" or not np.isfinite(weights).all():
        raise ValueError("Expected sample_weight to be finite real numbers.")
    scores = np.fromiter(scores, dtype=float)
    counted = ~np.isnan(scores) & (weights > 0)  # 0 * inf is NaN
    if not counted.any():
        raise ValueError(
            "y_true and y_pred have nothing to compare: no image of positive weight "
            "has pixels that are observed (not NaN) in both."
        )
    return float(np.average(scores[counted], weights=weights[counted]))


def psnr_score(
    y_true, y_pred, *, sample_weight=None, clip=True, image_shape=None, data_range=None
) -> float:
    """Peak signal-to-noise ratio in dB, averaged over the images.

    ``-10 * log10(mean squared error)`` of each image, on the [0, 1] scale.

    Parameters
    ----------
    y_true : array-like of shape (n_images, height, width[, n_channels]), list of \
            images or array-like of shape (n_images, n_features)
        The clean images. bool, uint8 and uint16 are scaled by the range of their
        dtype; floats are on [0, 1], or on `data_range`. NaN marks what is missing.
        Alpha doesn't count.

    y_pred : array-like or list of the same shapes
        The restored images, on the same scale; the dtype may be another.

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
        In dB; more is better, and ``inf`` is exact.

    Raises
    ------
    ValueError
        If `y_true` and `y_pred` differ in number or shape of the images or in their
        scale, or if they have no observed value in common.

    Notes
    -----
    A value counts where it is observed, that is not NaN, in both images. An image
    without any such value is left out of the average.

    Where either image is in single precision, both are compared in it: so uint8
    images equal their float32 copies.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import psnr_score
    >>> clean = np.full((2, 16, 16, 3), 0.5)
    >>> round(psnr_score(clean, clean + 0.1), 6)
    20.0
    >>> psnr_score(clean, clean)
    inf
    """
    truth, estimate = _open(y_true, y_pred, image_shape, data_range)
    scores = starmap(_psnr, _pairs(truth, estimate, clip))
    return _average(scores, truth, sample_weight)


def ssim_score(
    y_true, y_pred, *, sample_weight=None, clip=True, image_shape=None, data_range=None
) -> float:
    """Structural similarity, averaged over channels and images.

    SSIM as Wang et al. [1]_ define it: a Gaussian window of standard deviation 1.5
    pixels, 11 pixels wide, population covariance, range 1.

    Parameters
    ----------
    y_true : array-like of shape (n_images, height, width[, n_channels]), list of \
            images or array-like of shape (n_images, n_features)
        The clean images. bool, uint8 and uint16 are scaled by the range of their
        dtype; floats are on [0, 1], or on `data_range`. NaN marks what is missing.
        Alpha doesn't count.

    y_pred : array-like or list of the same shapes
        The restored images, on the same scale; the dtype may be another.

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
        At most 1, and 1 if equal; negative where the structure is reversed.

    Raises
    ------
    ValueError
        If `y_true` and `y_pred` differ in number or shape of the images or in their
        scale, or if they have no observed value to compare.

    See Also
    --------
    skimage.metrics.structural_similarity : Gives the same number with
        ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        data_range=1``, where nothing is missing and both sides are 11 pixels or more.

    Notes
    -----
    Only windows that lie wholly inside the image count. Along a side shorter than 11
    pixels none does: there all count, and the image goes on by reflection.

    With missing values, the statistics of a window are those of the values observed
    in both images, and only windows around such a value count. A channel or an image
    without any is left out of the average.

    References
    ----------
    .. [1] Z. Wang, A. C. Bovik, H. R. Sheikh and E. P. Simoncelli, "Image quality
       assessment: from error visibility to structural similarity", IEEE Transactions
       on Image Processing 13(4), 600-612, 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import ssim_score
    >>> clean = np.random.default_rng(0).random((2, 16, 16, 3))
    >>> ssim_score(clean, clean)
    1.0
    >>> ssim_score(clean, 1 - clean) < 0
    True
    """
    truth, estimate = _open(y_true, y_pred, image_shape, data_range)
    scores = starmap(_ssim, _pairs(truth, estimate, clip))
    return _average(scores, truth, sample_weight)


def ms_ssim_score(
    y_true, y_pred, *, sample_weight=None, clip=True, image_shape=None, data_range=None
) -> float:
    """Multi-scale structural similarity, averaged over channels and images.

    MS-SSIM as Wang, Simoncelli and Bovik [1]_ define it: contrast and structure are
    compared at five scales, each half as fine as the one before, luminance at the
    last, and the product is weighted by the published exponents.

    Parameters
    ----------
    y_true : array-like of shape (n_images, height, width[, n_channels]), list of \
            images or array-like of shape (n_images, n_features)
        The clean images. bool, uint8 and uint16 are scaled by the range of their
        dtype; floats are on [0, 1], or on `data_range`. NaN marks what is missing.
        Alpha doesn't count.

    y_pred : array-like or list of the same shapes
        The restored images, on the same scale; the dtype may be another.

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
        From 0 to 1, which is exact.

    Raises
    ------
    ValueError
        If `y_true` and `y_pred` differ in number or shape of the images or in their
        scale, or if they have no observed value to compare.

    Notes
    -----
    Five scales need 176 pixels on the shorter side. A smaller image is compared at
    the finest scales alone, and their exponents are scaled up to the sum of 1: four
    scales from 88 pixels, three from 44, two from 22. Below, MS-SSIM is SSIM. So
    compare scores of images that are about of one size.

    A scale whose mean is negative counts as 0, since the exponents are fractions. At
    each scale borders and missing values are treated as `ssim_score` does; from scale
    to scale, the values observed in a square of 2 x 2 pixels are averaged.

    References
    ----------
    .. [1] Z. Wang, E. P. Simoncelli and A. C. Bovik, "Multi-scale structural
       similarity for image quality assessment", Asilomar Conference on Signals,
       Systems and Computers, 1398-1402, 2003.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import ms_ssim_score
    >>> clean = np.random.default_rng(0).random((1, 44, 44, 3))
    >>> ms_ssim_score(clean, clean)
    1.0
    """
    truth, estimate = _open(y_true, y_pred, image_shape, data_range)
    scores = starmap(_ms_ssim, _pairs(truth, estimate, clip))
    return _average(scores, truth, sample_weight)


def ciede2000_error(
    y_true, y_pred, *, sample_weight=None, clip=True, image_shape=None, data_range=None
) -> float:
    """Mean colour difference CIEDE2000, averaged over pixels and images.

    About 1 is just noticeable between two patches side by side [1]_. Images are taken
    as sRGB, seen under the illuminant D65 by the 2 degree observer.

    Parameters
    ----------
    y_true : array-like of shape (n_images, height, width, 3), list of images or \
            array-like of shape (n_images, n_features)
        The clean images, in colour. uint8 and uint16 are scaled by the range of their
        dtype; floats are on [0, 1], or on `data_range`. NaN marks what is missing.
        Alpha doesn't count.

    y_pred : array-like or list of the same shapes
        The restored images, on the same scale; the dtype may be another.

    sample_weight : array-like of shape (n_images,), default=None
        Weights of the images.

    clip : bool, default=True
        Whether values of `y_pred` outside of [0, 1] are first clipped, as any screen
        or file would. `y_true` is never clipped.

    image_shape : tuple (height, width, 3), default=None
        How rows fold into images; rows need it here.

    data_range : pair of floats, default=None
        Values that mean 0 and 1 in floats, and in integers other than uint8 and
        uint16. None is (0, 1), unless `y_true` is plainly not on it: then the range
        of `y_true`.

    Returns
    -------
    error : float
        Less is better, and 0 is exact; black and white are 100 apart.

    Raises
    ------
    ValueError
        If the images don't have three channels, if `y_true` and `y_pred` differ in
        number or shape of the images or in their scale, or if they have no observed
        pixel in common.

    Notes
    -----
    A pixel counts where all its channels are observed, that is not NaN, in both
    images. An image without any such pixel is left out of the average.

    References
    ----------
    .. [1] G. Sharma, W. Wu and E. N. Dalal, "The CIEDE2000 color-difference formula:
       implementation notes, supplementary test data, and mathematical observations",
       Color Research and Application 30(1), 21-30, 2005.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import ciede2000_error
    >>> white = np.ones((1, 16, 16, 3))
    >>> round(ciede2000_error(white, np.zeros((1, 16, 16, 3))), 2)
    100.0
    """
    truth, estimate = _open(y_true, y_pred, image_shape, data_range)
    if truth.n_channels != 3:
        raise ValueError(
            "CIEDE2000 compares sRGB colours and expects images of 3 channels, but "
            f"y_true has {truth.n_channels}. Pass colour images (for rows, with "
            "image_shape=(height, width, 3)), or use psnr_score or ssim_score."
        )
    scores = starmap(_ciede2000, _pairs(truth, estimate, clip))
    return _average(scores, truth, sample_weight)


def sharpness_ratio(
    y_true, y_pred, *, sample_weight=None, clip=True, image_shape=None, data_range=None
):
    """Energy of the Laplacian relative to the clean images, averaged over the images.

    The energy is the mean square of ``up + down + left + right - 4 * centre``, a
    measure of focus of microscopes [1]_. Restorations that are as sharp as the clean
    image come to 1, soft ones to less; noise that is left over counts as sharpness.

    Parameters
    ----------
    y_true : array-like of shape (n_images, height, width[, n_channels]), list of \
            images or array-like of shape (n_images, n_features)
        The clean images. bool, uint8 and uint16 are scaled by the range of their
        dtype; floats are on [0, 1], or on `data_range`. NaN marks what is missing.
        Alpha doesn't count.

    y_pred : array-like or list of the same shapes
        The restored images, on the same scale; the dtype may be another.

    sample_weight : array-like of shape (n_images,), default=None
        Weights of the images.

    clip : bool, default=True
        Whether values of `y_pred` outside of [0, 1] are first clipped, as any screen
        or file would. `y_true` is never clipped.

    image_shape : tuple (height, width[, n_channels]), default=None
        How rows fold into images; rows need it here.

    data_range : pair of floats, default=None
        Values that mean 0 and 1 in floats, and in integers other than uint8 and
        uint16. None is (0, 1), unless `y_true` is plainly not on it: then the range
        of `y_true`.

    Returns
    -------
    ratio : float
        From 0; neither more nor less than 1 is better. So look at a measure of
        likeness too, such as `psnr_score`.

    Raises
    ------
    ValueError
        If `y_true` and `y_pred` differ in number or shape of the images or in their
        scale, or if no image has pixels to compare: three by three at least, in some
        of which the clean image is not flat.

    Notes
    -----
    A pixel counts where it and its four neighbours are observed, that is not NaN, in
    both images. An image without any such pixel, or whose clean version is flat, is
    left out of the average.

    References
    ----------
    .. [1] J. L. Pech-Pacheco, G. Cristobal, J. Chamorro-Martinez and J.
       Fernandez-Valdivia, "Diatom autofocusing in brightfield microscopy: a comparative
       study", International Conference on Pattern Recognition, 2000.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import GaussianBlur, sharpness_ratio
    >>> clean = np.random.default_rng(0).random((1, 32, 32, 3))
    >>> sharpness_ratio(clean, clean)
    1.0
    >>> sharpness_ratio(clean, GaussianBlur(2.0).transform(clean)) < 0.01
    True
    """
    truth, estimate = _open(y_true, y_pred, image_shape, data_range)
    scores = starmap(_sharpness, _pairs(truth, estimate, clip))
    return _average(scores, truth, sample_weight)


class _ImageScorer:
    """Compare what an estimator restores with the clean images.

    A scorer is called as ``scorer(estimator, X, y)``, so it can be the `scoring` of
    :class:`~sklearn.model_selection.GridSearchCV` and of
    :func:`~sklearn.model_selection.cross_validate`. Unlike
    :func:`~sklearn.metrics.make_scorer` it needs no `y`.

    Parameters
    ----------
    metric : callable
        ``metric(y_true, y_pred, sample_weight=None)``.

    sign : {1, -1}, default=1
        -1 for an error, so that more is always better.
    """

    def __init__(self, metric, sign=1):
        self.metric = metric
        self.sign = sign
        self._weight_request = None

    def __repr__(self):
        sign = "" if self.sign == 1 else f", sign={self.sign}"
        return f"{type(self).__name__}({self.metric.__name__}{sign})"

    def __call__(self, estimator, X, y=None, sample_weight=None):
        """Score what ``estimator.predict(X)`` restores.

        Parameters
        ----------
        estimator : estimator instance
            Fitted; its `predict` returns images.

        X : array-like or list of images
            What to restore.

        y : array-like or list of images, default=None
            The clean version of each image in X. None: X is clean.

        sample_weight : array-like of shape (n_images,), default=None
            Weights of the images.

        Returns
        -------
        score : float
        """
        clean = X if y is None else y
        restored = estimator.predict(X)
        return self.sign * self.metric(clean, restored, sample_weight=sample_weight)

    def set_score_request(self, *, sample_weight):
        """Ask for weights where scikit-learn routes metadata.

        Parameters
        ----------
        sample_weight : bool, str or None
            See :ref:`metadata_routing`.

        Returns
        -------
        scorer : _ImageScorer
            A copy that asks; the scorer itself is shared by all and stays as it is.
        """
        scorer = copy(self)
        scorer._weight_request = sample_weight
        return scorer

    def get_metadata_routing(self):
        """Tell scikit-learn which metadata is asked for.

        Returns
        -------
        request : MetadataRequest
        """
        request = MetadataRequest(owner=repr(self))
        request.score.add_request(param="sample_weight", alias=self._weight_request)
        return request


psnr_scorer = _ImageScorer(psnr_score)
ssim_scorer = _ImageScorer(ssim_score)
ms_ssim_scorer = _ImageScorer(ms_ssim_score)
ciede2000_scorer = _ImageScorer(ciede2000_error, sign=-1)
