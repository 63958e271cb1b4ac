"""Holes: what is missing of a picture."""

from numbers import Integral, Real
from typing import ClassVar

import torch
from torch.nn import functional

from ._degradation import BaseDegradation, ends, number_or_range


class MissingPixels(BaseDegradation):
    """Lose pixels, or square blocks of them, in all channels at once.

    What is lost becomes NaN. Blocks fall anywhere, may overlap and may stick out of
    the image. Of all pixels the fraction asked for is lost on average: a block starts
    at any pixel with the chance ``1 - (1 - fraction)**(1 / size**2)`` [1]_.

    Parameters
    ----------
    fraction : float or pair of floats in [0, 1], default=0.3
        Share of the pixels that is lost. A pair (low, high) is drawn from uniformly,
        for each image anew.

    size : int or pair of ints in [1, inf), default=1
        Side of the blocks, in pixels. A pair (low, high) is drawn from uniformly, for
        each image anew.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same damage in each call.
        See scikit-learn's glossary.

    References
    ----------
    .. [1] S. N. Chiu, D. Stoyan, W. S. Kendall and J. Mecke, "Stochastic Geometry and
       its Applications", 3rd edition, Wiley (2013), chapter 3: the Boolean model.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import MissingPixels
    >>> holes = MissingPixels(0.3, random_state=0).transform(np.ones((1, 99, 99, 3)))
    >>> print(f"{np.isnan(holes).mean():.1f}")
    0.3
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDegradation._parameter_constraints,
        "fraction": number_or_range(Real, 0, 1),
        "size": number_or_range(Integral, 1, None, closed="left"),
    }
    _writes_nan = True

    def __init__(self, fraction=0.3, size=1, random_state=None):
        self.fraction = fraction
        self.size = size
        self.random_state = random_state

    def _degrade(self, images, generator):
        fraction = self._draw("fraction", images, generator)
        size = self._draw_integer("size", images, generator)
        chance = -torch.expm1(torch.log1p(-fraction) / size**2)
        margin = ends(self.size)[1] - 1  # for blocks that start outside of the image
        shape = (len(images), 1, images.shape[2] + margin, images.shape[3] + margin)
        chances = torch.rand(shape, generator=generator, device=images.device)
        lost = chances < chance
        if margin:
            for _ in range(2):  # across, then down
                lost = _any_ahead(lost, size, margin).mT
        return images.masked_fill(lost, torch.nan)


def _any_ahead(flags, size, margin):
    """Whether any of `size` flags from here on is up, along the last axis."""
    counts = functional.pad(flags.cumsum(-1, dtype=torch.int32), (1, 0))
    here = torch.arange(flags.shape[-1] - margin, device=flags.device)
    ahead = torch.take_along_dim(counts, here + size, dim=-1)
    return ahead > counts[..., : len(here)]
