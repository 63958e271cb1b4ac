"""What does not belong: evidence of each pixel, how strange it is, and boxes around it.

An image is filled in where it was hidden, and what was there is compared with that, in
units of the error bars. Arrays are float, (C, H, W) on the [0, 1] scale, NaN where
missing; maps are (H, W).
"""

import numpy as np
from scipy import ndimage

EXTENT = 0.6  # of the highest value of a region: where it ends
QUIET = 1e-2  # of squared standardised residuals: below, none is told from another


def checkerboard(size, side):
    """Squares (H, W) of a checkerboard: 0 and 1."""
    rows, columns = (np.arange(n) // side for n in size)
    return (rows[:, None] + columns) % 2


def evidence(image, restored, std, sigma):
    """What tells a strange pixel, of one way to hide: a map (H, W), and its weight.

    The logarithm of the squared standardised residual, averaged near by: it is low
    where an image is smoother than it ought to be, and high where it is rougher. With
    `sigma` 0 the residual itself. The weight is the share of the window that is seen.
    """
    residual = (image - restored) / std
    seen = ~np.isnan(residual)
    if sigma > 0:
        residual = np.log(residual**2 + QUIET)
    total, weight = np.where(seen, residual, 0.0).mean(axis=0), seen.mean(axis=0)
    if sigma > 0:
        total, weight = (
            ndimage.gaussian_filter(part, sigma, mode="constant", truncate=3)
            for part in (total, weight)
        )
    mean = np.divide(total, weight, out=np.zeros_like(total), where=weight > 1e-6)
    return mean, weight


def fit_normal(samples):
    """Mean and whitening matrix of rows (n, n_features), as a normal distribution."""
    mean = samples.mean(axis=0)
    spread = samples.std(axis=0) + 1e-6
    scaled = (samples - mean) / spread
    covariance = scaled.T @ scaled / len(samples) + 1e-3 * np.eye(len(mean))
    return mean, np.linalg.inv(np.linalg.cholesky(covariance)) / spread


def strangeness(maps, weight, mean, whitening):
    """Distance (H, W) of each pixel from the mean [1]_; 1 is usual.

    It counts less where less is seen, as at the border, by the square root.

    References
    ----------
    .. [1] P. C. Mahalanobis, "On the generalised distance in statistics", 1936.
    """
    n_features, height, width = maps.shape
    centred = maps.reshape(n_features, -1) - mean[:, None]
    distance = np.linalg.norm(whitening @ centred, axis=0) / np.sqrt(n_features)
    return distance.reshape(height, width) * np.sqrt(weight)


def boxes(strange, threshold, min_area):
    """Boxes around what is stranger than a threshold: int array (n, 4).

    The strangest comes first. A region reaches as far as a share (`EXTENT`) of its
    highest value, or the threshold.
    """
    from skimage.measure import label, regionprops

    found = []
    for region in regionprops(label(strange > threshold), intensity_image=strange):
        top, left, _, _ = region.bbox
        values = np.where(region.image, region.image_intensity, 0.0)
        peak = values.max()
        parts = label(values > max(threshold, EXTENT * peak))
        at_peak = parts == parts[np.unravel_index(values.argmax(), values.shape)]
        if at_peak.sum() >= min_area:
            rows, columns = (np.flatnonzero(at_peak.any(axis)) for axis in (1, 0))
            box = (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
            found.append((peak, np.add(box, (top, left, top, left))))
    found.sort(key=lambda pair: -pair[0])
    return np.array([box for _, box in found], dtype=int).reshape(-1, 4)
