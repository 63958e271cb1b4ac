"""Blur: what lenses do to a picture."""

from numbers import Real
from typing import ClassVar

import torch

from ._degradation import (
    BaseDegradation,
    ends,
    number_or_range,
)


class GaussianBlur(BaseDegradation):
    """Blur as a lens slightly out of focus does, with a Gaussian kernel.

    Each pixel becomes a mean of those around it, weighted by
    ``exp(-d**2 / (2 * sigma**2))`` at distance d, up to 4 sigma away. Beyond the
    border the image is mirrored. This is ``scipy.ndimage.gaussian_filter``. Missing
    pixels are left out of the mean [1]_.

    Parameters
    ----------
    sigma : float or pair of floats in [0, inf), default=1.5
        Standard deviation of the kernel, in pixels. A pair (low, high) is drawn from
        uniformly, for each image anew.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same damage in each call.
        See scikit-learn's glossary.

    References
    ----------
    .. [1] H. Knutsson and C.-F. Westin, "Normalized and differential convolution",
       CVPR (1993).

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import GaussianBlur
    >>> dot = np.zeros((1, 5, 5))
    >>> dot[0, 2, 2] = 1
    >>> print(GaussianBlur(0.5).transform(dot)[0, 2].round(2))
    [0.   0.08 0.62 0.08 0.  ]
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDegradation._parameter_constraints,
        "sigma": number_or_range(Real, 0, None, closed="left"),
    }

    def __init__(self, sigma=1.5, random_state=None):
        self.sigma = sigma
        self.random_state = random_state

    def _degrade(self, images, generator):
        kernels = self._kernels(self._draw("sigma", images, generator))
        missing = images.isnan()
        if not missing.any():
            return _convolve(images, kernels)
        seen = _convolve((~missing).float(), kernels)
        blurred = _convolve(images.nan_to_num(), kernels) / seen
        return torch.where(missing, images, blurred)

    def _kernels(self, sigma):
        """One kernel per image, as wide as the largest sigma asks: (n, 1, 1, taps)."""
        radius = int(4 * ends(self.sigma)[1] + 0.5)
        distance = torch.arange(-radius, radius + 1, device=sigma.device).abs()
        weights = torch.exp(-0.5 * (distance / sigma.clamp(min=1e-6)) ** 2)
        weights *= distance <= (4 * sigma + 0.5).floor()
        return weights / weights.sum(dim=3, keepdim=True)


def _convolve(images, kernels):
    """Filter rows and columns of images (n, C, H, W) with kernels (n, 1, 1, taps)."""
    for axis in (2, 3):
        length, n_taps = images.shape[axis], kernels.shape[3]
        padded = images.index_select(axis, _mirror(length, n_taps // 2, images.device))
        images = torch.zeros_like(images)
        for tap in range(n_taps):
            shifted = padded.narrow(axis, tap, length)
            images.addcmul_(shifted, kernels[..., tap : tap + 1])
    return images


def _mirror(length, margin, device):
    """Indices that continue an axis by its mirror image (d c b a | a b c d | d c b)."""
    index = torch.arange(-margin, length + margin, device=device) % (2 * length)
    return torch.minimum(index, 2 * length - 1 - index)
