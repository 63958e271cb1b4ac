"""One file of plain values and arrays, without pickle: safetensors, JSON beside them.

`Packer` turns values into JSON and named arrays, `Unpacker` turns these back; `write`
and `read` bring both into a file and out of it. A value that JSON does not know is a
dict with a single tag, such as ``{"$tuple": [16, 16]}``.
"""

import hashlib
import json
import math
import os
import re
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from . import __version__

FORMAT = 1  # raised whenever older versions would not understand what is written
KEY = "colorvae_sk"  # in the metadata of the file: a checksum, and JSON behind it
MOST_TEXT, MOST_CONTAINERS = 2**25, 2**19  # characters of JSON; lists and dicts in it
STORABLE = {"b1", *(f"{kind}{n}" for kind in "iu" for n in (1, 2, 4, 8))}
STORABLE |= {"f2", "f4", "f8"}
SCALAR = re.compile(r"[<>=|]([biuf]\d+|U\d{1,6})")


# ------------------------------------------------------------------ values
class Packer:
    """Turn values into JSON and arrays. A subclass knows more kinds, in `other`.

    Attributes
    ----------
    arrays : dict of ndarrays
        What does not go into JSON, by name.
    """

    def __init__(self):
        self.arrays = {}

    def pack(self, value, name):
        """A value as JSON has it; `name` is where it stands, for arrays and errors."""
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        if kind is list:
            return [self.pack(part, f"{name}.{i}") for i, part in enumerate(value)]
        if kind is tuple:
            return {"$tuple": self.pack(list(value), name)}
        if kind is dict:
            return self._pack_dict(value, name)
        if kind is np.ndarray:
            return self._pack_array(value, name)
        if isinstance(value, np.dtype) and value.kind in "buif":
            return {"$dtype": value.str}
        if isinstance(value, np.generic) and is_plain_dtype(value.dtype):
            return {"$scalar": [value.dtype.str, self.pack(value.item(), name)]}
        return self.other(value, name)

    def other(self, value, name):
        """Pack a value of another kind."""
        raise TypeError(
            f"{name} is {value!r:.200}, which a file without pickle cannot hold: it "
            "stores numbers, strings, None, arrays, and lists, tuples and dicts of "
            "these."
        )

    def store(self, array, name, dtype=None):
        """Put an array aside, perhaps in another dtype; it comes back in its own."""
        while name in self.arrays:
            name += "'"
        stored = array.dtype.newbyteorder("=") if dtype is None else dtype
        self.arrays[name] = np.array(array, stored, order="C")
        return {"$array": [name, array.dtype.str]}

    def _pack_dict(self, value, name):
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {k: self.pack(part, f"{name}.{k}") for k, part in value.items()}
        pairs = [
            [self.pack(key, name), self.pack(part, f"{name}.{key}")]
            for key, part in value.items()
        ]
        return {"$dict": pairs}

    def _pack_array(self, value, name):
        if value.dtype.str[1:] in STORABLE:
            return self.store(value, name)
        if value.ndim == 1 and value.dtype.kind in "OU":
            strings = value.tolist()
            if all(type(part) is str for part in strings):
                return {"$strings": [value.dtype.str, strings]}
        return self.other(value, name)


class Unpacker:
    """Turn JSON and arrays back into values. A subclass adds to `tags`.

    Parameters
    ----------
    arrays : dict of ndarrays
        By name, as `Packer` left them.

    Attributes
    ----------
    tags : dict of callables
        For each tag, what makes the value of what stands behind it. ValueError,
        TypeError and KeyError mean that it cannot.
    """

    def __init__(self, arrays):
        self.arrays = dict(arrays)  # each is taken once: a copy of many is a bomb
        self.tags = {
            "$float": as_float,
            "$tuple": lambda parts: tuple(self.unpack(parts)),
            "$dict": lambda pairs: dict(map(self.unpack, pairs)),
            "$dtype": as_dtype,
            "$scalar": lambda pair: as_dtype(pair[0]).type(self.unpack(pair[1])),
            "$strings": lambda pair: as_strings(*pair),
            "$array": self._array,
        }

    def unpack(self, packed):
        """The value that was packed."""
        if isinstance(packed, list):
            return [self.unpack(part) for part in packed]
        if not isinstance(packed, dict):
            return packed
        if len(packed) == 1 and next(iter(packed)).startswith("$"):
            ((tag, inside),) = packed.items()
            if tag not in self.tags:
                raise ValueError(f"nothing here is known as {tag!r}")
            return self.tags[tag](inside)
        return {key: self.unpack(part) for key, part in packed.items()}

    def _array(self, pair):
        name, dtype = pair
        if name not in self.arrays:
            raise ValueError(f"the array {name!r} is missing")
        array, dtype = self.arrays.pop(name), as_dtype(dtype)
        is_half = array.dtype == np.float16 and dtype.kind == "f"
        if not is_half and array.dtype != dtype.newbyteorder("="):
            raise ValueError(f"the array {name!r} is {array.dtype}, not {dtype}")
        return array.astype(dtype)


