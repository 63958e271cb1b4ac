"""
Restore faded colours, with error bars
======================================

An old print is pale, and its blacks are grey. Here :class:`~colorvae_sk.ColorVAE`
learns from clean photographs how to undo that, restores one that it has not seen, and
says how sure it is.
"""

# %%
# Photographs to learn from
# -------------------------
# Six come with scikit-image and scikit-learn. One is kept aside. The others are shown
# to the network with their three channels in every order: from five photographs alone
# it would learn that the world is brown.
from itertools import permutations

import numpy as np

from colorvae_sk import ColorVAE, Fade, load_photos

photos = [np.float32(photo / 255) for photo in load_photos()]
flower = photos.pop()
orders = [list(order) for order in permutations(range(3))]
X = [photo[..., order] for photo in photos for order in orders]

# %%
# The damage
# ----------
# A degradation is a transformer. A pair of numbers is a range, from which each picture
# draws its own value, so that no fixed formula could undo the fading.
damage = Fade(contrast=(0.4, 0.6), saturation=(0.4, 0.7), random_state=0)

# %%
# Learning
# --------
# ``fit`` gets clean pictures and damages parts of them, afresh in each step. We give it
# 30 seconds; a small network makes the most of them.
vae = ColorVAE(
    widths=(32, 64),
    n_blocks=1,
    lr=3e-3,
    degradation=damage,
    max_epochs=1000,
    max_seconds=30,
    random_state=0,
)
vae.fit(X)

# %%
# Restoring
# ---------
# With ``return_std=True``, ``predict`` gives a standard deviation for each pixel and
# channel too; a display draws both. Error bars are largest (bright) where the network
# is least sure.
from colorvae_sk import RestorationDisplay

faded = damage.fit_transform([flower])
RestorationDisplay.from_estimator(vae, faded, [flower], names=["a faded flower"])

# %%
# What else might have been
# -------------------------
# The true colours can't be known for sure. ``sample_posterior`` draws pictures that are
# each plausible; where they differ, the damaged picture leaves the answer open.
from colorvae_sk import PosteriorDisplay

PosteriorDisplay.from_estimator(vae, faded, n_samples=4, random_state=0)
