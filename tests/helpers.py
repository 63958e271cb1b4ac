"""Small things that several files of tests make or look at."""

import numpy as np
import pytest
import torch

from colorvae_sk import ColorVAE, ColorVAEGAN, ColorVQVAE
from colorvae_sk._batches import TrainingImages
from colorvae_sk._images import as_images

ARCHITECTURES = ["ladder", "conv", "dense"]
RELATIVES = {"quantised": ColorVQVAE, "adversarial": ColorVAEGAN}
MODELS = [*ARCHITECTURES, *RELATIVES]
every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)
every_model = pytest.mark.parametrize("architecture", MODELS)
every_relative = pytest.mark.parametrize("architecture", RELATIVES)


def tiny(architecture="auto", **options):
    """A ColorVAE, or a relative, that learns in the blink of an eye."""
    options = {"max_epochs": 2, "lr": 0.01, "random_state": 0} | options
    options = {"widths": (8, 8), "n_blocks": 1, "device": "cpu"} | options
    if isinstance(architecture, str) and architecture in RELATIVES:
        return RELATIVES[architecture](**options)
    return ColorVAE(architecture, **options)


def weights(vae):
    """All weights in one line."""
    tensors = vae.net_.module_.state_dict().values()
    return np.concatenate([tensor.flatten().numpy() for tensor in tensors])


def dataset(X, y=None, indices=None, patch_size=(4, 4), with_pictures=False):
    """Crops of these images."""
    images = as_images(X)
    target = None if y is None else as_images(y)
    indices = np.arange(len(images)) if indices is None else indices
    return TrainingImages(images, target, indices, patch_size, with_pictures)


def tensor(images):
    """Images (n, H, W, C) as a float32 tensor (n, C, H, W)."""
    return torch.tensor(np.moveaxis(images, -1, 1), dtype=torch.float32)


def flat(value, n=1, channels=1, size=64):
    """Images of a single tone, as a tensor."""
    return torch.full((n, channels, size, size), float(value))


def noise_images(size, n=3, n_channels=3, seed=0):
    """Images (n, C, H, W) of uniform noise on [0, 1], float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((n, n_channels, *size), generator=generator).double()


def holed(photos):
    """The photos with a missing pixel, a missing channel and a missing photo."""
    photos = photos.copy()
    photos[0, 3, 5] = np.nan
    photos[1, 7, 2, 1] = np.nan
    photos[2] = np.nan
    return photos


class Never:
    """A schedule that is never over."""

    is_over = False
    strictness = 0.0
