"""`colorvae info`: what is in a model, as text or JSON."""

import json
import math
import os

import safetensors

from ._storage import KEY, read_header
from ._weights import FOLDER, SUFFIX, shipped_names
from .persistence import load


def describe(name, format="text"):
    """Tell what is in a model.

    Parameters
    ----------
    name : str
        A file that `save` wrote, or the name of a model that ships.
    format : {"text", "json"}, default="text"
        How to tell it.

    Returns
    -------
    text : str
    """
    path = str(FOLDER / f"{name}{SUFFIX}") if name in shipped_names() else name
    facts = facts_of(path, load(path))
    if format == "json":
        return json.dumps(facts, indent=2, default=str)
    width = max(map(len, facts)) + 2
    return "\n".join(f"{key:<{width}}{as_text(value)}" for key, value in facts.items())


def facts_of(path, estimator):
    """What there is to tell, by its name."""
    header = header_of(path)
    facts = {
        "file": path,
        "bytes": os.path.getsize(path),
        "written by": f"colorvae_sk {header['version']}, format {header['format']}",
        "class": type(estimator).__name__,
    }
    if hasattr(estimator, "net_"):
        facts |= facts_of_model(estimator)
    parameters = estimator.get_params(deep=False)
    return facts | {"parameters": {name: repr(v) for name, v in parameters.items()}}


def facts_of_model(vae):
    """What a fitted model has learned, and how."""
    shapes = [tuple(p.shape) for p in vae.net_.module_.parameters()]
    stages = {}
    for row in vae.history_:
        stages[row["stage"]] = {
            "epochs": row["epoch"],
            "seconds": round(row["seconds"], 1),
            "loss": round(row["train_loss"], 4),
        }
    return {
        "architecture": vae.architecture_,
        "channels": vae.n_channels_,
        "weights": sum(map(math.prod, shapes)),
        "learned": stages,
        "calibrated": hasattr(vae, "calibration_"),
    }


def header_of(path):
    """The JSON in the metadata of a file."""
    with safetensors.safe_open(path, framework="numpy") as file:
        return read_header(path, file.metadata()[KEY].partition(" ")[2])


def as_text(value):
    """A value for a line of its own, or several lines."""
    if isinstance(value, dict):
        lines = [f"{key}: {as_line(part)}" for key, part in value.items()]
        return "".join(f"\n    {line}" for line in lines)
    return f"{value:,}" if type(value) is int else str(value)


def as_line(value):
    """A value on one line, not too long."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    line = " ".join(str(value).split())
    return line if len(line) <= 70 else f"{line[:67]}..."
