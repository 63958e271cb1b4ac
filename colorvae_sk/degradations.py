"""What may have befallen a picture: noise, blur, compression, wrong colours, holes."""

from functools import partial
from itertools import chain
from numbers import Integral, Real
from typing import ClassVar

import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.utils._param_validation import StrOptions
from torch.nn import functional

from ._degradation import (
    BaseDegradation,
    degrade_in_turn,
    ends,
    number_or_range,
    steps_of,
)
from ._jpeg import compress_jpeg

__all__ = [
    "BaseDegradation",
    "ColorCast",
    "Fade",
    "GaussianBlur",
    "GaussianNoise",
    "JPEGCompression",
    "MissingPixels",
    "Quantize",
    "RandomDegradation",
    "as_degrader",
    "blind_degradation",
    "luma",
]


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
    weights = torch.tensor(weights, device=images.device).reshape(1, -1, 1, 1)
    observed = weights * ~images.isnan()
    return (images.nan_to_num() * observed).sum(1, True) / observed.sum(1, True)


def _quantize(images, n_levels):
    """Clip to [0, 1] and round to so many evenly spaced levels."""
    return (images.clamp(0, 1) * (n_levels - 1)).round_() / (n_levels - 1)


def _fill(images):
    """Put the mean of its channel, or middle grey, where a value is missing."""
    means = images.nanmean(dim=(2, 3), keepdim=True).nan_to_num_(0.5)
    return torch.where(images.isnan(), means, images)


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


class JPEGCompression(BaseDegradation):
    """Store as a JPEG file: blocks, ringing and smeared colour.

    The file's lossy half is computed [1]_: luma and chroma, chroma at lower resolution,
    cosine transform of blocks of 8 x 8 pixels, rounding to the quality's steps; and the
    way back. The result is what Pillow gives, but for a few pixels off by one of 255
    levels. Missing pixels are filled with their channel's mean before, and are missing
    again after.

    Parameters
    ----------
    quality : int or pair of ints in [1, 100], default=30
        Quality as programs ask for it, by the rule of the Independent JPEG Group [2]_.
        A pair (low, high) is drawn from uniformly, for each image anew.

    subsampling : {"4:2:0", "4:2:2", "4:4:4"}, default="4:2:0"
        How much coarser chroma is stored than luma: by 2 in both directions, by 2
        across, or not at all. Images that have not three channels have no chroma.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same damage in each call.
        See scikit-learn's glossary.

    References
    ----------
    .. [1] ITU-T, "Digital compression and coding of continuous-tone still images",
       T.81 (1992).
    .. [2] Independent JPEG Group, libjpeg, ``jpeg_quality_scaling`` in ``jcparam.c``.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import JPEGCompression
    >>> ramp = np.arange(0, 64, 8, dtype=np.uint8).reshape(1, 1, 8)
    >>> print(JPEGCompression(quality=10).transform(ramp)[0, 0])
    [ 0  4 12 22 34 44 52 57]
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDegradation._parameter_constraints,
        "quality": number_or_range(Integral, 1, 100),
        "subsampling": [StrOptions({"4:2:0", "4:2:2", "4:4:4"})],
    }

    def __init__(self, quality=30, subsampling="4:2:0", random_state=None):
        self.quality = quality
        self.subsampling = subsampling
        self.random_state = random_state

    def _degrade(self, images, generator):
        quality = self._draw_integer("quality", images, generator).float()
        compressed = compress_jpeg(_fill(images), quality, self.subsampling)
        return torch.where(images.isnan(), images, compressed)


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
        return _quantize(gain * images.clamp(min=0) ** gamma, 256)


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
        grey = luma(images)
        pale = grey + self._draw("saturation", images, generator) * (images - grey)
        pivot = self._draw("pivot", images, generator)
        contrast = self._draw("contrast", images, generator)
        return _quantize(pivot + contrast * (pale - pivot), 256)


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


class RandomDegradation(BaseDegradation):
    """Damage each image by some of several degradations, in random order.

    Every image draws how many, which ones (none twice) and in which order [1]_.

    Parameters
    ----------
    degradations : list of BaseDegradation or Pipeline, default=None
        What to draw from; a scikit-learn Pipeline of degradations counts as one. Their
        own ``random_state`` is not used. None stands for noise (unclipped or stored in
        8 bits), blur, JPEG compression, colour cast, fading, missing pixels and
        missing blocks, each from slight to strong.

    n : int or pair of ints in [0, inf), default=(1, 3)
        How many befall an image, at most all of them. A pair (low, high) is drawn from
        uniformly, for each image anew.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same damage in each call.
        See scikit-learn's glossary.

    See Also
    --------
    blind_degradation : The mixture that ``ColorVAE`` learns from by default.

    References
    ----------
    .. [1] K. Zhang, J. Liang, L. Van Gool and R. Timofte, "Designing a practical
       degradation model for deep blind image super-resolution", ICCV (2021).

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import GaussianBlur, GaussianNoise, RandomDegradation
    >>> either = RandomDegradation([GaussianNoise(), GaussianBlur()], n=1)
    >>> either.transform(np.zeros((5, 8, 8, 3))).shape
    (5, 8, 8, 3)
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDegradation._parameter_constraints,
        "degradations": [list, tuple, None],
        "n": number_or_range(Integral, 0, None, closed="left"),
    }

    def __init__(self, degradations=None, n=(1, 3), random_state=None):
        self.degradations = degradations
        self.n = n
        self.random_state = random_state

    def _degrade(self, images, generator):
        images, choices = images.clone(), self._choices()
        for turn in self._draw_turns(images, generator, len(choices)):
            for choice in set(turn.tolist()) - {-1}:
                members = (turn == choice).nonzero()[:, 0].to(images.device)
                degraded = degrade_in_turn(choices[choice], images[members], generator)
                images[members] = degraded
        return images

    def _draw_turns(self, images, generator, n_choices):
        """Which degradation each image meets in each turn: (turns, n), -1 for none."""
        low, high = (min(end, n_choices) for end in ends(self.n))
        options = {"generator": generator, "device": images.device}
        order = torch.rand((len(images), n_choices), **options).argsort(dim=1)
        count = torch.randint(low, high + 1, (len(images), 1), **options)
        turns = torch.arange(n_choices, device=images.device)
        return torch.where(turns < count, order, -1)[:, :high].T.cpu()

    def _choices(self):
        """For each choice, the list of its steps."""
        if self.degradations is None:
            return [steps_of(degradation) for degradation in _usual_damage()]
        return [steps_of(degradation) for degradation in self.degradations]

    def _validate_params(self):
        super()._validate_params()
        if self.degradations is not None and len(self.degradations) == 0:
            raise ValueError(
                "RandomDegradation got an empty list. Pass the degradations to draw "
                "from, or None for the usual ones."
            )
        for step in chain.from_iterable(self._choices()):
            step._validate_params()

    @property
    def _writes_nan(self):
        return any(step._writes_nan for step in chain.from_iterable(self._choices()))


