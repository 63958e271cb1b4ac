"""What is sent to other processes: it must be importable there."""

import contextlib
import io
import os
import time
import warnings
from datetime import timedelta

import torch
from helpers import weights
from skorch.callbacks import Callback
from torch import distributed

from colorvae_sk import BaseDegradation, _checkpoint
from colorvae_sk._parallel import Team


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


# ------------------------------------------------------------------ a team
def connect(rank, size, file):
    """Become one of several processes that learn together."""
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    options = {"rank": rank, "world_size": size, "timeout": timedelta(seconds=60)}
    distributed.init_process_group("gloo", init_method=f"file://{file}", **options)


def learn(vae, X, checkpoint=None, cut_after=None):
    """Fit; give what was learned and seen, the history, and what was said of it."""
    _checkpoint.EVERY = _checkpoint.PATIENCE = 0
    vae.set_params(checkpoint=checkpoint, callbacks=[Watch(cut_after)])
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.suppress(CutOff):
        vae.fit(X)
    watch = {"steps": Watch.steps, "batches": Watch.batches}
    if not hasattr(vae, "net_"):
        return watch
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in vae.history_]
    return watch | {"weights": weights(vae), "history": rows, "said": said.getvalue()}


def learn_unevenly(vae, X, delay):
    """Steps of each epoch of a fit in which the second process is slow."""
    vae.set_params(callbacks=[Delay(delay * distributed.get_rank())])
    began = time.monotonic()
    history = vae.fit(X).history_
    return [row["n_steps"] for row in history], time.monotonic() - began


def fail(vae, X):
    """What a fit complains of."""
    try:
        vae.fit(X)
    except ValueError as error:
        return str(error)


def average(gradients):
    """The gradient of a parameter of three values after it was averaged."""
    parameter = torch.nn.Parameter(torch.zeros(3))
    gradient = gradients[distributed.get_rank()]
    parameter.grad = None if gradient is None else torch.tensor(gradient)
    Team("cpu").average([parameter])
    return parameter.grad.tolist()


class CutOff(Exception):  # noqa: N818
    """What ends a fit."""


class Watch(Callback):
    """Write down the sum of the weights after each step, and of each damaged batch."""

    steps, batches = (), ()

    def __init__(self, cut_after=None):
        self.cut_after = cut_after

    def on_train_begin(self, net, **kwargs):
        if net.stage_ == net.module_.stages[0]:
            Watch.steps = Watch.batches = ()

    def on_batch_begin(self, net, training, **kwargs):
        if training and len(self.steps) == self.cut_after:
            raise CutOff

    def on_batch_end(self, net, batch, training, **kwargs):
        if training:
            tensors = net.module_.state_dict().values()
            Watch.steps += (sum(float(t.double().sum()) for t in tensors),)
            Watch.batches += (float(batch[0]["damaged"].nansum()),)


class Delay(Callback):
    """Sleep for so many seconds in each step."""

    def __init__(self, seconds):
        self.seconds = seconds

    def on_batch_begin(self, net, training, **kwargs):
        time.sleep(self.seconds)
