"""More pictures from those that there are: changes that leave a picture a picture.

An augmentation changes the tensors of one batch alike, the damaged images and the clean
ones, so that pairs stay pairs. It works on the device of its images, and each image
draws its own change.
"""

from numbers import Real
from typing import ClassVar

import torch
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from ._colour import luma
from ._degradation import draw_uniform, number_or_range

__all__ = ["BaseAugmentation", "ColorJitter", "RandomFlip", "RandomQuarterTurn"]


class BaseAugmentation(BaseEstimator):
    """Base class of all augmentations.

    A subclass names its parameters in ``__init__``, says in
    ``_parameter_constraints`` what they may be, and defines
    ``_augment(tensors, generator)``: it takes a list of float32 tensors (n, C, H, W) on
    the [0, 1] scale, NaN where a pixel is missing, of which the i-th images belong
    together, and gives back a list of new ones.
    """

    _parameter_constraints: ClassVar[dict] = {}

    @torch.no_grad()
    def __call__(self, tensors, generator):
        """Change images, all versions of one alike.

        Parameters
        ----------
        tensors : list of float32 tensors of shape (n, C, H, W)
            Versions of the same images on the [0, 1] scale: damaged and clean.
        generator : torch.Generator
            Where the changes are drawn from, on the device of the images.

        Returns
        -------
        augmented : list of float32 tensors of shape (n, C, H, W)
            New tensors, in the order of the old ones.
        """
        return self._augment(tensors, generator)


def choose(chance, tensors, generator):
    """For which images something happens: a bool tensor (n, 1, 1, 1)."""
    shape, device = (len(tensors[0]), 1, 1, 1), tensors[0].device
    return torch.rand(shape, generator=generator, device=device) < chance


class RandomFlip(BaseAugmentation):
    """Mirror images, left to right and upside down.

    Parameters
    ----------
    horizontal : float in [0, 1], default=0.5
        Chance to mirror an image left to right.

    vertical : float in [0, 1], default=0.5
        Chance to mirror it upside down.

    Examples
    --------
    >>> import torch
    >>> from colorvae_sk.augmentations import RandomFlip
    >>> images = torch.tensor([[[[0.1, 0.9]]]])
    >>> RandomFlip(horizontal=1.0)([images], torch.Generator())
    [tensor([[[[0.9000, 0.1000]]]])]
    """

    _parameter_constraints: ClassVar[dict] = {
        "horizontal": [Interval(Real, 0, 1, closed="both")],
        "vertical": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(self, horizontal=0.5, vertical=0.5):
        self.horizontal = horizontal
        self.vertical = vertical

    def _augment(self, tensors, generator):
        for axis, chance in ((3, self.horizontal), (2, self.vertical)):
            chosen = choose(chance, tensors, generator)
            tensors = [torch.where(chosen, t.flip(axis), t) for t in tensors]
        return tensors


class RandomQuarterTurn(BaseAugmentation):
    """Turn square images by 0, 90, 180 or 270 degrees; leave others as they are.

    Examples
    --------
    >>> import torch
    >>> from colorvae_sk.augmentations import RandomQuarterTurn
    >>> images = torch.tensor([[[[0.1, 0.2], [0.3, 0.4]]]])
    >>> (turned,) = RandomQuarterTurn()([images], torch.Generator().manual_seed(1))
    >>> turned.sum()
    tensor(1.)
    """

    def _augment(self, tensors, generator):
        if tensors[0].shape[2] != tensors[0].shape[3]:
            return tensors
        for quarters in (1, 2):  # together they make 0, 1, 2 or 3
            chosen = choose(0.5, tensors, generator)
            tensors = [
                torch.where(chosen, t.rot90(quarters, (2, 3)), t) for t in tensors
            ]
        return tensors


class ColorJitter(BaseAugmentation):
    """Change brightness, contrast and saturation of a picture, of all versions alike.

    ``y = luma + saturation * (x - luma)``, ``z = 0.5 + contrast * (y - 0.5)``, and
    ``brightness * z`` [1]_. Nothing is clipped.

    Parameters
    ----------
    brightness : float or pair of floats in [0, inf), default=(0.8, 1.2)
        Factor on all values. A pair (low, high) is drawn from uniformly, for each image
        anew; so are the other two.

    contrast : float or pair of floats in [0, inf), default=(0.8, 1.2)
        Factor on the distance from middle grey, 0.5.

    saturation : float or pair of floats in [0, inf), default=(0.8, 1.2)
        Factor on the distance from the luma of the pixel.

    References
    ----------
    .. [1] A. G. Howard: Some Improvements on Deep Convolutional Neural Network Based
       Image Classification, 2013.

    Examples
    --------
    >>> import torch
    >>> from colorvae_sk.augmentations import ColorJitter
    >>> darken = ColorJitter(brightness=0.5, contrast=1, saturation=1)
    >>> clean, damaged = torch.full((2, 1, 3, 1, 1), 0.8)
    >>> [t.flatten() for t in darken([clean, damaged], torch.Generator())]
    [tensor([0.4000, 0.4000, 0.4000]), tensor([0.4000, 0.4000, 0.4000])]
    """

    _parameter_constraints: ClassVar[dict] = {
        name: number_or_range(Real, 0, None, closed="left")
        for name in ("brightness", "contrast", "saturation")
    }

    def __init__(
        self, brightness=(0.8, 1.2), contrast=(0.8, 1.2), saturation=(0.8, 1.2)
    ):
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation

    def _augment(self, tensors, generator):
        names = ("brightness", "contrast", "saturation")
        brightness, contrast, saturation = (
            draw_uniform(getattr(self, name), tensors[0], generator) for name in names
        )
        augmented = []
        for images in tensors:
            grey = luma(images)
            pale = grey + saturation * (images - grey)
            augmented.append(brightness * (0.5 + contrast * (pale - 0.5)))
        return augmented
