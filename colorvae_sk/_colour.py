"""Colour and tone: casts, fading, lost colour, few levels."""

from numbers import Integral, Real
from typing import ClassVar

import torch

from ._blocks import may_miss
from ._degradation import BaseDegradation, number_or_range


def luma(images):
    """Weigh the channels as the eye does.

    Parameters
    ----------
    images : float tensor of shape (n, C, H, W)
        Channels that are NaN are left out of the mean.

    Returns
    -------
    luma : float tensor of shape (n, 1, H, W)
        ``0.299 R + 0.587 G + 0.114 B`` [1]_ of three channels, the mean of any other
        number; NaN where all of them are.

    References
    ----------
    .. [1] ITU-R, "Studio encoding parameters of digital television", BT.601.

    Examples
    --------
    >>> import torch
    >>> from colorvae_sk.degradations import luma
    >>> print(f"{luma(torch.tensor([1.0, 0.5, 0.0]).reshape(1, 3, 1, 1)).item():.4f}")
    0.5925
    """
    n_channels = images.shape[1]
    weights = (
        [0.299, 0.587, 0.114] if n_channels == 3 else [1 / n_channels] * n_channels
    )
    if not may_miss(images):
        channels = images.unbind(1)
        total = sum(w * channel for w, channel in zip(weights, channels, strict=True))
        return total.unsqueeze(1)
    weights = torch.tensor(weights, device=images.device).reshape(1, -1, 1, 1)
    observed = weights * ~images.isnan()
    return (images.nan_to_num() * observed).sum(1, True) / observed.sum(1, True)


def _quantize(images, n_levels):
    """Clip to [0, 1] and round to so many evenly spaced levels."""
    return images.clamp(0, 1).mul_(n_levels - 1).round_().div_(n_levels - 1)


class ColorCast(BaseDegradation):
    """Tint an image by light of the wrong colour, and shift its tones.

    Each channel becomes ``gain * x**gamma``, clipped to [0, 1] and stored in 8 bits.
    A gain per channel is von Kries' model of a change of light [1]_.

    Parameters
    ----------
    gain : float or pair of floats in [0, inf), default=(0.6, 1.4)
        Factor. A pair (low, high) is drawn from uniformly, for each channel of each
        image anew.

    gamma : float or pair of floats in (0, inf), default=(0.7, 1.4)
        Exponent; above 1 darkens the middle tones. A pair (low, high) is drawn from
        uniformly, for each image anew.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same damage in each call.
        See scikit-learn's glossary.

    References
    ----------
    .. [1] J. von Kries, "Die Gesichtsempfindungen", Handbuch der Physiologie des
       Menschen 3 (1905).

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import ColorCast
    >>> ColorCast(gain=0.8, gamma=2.0).transform(np.full((1, 1, 1, 3), 0.5))[0, 0]
    array([[0.2, 0.2, 0.2]])
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDegradation._parameter_constraints,
        "gain": number_or_range(Real, 0, None, closed="left"),
        "gamma": number_or_range(Real, 0, None, closed="neither"),
    }

    def __init__(self, gain=(0.6, 1.4), gamma=(0.7, 1.4), random_state=None):
        self.gain = gain
        self.gamma = gamma
        self.random_state = random_state

    def _degrade(self, images, generator):
        gain = self._draw("gain", images, generator, n_channels=images.shape[1])
        gamma = self._draw("gamma", images, generator)
        return _quantize(images.clamp(min=0).pow_(gamma).mul_(gain), 256)


class Fade(BaseDegradation):
    """Fade an image as old prints do: less contrast, paler colours.

    Colours move towards their luma, then tones towards a grey:
    ``f = luma + saturation * (x - luma)``, ``pivot + contrast * (f - pivot)``,
    clipped to [0, 1] and stored in 8 bits, as by a scanner. How dyes fade is told in
    [1]_.

    Parameters
    ----------
    contrast : float or pair of floats in [0, 1], default=(0.35, 0.75)
        Share of the contrast that is left. A pair (low, high) is drawn from uniformly,
        for each image anew; so are the other two.

    saturation : float or pair of floats in [0, 1], default=(0.2, 0.7)
        Share of the colour that is left.

    pivot : float or pair of floats in [0, 1], default=(0.4, 0.7)
        The grey, on the [0, 1] scale, towards which tones move.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same damage in each call.
        See scikit-learn's glossary.

    References
    ----------
    .. [1] H. Wilhelm and C. Brower, "The Permanence and Care of Color Photographs",
       Preservation Publishing Company (1993).

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import Fade
    >>> fade = Fade(contrast=0.5, saturation=1, pivot=0.6)
    >>> print(fade.transform(np.array([[[[0.0, 0.2, 1.0]]]]))[0, 0].round(2))
    [[0.3 0.4 0.8]]
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDegradation._parameter_constraints,
        "contrast": number_or_range(Real, 0, 1),
        "saturation": number_or_range(Real, 0, 1),
        "pivot": number_or_range(Real, 0, 1),
    }

    def __init__(
        self,
        contrast=(0.35, 0.75),
        saturation=(0.2, 0.7),
        pivot=(0.4, 0.7),
        random_state=None,
    ):
        self.contrast = contrast
        self.saturation = saturation
        self.pivot = pivot
        self.random_state = random_state

    def _degrade(self, images, generator):
        pale = luma(images).lerp(images, self._draw("saturation", images, generator))
        pivot = self._draw("pivot", images, generator)
        contrast = self._draw("contrast", images, generator)
        return _quantize(pivot.lerp(pale, contrast), 256)


