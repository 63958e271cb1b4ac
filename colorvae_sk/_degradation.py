"""What every degradation shares: what it takes, how it draws, what it gives back.

A degradation is a scikit-learn transformer that damages images, and the same damage on
tensors for training. Its physics is one method, `_degrade`, that takes float32 tensors
(n, C, H, W) on the [0, 1] scale, on any device, and draws parameters for each image
anew. NaN stands for what is missing; it stays where it is.
"""

from collections import Counter
from itertools import chain
from typing import ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from ._blocks import may_miss
from ._images import ImageInputMixin, image_hash


class Range(Interval):
    """Constraint on a parameter: a pair of numbers that lie in an interval.

    Parameters
    ----------
    type : {numbers.Integral, numbers.Real}
        What kind of numbers.

    left, right : number or None
        Ends of the interval. None means that it has no end there.

    closed : {"left", "right", "both", "neither"}
        Which ends belong to the interval.

    Examples
    --------
    >>> from numbers import Real
    >>> from colorvae_sk._degradation import Range
    >>> constraint = Range(Real, 0, 1, closed="both")
    >>> constraint.is_satisfied_by((0.2, 0.8)), constraint.is_satisfied_by((0.8, 0.2))
    (True, False)
    """

    def is_satisfied_by(self, val):
        """Whether this is a pair (low, high) from the interval."""
        return (
            isinstance(val, (tuple, list))
            and len(val) == 2
            and all(super(Range, self).is_satisfied_by(end) for end in val)
            and val[0] <= val[1]
        )

    def __str__(self):
        return "a pair (low, high) of such numbers with low <= high"


def number_or_range(type, left, right, closed="both"):
    """Constraints of a parameter that is a number or drawn from a pair."""
    return [kind(type, left, right, closed=closed) for kind in (Interval, Range)]


def ends(parameter):
    """A number or a pair -> a pair (low, high)."""
    return parameter if isinstance(parameter, (tuple, list)) else (parameter, parameter)


def draw_uniform(parameter, images, generator, n_channels=1):
    """Values (n, n_channels, 1, 1) of a parameter: uniform from a pair, or itself."""
    low, high = ends(parameter)
    values = torch.empty((len(images), n_channels, 1, 1), device=images.device)
    return values.uniform_(low, high, generator=generator)


class DrawRecorder(torch.Generator):
    """A generator that remembers the parameters that were drawn with it.

    Attributes
    ----------
    drawn : dict
        Values by ``Class__parameter``, in the order in which they were drawn. A class
        that draws for the second time is called ``Class_2``.
    """

    def __init__(self):
        self.drawn, self._counts = {}, Counter()

    def record(self, degradation, name, values):
        """Remember what a degradation drew for a single image."""
        values = tuple(values.flatten().tolist())
        kind = type(degradation).__name__
        self._counts[kind, name] += 1
        count = self._counts[kind, name]
        key = f"{kind}__{name}" if count == 1 else f"{kind}_{count}__{name}"
        self.drawn[key] = values[0] if len(values) == 1 else values


