"""What may have befallen a picture: noise, blur, compression, wrong colours, holes.

Each kind of damage has a module of its own; here they are mixed.
"""

from collections import Counter
from collections.abc import Hashable
from copy import deepcopy
from functools import partial
from itertools import chain
from numbers import Integral
from typing import ClassVar

import numpy as np
import torch
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils._param_validation import StrOptions

from ._blur import DefocusBlur, GaussianBlur, MotionBlur
from ._colour import ColorCast, Desaturate, Fade, Quantize, luma
from ._compression import JPEGCompression
from ._degradation import (
    BaseDegradation,
    degrade_in_turn,
    ends,
    number_or_range,
    steps_of,
)
from ._holes import MissingChannels, MissingPixels, MissingScratches
from ._noise import GaussianNoise, PoissonNoise, SaltPepperNoise
from ._resolution import Downsample

__all__ = [
    "BaseDegradation",
    "ColorCast",
    "DefocusBlur",
    "Desaturate",
    "Downsample",
    "Fade",
    "GaussianBlur",
    "GaussianNoise",
    "JPEGCompression",
    "MissingChannels",
    "MissingPixels",
    "MissingScratches",
    "MotionBlur",
    "PoissonNoise",
    "Quantize",
    "RandomDegradation",
    "SaltPepperNoise",
    "as_degrader",
    "blind_degradation",
    "luma",
]


