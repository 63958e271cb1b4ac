"""Curves: how honest error bars are, and how a fit went."""

from typing import Self

import numpy as np

from ._calibration import check_coverage, check_known, gaussian_reach
from ._coverage import _coverages, _open_with_std
from ._drawing import before_last, last_step
from ._history import by_stage, layer_names, span
from .metrics import _average

_LEVELS = tuple(np.linspace(0.05, 0.95, 19).round(2).tolist())
_AS_CLAIMED = "as claimed"
_CURVES = {"loss": "loss", "psnr": "PSNR (dB)"}  # of train_ and valid_, by name


class CalibrationDisplay:
    """The coverage that intervals claim, and the share of true values that they hold.

    Make it by `from_estimator` or `from_predictions`. Error bars are honest where the
    line follows the diagonal; below it they are too short, above it too long.

    Parameters
    ----------
    nominal : array-like of shape (n_levels,)
        The share of true values that the intervals of each level claim to hold.

    observed : array-like of shape (n_levels,)
        The share that they hold, a mean over images.

    name : str, default=None
        What stands in the legend.

    Attributes
    ----------
    line_ : matplotlib.lines.Line2D
        The line through the observed shares.

    ax_ : matplotlib.axes.Axes
        Where it was drawn.

    figure_ : matplotlib.figure.Figure
        The figure around it.

    See Also
    --------
    coverage_score : The share at one level.
    sklearn.calibration.CalibrationDisplay : The same of classifiers.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np
    >>> from colorvae_sk import CalibrationDisplay
    >>> restored, std = np.full((2, 16, 16, 3), 0.5), np.full((2, 16, 16, 3), 0.1)
    >>> clean = np.random.default_rng(0).normal(restored, std)
    >>> display = CalibrationDisplay.from_predictions(clean, restored, std)
    >>> abs(display.observed - display.nominal).max().round(1)
    np.float64(0.0)
    """

    def __init__(self, nominal, observed, *, name=None):
        self.nominal = nominal
        self.observed = observed
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, levels=None, name=None, ax=None, **kwargs
    ) -> Self:
        """Draw how honest the error bars of an estimator are.

        The intervals are those of `predict_interval`, from one restoration of each
        image.

        Parameters
        ----------
        estimator : ColorVAE or Pipeline
            Fitted. A pipeline ends in such, and its other steps transform X before.

        X : images
            Images that neither `fit` nor `calibrate` has seen, as `predict` takes them.

        y : images
            The clean version of each; NaN where it is not known.

        levels : sequence of floats in (0, 1), default=None
            Nominal coverages. None: 0.05, 0.1, ..., 0.95, as far as `calibrate` has
            seen enough images for them.

        name : str, default=None
            What stands in the legend. None: the class of the estimator.

        ax : matplotlib.axes.Axes, default=None
            Where to draw. None: a new figure.

        **kwargs : dict
            Passed on to :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : CalibrationDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If a level is not between 0 and 1, or too high for the images that
            `calibrate` has seen; or if y is no clean version of X.
        """
        last = last_step(estimator)
        levels, reaches = _reaches(levels, getattr(last, "calibration_", None))
        distances = last._distances(before_last(estimator, X), y)
        distances = (each for each in distances if each.size)
        shares = [[np.mean(each <= reach) for reach in reaches] for each in distances]
        check_known(len(shares))
        name = type(last).__name__ if name is None else name
        return cls(levels, np.mean(shares, axis=0), name=name).plot(ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_pred,
        y_std,
        *,
        levels=None,
        name=None,
        ax=None,
        image_shape=None,
        data_range=None,
        **kwargs,
    ) -> Self:
        """Draw how honest given error bars are, taken as those of a Gaussian.

        Parameters
        ----------
        y_true : array-like or list of images
            The clean images, as `coverage_score` takes them.

        y_pred : array-like or list of the same shapes
            The restored images. They are not clipped, as intervals are not.

        y_std : array-like or list of the same shapes
            Standard deviations of `y_pred`, in the same unit.

        levels : sequence of floats in (0, 1), default=None
            Nominal coverages. None: 0.05, 0.1, ..., 0.95.

        name : str, default=None
            What stands in the legend.

        ax : matplotlib.axes.Axes, default=None
            Where to draw. None: a new figure.

        image_shape : tuple (height, width[, n_channels]), default=None
            How rows fold into images. None makes each row an image of a single line.

        data_range : pair of floats, default=None
            Values that mean 0 and 1, as in `coverage_score`.

        **kwargs : dict
            Passed on to :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : CalibrationDisplay
            The display, drawn.
        """
        levels, reaches = _reaches(levels, None)
        images = _open_with_std(y_true, y_pred, y_std, image_shape, data_range)
        shares = np.array(list(_coverages(*images, reaches, clip=False)))
        observed = [_average(column, images[0], None) for column in shares.T]
        return cls(levels, np.array(observed), name=name).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, name=None, **kwargs) -> Self:
        """Draw the line, and the diagonal if the axes have none yet.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None: a new figure.

        name : str, default=None
            What stands in the legend. None: the name of the display.

        **kwargs : dict
            Passed on to :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : CalibrationDisplay
            The display itself. It needs matplotlib.
        """
        from matplotlib import pyplot

        ax = pyplot.subplots()[1] if ax is None else ax
        if _AS_CLAIMED not in ax.get_legend_handles_labels()[1]:
            ax.plot([0, 1], [0, 1], "k:", label=_AS_CLAIMED)
        style = {"marker": "o", "label": name or self.name} | kwargs
        (self.line_,) = ax.plot(self.nominal, self.observed, **style)
        ax.set(xlabel="nominal coverage", ylabel="observed coverage", aspect="equal")
        ax.legend(loc="lower right")
        self.ax_, self.figure_ = ax, ax.figure
        return self


