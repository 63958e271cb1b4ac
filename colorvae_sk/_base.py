"""BaseColorVAE: everything that the estimators share. A subclass builds a network."""

import math
import os
from contextlib import contextmanager
from numbers import Integral, Number, Real
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ._blocks import initialise
from ._calibration import CalibrationMixin
from ._checkpoint import file_for
from ._distortions import check_loss
from ._history import NotebookMixin
from ._images import _FULL_RANGES, ImageInputMixin, as_images, refuse_lone_image
from ._inference import Restorer
from ._latents import LatentsMixin
from ._layers import can_round
from ._training import TrainingMixin, check_augmentation, check_callbacks
from ._weights import read_network
from .augmentations import BaseAugmentation
from .degradations import BaseDegradation
from .metrics import psnr_score


class BaseColorVAE(
    TrainingMixin,
    CalibrationMixin,
    LatentsMixin,
    NotebookMixin,
    ImageInputMixin,
    TransformerMixin,
    BaseEstimator,
):
    """What ColorVAE and its relatives share: data, training, restoring, keeping.

    A subclass lists its parameters in ``__init__`` and builds its network in
    ``_build(blueprint)``, from the plain values that ``_plan(images)`` gives; `_plan`
    also sets ``patch_size_``. ``_adopt(blueprint, images)`` does so from the values of
    a file, and gives them, with what the subclass adds to them; or it complains that
    the images do not fit that network.
    ``_default_batch_size`` is what `batch_size=None` means.
    """

    _parameter_constraints: ClassVar[dict] = {
        "beta": [Interval(Real, 0, None, closed="left")],
        "free_bits": [Interval(Real, 0, None, closed="left"), None],
        "degradation": [
            StrOptions({"blind"}),
            BaseDegradation,
            Pipeline,
            HasMethods("transform"),
            callable,
            None,
        ],
        "augmentation": [StrOptions({"auto"}), BaseAugmentation, list, tuple, None],
        "image_shape": [tuple, list, None],
        "patch_size": [Interval(Integral, 1, None, closed="left"), None],
        "latent_share": [Interval(Real, 0, 1, closed="neither")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "max_seconds": [Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "ema_decay": [Interval(Real, 0, 1, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "mixed_precision": ["boolean", StrOptions({"auto"})],
        "tile_size": [Interval(Integral, 64, None, closed="left"), None],
        "device": [str, torch.device],
        "weights": [str, None],
        "callbacks": ["array-like", None],
        "checkpoint": [str, Path, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    loss = "gaussian"  # of a subclass that does not let it be chosen

    # ------------------------------------------------------------- learning
    def fit(self, X, y=None) -> Self:
        """Learn to restore.

        Processes that Accelerate or `torch.distributed` has connected learn one network
        together, if all of them call this with the same parameters and images.

        Parameters
        ----------
        X : array-like of shape (n_images, H, W, C) or (n_images, H, W), list of \
                arrays of shape (H, W[, C]), list of paths, ImageFolder, or \
                array-like of shape (n_images, n_features)
            Clean images if there is no `y`: they are damaged by `degradation`, anew
            in each batch. Else damaged images. Integers (uint8, uint16) are read on
            the range of their dtype, floats on [0, 1]; NaN marks missing values.

        y : like X, default=None
            The clean version of each image in X, in the same order. One-dimensional
            y are labels, which are ignored; paths must be a list.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        is_new = not (self.warm_start and hasattr(self, "net_"))
        budget = self.max_epochs, self.max_seconds
        return self._learn(X, y, is_new, *budget, folder=self.checkpoint)

    def partial_fit(self, X, y=None) -> Self:
        """Go on learning: each stage for one epoch, at a constant learning rate.

        The rate rises over the first steps of each call, as the optimiser starts anew.

        Parameters
        ----------
        X : images
            As in `fit`.
        y : images, default=None
            As in `fit`.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._learn(X, y, not hasattr(self, "net_"), 1, None, anneal=False)

    def _learn(self, X, y, is_new, n_epochs, seconds, anneal=True, folder=None):
        """Fit; if anything goes wrong on the way, the estimator stays as it was."""
        self._validate_params()
        check_augmentation(self.augmentation)
        check_callbacks(self.callbacks)
        with unchanged_on_error(self):
            images, target = self._check_pair(X, y, is_new)
            check_observed(images, target)
            if is_new:
                self._begin(images)
            self._check_channels(images)
            check_loss(self.loss, self.n_channels_, self._is_plain)
            file = None
            if folder is not None:
                is_random = is_new and self.weights is None
                start = {} if is_random else self.__getstate__()["_weights"]
                file = file_for(folder, self, start, images, target)
            self._train(images, target, n_epochs, seconds, anneal, file)
            vars(self).pop("calibration_", None)  # it was of the network before
        return self

    def _check_pair(self, X, y, is_new):
        """X, and y if it is not labels, as images that fit each other."""
        images = self._as_images(X, reset=is_new)
        if is_labels(y, images.is_lazy):
            return images, None
        data_range = None if is_new else self.data_range_
        shape = self.image_shape
        target = as_images(y, image_shape=shape, data_range=data_range, name="y")
        check_match(images, target)
        check_scales(images, target)
        if is_new:  # what is clean says best which values are black and white
            self.data_range_ = images.data_range = target.data_range
            images.check_scale()
        target.check_scale()
        return images, target

    def _begin(self, images):
        """Make a network for images like these: a new one, or that of the weights."""
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.n_channels_, self.dtype_ = images.n_channels, images.raw(0).dtype
        self._n_axes = images._source[0].ndim  # 2: grey, without a channel axis
        self.n_fits_, self.history_ = 0, []
        if self.weights is None:
            self._blueprint = self._plan(images)
            self._draw_weights()
        else:
            kinds = [kind.__name__ for kind in type(self).__mro__]
            blueprint, weights = read_network(self.weights, kinds)
            self._blueprint = self._adopt(blueprint, images)
            if self._blueprint != blueprint:  # what a relative lacks begins anew
                self._draw_weights()
                weights = fill_in(weights, self.__getstate__()["_weights"])
            self._put_weights(weights)

    def _draw_weights(self):
        """Make the network of the blueprint, with random weights."""
        with torch.device("meta"):  # so that torch's own random state stays untouched
            network = self._build(self._blueprint)
        generator = torch.Generator().manual_seed(self.seed_)
        network = initialise(network.to_empty(device="cpu"), generator)
        self.net_ = self._wrap(network.to(memory_format=torch.channels_last))

    def _put_weights(self, weights):
        """Make the network of the blueprint, with these arrays as its weights."""
        with torch.device("meta"):
            check_blueprint(self._blueprint, weights)
            network = self._build(self._blueprint)
        weights = with_marks(network, weights)
        check_weights(network, weights)
        kinds = {name: tensor.dtype for name, tensor in network.state_dict().items()}
        tensors = {n: torch.tensor(a, dtype=kinds[n]) for n, a in weights.items()}
        network.load_state_dict(tensors, assign=True)
        self.net_ = self._wrap(network.to(memory_format=torch.channels_last))

    # ------------------------------------------------------------ restoring
    def transform(self, X):
        """Restore images.

        Parameters
        ----------
        X : images
            Damaged images in any container that `fit` takes; NaN where a value is
            missing.

        Returns
        -------
        X_restored : ndarray or list of ndarrays
            In the container, shape and dtype of X (a list of arrays for paths).
        """
        return self.predict(X)

    def predict(self, X, return_std=False, out=None):
        """Restore images, with error bars if asked for.

        Beyond `tile_size` images are restored tile by tile, so that memory is needed
        for little more than X and the result. Either may be a memory-mapped array.

        Parameters
        ----------
        X : images
            Damaged images in any container that `fit` takes.
        return_std : bool, default=False
            Whether to return the standard deviations too.
        out : ndarray, or list of ndarrays, default=None
            Where to write the restored images, such as an array of
            `numpy.lib.format.open_memmap`: of the shape and dtype that they have,
            writeable, and apart from X and from each other. None: new memory.

        Returns
        -------
        X_restored : ndarray or list of ndarrays
            In the container, shape and dtype of X; `out`, if given.
        X_std : ndarray or list of ndarrays
            Only with ``return_std=True``: the standard deviation of each pixel and
            channel, in the unit of X; float32 where X is of integers. After
            `calibrate`, they are set right by what it found.
        """
        images = self._check_damaged(X)
        restored = images.canvas(out)
        if not return_std:
            self._restore_to(restored, images)
            return restored.result()
        spread = images.spread_canvas()
        for i, rows, columns, values, sigma in self._with_error_bars(images):
            restored.write(i, rows, columns, values)
            spread.write(i, rows, columns, sigma)
        return restored.result(), spread.result()

    def sample_posterior(self, X, n_samples=1, random_state=None):
        """Draw restorations that are each plausible.

        Parameters
        ----------
        X : images
            Damaged images in any container that `fit` takes.
        n_samples : int, default=1
            How many to draw of each image.
        random_state : int, RandomState instance or None, default=None
            With an int, an image's samples are the same in each call.

        Returns
        -------
        samples : ndarray of shape (n_samples, n_images, ...), or list of lists
            For each sample, the restored images in the container of X.
        """
        images = self._check_damaged(X)
        check_count(n_samples)
        keys = check_random_state(random_state).randint(2**31 - 1, size=n_samples)
        samples = images.blank(n_samples)
        for k, key in enumerate(keys):
            canvas = images.canvas(samples[k])
            self._restore_to(canvas, images, int(key))
            samples[k] = canvas.result()
        return samples

    def _restore_to(self, canvas, images, key=None):
        """Write restored images, or samples, to a canvas."""
        for i, parts in self._restorer().restore_parts(images, key=key):
            for rows, columns, values, _ in parts:
                canvas.write(i, rows, columns, values)

    # ------------------------------------------------------------ judging
    def score(self, X, y=None, sample_weight=None) -> float:
        """Mean peak signal-to-noise ratio of the restored images, in dB.

        Parameters
        ----------
        X : images
            Damaged images.
        y : images, default=None
            The clean version of each, on the same scale. None, or one-dimensional
            labels: X itself.
        sample_weight : array-like of shape (n_images,), default=None
            Weights of the images.

        Returns
        -------
        score : float
            Mean PSNR in dB; higher is better.
        """
        check_is_fitted(self)
        _, target = self._check_pair(X, y, is_new=False)
        score = psnr_score(
            X if target is None else y,
            self.predict(X),
            sample_weight=sample_weight,
            image_shape=self.image_shape,
            data_range=self.data_range_,
        )
        return float(score)

    def score_samples(self, X) -> np.ndarray:
        """The evidence lower bound of each image: low means strange.

        The image is taken as damaged and as clean at once; log p(x | z, y) is the
        Gaussian likelihood with the predicted standard deviations, at one draw of the
        latents from the posterior, seeded by the image itself.

        Parameters
        ----------
        X : images
            Images in any container that `fit` takes.

        Returns
        -------
        elbo : ndarray of shape (n_images,)
            In nats per value (dimension).
        """
        images = self._check_damaged(X)
        restorer = self._restorer()
        elbo = (restorer.elbo(images, i, self.seed_) for i in range(len(images)))
        return np.fromiter(elbo, float)

    # ------------------------------------------------------------ latents
    def encode(self, X) -> np.ndarray:
        """The latent code of each image.

        Parameters
        ----------
        X : images
            Images of one size: that of the network if it has a bottleneck (the size
            of the images, or of the patches, that it was fitted on), else any.

        Returns
        -------
        Z : float32 ndarray of shape (n_images, n_codes)
            Means of the posterior; a priori each code is standard normal.
        """
        images = self._check_codable(X)
        return self._restorer().encode(images)

    def _check_codable(self, X):
        """X as images of one size that the network takes as they are."""
        images = self._check_damaged(X)
        self._check_sizes(images)
        return images

    def _check_sizes(self, images):
        sizes = {images.shape(i) for i in range(len(images))}
        fixed_size = self.net_.module_.fixed_size
        if len(sizes) == 1 and fixed_size in (None, *sizes):
            return
        expected = "one size" if fixed_size is None else f"size {fixed_size}"
        way_out = "Crop or resize them first"
        if fixed_size is not None and len(sizes) == 1 and self.weights is None:
            way_out += f", or fit with patch_size={max(map(max, sizes))}"
        raise ValueError(
            f"Expected images of {expected} to encode, got sizes {sorted(sizes)}. "
            f"{way_out}."
        )

    def _foresee_codes(self, images):
        """Complain if, after a fit to these images, `encode` would refuse them."""
        self._validate_params()
        beginner = clone(self)
        beginner._begin(images)
        beginner._check_sizes(images)

    def decode(self, Z, size=None) -> np.ndarray:
        """Images from their latent codes.

        Parameters
        ----------
        Z : array-like of shape (n_images, n_codes)
            Codes, as `encode` gives them.
        size : pair of ints, default=None
            Height and width of the images. None: that of the images (or patches) that
            the network was fitted on.

        Returns
        -------
        X : ndarray
            Images in the shape and dtype of those that the network was fitted on,
            without alpha.
        """
        return self._decode(Z, size, np.float32)

    def _decode(self, Z, size, dtype):
        """Images from codes of this dtype."""
        check_is_fitted(self)
        size = self._check_size(size)
        with np.errstate(over="ignore", invalid="ignore"):  # infinity is refused
            Z = check_array(Z, dtype=dtype, copy=True, input_name="Z")
        n_codes = self._n_codes(size)
        if Z.shape[1] != n_codes:
            raise ValueError(
                f"Z has {Z.shape[1]} codes per image, expected {n_codes} for images of "
                f"size {size}. Pass what encode gave, and the size of those images."
            )
        return self._like_training(check_decoded(self._restorer().decode(Z, size)))

    def sample(self, n_samples=1, size=None, random_state=None) -> np.ndarray:
        """Draw new images, from nothing.

        Parameters
        ----------
        n_samples : int, default=1
            How many.
        size : pair of ints, default=None
            As in `decode`.
        random_state : int, RandomState instance or None, default=None
            With an int, the samples are the same in each call.

        Returns
        -------
        X : ndarray
            Images in the shape and dtype of those that the network was fitted on,
            without alpha.
        """
        check_is_fitted(self)
        check_count(n_samples)
        size = self._check_size(size)
        rng = check_random_state(random_state)
        Z = rng.standard_normal((n_samples, self._n_codes(size)))
        return self.decode(Z, size)

    def _n_codes(self, size):
        return sum(math.prod(s) for s in self.net_.module_.noise_shapes(size))

    def _check_size(self, size):
        fixed_size = self.net_.module_.fixed_size
        if size is None:
            return self.patch_size_
        if not is_size(size) or fixed_size not in (None, tuple(size)):
            raise ValueError(
                f"Expected size to be {fixed_size or '(height, width)'}, got {size!r}."
            )
        return tuple(size)

    def _like_training(self, images):
        """Put (n, C, H, W) on [0, 1] into the shape and dtype of the training data."""
        images = np.moveaxis(images, 1, -1)
        lines = images.reshape(len(images), 1, 1, -1)
        rows = np.zeros((len(images), lines.shape[-1]), self.dtype_)
        rows = as_images(rows, data_range=self.data_range_).give_back(lines)
        if not self.image_mode_:
            return rows
        return rows.reshape(images.shape[: 1 + self._n_axes])

    def _check_damaged(self, X):
        """X as images for the fitted network."""
        check_is_fitted(self)
        images = self._as_images(X)
        self._check_channels(images)
        return images

    def _check_channels(self, images):
        if images.n_channels != self.n_channels_:
            raise ValueError(
                f"X has {images.n_channels} channel(s), but {type(self).__name__} was "
                f"fitted on images of {self.n_channels_}. Convert the images, or fit "
                "another one on images like these."
            )
        refuse_lone_image(images, self)

    def _restorer(self):
        rounds = bool(self.mixed_precision) and can_round(self._device)
        return Restorer(self.net_.module_, self._device, self.tile_size, rounds)

    # ------------------------------------------------------------ keeping
    def __getstate__(self):
        """What restoring needs: parameters, and weights as arrays."""
        state = super().__getstate__().copy()
        if "net_" in state:
            weights = state.pop("net_").module_.state_dict()
            state["_weights"] = {k: v.cpu().numpy() for k, v in weights.items()}
            state["dtype_"] = self.dtype_.str  # skops would ask whether to trust dtypes
        return state

    def __setstate__(self, state):
        weights = state.get("_weights")
        super().__setstate__({k: v for k, v in state.items() if k != "_weights"})
        if weights is not None:
            self.dtype_ = np.dtype(self.dtype_)
            self._put_weights(weights)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "net_")


# ------------------------------------------------------------------ helpers
@contextmanager
def unchanged_on_error(estimator):
    """If anything goes wrong on the way, let an estimator stay as it was."""
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def is_labels(y, of_files):
    """Whether y is no clean version of X: None, or one-dimensional.

    Beside files, strings are no labels but paths.
    """
    if y is None:
        return True
    if getattr(y, "_is_image_sequence", False):
        return False
    if isinstance(y, list | tuple):
        return len(y) > 0 and all(isinstance(label, Number) for label in y)
    y = np.asarray(y)
    if y.ndim != 1 or any(np.ndim(label) for label in y[:1]):
        return False
    return not (of_files and any(isinstance(p, str | os.PathLike) for p in y[:1]))


def check_blueprint(blueprint, weights):
    """Complain of more layers than there are weights, before they are built."""
    _, options = blueprint
    n_blocks, widths = (options.get(name, ()) for name in ("n_blocks", "widths"))
    if isinstance(n_blocks, tuple):
        n_blocks = sum(sum(n) if isinstance(n, tuple) else n for n in n_blocks)
    if max(n_blocks, len(widths)) > len(weights):
        raise ValueError(
            f"The network has {n_blocks} blocks at {len(widths)} scales, but there are "
            f"{len(weights)} weights."
        )


def fill_in(weights, start):
    """The weights to start from, with those in place that are there and fit."""
    return {
        name: weights[name] if np.shape(weights.get(name)) == array.shape else array
        for name, array in start.items()
    }


def with_marks(network, weights):
    """Weights of older files, whose error bars make nothing of the marks."""
    n_marks = getattr(network.sigma, "n_marks", 0)
    if n_marks == 0:
        return weights
    name = "sigma.bounded.weight"
    n_outputs, n_inputs = network.sigma.bounded.weight.shape[:2]
    if np.shape(weights.get(name)) != (n_outputs, n_inputs - n_marks, 1, 1):
        return weights
    nothing = np.zeros((n_outputs, n_marks, 1, 1), weights[name].dtype)
    return weights | {name: np.concatenate([weights[name], nothing], axis=1)}


def check_weights(network, weights):
    """Complain unless there is an array of the right shape for each tensor."""
    expected = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    shapes = {name: np.shape(array) for name, array in weights.items()}
    for name in sorted(expected.keys() | shapes.keys()):
        if expected.get(name) != shapes.get(name):
            raise ValueError(
                f"The weights {name} are {shapes.get(name, 'missing')}, but the "
                f"network expects {expected.get(name, 'none')}."
            )


def check_match(images, target):
    """Complain unless the target is a clean version of each image."""
    if len(images) != len(target):
        raise ValueError(
            f"X has {len(images)} image(s), but y has {len(target)}. Pass as y the "
            "clean version of each image in X, in the same order."
        )
    for i in range(len(images)):
        got, expected = ((*s.shape(i), s.n_channels) for s in (target, images))
        if got != expected:
            raise ValueError(
                f"Image {i} is {expected} in X but {got} in y. Pass as y the clean "
                "version of each image in X, in the same order."
            )


def check_observed(images, target):
    """Complain if there is nothing to learn from."""
    clean, name = (images, "X") if target is None else (target, "y")
    if clean.all_missing:
        raise ValueError(
            f"All values of {name} are NaN, which marks what is missing. Pass images "
            "in which something is observed."
        )


def check_scales(images, target):
    """Complain if only one has the range of its dtype, and the other not [0, 1]."""
    for one, other, names in ((target, images, "yX"), (images, target, "Xy")):
        fixed, free = (each.raw(0).dtype for each in (one, other))
        is_mixed = fixed.type in _FULL_RANGES and free.type not in _FULL_RANGES
        if not is_mixed or one.data_range != (0.0, 1.0):
            continue
        low, high = other.find_range()
        if (low, high) != (0.0, 1.0):
            raise ValueError(
                f"{names[1]} is {free} that reaches from {low:g} to {high:g}, but "
                f"{names[0]} is {fixed}. Pass both as {fixed}, or the floats on [0, 1]."
            )


def check_decoded(images):
    """Complain of images that codes far from any likely one have led to."""
    if not np.isfinite(images).all():
        raise ValueError(
            "Z leads to values that are not finite. Pass codes like those that encode "
            "gives: a priori each is standard normal."
        )
    return images


def is_size(size):
    """Whether this is a height and a width."""
    is_pair = isinstance(size, tuple | list) and len(size) == 2
    return is_pair and all(isinstance(n, Integral) and n >= 1 for n in size)


def check_count(n_samples):
    """Complain unless this is a number of samples."""
    is_count = isinstance(n_samples, Integral) and not isinstance(n_samples, bool)
    if not is_count or n_samples < 1:
        raise ValueError(f"Expected n_samples to be an int >= 1, got {n_samples!r}.")