class BaseDegradation(ImageInputMixin, TransformerMixin, BaseEstimator):
    """Base class of all degradations.

    A subclass names its parameters in ``__init__``, says in
    ``_parameter_constraints`` what they may be, and does its damage in
    ``_degrade(images, generator)``. This takes a float32 tensor (n, C, H, W) on the
    [0, 1] scale, NaN where a pixel is missing, and gives back a new one of the same
    shape; ``self._draw(name, images, generator)`` draws a parameter for each image. It
    then transforms arrays and lists, and can serve as ``ColorVAE(degradation=...)``. A
    subclass that makes pixels go missing says ``_writes_nan = True``.

    Notes
    -----
    In `transform`, what an image draws depends on ``random_state`` and on the image's
    own values alone. With an int it meets the same damage in any order, batch, fold or
    process, and two equal images meet the same damage. None and a RandomState instance
    give new damage in each call.

    That takes values on a known scale. Of integers other than uint8 and uint16, and of
    floats that plainly aren't on [0, 1], `fit` finds the range and keeps it. Before it,
    each call of `transform` finds the range of its own batch: fit such images first.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import BaseDegradation
    >>> class Negative(BaseDegradation):
    ...     def __init__(self, random_state=None):
    ...         self.random_state = random_state
    ...     def _degrade(self, images, generator):
    ...         return 1 - images
    >>> Negative().transform(np.full((1, 2, 2, 3), 250, dtype=np.uint8))[0, 0, 0]
    array([5, 5, 5], dtype=uint8)
    """

    _parameter_constraints: ClassVar[dict] = {"random_state": ["random_state"]}
    _requires_fit = False
    _writes_nan = False
    _on_cpu = False

    def fit(self, X, y=None) -> Self:
        """Check the parameters and the images; there is nothing to learn.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, n_features), or list
            Images, see `ColorVAE.fit`. Floats that plainly aren't on [0, 1] are scaled
            by what is seen here.

        y : None
            Ignored.

        Returns
        -------
        self : object
            The degradation itself.
        """
        self._validate_params()
        self._as_images(X, reset=True)
        return self

    def transform(self, X):
        """Damage images.

        Parameters
        ----------
        X : array-like of shape (n, H, W, C), (n, H, W) or (n, n_features), or list
            Images; NaN where a pixel is missing.

        Returns
        -------
        X_degraded : ndarray or list of ndarrays
            The damaged images, in the container and dtype of X. From integers, a
            degradation that makes pixels go missing gives float32 on [0, 1] instead.
        """
        return self.transform_with_draws(X)[0]

    @torch.no_grad()
    def transform_with_draws(self, X):
        """Damage images, and tell what was drawn for each of them.

        So results can be told apart by how severe the damage was:
        ``pandas.DataFrame(drawn)`` has a row for each image.

        Parameters
        ----------
        X : images
            As in `transform`.

        Returns
        -------
        X_degraded : ndarray or list of ndarrays
            The damaged images, in the container and dtype of X.

        drawn : list of dicts
            For each image the value of each parameter that was drawn, in the order in
            which the damage was done: ``{"GaussianNoise__sigma": 0.1}``. What was drawn
            for each channel is a tuple. A degradation that befell the image again is
            called ``GaussianNoise_2``.

        Examples
        --------
        >>> import numpy as np
        >>> from colorvae_sk import GaussianNoise
        >>> noise = GaussianNoise(sigma=(0.1, 0.2), random_state=0)
        >>> X_noisy, drawn = noise.transform_with_draws(np.full((1, 64, 64), 0.5))
        >>> print(f"{drawn[0]['GaussianNoise__sigma']:.2f} {X_noisy.std():.2f}")
        0.11 0.11
        """
        self._validate_params()
        images, drawn = self._as_images(X), []
        key = int(check_random_state(self.random_state).randint(2**31 - 1))
        degraded = (self._degrade_one(image, key, drawn) for image in images)
        return images.give_back(degraded, with_nan=self._writes_nan), drawn

    def _degrade_one(self, image, key, drawn):
        """Damage one array (C, H, W), drawing from its own values and the key."""
        generator = DrawRecorder().manual_seed(image_hash(image, key) % 2**63)
        degraded = self._damage(torch.from_numpy(image)[None], generator)
        drawn.append(generator.drawn)
        check_finite(self, degraded)
        return degraded[0].numpy()

    def _damage(self, images, generator):
        """Degrade, and complain unless that gives a tensor like the one it took."""
        damaged = self._degrade(images, generator)
        kind = getattr(damaged, "dtype", type(damaged).__name__)
        got, expected = (kind, *np.shape(damaged)), (images.dtype, *images.shape)
        if not isinstance(damaged, torch.Tensor) or got != expected:
            raise ValueError(
                f"The degradation {self!r} made {describe(got)} of "
                f"{describe(expected)}. It must keep shape and dtype."
            )
        return damaged

    def _degrade(self, images, generator):
        """Damage a float32 tensor (n, C, H, W), and leave that one as it is."""
        raise NotImplementedError(
            f"{type(self).__name__} must define _degrade(images, generator), which "
            "takes and returns a float32 tensor of shape (n, C, H, W)."
        )

    def _draw(self, name, images, generator, n_channels=1):
        """A parameter (n, n_channels, 1, 1): uniform from a pair, or the number."""
        values = draw_uniform(getattr(self, name), images, generator, n_channels)
        return self._record(name, values, generator)

    def _draw_integer(self, name, images, generator):
        """A parameter (n, 1, 1, 1) that counts: a pair's ends may both be drawn."""
        low, high = ends(getattr(self, name))
        shape, device = (len(images), 1, 1, 1), images.device
        options = {"generator": generator, "device": device}
        values = torch.randint(low, high + 1, shape, **options)
        return self._record(name, values, generator)

    def _largest(self, name, values):
        """The largest value drawn; a GPU would wait to tell, so there: the end."""
        on_cpu = values.device.type == "cpu"
        return values.max().item() if on_cpu else ends(getattr(self, name))[1]

    def _record(self, name, values, generator):
        if isinstance(generator, DrawRecorder):
            generator.record(self, name, values)
        return values

    def __sklearn_is_fitted__(self):
        return True


