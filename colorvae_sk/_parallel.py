"""Processes that learn one network together: what they share, and what they agree on.

Each draws crops and damage of its own. Gradients are averaged before anything looks at
them, so a step of n processes is one of a batch n times as large; all else that decides
on weights, or on when a stage ends, is averaged too or taken from the first process.
"""

import io
import time

import joblib
import numpy as np
import torch
from skorch.callbacks import Callback
from torch import distributed

from ._checkpoint import FREE, summary

OWN = {*FREE, "random_state", "weights"}  # parameters that may differ by process
PLAIN = bool, int, float, str, tuple, type(None)


class Alone:
    """A process that learns by itself and has nobody to agree with.

    Attributes
    ----------
    rank, size : int
        Which of the processes this is, and how many there are.
    """

    rank, size = 0, 1

    def clock(self):
        """Seconds since some moment."""
        return time.monotonic()

    def check_alike(self, estimator, *data):
        """Complain if the processes were given different parameters or images."""

    def file(self, file):
        """The checkpoint of a fit by as many processes."""
        return file

    def share(self, network):
        """Give all the weights and buffers of the first process."""

    def own_rng(self, rng):
        """A generator that draws what no other process does."""
        return rng

    def mean(self, tensor):
        """The mean over all processes."""
        return tensor

    def any(self, flag):
        """Whether this is so in any of them."""
        return flag

    def first(self, value):
        """What the first of them has."""
        return value

    def gather(self, value):
        """What all of them have."""
        return value

    def own(self, values):
        """This one's part of what was gathered."""
        return values

    def average(self, parameters):
        """Put the mean over all processes in place of each gradient."""

    def callbacks(self):
        """What the net needs in order to learn with the others."""
        return []


class Team:
    """One of several processes that `torch.distributed` has connected.

    The methods are those of `Alone`; all processes call them in the same order. The
    clock is the mean of all clocks at the last step, so that all see the same time.

    Parameters
    ----------
    device : str or torch.device
        Where the network is.
    """

    def __init__(self, device):
        self.device = device
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self._began, self._now = time.monotonic(), 0.0

    def clock(self):
        return self._now

    def check_alike(self, estimator, *data):
        parameters = {
            name: value
            for name, value in estimator.get_params(deep=False).items()
            if name not in OWN and isinstance(value, PLAIN)
        }
        is_kept = estimator.checkpoint is not None
        data = [summary(part) for part in data]
        keys = self.gather(joblib.hash((type(estimator), parameters, is_kept, data)))
        if any(key != keys[0] for key in keys):
            raise ValueError(
                "The processes were given different parameters or images. Call fit in "
                "each of them with the same: it draws other crops in each."
            )

    def share(self, network):
        for tensor in network.state_dict().values():
            self._share(tensor)

    def file(self, file):
        return file and file.with_stem(f"{file.stem}-{self.size}")

    def share_buffers(self, network):
        """Give all what the first process has gathered, as code vectors."""
        for buffer in network.buffers():
            self._share(buffer)

    @staticmethod
    def _share(tensor):
        values = tensor.detach().contiguous()  # convolutions have channels last
        distributed.broadcast(values, src=0)
        tensor.detach().copy_(values)

    def own_rng(self, rng):
        return np.random.Generator(rng.bit_generator.jumped(self.rank))

    def mean(self, tensor):
        total = tensor.detach().to(self.device, copy=True)
        distributed.all_reduce(total)
        return total / self.size

    def any(self, flag):
        return bool(self.mean(torch.tensor(float(flag))) > 0)

    def first(self, value):
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value):
        content, contents = io.BytesIO(), [b""] * self.size
        torch.save(value, content)
        distributed.all_gather_object(contents, content.getvalue())
        return [
            torch.load(io.BytesIO(each), map_location="cpu", weights_only=True)
            for each in contents
        ]

    def own(self, values):
        return values[self.rank]

    def callbacks(self):
        return [Averaging(self)]

    @torch.no_grad()
    def average(self, parameters):
        parameters = list(parameters)
        for p in parameters:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        elapsed = parameters[0].new_tensor([time.monotonic() - self._began])
        values = torch.cat([*(p.grad.flatten() for p in parameters), elapsed])
        sizes = [p.numel() for p in parameters]
        *means, now = self.mean(values).split([*sizes, 1])
        for p, mean in zip(parameters, means, strict=True):
            p.grad.copy_(mean.view_as(p))
        self._now = now.item()


class Averaging(Callback):
    """Average what the processes have found in each step.

    Parameters
    ----------
    team : Team
        The processes.
    """

    def __init__(self, team):
        self.team = team

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.team.average(p for _, p in named_parameters if p.requires_grad)
        self.team.share_buffers(net.module_)


ALONE = Alone()


def find_team(device):
    """The processes that learn together: those connected, or this one alone."""
    return Team(device) if n_processes() > 1 else ALONE


def n_processes():
    """How many processes `torch.distributed` has connected."""
    is_connected = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if is_connected else 1


def is_first():
    """Whether it is this process that writes and speaks."""
    return n_processes() == 1 or distributed.get_rank() == 0
