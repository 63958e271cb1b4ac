"""Holes: what is missing of a picture."""

import math
from numbers import Integral, Real
from typing import ClassVar

import torch

from ._degradation import BaseDegradation, ends, number_or_range


class MissingPixels(BaseDegradation):
    """Lose pixels, or square blocks of them, in all channels at once.

    What is lost becomes NaN. Blocks fall anywhere, may overlap and may stick out of
    the image. Of all pixels the fraction asked for is lost on average: at each pixel
    ``-log(1 - fraction) / size**2`` blocks begin on average, as a Poisson process has
    it [1]_. Single pixels are lost with the chance `fraction` each.

    Parameters
    ----------
    fraction : float or pair of floats in [0, 1], default=0.3
        Share of the pixels that is lost. A pair (low, high) is drawn from uniformly,
        for each image anew.

    size : int or pair of ints in [1, 4096], default=1
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
        "size": number_or_range(Integral, 1, 4096),
    }
    _writes_nan = True

    def __init__(self, fraction=0.3, size=1, random_state=None):
        self.fraction = fraction
        self.size = size
        self.random_state = random_state

    def _degrade(self, images, generator):
        fraction = self._draw("fraction", images, generator)
        size = self._draw_integer("size", images, generator)
        if ends(self.size)[1] == 1:
            shape, device = (len(images), 1, *images.shape[2:]), images.device
            lost = torch.rand(shape, generator=generator, device=device) < fraction
        else:
            lost = _draw_blocks(fraction, size, images, generator)
        return _lose(images, lost)


class MissingScratches(BaseDegradation):
    """Lose straight scratches right across the picture, in all channels at once.

    What is lost becomes NaN. A scratch runs through a point drawn from the whole
    picture, in a direction drawn from all, and takes every pixel whose centre is at
    most ``width / 2`` away. Scratches are what film and prints most often suffer [1]_.

    Parameters
    ----------
    n : int or pair of ints in [0, 1000], default=3
        How many scratches. A pair (low, high) is drawn from uniformly, for each image
        anew.

    width : float or pair of floats in [1, inf), default=2
        Width of the scratches, in pixels. A pair (low, high) is drawn from uniformly,
        for each image anew.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same damage in each call.
        See scikit-learn's glossary.

    References
    ----------
    .. [1] A. C. Kokaram, "Motion Picture Restoration", Springer (1998).

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import MissingScratches
    >>> scratch = MissingScratches(n=1, width=1, random_state=2)
    >>> np.isnan(scratch.transform(np.ones((1, 5, 9)))[0]).astype(int)
    array([[0, 0, 0, 0, 1, 0, 0, 0, 0],
           [0, 0, 0, 0, 0, 1, 0, 0, 0],
           [0, 0, 0, 0, 0, 1, 1, 0, 0],
           [0, 0, 0, 0, 0, 0, 1, 0, 0],
           [0, 0, 0, 0, 0, 0, 0, 1, 0]])
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDegradation._parameter_constraints,
        "n": number_or_range(Integral, 0, 1000),
        "width": number_or_range(Real, 1, None, closed="left"),
    }
    _writes_nan = True

    def __init__(self, n=3, width=2, random_state=None):
        self.n = n
        self.width = width
        self.random_state = random_state

    def _degrade(self, images, generator):
        count = self._draw_integer("n", images, generator)
        width = self._draw("width", images, generator)
        lines = _draw_lines(self._largest("n", count), images, generator)
        lost = torch.zeros_like(images[:, :1], dtype=torch.bool)
        for i, (down, across) in enumerate(zip(*lines, strict=True)):
            reach = torch.where(i < count, width / 2, -1)
            lost |= (down - across).abs_() <= reach
        return _lose(images, lost)


class MissingChannels(BaseDegradation):
    """Lose whole channels of an image.

    What is lost becomes NaN, as when of three colour separations one can't be found.
    Any channels are as likely to be lost as any others.

    Parameters
    ----------
    n : int or pair of ints in [0, inf), default=1
        How many channels are lost, at most all of them: 1 is all of a grey picture. A
        pair (low, high) is drawn from uniformly, for each image anew.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same damage in each call.
        See scikit-learn's glossary.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import MissingChannels
    >>> MissingChannels(n=1, random_state=0).transform(np.ones((1, 1, 1, 3)))[0, 0]
    array([[ 1., nan,  1.]])
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDegradation._parameter_constraints,
        "n": number_or_range(Integral, 0, None, closed="left"),
    }
    _writes_nan = True

    def __init__(self, n=1, random_state=None):
        self.n = n
        self.random_state = random_state

    def _degrade(self, images, generator):
        n = self._draw_integer("n", images, generator)
        shape, device = (*images.shape[:2], 1, 1), images.device
        order = torch.rand(shape, generator=generator, device=device).argsort(dim=1)
        return _lose(images, order < n)


def _lose(images, lost):
    """NaN where a flag is up, by a product: on CPU `masked_fill` takes much longer."""
    seen = (~lost).to(images.dtype)
    return images * seen.div_(seen)  # 0 / 0 is NaN


def _draw_blocks(fraction, size, images, generator):
    """Squares that cover such a share of each image: flags (n, 1, H, W).

    Their upper left corners are a Poisson process on the grid of the pixels. Where they
    begin and end is added up in a table of differences.
    """
    n_images, (height, width), device = len(images), images.shape[2:], images.device
    size = size.flatten()
    places = (height + size - 1) * (width + size - 1)  # some begin outside of the image
    rate = -torch.log1p(-fraction.flatten()).clamp(min=-20) / size**2
    count = torch.poisson(rate * places, generator=generator).long()
    owner = torch.arange(n_images, device=device).repeat_interleave(count)
    size = size[owner]
    rows, columns = (_draw_ends(length, size, generator) for length in (height, width))
    corners = (owner * (height + 1) + rows[:, None]) * (width + 1) + columns
    signs = torch.tensor([[1, -1], [-1, 1]], dtype=torch.int32, device=device)
    signs = signs[:, :, None].expand_as(corners)
    shape = (n_images, 1, height + 1, width + 1)
    changes = torch.zeros(shape, dtype=torch.int32, device=device)
    changes.view(-1).index_add_(0, corners.flatten(), signs.flatten())
    n_blocks = changes.cumsum(2, dtype=torch.int32).cumsum(3, dtype=torch.int32)
    return (n_blocks[..., :height, :width] > 0) | (fraction == 1)


def _draw_ends(length, size, generator):
    """Where segments begin and end (2, n) on an axis, some starting before it."""
    place = torch.rand(len(size), generator=generator, device=size.device)
    first = (place * (length + size - 1)).long() - size + 1
    return torch.stack([first, first + size]).clamp_(0, length)


def _draw_lines(n_lines, images, generator):
    """Lines across each image; a pixel is ``abs(down - across)`` away from one.

    Of the shapes (n_lines, n, 1, H, 1) and (n_lines, n, 1, 1, W).
    """
    (height, width), device = images.shape[2:], images.device
    shape = (3, n_lines, len(images), 1, 1, 1)
    y, x, turn = torch.rand(shape, generator=generator, device=device)
    angle = math.pi * turn
    down = torch.arange(height, device=device)[:, None] + 0.5 - y * height
    across = torch.arange(width, device=device) + 0.5 - x * width
    return down * angle.cos(), across * angle.sin()
