"""Save what was fitted to one file, and load it, without pickle.

A pickle, and so a file of joblib, may run any code when it is loaded. A file of `save`
holds arrays and plain values only, so it can be loaded from whoever gave it.
"""

import inspect
from pathlib import PurePath

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from . import augmentations, degradations
from ._base import BaseColorVAE
from ._calibration import Calibration
from ._color_vae import ColorVAE
from ._color_vaegan import ColorVAEGAN
from ._color_vqvae import ColorVQVAE
from ._detection import RestorationOutlierDetector
from ._latent_features import LatentFeatures
from ._storage import Packer, Unpacker, read, write

__all__ = ["load", "save"]

FITTED = {  # what the base and ColorVAE learn beside their weights, and of what kind
    "_blueprint": tuple,
    "_n_axes": int,
    "architecture_": str,
    "data_range_": tuple,
    "dtype_": np.dtype,
    "history_": list,
    "image_mode_": bool,
    "n_channels_": int,
    "n_fits_": int,
    "patch_size_": tuple,
    "seed_": int,
}

SKLEARN = "_sklearn_version"  # a note that scikit-learn's own classes add for pickles
REQUESTS = "_metadata_request"  # what set_fit_request and the like leave behind
NOT_UNDERSTOOD = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError),
    *(RuntimeError, TypeError, ValueError),
)


def public_classes(module, base):
    """The classes that a module offers, by name."""
    kinds = [getattr(module, name) for name in module.__all__]
    kinds = [kind for kind in kinds if inspect.isclass(kind) and issubclass(kind, base)]
    return {kind.__name__: kind for kind in kinds if kind is not base}


CLASSES = {  # all that a file may name: nothing is looked up by import path
    **{kind.__name__: kind for kind in (ColorVAE, ColorVAEGAN, ColorVQVAE)},
    "FrozenEstimator": FrozenEstimator,
    "LatentFeatures": LatentFeatures,
    "Pipeline": Pipeline,
    "RestorationOutlierDetector": RestorationOutlierDetector,
    **public_classes(degradations, degradations.BaseDegradation),
    **public_classes(augmentations, augmentations.BaseAugmentation),
}


def save(estimator, path, half=False) -> None:
    """Write a fitted estimator to one file.

    The file is in the safetensors format: arrays, and JSON in its metadata for
    parameters and all else that was fitted. It is written to a temporary name in the
    same folder first, so that a file that is there is replaced as a whole or not at
    all.

    Parameters
    ----------
    estimator : ColorVAE or a relative, degradation, LatentFeatures, \
            RestorationOutlierDetector, or FrozenEstimator or Pipeline of these
        What was fitted. Its parameters may be plain values, degradations and
        augmentations of this package, and scikit-learn's Pipelines of these. Paths are
        kept as strings.

    path : str or path-like
        The file; ``.safetensors`` is the usual ending.

    half : bool, default=False
        Whether to keep the weights in half precision (float16), in half of the space.
        They come back as float32, rounded to about three digits.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If something in it is no plain value, such as a function, a callback, a
        RandomState instance or a class of one's own. The error says which; store such
        an estimator by ``joblib.dump``.
    ValueError
        If a parameter is not valid, or a weight is too large for half precision.

    See Also
    --------
    load : Read the file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from skimage.data import astronaut
    >>> from colorvae_sk import ColorVAE, load, save
    >>> X = astronaut()[None, ::16, ::16]
    >>> vae = ColorVAE(widths=(8, 8), max_epochs=1, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(vae, Path(folder) / "vae.safetensors")
    ...     loaded = load(Path(folder) / "vae.safetensors")
    >>> np.array_equal(loaded.transform(X), vae.transform(X))
    True
    """
    if type(estimator) not in CLASSES.values() or not hasattr(estimator, "fit"):
        raise TypeError(
            "Expected what colorvae_sk can fit, or a Pipeline of such steps, "
            f"got {estimator!r:.200}. Store others by joblib.dump."
        )
    check_is_fitted(estimator)
    packer = ObjectPacker(half)
    content = packer.pack(estimator, type(estimator).__name__)
    write(path, content, packer.arrays)


def load(path):
    """Read what `save` wrote. Nothing is unpickled.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    estimator : ColorVAE, or what else `save` takes
        As it was saved: the same parameters and fitted attributes. Without ``half`` it
        restores the same to the last bit on the same machine.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no file of `save`, or one of a newer format, or damaged: what is
        in it is checked before anything is built.

    See Also
    --------
    save : Write the file.
    load_pretrained : Weights that ship with the package.
    """
    return revive(*read(path), path)


def revive(content, arrays, path, **parameters):
    """The estimator in what was read from a file; some parameters may be given."""
    try:
        estimator = ObjectUnpacker(arrays, parameters).unpack(content)
        if not hasattr(estimator, "fit"):
            raise ValueError(f"there is a {type(estimator).__name__} in it")
    except NOT_UNDERSTOOD as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise ValueError(
            f"{path} can't be made into an estimator: {reason}."
        ) from error
    return estimator


