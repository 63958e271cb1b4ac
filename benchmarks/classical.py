"""What scikit-image has against each kind of damage, with fixed parameters.

The parameters of NL-means, total variation, Wiener and Richardson-Lucy were chosen
beforehand by a search on photographs that are in no test set, one value for all
strengths of a damage; the others are usual ones. Where the damage has a strength
(noise) or a kernel (blur), the methods are told it.
"""

import re
from functools import partial

import numpy as np
from protocol import BLUR_SIGMA
from skimage import exposure, filters, restoration
from skimage.util import crop

MARGIN = 16  # pixels by which deconvolution sees a picture mirrored at its border


def methods_for(task):
    """The classical methods for a task of the protocol.

    Parameters
    ----------
    task : str
        A name from ``protocol.TASKS``.

    Returns
    -------
    methods : dict of str to callable
        Each takes and gives a float picture (H, W, 3) on [0, 1].
    """
    kind, number = re.match(r"([a-z]+)(\d*)", task).groups()
    if kind == "awgn":
        return denoisers(int(number) / 255)
    return OTHERS[kind]


def denoisers(sigma):
    """Methods against white noise whose standard deviation is known."""
    return {
        "NL-means": partial(denoise_nl_means, sigma=sigma),
        "total variation": partial(denoise_tv, weight=0.75 * sigma),
        "wavelets": partial(denoise_wavelets, sigma=sigma),
    }


def denoise_nl_means(picture, sigma):
    """Non-local means."""
    return restoration.denoise_nl_means(
        picture,
        patch_size=5,
        patch_distance=6,
        h=0.6 * sigma,
        sigma=sigma,
        channel_axis=2,
    )


def denoise_tv(picture, weight):
    """Chambolle's total variation."""
    return restoration.denoise_tv_chambolle(picture, weight=weight, channel_axis=2)


def denoise_wavelets(picture, sigma):
    """BayesShrink of Daubechies wavelets in YCbCr."""
    return restoration.denoise_wavelet(
        picture,
        sigma=sigma,
        wavelet="db2",
        convert2ycbcr=True,
        rescale_sigma=True,
        channel_axis=2,
    )


def kernel():
    """The kernel of the blur, 13 pixels wide."""
    line = np.exp(-0.5 * (np.arange(-6, 7) / BLUR_SIGMA) ** 2)
    return np.outer(line, line) / line.sum() ** 2


def deconvolve(picture, method, **options):
    """Apply a method for grey pictures to each channel, mirrored at the border."""
    margins = [(MARGIN, MARGIN), (MARGIN, MARGIN)]
    channels = [
        np.pad(channel, margins, mode="symmetric").astype(float)
        for channel in np.moveaxis(picture, 2, 0)
    ]
    sharp = [crop(method(c, kernel(), **options), MARGIN) for c in channels]
    return np.stack(sharp, axis=2)


def richardson_lucy(picture, psf, num_iter):
    """Richardson and Lucy's method, which knows no values below zero."""
    return restoration.richardson_lucy(np.clip(picture, 0, None), psf, num_iter)


def sharpen(picture):
    """Unsharp masking."""
    # channel_axis=-1 gives garbage in scikit-image 0.26.
    return filters.unsharp_mask(picture, radius=BLUR_SIGMA, amount=0.5, channel_axis=2)


def fill_biharmonic(picture):
    """Fill missing pixels by the biharmonic equation."""
    missing = np.isnan(picture[..., 0])
    known = np.nan_to_num(picture)
    return restoration.inpaint_biharmonic(known, missing, channel_axis=2)


def balance(picture, power):
    """Scale the channels until their means of this power agree (1: grey world)."""
    means = np.mean(picture.astype(float) ** power, axis=(0, 1)) ** (1 / power)
    return picture * (means.mean() / means)


def balance_maxima(picture):
    """Scale the channels until the brightest value of each is 1."""
    return picture / picture.max(axis=(0, 1))


def stretch_tones(picture):
    """Stretch all but the darkest and the brightest hundredth to [0, 1]."""
    low, high = np.percentile(picture, (1, 99))
    return (picture - low) / (high - low)


OTHERS = {
    "jpeg": {"total variation": partial(denoise_tv, weight=0.015)},
    "blur": {
        "unsharp mask": sharpen,
        "Wiener": partial(
            deconvolve, method=restoration.wiener, balance=0.015, clip=False
        ),
        "Richardson-Lucy": partial(deconvolve, method=richardson_lucy, num_iter=25),
    },
    "missing": {"biharmonic": fill_biharmonic},
    "blocks": {"biharmonic": fill_biharmonic},
    "cast": {
        "grey world": partial(balance, power=1),
        "shades of grey": partial(balance, power=6),
        "max-RGB": balance_maxima,
    },
    "fade": {
        "tone stretch": stretch_tones,
        "CLAHE": exposure.equalize_adapthist,
    },
}
