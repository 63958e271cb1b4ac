"""Blur: what lenses and shaking hands do to a picture."""

import math
from functools import partial
from numbers import Real
from typing import ClassVar

import torch
from torch.nn import functional

from ._blocks import may_miss
from ._degradation import BaseDegradation, number_or_range
from ._separable import LONGEST, apply_along_axes

FEW = 4  # images at once, to which torch's convolution would have to get used
IN_GROUP = 16  # images that the CPU filters at once, with kernels of one size


class GaussianBlur(BaseDegradation):
    """Blur as a lens slightly out of focus does, with a Gaussian kernel.

    Each pixel becomes a mean of those around it, weighted by
    ``exp(-d**2 / (2 * sigma**2))`` at distance d, up to 4 sigma away. Beyond the
    border the image is mirrored. This is ``scipy.ndimage.gaussian_filter``. Missing
    pixels are left out of the mean [1]_.

    Parameters
    ----------
    sigma : float or pair of floats in [0, 1000], default=1.5
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
        "sigma": number_or_range(Real, 0, 1000),
    }

    def __init__(self, sigma=1.5, random_state=None):
        self.sigma = sigma
        self.random_state = random_state

    def _degrade(self, images, generator):
        kernels = self._kernels(self._draw("sigma", images, generator))
        return _blur_what_is_there(images, partial(_convolve_axes, kernels=kernels))

    def _kernels(self, sigma):
        """One kernel per image, as wide as the largest sigma asks: (n, 1, 1, taps)."""
        radius = int(4 * self._largest("sigma", sigma) + 0.5)
        distance = torch.arange(-radius, radius + 1, device=sigma.device).abs()
        weights = torch.exp(-0.5 * (distance / sigma.clamp(min=1e-6)) ** 2)
        weights *= distance <= (4 * sigma + 0.5).floor()
        return weights / weights.sum(dim=3, keepdim=True)


class MotionBlur(BaseDegradation):
    """Blur as a camera does that moves along a straight line during the exposure.

    Each pixel becomes a mean of those around it, weighted by ``max(0, 1 - d)``. Here d
    is the distance, in pixels, from a segment through the pixel that is ``length - 1``
    long: so the trace of a point covers `length` pixels evenly, its edges are soft, and
    it varies continuously with both parameters. MATLAB's ``fspecial("motion")`` is much
    the same; how motion harms photographs is told in [1]_. Beyond the border the image
    is mirrored. Missing pixels are left out of the mean.

    Parameters
    ----------
    length : float or pair of floats in [0, 1000], default=9
        Length of the trace, in pixels; up to 1 nothing changes. A pair (low, high) is
        drawn from uniformly, for each image anew.

    angle : float or pair of floats, default=(0, 180)
        Direction of the motion, in degrees: 0 is across, 90 is upright, 45 rises to
        the right. A pair (low, high) is drawn from uniformly, for each image anew.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same damage in each call.
        See scikit-learn's glossary.

    References
    ----------
    .. [1] G. Boracchi and A. Foi, "Modeling the performance of image restoration from
       motion blur", IEEE Transactions on Image Processing 21 (2012).

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import MotionBlur
    >>> dot = np.zeros((1, 5, 5))
    >>> dot[0, 2, 2] = 1
    >>> print(MotionBlur(length=4, angle=0).transform(dot)[0, 2])
    [0.125 0.25  0.25  0.25  0.125]
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDegradation._parameter_constraints,
        "length": number_or_range(Real, 0, 1000),
        "angle": number_or_range(Real, None, None, closed="neither"),
    }

    def __init__(self, length=9, angle=(0, 180), random_state=None):
        self.length = length
        self.angle = angle
        self.random_state = random_state

    def _degrade(self, images, generator):
        length = self._draw("length", images, generator)
        angle = self._draw("angle", images, generator)
        kernels = self._kernels(length, angle.deg2rad())
        return _blur_what_is_there(images, partial(_convolve, kernels=kernels))

    def _kernels(self, length, angle):
        """One kernel per image, as wide as the largest length asks: (n, 1, k, k)."""
        down, right = _offsets(
            math.ceil((self._largest("length", length) - 1) / 2), length.device
        )
        along = (right * angle.cos() - down * angle.sin()).abs()
        across = right * angle.sin() + down * angle.cos()
        beyond = (along - (length - 1).clamp(min=0) / 2).clamp(min=0)
        return _normalized((1 - torch.hypot(beyond, across)).clamp(min=0))


