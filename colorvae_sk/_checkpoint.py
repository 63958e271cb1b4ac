"""Keep a fit as it goes, so that it can go on after it was cut off."""

import io
import os
import pickle
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import joblib
import numpy as np
import torch
from skorch.callbacks import Callback

from ._storage import replace_file

EVERY = 60.0  # seconds between two checkpoints
PATIENCE = 50  # times as long as it takes to write one, if that is more
N_LOOKED_AT = 16  # images by which data are recognised
UNREADABLE = (
    *(EOFError, LookupError, NotImplementedError, RuntimeError, ValueError),
    *(zipfile.BadZipFile, zlib.error),
)
# Parameters that may change before a fit goes on.
FREE = ("callbacks", "checkpoint", "device", "tile_size", "verbose")


class Checkpoint(Callback):
    """Write down, now and then, all that a fit needs to go on.

    Parameters
    ----------
    file : Path
        Where to.
    fit : dict
        What the estimator needs, beside what the net tells (`VAENet.state`).

    Where several processes learn, the first one writes for all.
    """

    def __init__(self, file, fit):
        self.file, self.fit = file, fit

    def on_train_begin(self, net, **kwargs):
        self.due_ = net.team.clock() + EVERY

    def on_batch_end(self, net, training, **kwargs):
        if not training or net.team.clock() < self.due_:
            return
        began = time.monotonic()
        state = self.fit | net.state()
        if net.team.rank == 0:
            keep(self.file, state)
        cost = net.team.mean(torch.tensor(time.monotonic() - began)).item()
        self.due_ = net.team.clock() + max(EVERY, PATIENCE * cost)


def file_for(folder, estimator, start, *data):
    """The file in which a fit is kept: equal fits have the same, and no others.

    Parameters
    ----------
    folder : str or Path
        Where to keep it; it is made if need be.
    estimator : ColorVAE
        Whose fit it is.
    start : dict
        Weights to begin with, if they are not random.
    *data : Images or None
        What it is fitted on.
    """
    parameters = estimator.get_params(deep=False)
    fixed = {k: v for k, v in parameters.items() if k not in FREE}
    parts = type(estimator).__name__, fixed, start, [summary(part) for part in data]
    try:
        key = joblib.hash(parts)
    except pickle.PicklingError as error:
        raise ValueError(
            "A fit is recognised by its parameters, and one of them can't be pickled: "
            f"{error}. Pass checkpoint=None, or functions that have a name in a module."
        ) from error
    Path(folder).mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(
            f"Nothing may be written to checkpoint={str(folder)!r}. Pass another "
            "folder, or None."
        )
    return Path(folder) / f"{key}.pt"


def summary(images):
    """What images are recognised by: their sizes, and the values of some."""
    if images is None:
        return None
    sizes = [images.shape(i) for i in range(len(images))]
    chosen = np.linspace(0, len(images) - 1, N_LOOKED_AT).astype(int)
    return sizes, [joblib.hash(images.raw(i)) for i in np.unique(chosen)]


def keep(file, state):
    """Write a checkpoint; what goes wrong is no reason to lose the fit itself."""
    try:
        write(file, state)
    except OSError as error:
        warnings.warn(
            f"The fit could not be kept: {error}. It goes on, but if it is cut off, "
            "what it learned since the last checkpoint is lost.",
            RuntimeWarning,
            stacklevel=2,
        )


def write(file, state):
    """Write a file that is there as a whole or not at all."""
    content = io.BytesIO()
    torch.save(state, content)
    replace_file(file, content.getvalue())


def read(file):
    """What was kept in the file, nothing if there is none; no object is unpickled."""
    if not file.exists():
        return {}
    try:
        with zipfile.ZipFile(file) as archive:  # torch does not look at checksums
            if archive.testzip() is not None:
                raise zipfile.BadZipFile("a checksum is wrong")
        return torch.load(file, map_location="cpu", weights_only=True)
    except (*UNREADABLE, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{file} can't be read: it is damaged, or no checkpoint. Delete it to "
            "begin anew."
        ) from error