class RandomDegradation(BaseDegradation):
    """Damage each image by some of several degradations, in random order.

    Every image draws how many, which ones (none twice) and in which order [1]_.

    Parameters
    ----------
    degradations : list, default=None
        What to draw from: degradations, or what else ``ColorVAE(degradation=...)``
        takes; a scikit-learn Pipeline counts as one. Their own ``random_state`` is not
        used. None stands for the usual damage, as `blind_degradation` lists it.

    n : int or pair of ints in [0, inf), default=(1, 3)
        How many befall an image, at most all of them. A pair (low, high) is drawn from
        uniformly, for each image anew.

    weights : array-like of shape (n_degradations,), default=None
        How likely each is to be drawn, relative to the others [2]_; one whose weight is
        0 is never drawn. None: all alike.

    order : {"random", "given"}, default="random"
        Whether an image meets what it has drawn in random order, or in that of the
        list.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same damage in each call.
        See scikit-learn's glossary.

    See Also
    --------
    blind_degradation : The mixture that ``ColorVAE`` learns from by default.

    References
    ----------
    .. [1] K. Zhang, J. Liang, L. Van Gool and R. Timofte, "Designing a practical
       degradation model for deep blind image super-resolution", ICCV (2021).
    .. [2] P. S. Efraimidis and P. G. Spirakis, "Weighted random sampling with a
       reservoir", Information Processing Letters 97 (2006).

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import GaussianBlur, GaussianNoise, RandomDegradation
    >>> either = RandomDegradation([GaussianNoise(), GaussianBlur()], n=1)
    >>> either.transform(np.zeros((5, 8, 8, 3))).shape
    (5, 8, 8, 3)
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDegradation._parameter_constraints,
        "degradations": [list, tuple, None],
        "n": number_or_range(Integral, 0, None, closed="left"),
        "weights": ["array-like", None],
        "order": [StrOptions({"random", "given"})],
    }
    _settled = None

    def __init__(
        self,
        degradations=None,
        n=(1, 3),
        weights=None,
        order="random",
        random_state=None,
    ):
        self.degradations = degradations
        self.n = n
        self.weights = weights
        self.order = order
        self.random_state = random_state

    def _degrade(self, images, generator):
        parts = list(images.split(1))
        for step, members in in_groups(self._draw_stories(len(images), generator)):
            group = torch.cat([parts[i] for i in members])
            damaged = step._damage(group, generator).split(1)
            for i, part in zip(members, damaged, strict=True):
                parts[i] = part
        return torch.cat(parts)

    def _draw_stories(self, n_images, generator):
        """For each image the list of what befalls it, mixtures in it drawn too."""
        stories = [[self]] * n_images
        while mixtures := Counter(filter(_is_mixture, chain(*stories))):
            drawn = {
                mixture: iter(mixture._draw_choices(count, generator))
                for mixture, count in mixtures.items()
            }
            stories = [unfolded(story, drawn) for story in stories]
        return stories

    def _draw_choices(self, n_images, generator):
        """For each image the list of what befalls it, mixtures in it as they are."""
        choices = self._choices()
        turns = self._draw_turns(n_images, generator, len(choices))
        return [list(chain(*(choices[i] for i in turn))) for turn in turns]

    def _draw_turns(self, n_images, generator, n_choices):
        """Which degradations each image meets, one after the other: a list of lists."""
        shape, device = (n_images, 2 * n_choices + 1), generator.device
        drawn = torch.rand(shape, generator=generator, device=device).numpy(force=True)
        arrival, ranks = drawn[:, :n_choices], drawn[:, n_choices:-1]
        weights = self._weights(n_choices)
        possible = weights.nonzero()[0]
        # The likelier, the earlier: the first of exponential clocks.
        arrival = -np.log1p(-arrival[:, possible]) / weights[possible]
        low, high = (min(end, len(possible)) for end in ends(self.n))
        count = (low + drawn[:, -1] * (high - low + 1)).astype(int).tolist()
        turns = possible[arrival.argsort(axis=1)[:, :high]].tolist()
        turns = [turn[:n] for turn, n in zip(turns, count, strict=True)]
        if self.order == "given":
            return [sorted(turn) for turn in turns]
        return [
            sorted(turn, key=r.__getitem__)
            for turn, r in zip(turns, ranks.tolist(), strict=True)
        ]

    def _weights(self, n_choices):
        if self.weights is None:
            return np.ones(n_choices)
        return np.asarray(self.weights, dtype=np.float64)

    def _choices(self):
        """For each choice, the list of its steps."""
        if self._settled is not None:
            return self._settled
        degradations = self.degradations
        degradations = _usual_damage() if degradations is None else degradations
        return [steps_of(degradation) for degradation in degradations]

    def _settle(self, alike):
        """Take the choices as they are now for good, in a copy for training alone."""
        if self._settled is None:
            self._settled = [
                [alike[step] for step in steps] for steps in self._choices()
            ]

    def _validate_params(self):
        super()._validate_params()
        if self.degradations is not None and len(self.degradations) == 0:
            raise ValueError(
                "RandomDegradation got an empty list. Pass the degradations to draw "
                "from, or None for the usual ones."
            )
        self._check_weights()
        for step in chain.from_iterable(self._choices()):
            step._validate_params()

    def _check_weights(self):
        if self.weights is None:
            return
        weights, n_choices = np.asarray(self.weights), len(self._choices())
        is_vector = weights.shape == (n_choices,) and weights.dtype.kind in "buif"
        if not is_vector or not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise ValueError(
                f"RandomDegradation expected {n_choices} weights that are 0 or more, "
                f"one for each degradation, got {self.weights!r}."
            )
        if not weights.any():
            raise ValueError(
                "RandomDegradation got weights that are all 0, so nothing could be "
                "drawn. Make one of them larger, or pass n=0 for no damage."
            )

    @property
    def _writes_nan(self):
        return any(step._writes_nan for step in chain.from_iterable(self._choices()))

    @property
    def _on_cpu(self):
        return any(step._on_cpu for step in chain.from_iterable(self._choices()))


class _Alike(dict):
    """Of steps that do the same, copies of each other too, the one that came first.

    Images that meet it can be damaged together. Mixtures are settled.
    """

    def __init__(self):
        self._firsts = {}

    def __missing__(self, step):
        own = {"random_state", "_settled"}
        parameters = [value for name, value in vars(step).items() if name not in own]
        key = type(step), *map(self._frozen, parameters)
        self[step] = self._firsts.setdefault(key, step)
        if _is_mixture(step):
            self[step]._settle(self)
        return self[step]

    def _frozen(self, value):
        """A parameter as part of a key."""
        if isinstance(value, BaseDegradation):
            return self[value]
        if isinstance(value, Pipeline):
            return tuple(self._frozen(step) for _, step in value.steps)
        if isinstance(value, list | tuple | np.ndarray):
            return tuple(map(self._frozen, value))
        return value if isinstance(value, Hashable) else id(value)


def _is_mixture(step):
    return isinstance(step, RandomDegradation)


def unfolded(story, drawn):
    """A story with each mixture replaced by the next list of what is drawn of it."""
    parts = (next(drawn[step]) if step in drawn else [step] for step in story)
    return list(chain.from_iterable(parts))


def in_groups(stories):
    """Each step of the stories with the positions of the images that it befalls.

    An image meets its steps in their order. What comes next is the step that the
    largest share of those have reached who are to meet it: so groups are few and large.
    """
    stories = [story[::-1] for story in stories]  # the next step at the end
    waiting = Counter(chain(*stories))
    while any(stories):
        ready = {}
        for i, story in enumerate(stories):
            if story:
                ready.setdefault(story[-1], []).append(i)
        step = max(ready, key=lambda step: len(ready[step]) / waiting[step])
        waiting[step] -= len(ready[step])
        for i in ready[step]:
            stories[i].pop()
        yield step, ready[step]


def _usual_damage():
    """The kinds of damage that most often befall pictures, from slight to strong."""
    return [
        RandomDegradation(
            [
                GaussianNoise((0, 55 / 255), clip=False),
                make_pipeline(GaussianNoise((0, 55 / 255)), Quantize()),
                PoissonNoise((10, 1000)),
                SaltPepperNoise((0, 0.1)),
            ],
            n=1,
            weights=(4, 4, 1, 1),
        ),
        # A blurred picture without any noise is not to be had.
        make_pipeline(
            RandomDegradation(
                [GaussianBlur((0, 3)), MotionBlur((1, 15)), DefocusBlur((0, 4))],
                n=1,
                weights=(2, 1, 1),
            ),
            GaussianNoise((0, 10 / 255), clip=False),
        ),
        JPEGCompression((5, 95)),
        ColorCast(),
        RandomDegradation([Fade(), Desaturate((0, 1))], n=1, weights=(4, 1)),
        RandomDegradation(
            [
                MissingPixels((0, 1)),
                MissingPixels((0, 0.6), size=(2, 32)),
                MissingScratches((1, 8), width=(1, 4)),
                MissingChannels(1),
            ],
            n=1,
            weights=(3, 3, 1, 1),
        ),
        Downsample((1, 4), filter=("nearest", "bilinear", "bicubic", "area")),
    ]


def blind_degradation():
    """The mixture of damage behind ``ColorVAE(degradation="blind")``.

    One half of the images meets a single kind of damage, drawn with the chances below.
    The other half meets two or three of the first seven kinds, with equal chances and
    in random order; half of these are stored in 8 bits at last. All strengths are
    drawn uniformly for each image.

    =======  =====================================================================
    chance   kind of damage, and what it is drawn from
    =======  =====================================================================
    4 in 22  noise: Gaussian of sigma 0 to 55 / 255, not clipped (4 in 10); the
             same, clipped and stored in 8 bits (4 in 10); shot noise of 10 to 1000
             photons (1 in 10); salt and pepper, up to 10 % of the pixels (1 in 10)
    3 in 22  blur, then unclipped noise of sigma 0 to 10 / 255: Gaussian of sigma 0
             to 3 pixels (2 in 4); motion over 1 to 15 pixels in any direction
             (1 in 4); out of focus by a radius of 0 to 4 pixels (1 in 4)
    3 in 22  JPEG compression of quality 5 to 95
    3 in 22  a colour cast, as `ColorCast` has it by default
    3 in 22  fading, as `Fade` has it by default (4 in 5), or a share of 0 to 1 of
             the colour lost (1 in 5)
    3 in 22  holes: 0 to 100 % of the pixels (3 in 8); blocks of 2 to 32 pixels, up
             to 60 % of the image (3 in 8); 1 to 8 scratches of 1 to 4 pixels
             (1 in 8); one channel (1 in 8)
    1 in 22  1 to 4 times too small, by any of four filters
    1 in 22  nothing but storage in 8 bits
    1 in 22  the whole picture missing, so that the network learns to imagine
    =======  =====================================================================

    Returns
    -------
    degradation : RandomDegradation
        The mixture, to be used as it is or as part of another.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk.degradations import blind_degradation
    >>> blind_degradation().transform(np.zeros((4, 16, 16, 3))).shape
    (4, 16, 16, 3)
    """
    usual = _usual_damage()
    single = RandomDegradation(
        [*usual, Quantize(), MissingPixels(1.0)],
        n=1,
        weights=(4, 3, 3, 3, 3, 3, 1, 1, 1),
    )
    perhaps_stored = RandomDegradation([Quantize()], n=(0, 1))
    several = make_pipeline(RandomDegradation(usual, n=(2, 3)), perhaps_stored)
    return RandomDegradation([single, several], n=1)


def blind_row_degradation():
    """The mixture of damage behind ``degradation="blind"`` for plain feature vectors.

    None, one or both of: noise of sigma 0 to 0.2, not clipped, on the [0, 1] scale;
    and missing values, from none to one half.

    Returns
    -------
    degradation : RandomDegradation
        The mixture.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk.degradations import blind_row_degradation
    >>> blind_row_degradation().transform(np.zeros((4, 9))).shape
    (4, 9)
    """
    noise, holes = GaussianNoise((0, 0.2), clip=False), MissingPixels((0, 0.5))
    return RandomDegradation([noise, holes], n=(0, 2))


def runs_on_cpu(degradation):
    """Whether part of it is a user's own function or transformer of arrays."""
    if isinstance(degradation, str):
        return False
    return any(step._on_cpu for step in steps_of(degradation))


