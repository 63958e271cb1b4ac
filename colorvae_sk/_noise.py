"""Noise: what light, sensors and transmission add to a picture."""

from numbers import Real
from typing import ClassVar

import torch

from ._blocks import may_miss
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


class PoissonNoise(BaseDegradation):
    """Count photons, as a sensor does in poor light: shot noise.

    Each pixel and channel becomes ``k / peak`` with its own ``k ~ Poisson(x * peak)``,
    so that its variance is ``x / peak``: light tones are noisier than dark ones [1]_.
    Values below 0 count as black.

    Parameters
    ----------
    peak : float or pair of floats in (0, 16777216], default=100
        Photons counted where the value is 1; fewer are noisier. The upper end is the
        number up to which float32 can count. A pair (low, high) is drawn from
        uniformly, for each image anew.

    clip : bool, default=True
        Whether to clip to [0, 1], as a camera does.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same damage in each call.
        See scikit-learn's glossary.

    References
    ----------
    .. [1] A. Foi, M. Trimeche, V. Katkovnik and K. Egiazarian, "Practical
       Poissonian-Gaussian noise modeling and fitting for single-image raw-data", IEEE
       Transactions on Image Processing 17 (2008).

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import PoissonNoise
    >>> shot = PoissonNoise(peak=50, random_state=0)
    >>> noisy = shot.transform(np.full((1, 64, 64), 0.5))
    >>> print(f"{noisy.std():.2f}, expected {np.sqrt(0.5 / 50):.2f}")
    0.10, expected 0.10
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDegradation._parameter_constraints,
        "peak": number_or_range(Real, 0, 2**24, closed="right"),
        "clip": ["boolean"],
    }

    def __init__(self, peak=100, clip=True, random_state=None):
        self.peak = peak
        self.clip = clip
        self.random_state = random_state

    def _degrade(self, images, generator):
        peak = self._draw("peak", images, generator)
        expected = images.nan_to_num().clamp_(min=0).mul_(peak)
        noisy = torch.poisson(expected, generator=generator).div_(peak)
        noisy = noisy.clamp_(max=1) if self.clip else noisy
        return torch.where(images.isnan(), images, noisy) if may_miss(images) else noisy


class SaltPepperNoise(BaseDegradation):
    """Turn some pixels white and some black, as transmission errors do.

    Each pixel is struck on its own, all its channels at once: it turns white with the
    chance ``fraction * salt`` and black with ``fraction * (1 - salt)`` [1]_.

    Parameters
    ----------
    fraction : float or pair of floats in [0, 1], default=0.05
        Share of the pixels that is struck. A pair (low, high) is drawn from uniformly,
        for each image anew.

    salt : float or pair of floats in [0, 1], default=0.5
        Share of white ones among them. A pair (low, high) is drawn from uniformly, for
        each image anew.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same damage in each call.
        See scikit-learn's glossary.

    See Also
    --------
    MissingPixels : Pixels of which it is known that they are lost.

    References
    ----------
    .. [1] R. C. Gonzalez and R. E. Woods, "Digital Image Processing", 4th edition,
       Pearson (2018), section 5.2.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import SaltPepperNoise
    >>> noise = SaltPepperNoise(fraction=0.1, random_state=0)
    >>> values, counts = np.unique(
    ...     noise.transform(np.full((1, 99, 99), 0.5)), return_counts=True
    ... )
    >>> print(values, (counts / 99**2).round(2))
    [0.  0.5 1. ] [0.05 0.9  0.05]
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDegradation._parameter_constraints,
        "fraction": number_or_range(Real, 0, 1),
        "salt": number_or_range(Real, 0, 1),
    }

    def __init__(self, fraction=0.05, salt=0.5, random_state=None):
        self.fraction = fraction
        self.salt = salt
        self.random_state = random_state

    def _degrade(self, images, generator):
        fraction = self._draw("fraction", images, generator)
        salt = self._draw("salt", images, generator)
        shape = (len(images), 1, *images.shape[2:])
        chances = torch.rand(shape, generator=generator, device=images.device)
        struck = (chances < fraction) & ~images.isnan()
        return images.lerp((chances < fraction * salt).float(), struck.float())
