"""
All that can befall a picture
=============================

Every degradation of the package, each at three strengths. All of them are scikit-learn
transformers: they damage pictures for a benchmark, stand in a ``Pipeline``, or serve as
``ColorVAE(degradation=...)``, which learns to undo them.
"""

# %%
# A photograph
# ------------
# Each picture below is damaged by a transformer of its own; above it stand the
# parameters. Each of these could be a pair (low, high) too, from which every picture
# draws its own value. What is missing, NaN, is drawn in middle grey.
import numpy as np
from matplotlib import pyplot as plt
from skimage.data import astronaut

photo = astronaut()[:380:2, 30:450:2] / 255


def show(*rows):
    """Draw a row for each kind of damage and a column for each of its strengths."""
    size = 7.4, 2.55 * len(rows)
    _, axes = plt.subplots(len(rows), 3, figsize=size, layout="constrained")
    for row, strengths in zip(np.atleast_2d(axes), rows, strict=True):
        row[0].set_ylabel(type(strengths[0]).__name__)
        for seed, (axis, degradation) in enumerate(zip(row, strengths, strict=True)):
            draw(axis, degradation.set_params(random_state=seed))


def draw(axis, degradation):
    """Draw the damaged photograph below what was done to it."""
    damaged = degradation.transform([photo])[0]
    axis.imshow(np.nan_to_num(damaged, nan=0.5).clip(0, 1))
    axis.set_title(parameters_of(degradation), fontsize="small")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def parameters_of(degradation):
    """What makes this one as strong as it is."""
    others = {"clip", "degradations", "pivot", "random_state", "subsampling"}
    parameters = degradation.get_params(deep=False).items()
    return ", ".join(f"{name}={x}" for name, x in parameters if name not in others)


# %%
# Noise
# -----
# Of the sensor's electronics, of the light itself, of a bad line.
from colorvae_sk import GaussianNoise, PoissonNoise, SaltPepperNoise

show(
    [GaussianNoise(0.05), GaussianNoise(0.1), GaussianNoise(0.3)],
    [PoissonNoise(100), PoissonNoise(20), PoissonNoise(4)],
    [SaltPepperNoise(0.02), SaltPepperNoise(0.1), SaltPepperNoise(0.4, salt=0.2)],
)

# %%
# Blur and low resolution
# -----------------------
# The lens, the hand, and too few pixels.
from colorvae_sk import DefocusBlur, Downsample, GaussianBlur, MotionBlur

show(
    [GaussianBlur(1), GaussianBlur(2), GaussianBlur(4)],
    [DefocusBlur(1.5), DefocusBlur(3), DefocusBlur(7)],
    [MotionBlur(5, angle=0), MotionBlur(11, angle=45), MotionBlur(25, angle=110)],
    [Downsample(2), Downsample(4, "area"), Downsample(6, "nearest")],
)

# %%
# Storage
# -------
# A file that had to be small, a palette that had to be short.
from colorvae_sk import JPEGCompression, Quantize

show(
    [JPEGCompression(50), JPEGCompression(15), JPEGCompression(3)],
    [Quantize(16), Quantize(6), Quantize(3)],
)

# %%
# Colour
# ------
# Light of the wrong colour, dyes that faded, film that never had any. The gains of a
# cast are drawn for each channel.
from colorvae_sk import ColorCast, Desaturate, Fade

show(
    [ColorCast((0.8, 1.2), 1), ColorCast((0.6, 1.4), 1.4), ColorCast((0.4, 1.4), 0.7)],
    [Fade(0.8, 0.7), Fade(0.55, 0.5), Fade(0.35, 0.2)],
    [Desaturate(0.4), Desaturate(0.8), Desaturate(1)],
)

# %%
# Holes
# -----
# Dead pixels, torn paper, scratched film. Where a channel is missing, the others are
# still there.
from colorvae_sk import MissingChannels, MissingPixels, MissingScratches

show(
    [MissingPixels(0.3), MissingPixels(0.8), MissingPixels(0.4, size=16)],
    [
        MissingScratches(2, width=1),
        MissingScratches(6, width=(1, 3)),
        MissingScratches(12, width=(2, 6)),
    ],
    [MissingChannels(1), MissingChannels(2), MissingChannels(3)],
)

# %%
# Several at once
# ---------------
# Some of the usual ones, in random order.
from colorvae_sk import RandomDegradation

show([RandomDegradation(n=1), RandomDegradation(n=2), RandomDegradation(n=3)])
plt.show()