class Desaturate(BaseDegradation):
    """Pull every colour towards the grey of the same luma.

    Each channel becomes ``x + strength * (luma - x)``, with luma after BT.601 [1]_. To
    undo it at full strength is to colour a grey picture [2]_. A missing channel is left
    out of the luma.

    Parameters
    ----------
    strength : float or pair of floats in [0, 1], default=0.5
        0 leaves the colours alone; 1 leaves only their luma. A pair (low, high) is
        drawn from uniformly, for each image anew.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same damage in each call.
        See scikit-learn's glossary.

    See Also
    --------
    Fade : Loses contrast too.

    References
    ----------
    .. [1] ITU-R, "Studio encoding parameters of digital television", BT.601.
    .. [2] R. Zhang, P. Isola and A. A. Efros, "Colorful image colorization", ECCV
       (2016).

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import Desaturate
    >>> red = np.array([[[[1.0, 0.0, 0.0]]]])
    >>> print(Desaturate(strength=1).transform(red)[0, 0].round(3))
    [[0.299 0.299 0.299]]
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDegradation._parameter_constraints,
        "strength": number_or_range(Real, 0, 1),
    }

    def __init__(self, strength=0.5, random_state=None):
        self.strength = strength
        self.random_state = random_state

    def _degrade(self, images, generator):
        strength = self._draw("strength", images, generator)
        # Unlike x + strength * (luma - x), this is luma to the last bit at 1.
        return torch.lerp(images, luma(images), strength)


class Quantize(BaseDegradation):
    """Round to few tones, as storage does.

    Values are clipped to [0, 1] and rounded to the nearest multiple of
    ``1 / (n_levels - 1)``.

    Parameters
    ----------
    n_levels : int or pair of ints in [2, inf), default=256
        How many values a channel can have; 256 is storage in 8 bits. A pair
        (low, high) is drawn from uniformly, for each image anew.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same damage in each call.
        See scikit-learn's glossary.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import Quantize
    >>> Quantize(n_levels=3).transform(np.array([[[-0.1, 0.2, 0.4, 0.9, 1.3]]]))[0]
    array([[0. , 0. , 0.5, 1. , 1. ]])
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDegradation._parameter_constraints,
        "n_levels": number_or_range(Integral, 2, None, closed="left"),
    }

    def __init__(self, n_levels=256, random_state=None):
        self.n_levels = n_levels
        self.random_state = random_state

    def _degrade(self, images, generator):
        return _quantize(images, self._draw_integer("n_levels", images, generator))
