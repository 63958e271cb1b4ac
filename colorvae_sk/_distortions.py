"""Distortions: how far a restored image is from the clean one, in nats per value.

`LOSSES` names those that a user may choose from. Each is a function
``(restored, target, tolerance)`` of float tensors (n, C, H, W) that gives (n,), and
falls by about 1 when all errors fall to 1/e, so that the price of information keeps its
meaning. Below the tolerance, a mean squared error, little is gained: so gradients are
finite where images are equal. What is missing (NaN) in the target drops out.
"""

import math

import torch
from torch.nn import functional as F

from ._blocks import may_miss
from ._ciede2000 import squared_difference

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of MS-SSIM, fine first
RADIUS, SPREAD = 5, 1.5  # of SSIM's Gaussian window, in pixels
C1, C2 = 0.01**2, 0.03**2  # SSIM's constants for images of range 1
CONTRAST = 0.1  # standard deviation in a usual window, to compare SSIM with errors
FULL = 100.0  # CIEDE2000 from black to white
FLOOR = 1e-3  # a scale counts as this at least: powers are steep at 0


# ------------------------------------------------------------------ likelihoods
def masked(values, observed):
    """Values where they were observed and zero elsewhere, without NaN gradients."""
    return torch.where(observed, values, 0.0)


def squared_error(restored, target):
    """Mean squared error of each image, and how many of its values were observed."""
    if not may_miss(target):
        n_values = restored.new_full((len(restored),), target[0].numel())
        return (restored - target).square().flatten(1).mean(1), n_values
    observed = target.isfinite()
    difference = restored - masked(target, observed)
    n_values = observed.flatten(1).sum(1).to(restored.dtype)
    total = masked(difference, observed).square().flatten(1).sum(1)
    return total / n_values.clamp_min(1), n_values


def log_mean_root(squares, counted, tolerance):
    """log(mean sqrt(square + tolerance)) of each image over what counts."""
    n_counted = counted.flatten(1).sum(1)
    sizes = torch.sqrt(masked(squares, counted) + tolerance)
    mean = masked(sizes, counted).flatten(1).sum(1) / n_counted.clamp_min(1)
    return torch.log(torch.where(n_counted > 0, mean, math.sqrt(tolerance)))


def gaussian(restored, target, tolerance):
    """The Gaussian likelihood at its best variance."""
    return 0.5 * torch.log(squared_error(restored, target)[0] + tolerance)


def laplace(restored, target, tolerance):
    """The Laplace likelihood at its best scale, rounded off where the error is zero."""
    observed = target.isfinite()
    difference = restored - masked(target, observed)
    return log_mean_root(difference.square(), observed, tolerance)


# ------------------------------------------------------------------ structure
def scale_weights(size):
    """Exponents of the scales at which SSIM's window fits into an image of a size."""
    n_fitting = int(math.log2(max(1, min(size) / (2 * RADIUS + 1)))) + 1
    weights = SCALE_WEIGHTS[:n_fitting]
    return [weight / sum(weights) for weight in weights]


def smooth(images):
    """Sum under SSIM's window around each pixel; what lies outside counts as zero."""
    offsets = torch.arange(-RADIUS, RADIUS + 1).to(images)
    line = torch.exp(-0.5 * (offsets / SPREAD) ** 2)
    line = line / line.sum()
    images = F.conv2d(images, line.reshape(1, 1, -1, 1), padding=(RADIUS, 0))
    return F.conv2d(images, line.reshape(1, 1, 1, -1), padding=(0, RADIUS))


def similarity(restored, target, observed):
    """SSIM's luminance term and its contrast-structure term around each pixel."""
    weight = smooth(observed.to(restored)).clamp_min(1e-6)

    def local_mean(values):
        return smooth(masked(values, observed)) / weight

    mean_r, mean_t = local_mean(restored), local_mean(target)
    var_r = local_mean(restored.square()) - mean_r.square()
    var_t = local_mean(target.square()) - mean_t.square()
    covariance = local_mean(restored * target) - mean_r * mean_t
    luminance = (2 * mean_r * mean_t + C1) / (mean_r.square() + mean_t.square() + C1)
    return luminance, (2 * covariance + C2) / (var_r + var_t + C2)


def mean_observed(values, observed):
    """Mean of each image over what was observed, zero if nothing was: (n,)."""
    total = masked(values, observed).flatten(1).sum(1)
    return total / observed.flatten(1).sum(1).clamp_min(1)