class OwnDegradation(BaseDegradation):
    """Damage that is a user's function or transformer of arrays, run on the CPU.

    Parameters
    ----------
    damage : callable, or object with a method ``transform``
        Takes and gives a float32 array (n, H, W, C) on the [0, 1] scale; NaN where a
        pixel is missing.

    as_rows : bool, default=False
        Whether to hand it rows (n, n_features) instead.
    """

    _writes_nan = True
    _on_cpu = True

    def __init__(self, damage, as_rows=False, random_state=None):
        self.damage = damage
        self.as_rows = as_rows
        self.random_state = random_state

    def _degrade(self, images, generator):
        arrays = images.permute(0, 2, 3, 1).cpu().numpy().copy()
        given = arrays.reshape(len(arrays), -1) if self.as_rows else arrays
        damage = getattr(self.damage, "transform", self.damage)
        damaged = np.array(damage(given), dtype=np.float32, order="C")
        if damaged.shape != given.shape:
            raise ValueError(
                f"The degradation {self.damage!r} made an array {damaged.shape} of one "
                f"of shape {given.shape}. It must keep the shape of the images."
            )
        damaged = torch.from_numpy(damaged.reshape(arrays.shape))
        check_finite(self.damage, damaged)
        return damaged.permute(0, 3, 1, 2).to(images.device)


def steps_of(degradation, as_rows=False):
    """Flatten a degradation or a Pipeline of them to a list of degradations."""
    if isinstance(degradation, BaseDegradation):
        return [degradation]
    if isinstance(degradation, Pipeline):
        steps = [step for _, step in degradation.steps]
        steps = [step for step in steps if step not in (None, "passthrough")]
        return list(chain.from_iterable(steps_of(step, as_rows) for step in steps))
    if isinstance(degradation, type):
        raise TypeError(
            f"The degradation is the class {degradation.__name__}. Pass an instance of "
            f"it: {degradation.__name__}()."
        )
    if callable(degradation) or hasattr(degradation, "transform"):
        return [OwnDegradation(degradation, as_rows)]
    raise TypeError(
        "Expected a degradation of colorvae_sk, a function or a transformer of images, "
        f"or a Pipeline of these, or 'blind' for the whole, but got {degradation!r}."
    )


def describe(kind):
    """A dtype and a shape in words."""
    return f"{str(kind[0]).removeprefix('torch.')} {tuple(kind[1:])}"


def check_finite(damage, damaged):
    """Complain of infinity among what a degradation made."""
    if damaged.isinf().any():
        raise ValueError(
            f"The degradation {damage!r} made infinite values. Let it make NaN where a "
            "pixel goes missing."
        )


@torch.no_grad()
def degrade_in_turn(steps, images, generator):
    """Let several degradations befall all images, one after the other."""
    for step in steps:
        images = step._damage(images, generator)
    return images


def fill_missing_with_means(images):
    """Put the mean of its channel, or middle grey, where a value is missing."""
    if not may_miss(images):
        return images
    means = images.nanmean(dim=(2, 3), keepdim=True).nan_to_num_(0.5)
    return torch.where(images.isnan(), means, images)
