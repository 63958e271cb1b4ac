"""A network compiled for CUDA, where its many small operations keep a GPU waiting."""

import os
import shutil
import warnings
from importlib.util import find_spec

import torch

LEAST_STEPS, LEAST_SECONDS = 5000, 200  # of a stage: compiling takes up to 100 s


def pays_to_compile(device, schedule):
    """Whether a stage is long enough on a device that gains from it."""
    if torch.device(device).type != "cuda" or not can_compile():
        return False
    seconds = schedule.seconds
    return schedule.n_steps >= LEAST_STEPS and not (seconds and seconds < LEAST_SECONDS)


def can_compile():
    """Whether there is what torch's compiler needs for CUDA."""
    compilers = os.environ.get("CC"), "cc", "gcc", "clang"
    has_compiler = any(shutil.which(name) for name in compilers if name)
    return has_compiler and find_spec("triton") is not None


class CompiledNetwork:
    """A network whose steps are one launch each; it runs as it is where that fails.

    Parameters
    ----------
    network : module
        Its weights stay where they are.
    batch_size : int
        Batches of another size are run as they are: each size is compiled anew.
    """

    def __init__(self, network, batch_size):
        self.network, self.batch_size = network, batch_size
        options = {"mode": "reduce-overhead", "dynamic": False}
        self._compiled = torch.compile(network.forward, **options)

    def __call__(self, damaged, **given):
        if self._compiled is None or len(damaged) != self.batch_size:
            return self.network(damaged, **given)
        try:
            torch.compiler.cudagraph_mark_step_begin()
            return self._compiled(damaged, **given)
        except Exception as error:
            self._compiled = None
            warnings.warn(
                f"The network could not be compiled, so it learns more slowly: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
        return self.network(damaged, **given)
