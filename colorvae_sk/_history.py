"""What a fit has written down: its history by stage, and as a picture for notebooks."""

from html import escape
from itertools import groupby

import numpy as np

_WIDTH, _HEIGHT, _GAP = 150, 56, 12  # of the curve of a stage, in pixels
_POINTS = 300  # of a line at most
_COLOURS = {"train_loss": "#1f77b4", "valid_loss": "#ff7f0e"}


def by_stage(history):
    """The history as pairs (stage, list of its epochs), in the order of learning."""
    groups = groupby(history, key=lambda row: row["stage"])
    return [(stage, list(rows)) for stage, rows in groups]


def span(losses):
    """The lowest loss and one that is high, but for the steep beginning of a fit."""
    finite = np.array([loss for loss in losses if np.isfinite(loss)] or [0.0])
    return finite.min(), np.quantile(finite, 0.9 if len(finite) > 10 else 1.0)


def layer_names(n_layers):
    """Names of the latent layers whose information is written down."""
    if n_layers == 1:
        return ["latent vector"]
    return ["colours", *(f"scale 1/{2**i}" for i in range(n_layers - 1, 0, -1))]


class NotebookMixin:
    """How a fitted estimator looks in a notebook: as any other, and how it learned.

    It stands before ``BaseEstimator`` in the list of bases.
    """

    def _repr_html_inner(self):
        return super()._repr_html_inner() + self._html_of_fit()

    def _repr_mimebundle_(self, **kwargs):
        output = super()._repr_mimebundle_(**kwargs)
        if "text/html" in output:
            output["text/html"] += self._html_of_fit()
        return output

    def _html_of_fit(self):
        """The curves of the fit, and a line about it; nothing before the fit."""
        history = getattr(self, "history_", None)
        if not history:
            return ""
        n_weights = sum(p.numel() for p in self.net_.module_.parameters())
        seconds = sum(rows[-1].get("seconds", 0) for _, rows in by_stage(history))
        n_steps = sum(row["n_steps"] for row in history)
        text = (
            f"{n_weights:,} weights learned for {len(history)} epochs, {n_steps:,} "
            f"steps, {seconds:.0f} s"
        )
        return f"<div>{curves_as_svg(history)}<p>{text}</p></div>"


def curves_as_svg(history):
    """The loss in each stage of a fit, beside each other, as an SVG element.

    Parameters
    ----------
    history : list of dicts
        What an estimator keeps as ``history_``.

    Returns
    -------
    svg : str
        The element, without any script; blue is the loss, orange that of what was held
        out. Each stage has a scale of its own: its first and its last loss stand below.

    Examples
    --------
    >>> from colorvae_sk._history import curves_as_svg
    >>> history = [{"stage": "all", "train_loss": loss} for loss in (1.5, 0.5)]
    >>> svg = curves_as_svg(history)
    >>> svg[:4], "1.500 to 0.500" in svg
    ('<svg', True)
    """
    stages = by_stage(history)
    width = len(stages) * (_WIDTH + _GAP)
    height = _HEIGHT + 40
    parts = [
        f'<g transform="translate({i * (_WIDTH + _GAP)},0)">{_curve(*stage)}</g>'
        for i, stage in enumerate(stages)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="loss of each stage" '
        'font-family="sans-serif" font-size="11" fill="currentColor">'
        f"{''.join(parts)}</svg>"
    )


def _curve(stage, rows):
    """The losses of a stage, its name above and their first and last value below."""
    losses = {key: [row[key] for row in rows if key in row] for key in _COLOURS}
    every = [loss for values in losses.values() for loss in values]
    ends = losses["train_loss"][0], losses["train_loss"][-1]
    text = " to ".join(f"{loss:.3f}" for loss in dict.fromkeys(ends))
    lines = [
        _line(values, *span(every), _COLOURS[key])
        for key, values in losses.items()
        if values
    ]
    return (
        f'<text x="2" y="12">{escape(stage)}</text>'
        f'<rect x="0.5" y="18.5" width="{_WIDTH - 1}" height="{_HEIGHT}" fill="none" '
        'stroke="currentColor" stroke-opacity="0.3"/>'
        f'{"".join(lines)}<text x="2" y="{_HEIGHT + 34}">loss {text}</text>'
    )


def _line(losses, low, high, colour):
    """A line through losses, or a dot if there is one."""
    losses = losses[:: len(losses) // _POINTS + 1]
    height = (_HEIGHT - 7) / ((high - low) or 1)
    points = [
        (
            4 + (_WIDTH - 8) * i / max(1, len(losses) - 1),
            22 + max(0.0, high - loss) * height,
        )
        for i, loss in enumerate(losses)
        if np.isfinite(loss)
    ]
    if len(points) == 1:
        x, y = points[0]
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>'
    listed = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<polyline points="{listed}" fill="none" stroke="{colour}" '
        'stroke-width="1.5"/>'
    )