def _usual_damage():
    """What most often befalls pictures, each from slight to strong."""
    return [
        GaussianNoise((0, 55 / 255), clip=False),
        make_pipeline(GaussianNoise((0, 55 / 255)), Quantize()),
        # A blurred picture without any noise is not to be had.
        make_pipeline(GaussianBlur((0, 3)), GaussianNoise((0, 10 / 255), clip=False)),
        JPEGCompression((5, 95)),
        ColorCast(),
        Fade(),
        MissingPixels((0, 1)),
        MissingPixels((0, 0.6), size=(2, 32)),
    ]


def blind_degradation():
    """The mixture of damage behind ``ColorVAE(degradation="blind")``.

    One half of the images meets a single one of the following, drawn with equal
    chances; the other half meets two or three of the first eight, in random order:

    - noise of sigma 0 to 55 / 255, not clipped
    - the same, clipped and stored in 8 bits
    - blur of 0 to 3 pixels, then unclipped noise of sigma 0 to 10 / 255
    - JPEG compression of quality 5 to 95
    - a colour cast, as `ColorCast` has it by default
    - fading, as `Fade` has it by default
    - missing pixels, from none to all
    - missing blocks of 2 to 32 pixels, up to 60 % of the image
    - nothing but storage in 8 bits
    - the whole picture missing, so that the network learns to imagine

    So well over half of the images are left as if stored in 8 bits.

    Returns
    -------
    degradation : RandomDegradation
        The mixture, to be used as it is or as part of another.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk.degradations import blind_degradation
    >>> blind_degradation().transform(np.zeros((4, 16, 16, 3))).shape
    (4, 16, 16, 3)
    """
    single = RandomDegradation([*_usual_damage(), Quantize(), MissingPixels(1.0)], n=1)
    several = RandomDegradation(_usual_damage(), n=(2, 3))
    return RandomDegradation([single, several], n=1)


def blind_row_degradation():
    """The mixture of damage behind ``degradation="blind"`` for plain feature vectors.

    None, one or both of: noise of sigma 0 to 0.2, not clipped, on the [0, 1] scale;
    and missing values, from none to one half.

    Returns
    -------
    degradation : RandomDegradation
        The mixture.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk.degradations import blind_row_degradation
    >>> blind_row_degradation().transform(np.zeros((4, 9))).shape
    (4, 9)
    """
    noise, holes = GaussianNoise((0, 0.2), clip=False), MissingPixels((0, 0.5))
    return RandomDegradation([noise, holes], n=(0, 2))


def as_degrader(degradation):
    """Make what a user calls a degradation into a function for training.

    Parameters
    ----------
    degradation : "blind", BaseDegradation or Pipeline
        "blind" stands for `blind_degradation`. A Pipeline must consist of degradations.

    Returns
    -------
    degrade : callable
        Takes a float32 tensor (n, C, H, W) on the [0, 1] scale and a generator on the
        same device; returns the damaged images as a new tensor. It works on a copy of
        the degradation, so that later changes of parameters don't reach it, and can be
        pickled.

    Raises
    ------
    TypeError
        If it is anything else.
    ValueError
        If one of its parameters is not valid.

    Examples
    --------
    >>> import torch
    >>> from colorvae_sk.degradations import Quantize, as_degrader
    >>> degrade = as_degrader(Quantize(n_levels=2))
    >>> degrade(torch.tensor([[[[0.2, 0.7]]]]), torch.Generator())
    tensor([[[[0., 1.]]]])
    """
    if isinstance(degradation, str) and degradation == "blind":
        degradation = blind_degradation()
    steps = [clone(step) for step in steps_of(degradation)]
    for step in steps:
        step._validate_params()
    return partial(degrade_in_turn, steps)
