"""What `ColorVAE.fit` costs on top of a bare torch loop.

Both learn from the same pictures with the same network, crops, damage, loss,
optimiser and mixed precision, for the same number of steps. They take turns; the
table shows the median patches per second of each, and the ratio.

    python benchmarks/fit_overhead.py [FOLDER] [--repeats 5] [--quick]
"""

import argparse
import time
from contextlib import nullcontext
from statistics import median
from types import SimpleNamespace

import torch
from sklearn.base import clone
from table import print_table

from colorvae_sk import ColorVAE, GaussianNoise, ImageFolder, load_photos
from colorvae_sk._images import as_images
from colorvae_sk._net import Batches
from colorvae_sk.losses import NegativeELBO

ARCHITECTURES = ("ladder", "dense")
ENDLESS = SimpleNamespace(is_over=False)  # a schedule without a time limit


def fit(vae, photos):
    """Fit, and count the steps."""
    vae = clone(vae).fit(photos)
    return sum(row["n_steps"] for row in vae.history_)


def loop(vae, photos):
    """Take the same steps in plain torch, and count them."""
    vae, images = clone(vae), as_images(photos)
    vae.image_mode_ = True
    vae._begin(images)
    network, n_steps = vae.net_.module_, 0
    source = vae._batch_source(network, is_clean=True)
    dataset, _ = vae._split(images, None, source.rng)
    batches = Batches(dataset, vae._batch_size, source)
    for stage, share in zip(network.stages, vae._shares(network), strict=True):
        source.begin(ENDLESS, stage in network.latent_stages)
        for _ in range(max(1, round(share * vae.max_epochs))):
            n_steps += learn_epoch(vae, network, stage, batches)
    return n_steps


def learn_epoch(vae, network, stage, batches): ...