def is_plain_dtype(dtype):
    """Whether its values are numbers that Python has too, or strings."""
    return dtype.str[1:] in STORABLE or dtype.kind == "U"


def as_dtype(text):
    """The numpy dtype of this name: of numbers, strings or objects that are strings."""
    if text != "|O" and not SCALAR.fullmatch(text):
        raise ValueError(f"{text!r} is no dtype that could have been written")
    return np.dtype(text)


def as_strings(text, strings):
    """An array of strings, no wider than the longest of them."""
    dtype, longest = as_dtype(text), max(map(len, strings), default=0)
    if dtype.kind not in "OU" or not all(type(part) is str for part in strings):
        raise ValueError(f"these are no strings of dtype {text!r}")
    too_wide = dtype.kind == "U" and dtype.itemsize // 4 > max(longest, 1)
    if too_wide or dtype.itemsize * len(strings) > MOST_TEXT:
        raise ValueError(f"{len(strings)} strings of dtype {text!r} take too much")
    return np.array(strings, dtype)


def as_float(text):
    """A float that JSON has no number for."""
    if text not in ("nan", "inf", "-inf"):
        raise ValueError(f"{text!r} is no float that could have been written")
    return float(text)


# ------------------------------------------------------------------ files
def write(path, content, arrays):
    """Write a file, whole or not at all.

    Parameters
    ----------
    path : str or path-like
        Where to. A file that is there is replaced.
    content : JSON
        As `Packer` gives it.
    arrays : dict of ndarrays
        As `Packer` leaves them.
    """
    header = {"format": FORMAT, "version": __version__, "content": content}
    text = json.dumps(header, separators=(",", ":"), allow_nan=False)
    if is_too_long(text):
        raise ValueError(
            f"The values beside the arrays take {len(text)} characters of JSON, too "
            "many for one file: the history of a very long fit, perhaps, which "
            "`estimator.history_ = estimator.history_[-1000:]` shortens."
        )
    metadata = {KEY: f"{digest(text, arrays)} {text}"}
    replace_file(path, safetensors.numpy.save(arrays, metadata))


def read(path):
    """Read a file that `write` wrote, and check that it is whole.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    content : JSON
        What was written.
    arrays : dict of ndarrays
        What was written.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file.
    ValueError
        If it is another kind of file, of a newer format, or damaged.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path!r} is a folder. Pass the path of a file.")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no file {path!r}.")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            checksum, _, text = (file.metadata() or {}).get(KEY, "").partition(" ")
            header = read_header(path, text)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged, or no file that colorvae_sk.save wrote ({error}). "
            "What joblib.dump wrote is for joblib.load."
        ) from error
    if checksum != digest(text, arrays):
        raise ValueError(
            f"{path} is damaged: what it holds does not have the checksum (SHA-256) "
            "that was written with it. Copy or download it again."
        )
    return header.get("content"), arrays


def read_header(path, text):
    """The JSON in the metadata of a file, of a format that we know."""
    try:
        if is_too_long(text):
            raise ValueError
        header = json.loads(text)
        is_known = type(header["format"]) is int and header["format"] > 0
    except (KeyError, TypeError, ValueError, RecursionError):
        is_known = False
    if not is_known:
        raise ValueError(
            f"{path} is damaged, or no file that colorvae_sk.save wrote: the values "
            "beside its arrays can't be read."
        )
    if header["format"] > FORMAT:
        raise ValueError(
            f"{path} was written by colorvae_sk {header.get('version')} in format "
            f"{header['format']}, but version {__version__} reads formats up to "
            f"{FORMAT}. Install a newer colorvae_sk."
        )
    return header


def is_too_long(text):
    """Whether the values in this JSON might take more than half a GiB of memory."""
    n_containers = text.count("[") + text.count("{")
    return len(text) > MOST_TEXT or n_containers > MOST_CONTAINERS


def digest(text, arrays):
    """SHA-256 of JSON and arrays, with the names, dtypes and shapes of these."""
    sha = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def replace_file(path, data):
    """Write bytes to a file, so that it holds either all of them or what it held."""
    path = Path(os.path.realpath(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(path.parent)!r} to save to.")
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder. Pass the path of a file.")
    temporary = path.with_name(f"{unfinished(path)}{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        keep_mode(path, temporary)
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(path)
        raise


def unfinished(path):
    """How the names begin under which this file is written before it takes its place.

    They are short, whatever the name of the file: that may be as long as is allowed.
    """
    name = os.fsencode(os.path.basename(path))
    return f".{hashlib.sha256(name).hexdigest()[:16]}."


def keep_mode(path, temporary):
    """Let only those read the new file who might read the one that it replaces."""
    with suppress(FileNotFoundError):
        shutil.copymode(path, temporary)