class HistoryDisplay:
    """How a fit went, epoch by epoch: loss, PSNR, and what the latents carry.

    Make it by `from_estimator`. The loss is a sum of three terms: the distortion,
    which is the PSNR of the second panel turned over (0.115 nats per dB), beta times
    the information of the third one, and the likelihood of the error bars. Stages are
    marked by dotted lines; each has a loss, and crops, of its own, so that curves jump
    from one to the next.

    Parameters
    ----------
    history : list of dicts
        What an estimator keeps as ``history_``.

    Attributes
    ----------
    axes_ : ndarray of shape (3,) of matplotlib.axes.Axes
        Loss, PSNR and information, one below the other.

    figure_ : matplotlib.figure.Figure
        The figure around them.

    See Also
    --------
    ColorVAE : Its attribute ``history_`` tells what is written down.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from colorvae_sk import HistoryDisplay
    >>> history = [
    ...     {"stage": "all", "train_loss": loss, "train_psnr": 20.0, "train_kl": [0.1]}
    ...     for loss in (2.0, 1.5, 1.2)
    ... ]
    >>> display = HistoryDisplay(history).plot()
    >>> [axes.get_ylabel() for axes in display.axes_]
    ['loss', 'PSNR (dB)', 'KL (nats per value)']
    """

    def __init__(self, history):
        self.history = history

    @classmethod
    def from_estimator(cls, estimator, *, ax=None) -> Self:
        """Draw how the fit of an estimator went.

        Parameters
        ----------
        estimator : ColorVAE or Pipeline
            Fitted. A pipeline ends in such.

        ax : array of 3 matplotlib.axes.Axes, default=None
            Where to draw. None: a new figure.

        Returns
        -------
        display : HistoryDisplay
            The display, drawn.
        """
        return cls(last_step(estimator).history_).plot(ax)

    def plot(self, ax=None) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : array of 3 matplotlib.axes.Axes, default=None
            Where to draw. None: a new figure.

        Returns
        -------
        display : HistoryDisplay
            The display itself. It needs matplotlib.

        Raises
        ------
        ValueError
            If nothing was learned, as of weights that were loaded.
        """
        if not self.history:
            raise ValueError(
                "The history is empty: nothing was learned here. Draw that of an "
                "estimator after fit."
            )
        if ax is None:
            from matplotlib import pyplot

            size = {"figsize": (8, 6.5), "layout": "constrained"}
            ax = pyplot.subplots(3, 1, sharex=True, **size)[1]
        self.axes_ = np.asarray(ax, dtype=object).ravel()
        for axis, (key, name) in zip(self.axes_[:2], _CURVES.items(), strict=True):
            self._draw_curves(axis, key)
            axis.set_ylabel(name)
        self._look_past_the_beginning()
        self._draw_information(self.axes_[2])
        self._mark_stages()
        self.figure_ = self.axes_[0].figure
        return self

    def _draw_curves(self, axis, key):
        """Draw what is learned from and what is held out, stage by stage."""
        for side, colour in (("train", "C0"), ("valid", "C1")):
            column = [row.get(f"{side}_{key}") for row in self.history]
            if any(value is not None for value in column):
                label = "learned from" if side == "train" else "held out"
                self._draw_stages(axis, np.array(column, float), colour, label)
        if axis.get_lines():
            axis.legend(fontsize=8)

    def _look_past_the_beginning(self):
        """Leave out of the view what the steep beginning of a fit adds to it."""
        columns = ("train_loss", "valid_loss")
        losses = [row[key] for row in self.history for key in columns if key in row]
        low, high = span(losses)
        if high > low:
            margin = 0.1 * (high - low)
            self.axes_[0].set_ylim(low - margin, high + margin)

    def _draw_information(self, axis):
        """Draw what each latent layer costs."""
        costs = np.array([row["train_kl"] for row in self.history], float)
        for i, name in enumerate(layer_names(costs.shape[1])):
            self._draw_stages(axis, costs[:, i], f"C{i}", name)
        axis.set(xlabel="epoch", ylabel="KL (nats per value)")
        axis.legend(fontsize=8)

    def _draw_stages(self, axis, values, colour, label):
        """Draw a curve that is interrupted between stages."""
        end = 0
        for _, rows in by_stage(self.history):
            begin, end = end, end + len(rows)
            epochs = np.arange(begin, end) + 1
            style = {"color": colour, "label": label, "markersize": 4}
            axis.plot(epochs, values[begin:end], ".-", **style)
            label = None  # one entry in the legend

    def _mark_stages(self):
        """Draw a line between stages, and write their names above."""
        top, end = self.axes_[0], 0
        for i, (stage, rows) in enumerate(by_stage(self.history)):
            begin, end = end, end + len(rows)
            for axis in self.axes_ if begin else ():
                axis.axvline(begin + 0.5, color="grey", linestyle=":", linewidth=1)
            place = (begin + end + 1) / 2, 1.02 + 0.09 * (i % 2)  # short ones collide
            style = {"horizontalalignment": "center", "fontsize": 9}
            top.text(*place, stage, transform=top.get_xaxis_transform(), **style)


def _reaches(levels, calibration):
    """The levels, and how many standard deviations their intervals reach."""
    reach = gaussian_reach if calibration is None else calibration.reach
    if levels is None:
        highest = 1 if calibration is None else calibration.highest_coverage
        levels = [level for level in _LEVELS if level <= highest]
    for level in levels:
        check_coverage(level)
    return np.array(levels, float), [reach(level) for level in levels]
