"""Noise: what light, sensors and transmission add to a picture."""

from numbers import Real
from typing import ClassVar

import torch

from ._degradation import BaseDegradation, number_or_range


class GaussianNoise(BaseDegradation):
    """Add white noise from a normal distribution.

    Each pixel and channel becomes ``x + sigma * e`` with its own ``e ~ N(0, 1)``.

    Parameters
    ----------
    sigma : float or pair of floats in [0, inf), default=0.1
        Standard deviation of the noise on the [0, 1] scale; 25 / 255 is the "sigma 25"
        of the literature [1]_. A pair (low, high) is drawn from uniformly, for each
        image anew.

    clip : bool, default=True
        Whether to clip to [0, 1], as a camera does and ``skimage.util.random_noise``.
        The literature's test sets are not clipped.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same damage in each call.
        See scikit-learn's glossary.

    References
    ----------
    .. [1] K. Zhang, W. Zuo and L. Zhang, "FFDNet: toward a fast and flexible solution
       for CNN-based image denoising", IEEE Transactions on Image Processing 27 (2018).

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import GaussianNoise
    >>> noisy = GaussianNoise(0.1, random_state=0).transform(np.full((1, 64, 64), 0.5))
    >>> print(f"{noisy.std():.2f}")
    0.10
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDegradation._parameter_constraints,
        "sigma": number_or_range(Real, 0, None, closed="left"),
        "clip": ["boolean"],
    }

    def __init__(self, sigma=0.1, clip=True, random_state=None):
        self.sigma = sigma
        self.clip = clip
        self.random_state = random_state

    def _degrade(self, images, generator):
        sigma = self._draw("sigma", images, generator)
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        noisy = noise.mul_(sigma).add_(images)
        return noisy.clamp_(0, 1) if self.clip else noisy