class DefocusBlur(BaseDegradation):
    """Blur as a lens far out of focus does: each point becomes a disc.

    Each pixel becomes a mean of those around it, weighted at distance d by
    ``min(1, max(0, radius + 1/2 - d))``, a disc with a soft edge. That is the shadow of
    a round aperture, as geometrical optics has it [1]_. Beyond the border the image is
    mirrored. Missing pixels are left out of the mean.

    Parameters
    ----------
    radius : float or pair of floats in [0, 1000], default=3
        Radius of the disc, in pixels; up to 0.5 nothing changes. A pair (low, high) is
        drawn from uniformly, for each image anew.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same damage in each call.
        See scikit-learn's glossary.

    See Also
    --------
    GaussianBlur : A lens slightly out of focus.

    References
    ----------
    .. [1] J. W. Goodman, "Introduction to Fourier Optics", 3rd edition, Roberts (2005),
       chapter 6.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import DefocusBlur
    >>> dot = np.zeros((1, 5, 5))
    >>> dot[0, 2, 2] = 1
    >>> print(DefocusBlur(radius=1.5).transform(dot)[0].round(2))
    [[0.   0.   0.   0.   0.  ]
     [0.   0.08 0.14 0.08 0.  ]
     [0.   0.14 0.14 0.14 0.  ]
     [0.   0.08 0.14 0.08 0.  ]
     [0.   0.   0.   0.   0.  ]]
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDegradation._parameter_constraints,
        "radius": number_or_range(Real, 0, 1000),
    }

    def __init__(self, radius=3, random_state=None):
        self.radius = radius
        self.random_state = random_state

    def _degrade(self, images, generator):
        kernels = self._kernels(self._draw("radius", images, generator))
        return _blur_what_is_there(images, partial(_convolve, kernels=kernels))

    def _kernels(self, radius):
        """One kernel per image, as wide as the largest radius asks: (n, 1, k, k)."""
        offsets = _offsets(
            math.ceil(self._largest("radius", radius) - 0.5), radius.device
        )
        distance = torch.hypot(*offsets)
        return _normalized((radius + 0.5 - distance).clamp(0, 1))


def _offsets(reach, device):
    """How far a kernel's taps lie below and to the right of its centre, in pixels."""
    reach = max(0, reach)
    steps = torch.arange(-reach, reach + 1.0, device=device)
    return steps[:, None], steps


def _normalized(kernels):
    """Kernels (n, 1, k, k) that sum to one."""
    return kernels / kernels.sum(dim=(2, 3), keepdim=True)


def _blur_what_is_there(images, blur):
    """Take weighted means, leaving missing pixels out of them."""
    images = images.contiguous()  # with channels last, rows take six times as long
    if not may_miss(images):
        return blur(images)
    missing = images.isnan()
    seen = blur((~missing).float())
    blurred = blur(images.nan_to_num()) / seen
    return torch.where(missing, images, blurred)


def _convolve(images, kernels):
    """Filter images (n, C, H, W) with symmetric kernels (n, 1, k, k)."""
    if images.device.type != "cpu":  # a GPU would wait to tell which taps are zero
        return _filter(images, kernels)
    if len(images) <= FEW:
        return _add_shifted(images, kernels)
    filtered = torch.empty_like(images)
    for group in kernels.count_nonzero(dim=(1, 2, 3)).argsort().split(IN_GROUP):
        filtered[group] = _filter(images[group], _cut(kernels[group]))
    return filtered