class ObjectPacker(Packer):
    """Pack estimators, degradations and augmentations too, and torch's devices.

    Parameters
    ----------
    half : bool
        Whether weights are kept in half precision.
    """

    def __init__(self, half=False):
        super().__init__()
        self.half = half

    def other(self, value, name):
        if isinstance(value, torch.device):
            return {"$device": str(value)}
        if isinstance(value, PurePath):
            return str(value)
        if type(value) is Calibration:
            return {"$calibration": self.pack(vars(value), name)}
        if CLASSES.get(type(value).__name__) is type(value):
            return {"$object": self._pack_object(value, name)}
        raise TypeError(
            f"{name} is {value!r:.200}, which a file without pickle cannot hold. Give "
            "it a plain value before saving (set_params: an int for a RandomState, "
            "None for callbacks, a degradation of colorvae_sk for a function), or "
            "store the estimator by joblib.dump."
        )

    def _pack_object(self, value, name):
        value._validate_params()
        check_memory(value)
        parameters = value.get_params(deep=False)
        state = value.__getstate__()
        state = {k: v for k, v in state.items() if k not in (*parameters, SKLEARN)}
        weights = state.pop("_weights", None)
        if weights is not None:
            state["dtype_"] = value.dtype_
        if REQUESTS in state:
            state[REQUESTS] = state[REQUESTS]._serialize()
        packed = {
            "class": type(value).__name__,
            "parameters": self.pack(parameters, name),
            "state": self.pack(state, name),
        }
        if weights is not None:
            packed["state"]["_weights"] = self._pack_weights(weights, name)
        return packed

    def _pack_weights(self, weights, name):
        if not self.half:
            return self.pack(weights, f"{name}.weights")
        packed = {}
        for key, array in weights.items():
            dtype = np.float16 if array.dtype.kind == "f" else None  # counts stay exact
            if dtype and np.abs(array).max(initial=0) > np.finfo(dtype).max:
                raise ValueError(
                    f"The weights {key} of {name} are too large for half precision. "
                    "Pass half=False."
                )
            packed[key] = self.store(array, f"{name}.weights.{key}", dtype)
        return packed


class ObjectUnpacker(Unpacker):
    """Unpack what `ObjectPacker` packed.

    Parameters
    ----------
    arrays : dict of ndarrays
        By name.
    parameters : dict
        Parameters of the outermost object that stand in for those of the file.
    """

    def __init__(self, arrays, parameters=()):
        super().__init__(arrays)
        self.parameters = dict(parameters)
        self.tags |= {"$device": as_device, "$object": self._object}
        self.tags["$calibration"] = lambda packed: as_calibration(self.unpack(packed))

    def _object(self, packed):
        kind = CLASSES.get(packed["class"])
        if kind is None:
            raise ValueError(f"there is no class {packed['class']!r} to be loaded")
        parameters, self.parameters = self.parameters, {}
        parameters = self.unpack(packed["parameters"]) | parameters
        unknown = set(parameters) - set(kind._get_param_names())
        if unknown:
            raise ValueError(f"{kind.__name__} has no parameters {sorted(unknown)}")
        state = self.unpack(packed["state"])
        check_state(kind, state)
        value = kind(**parameters)
        value._validate_params()
        check_memory(value)
        weights, requests = (state.pop(name, None) for name in ("_weights", REQUESTS))
        vars(value).update(state)
        if weights is not None:
            value._put_weights(weights)
        if requests is not None:
            vars(value)[REQUESTS] = as_requests(value, requests)
        return value


def check_state(kind, state):
    """Complain unless these are attributes that an object of the class may have."""
    is_fitted = "_weights" in state
    if is_fitted and not issubclass(kind, BaseColorVAE):
        raise ValueError(f"a {kind.__name__} has no weights")
    wrong = [name for name in state if name.startswith("__") or hasattr(kind, name)]
    if is_fitted:
        wrong += [n for n, t in FITTED.items() if not isinstance(state.get(n), t)]
    if wrong:
        raise ValueError(f"{kind.__name__} cannot have such attributes {sorted(wrong)}")


def check_memory(value):
    """Complain of a Pipeline with a cache: joblib unpickles what it finds there."""
    if getattr(value, "memory", None) is not None:
        raise TypeError(
            "A Pipeline with memory is not for a file without pickle, since its cache "
            "holds pickles. Set it to None: set_params(memory=None)."
        )


def as_calibration(attributes):
    """What `calibrate` found, if that is what these are."""
    calibration = Calibration(**attributes)
    tables = *calibration.curve, calibration.reaches, calibration.losses
    if not all(isinstance(t, np.ndarray) and t.ndim == 1 for t in tables):
        raise ValueError("there is a calibration of something else than tables in it")
    (predicted, seen, reaches, losses), n_images = tables, calibration.n_images
    lengths = (predicted.size, reaches.size) == (seen.size, losses.size)
    rising = all((np.diff(t) >= 0).all() for t in (predicted, reaches))
    known = all(np.isfinite(t).all() for t in (predicted, seen, losses))
    counts = min(predicted.size, reaches.size) > 0 and type(n_images) is int
    if not (lengths and rising and known and counts and n_images > 0):
        raise ValueError("there is a calibration in it that cannot be")
    return calibration


def as_requests(value, aliases):
    """What an object asks of metadata routing, by method and parameter."""
    requests = value._get_metadata_request()
    for method, names in aliases.items():
        for name, alias in names.items():
            getattr(requests, method).add_request(param=name, alias=alias)
    return requests


def as_device(text):
    """The torch device of this name."""
    try:
        return torch.device(text)
    except RuntimeError as error:
        raise ValueError(f"{text!r} is no device that torch knows") from error
