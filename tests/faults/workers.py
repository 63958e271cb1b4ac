"""What is sent to other processes: it must be importable there."""

import os

from colorvae_sk import BaseDegradation


class Dies(BaseDegradation):
    """Damage that takes its process with it."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def _degrade(self, images, generator):
        os._exit(1)
