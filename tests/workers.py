"""What is sent to other processes: it must be importable there."""

import os
import warnings

import torch

from colorvae_sk import BaseDegradation


def restore(vae, X):
    """Restored images on one thread, where warnings are errors as in the tests."""
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    return vae.transform(X)


class Dies(BaseDegradation):
    """Damage that takes its process with it."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def _degrade(self, images, generator):
        os._exit(1)
