"""A degradation is told in a word: ``GaussianNoise:sigma=0.05..0.2,clip=False``."""

import ast
import re

from sklearn.pipeline import make_pipeline

from . import degradations
from ._degradation import BaseDegradation, steps_of

RANGE = re.compile(r"(.+?)\.\.(.+)")


def read_degradation(specs, seed):
    """The degradation that is told.

    Parameters
    ----------
    specs : list of str
        Each a name of `colorvae_sk.degradations` and perhaps a colon and parameters;
        ``low..high`` is a range to draw from. "blind" is `blind_degradation`.
    seed : int
        The ``random_state`` of all.

    Returns
    -------
    degradation : degradation or Pipeline
        A Pipeline if there are several.

    Raises
    ------
    ValueError
        If there is no such degradation, or it has no such parameter or value.
    """
    steps = [read_one(spec).set_params(random_state=seed) for spec in specs]
    for step in steps:
        step._validate_params()
    return steps[0] if len(steps) == 1 else make_pipeline(*steps)


def read_one(spec):
    """One degradation."""
    name, _, rest = spec.partition(":")
    if name == "blind":
        if rest:
            raise ValueError(f"blind has no parameters, got {rest!r}.")
        return degradations.blind_degradation()
    kinds = known()
    kind = kinds.get(name.lower().replace("-", "").replace("_", ""))
    if kind is None:
        names = ", ".join(["blind", *(kind.__name__ for kind in kinds.values())])
        raise ValueError(f"There is no degradation {name!r}, only {names}.")
    return kind(**read_parameters(kind, rest))


def read_parameters(kind, text):
    """The parameters of a degradation by their names."""
    pairs = [read_parameter(part) for part in text.split(",") if part]
    parameters, names = dict(pairs), kind._get_param_names()
    if "random_state" in parameters:
        raise ValueError(f"The random_state of {kind.__name__} is that of --seed.")
    if unknown := set(parameters) - set(names):
        has = ", ".join(name for name in names if name != "random_state")
        raise ValueError(f"{kind.__name__} has no {', '.join(unknown)}, only {has}.")
    if len(parameters) < len(pairs):
        raise ValueError(f"{kind.__name__} has a parameter twice: {text}.")
    return parameters


def known():
    """The classes that can be told in a word, by their names in small letters."""
    left_out = BaseDegradation, degradations.RandomDegradation
    names = [getattr(degradations, name) for name in degradations.__all__]
    kinds = [kind for kind in names if isinstance(kind, type) and kind not in left_out]
    return {kind.__name__.lower(): kind for kind in kinds}


def read_parameter(text):
    """Name and value of a parameter."""
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise ValueError(f"Expected PARAMETER=VALUE, got {text!r}.")
    ends = RANGE.fullmatch(value)
    return name, tuple(map(read_value, ends.groups())) if ends else read_value(value)


def read_value(text):
    """A number, True, False or None; else a word."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def makes_holes(degradation):
    """Whether it may make pixels go missing."""
    return any(step._writes_nan for step in steps_of(degradation))
