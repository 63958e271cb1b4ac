"""
Restore without a fit
=====================

The model that ships with the package is told nothing of what befell a picture. Here it
meets six kinds of damage, each on another photograph; it has seen none of these.
"""

# %%
# The damage
# ----------
# Every degradation is a transformer, and a Pipeline of them is a sequence of mishaps.
# Integers come back as integers, so NaN, which marks what is missing, needs floats.

import numpy as np
from sklearn.pipeline import make_pipeline

from colorvae_sk import (
    ColorCast,
    Fade,
    GaussianBlur,
    GaussianNoise,
    JPEGCompression,
    MissingPixels,
    RestorationDisplay,
    load_photos,
    load_pretrained,
)

damages = {
    "noise": GaussianNoise(25 / 255, random_state=0),
    "JPEG": JPEGCompression(10),
    "blur": make_pipeline(GaussianBlur(1.6), GaussianNoise(5 / 255, random_state=0)),
    "holes": MissingPixels(0.3, size=12, random_state=0),
    "cast": ColorCast((0.6, 1.4), random_state=3),
    "fading": Fade(0.5, saturation=0.5, random_state=0),
}
clean = [np.float32(photo / 255) for photo in load_photos()]
damaged = [
    damage.fit_transform([photo])[0]
    for damage, photo in zip(damages.values(), clean, strict=True)
]

# %%
# The restoration
# ---------------
# One call for all of them, whatever their sizes. The error bars are bright where the
# model is least sure.

vae = load_pretrained("natural")
RestorationDisplay.from_estimator(vae, damaged, clean, names=list(damages))
