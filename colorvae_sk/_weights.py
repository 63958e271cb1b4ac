"""Files of weights: those that ship with the package, and a user's own."""

import hashlib
import os
from importlib import resources

from ._storage import Unpacker, read

FOLDER = resources.files(__package__) / "weights"
SUFFIX = ".safetensors"
REINSTALL = "Install colorvae_sk again."
SUMS = "SHA256SUMS"  # beside the files, as the command sha256sum writes it


def shipped_names():
    """Names of the weights that ship, in alphabetical order."""
    files = [file.name for file in FOLDER.iterdir()] if FOLDER.is_dir() else []
    return sorted(name.removesuffix(SUFFIX) for name in files if name.endswith(SUFFIX))


def describe_shipped():
    """The names for an error."""
    return ", ".join(map(repr, shipped_names())) or "none in this version"


def read_shipped(name, verify=True):
    """Content and arrays of weights that ship; their checksum is looked at first."""
    file = FOLDER / f"{name}{SUFFIX}"
    if verify:
        check_sum(file)
    with resources.as_file(file) as path:
        return read(path)


def check_sum(file):
    """Complain unless a file has the SHA-256 that stands in the list beside it."""
    expected = listed_sums().get(file.name)
    if expected is None:
        raise ValueError(f"{file.name} has no line in {SUMS}. {REINSTALL}")
    if hashlib.sha256(file.read_bytes()).hexdigest() != expected:
        raise ValueError(f"{file.name} is not the file that {SUMS} lists. {REINSTALL}")


def listed_sums():
    """SHA-256 by the name of the file."""
    file = FOLDER / SUMS
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    pairs = [line.split(maxsplit=1) for line in lines if line.strip()]
    return {pair[-1].removeprefix("*"): pair[0].lower() for pair in pairs}


def read_network(weights, kinds):
    """The network of a fitted estimator in a file.

    Parameters
    ----------
    weights : str
        Name of weights that ship with the package, or path of a file that
        ``colorvae_sk.save`` wrote.
    kinds : list of str
        The class of the estimator: one of these.

    Returns
    -------
    blueprint : object
        Plain values to build the network from.
    arrays : dict of ndarrays
        Its weights.
    """
    content, arrays = open_weights(weights)
    unpack = Unpacker(arrays).unpack
    try:
        kind, state = content["$object"]["class"], content["$object"]["state"]
        if kind not in kinds or "_weights" not in state:
            raise ValueError(f"there is a {kind} in it")
        return unpack(state["_blueprint"]), unpack(state["_weights"])
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"weights={weights!r} holds no fitted {kinds[0]}: {error}."
        ) from error


def open_weights(weights):
    """Content and arrays of weights by name or path."""
    if weights in shipped_names():
        return read_shipped(weights)
    if os.path.isfile(weights):
        return read(weights)
    raise ValueError(
        f"There are no weights {weights!r}: they are neither a file that "
        "colorvae_sk.save wrote nor the name of weights that ship with the package "
        f"({describe_shipped()})."
    )