def as_degrader(degradation, as_rows=False):
    """Make what a user calls a degradation into a function for training.

    Parameters
    ----------
    degradation : "blind", BaseDegradation, callable, transformer or Pipeline
        "blind" stands for `blind_degradation`. A function, or a transformer that needs
        no fitting, takes and gives a float32 array (n, H, W, C) on the [0, 1] scale,
        NaN where a value is missing. A Pipeline may consist of all these.

    as_rows : bool, default=False
        Whether functions and transformers are given rows (n, n_features) instead.

    Returns
    -------
    degrade : callable
        Takes a float32 tensor (n, C, H, W) on the [0, 1] scale and a generator on the
        same device; returns the damaged images as a new tensor. It works on a copy of
        the degradation, so that later changes of parameters don't reach it, and can be
        pickled.

    Raises
    ------
    TypeError
        If it is anything else.
    ValueError
        If one of its parameters is not valid.

    Examples
    --------
    >>> import torch
    >>> from colorvae_sk.degradations import Quantize, as_degrader
    >>> degrade = as_degrader(Quantize(n_levels=2))
    >>> degrade(torch.tensor([[[[0.2, 0.7]]]]), torch.Generator())
    tensor([[[[0., 1.]]]])
    """
    if isinstance(degradation, str) and degradation == "blind":
        degradation = blind_degradation()
    steps = deepcopy(steps_of(degradation, as_rows))
    for step in steps:
        step._validate_params()
    return partial(degrade_in_turn, [*map(_Alike().__getitem__, steps)])