def _add_shifted(images, kernels):
    """Filter images (n, C, H, W) with symmetric kernels (n, 1, k, k), tap by tap.

    Rows lie one behind the other, so that a shift by any tap is one along memory.
    """
    (height, width), reach = images.shape[2:], kernels.shape[3] // 2
    for axis in (3, 2):
        images = _mirror(images, axis, reach)
    filtered, stride = torch.zeros_like(images), images.shape[3]
    length = images[0].numel() - 2 * reach * (stride + 1)
    for image, kernel, total in zip(images, kernels[:, 0], filtered, strict=True):
        source, total = image.flatten(), total.view(-1)[:length]
        taps = kernel.nonzero()
        weights = kernel[tuple(taps.T)].tolist()
        for (row, column), weight in zip(taps.tolist(), weights, strict=True):
            shift = row * stride + column
            total.add_(source[shift : shift + length], alpha=weight)
    return filtered[..., :height, :width]


def _cut(kernels):
    """The rows and columns of kernels (n, 1, k, k) that are not all zero."""
    for axis, other in ((2, 3), (3, 2)):
        margin = int((kernels.sum(dim=(0, 1, other)) == 0).sum()) // 2
        kernels = kernels.narrow(axis, margin, kernels.shape[axis] - 2 * margin)
    return kernels


def _filter(images, kernels):
    """Filter images (n, C, H, W) with symmetric kernels (n, 1, h, w), as they are."""
    n_images, n_channels, *size = images.shape
    for axis in (3, 2):
        images = _mirror(images, axis, kernels.shape[axis] // 2)
    # One group per image and channel: to torch they are channels of a single image.
    images = images.reshape(1, n_images * n_channels, *images.shape[2:])
    kernels = kernels.expand(-1, n_channels, -1, -1).flatten(0, 1).unsqueeze(1)
    filtered = functional.conv2d(images, kernels, groups=len(kernels))
    return filtered.reshape(n_images, n_channels, *size)


def _convolve_axes(images, kernels):
    """Filter rows and columns of images (n, C, H, W) with kernels (n, 1, 1, taps)."""
    if max(images.shape[2:]) <= LONGEST:
        across = _matrices(kernels, images.shape[3])
        is_square = images.shape[2] == images.shape[3]
        down = across if is_square else _matrices(kernels, images.shape[2])
        return apply_along_axes(images, down, across)
    for axis in (2, 3):
        length, n_taps = images.shape[axis], kernels.shape[3]
        padded = _mirror(images, axis, n_taps // 2)
        images = torch.zeros_like(images)
        for tap in range(n_taps):
            shifted = padded.narrow(axis, tap, length)
            images.addcmul_(shifted, kernels[..., tap : tap + 1])
    return images


def _matrices(kernels, length):
    """The filter as matrices (n, length, length) that act on an axis."""
    n_images, n_taps = len(kernels), kernels.shape[3]
    places = torch.arange(length, device=kernels.device)
    sources = _mirror(places, 0, n_taps // 2).unfold(0, n_taps, 1)[:length]  # by tap
    matrices = kernels.new_zeros((n_images, length, length))
    taps = kernels.reshape(n_images, 1, n_taps).expand(-1, length, -1)
    return matrices.scatter_add_(2, sources.expand(n_images, -1, -1), taps)


def _mirror(tensor, axis, margin):
    """Continue an axis by its mirror image (d c b a | a b c d | d c b a)."""
    while margin > 0:
        length = tensor.shape[axis]
        width = min(margin, length)
        before = tensor.narrow(axis, 0, width).flip(axis)
        after = tensor.narrow(axis, length - width, width).flip(axis)
        tensor = torch.cat([before, tensor, after], dim=axis)
        margin -= width
    return tensor