def halve(images, observed):
    """Mean of what was observed of 2 x 2 pixels; odd sides repeat their last line."""
    height, width = images.shape[-2:]
    odd = (0, width % 2, 0, height % 2)
    total, share = (
        F.avg_pool2d(F.pad(part, odd, mode="replicate"), 2)
        for part in (masked(images, observed), observed.to(images))
    )
    return total / share.clamp_min(0.25), share > 0


def ms_ssim(restored, target):
    """MS-SSIM of each channel (n, C), and whether any of it was observed."""
    shape = target.shape[:2]
    restored, target = (x.flatten(0, 1)[:, None] for x in (restored, target))
    observed = target.isfinite()
    seen = observed.flatten(1).any(1).reshape(shape)
    target = masked(target, observed)
    *fine, coarsest = scale_weights(target.shape[-2:])
    score = 1.0
    for weight in fine:
        _, structure = similarity(restored, target, observed)
        mean = mean_observed(structure, observed)
        score = score * mean.clamp_min(FLOOR) ** weight
        restored, _ = halve(restored, observed)
        target, observed = halve(target, observed)
    luminance, structure = similarity(restored, target, observed)
    mean = mean_observed(luminance * structure, observed)
    score = score * mean.clamp_min(FLOOR) ** coarsest
    return score.reshape(shape), seen


def structural(restored, target, tolerance):
    """What MS-SSIM lacks of 1, brought to the size of a squared error."""
    score, seen = ms_ssim(restored, target)
    lost = masked(1 - score, seen).sum(1) / seen.sum(1).clamp_min(1)
    return 0.5 * torch.log(2 * CONTRAST**2 * lost.clamp_min(0) + tolerance)


# ------------------------------------------------------------------ frequencies
def spectral(restored, target, tolerance):
    """How far the amplitudes of all frequencies are from those of the target."""
    observed = target.isfinite()
    squares = amplitude(restored, observed, tolerance)
    squares = (squares - amplitude(target, observed, tolerance)).square()
    return log_mean_root(squares, torch.ones_like(squares, dtype=bool), tolerance)


def amplitude(images, observed, tolerance):
    """How strong each frequency is, with what was not observed black."""
    waves = torch.fft.rfft2(masked(images, observed), norm="ortho")
    return torch.sqrt(waves.real.square() + waves.imag.square() + tolerance)


# ------------------------------------------------------------------ colours
def colour(restored, target, tolerance):
    """CIEDE2000, where 1 is from black to white, over pixels with all channels."""
    observed = target.isfinite()
    squared = squared_difference(restored, masked(target, observed)) / FULL**2
    counted = observed.all(1)
    return log_mean_root(squared.clamp_min(0), counted, tolerance)


# ------------------------------------------------------------------ the mixtures
def ms_ssim_mixture(restored, target, tolerance):
    """Half Laplace, half MS-SSIM."""
    terms = laplace, structural
    return 0.5 * sum(term(restored, target, tolerance) for term in terms)


def frequency_mixture(restored, target, tolerance):
    """Half Gaussian, half amplitudes of frequencies."""
    terms = gaussian, spectral
    return 0.5 * sum(term(restored, target, tolerance) for term in terms)


def ciede2000_mixture(restored, target, tolerance):
    """Half Gaussian, half colour difference; images need three channels."""
    terms = gaussian, colour
    return 0.5 * sum(term(restored, target, tolerance) for term in terms)


LOSSES = {
    "gaussian": gaussian,
    "laplace": laplace,
    "ms_ssim": ms_ssim_mixture,
    "frequency": frequency_mixture,
    "ciede2000": ciede2000_mixture,
}
OF_VALUES = ("gaussian", "laplace")  # they see each value by itself
OF_CELLS = (*OF_VALUES, "ciede2000")  # they make sense of a few mean colours


def check_loss(loss, n_channels, is_plain):
    """Complain unless the loss can judge such images."""
    if is_plain and loss not in OF_VALUES:
        raise ValueError(
            f"loss={loss!r} compares images, but X are rows without image_shape. Pass "
            f"image_shape, or loss as one of {list(OF_VALUES)}."
        )
    if loss == "ciede2000" and n_channels != 3:
        raise ValueError(
            "loss='ciede2000' compares sRGB colours and expects images of 3 channels, "
            f"but X has {n_channels}. Pass colour images, or another loss: one of "
            f"{[name for name in LOSSES if name != loss]}."
        )
