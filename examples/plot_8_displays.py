"""
See what a model does
=====================

Displays draw in one call what a model restores, how sure it is, how it learned, and
what its codes mean. Like scikit-learn's they are made by ``from_estimator`` or
``from_predictions``, keep what they show, and can be drawn again by ``plot``.
"""

# %%
# What was restored
# -----------------
# A photograph with noise, and one with holes. Above the pictures stand their scores.
# Error bars and errors are drawn on one scale: honest error bars are bright where the
# errors are.
import numpy as np

from colorvae_sk import (
    GaussianNoise,
    MissingPixels,
    RestorationDisplay,
    load_photos,
    load_pretrained,
)

photos = load_photos()
clean = [np.float32(photos[1][50:210, 120:320] / 255), np.float32(photos[5] / 255)]
clean[1] = clean[1][100:260, 200:400]
damaged = [
    *GaussianNoise(0.12, random_state=0).fit_transform(clean[:1]),
    *MissingPixels(0.3, size=8, random_state=0).fit_transform(clean[1:]),
]
vae = load_pretrained("natural")
RestorationDisplay.from_estimator(vae, damaged, clean, names=["noise", "holes"])

# %%
# What else might have been
# -------------------------
# Samples from the posterior are each plausible. The last panel is bright where they
# differ: there the damaged picture leaves the answer open.
from colorvae_sk import PosteriorDisplay

PosteriorDisplay.from_estimator(vae, damaged, n_samples=3, random_state=0)

# %%
# Whether the error bars are honest
# ---------------------------------
# Small parts of photographs with noise of different strength. Intervals that were
# promised to hold 90 % of the true values should hold 90 %. Before ``calibrate`` they
# are too wide for noise.
from colorvae_sk import CalibrationDisplay

parts = np.stack(
    [
        photo[row : row + 48, column : column + 48] / np.float32(255)
        for photo in photos
        for row in (30, 110, 190)
        for column in range(20, 340, 80)
    ]
)
noisy = GaussianNoise((0.03, 0.15), random_state=0).fit_transform(parts)
one_half, other_half = slice(0, None, 2), slice(1, None, 2)
judged = noisy[other_half], parts[other_half]
display = CalibrationDisplay.from_estimator(vae, *judged, name="as it ships")
vae.calibrate(noisy[one_half], parts[one_half])
CalibrationDisplay.from_estimator(vae, *judged, name="calibrated", ax=display.ax_)

# %%
# How a fit went
# --------------
# The reference network of the literature learns handwritten digits: 8 x 8 pixels
# through two latent numbers. Its loss falls as the PSNR rises, and the latents carry
# more and more.
from sklearn.datasets import load_digits

from colorvae_sk import ColorVAE, HistoryDisplay

digits, labels = load_digits(return_X_y=True)
dense = ColorVAE(
    "dense",
    n_latent=2,
    image_shape=(8, 8),
    degradation=None,
    beta=0.05,
    batch_size=32,
    lr=3e-3,
    max_epochs=25,
    early_stopping=True,
    n_iter_no_change=25,
    random_state=0,
).fit(digits)
HistoryDisplay.from_estimator(dense)

# %%
# In a notebook, the estimator itself shows such a curve.
dense

# %%
# Where images lie in latent space
# --------------------------------
# To the left the codes of all digits, coloured by what they are, which the network
# was not told; to the right what the network makes of codes on a grid.
from colorvae_sk import LatentDisplay

LatentDisplay.from_estimator(dense, digits, labels)

# %%
# Ways through latent space
# -------------------------
# ``interpolate`` goes from one picture to another; here from a nought to a one, from
# a one to a two, and so on.
from colorvae_sk import TraversalDisplay

TraversalDisplay.from_interpolation(dense, digits[:4], digits[1:5], n_steps=9)

# %%
# Or one code changes while the others stay.
TraversalDisplay.from_estimator(dense, digits, values=np.linspace(-2, 2, 9))
