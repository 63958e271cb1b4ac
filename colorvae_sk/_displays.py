"""Draw how honest error bars are: the coverage that they claim, and that is seen."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._calibration import check_coverage, check_known, gaussian_reach
from ._coverage import _coverages, _open_with_std
from .metrics import _average

_LEVELS = tuple(np.linspace(0.05, 0.95, 19).round(2).tolist())
_AS_CLAIMED = "as claimed"


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
    ):
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
        check_is_fitted(estimator)
        *before, (_, last) = getattr(estimator, "steps", [(None, estimator)])
        levels, reaches = _reaches(levels, getattr(last, "calibration_", None))
        X = estimator[:-1].transform(X) if before else X
        distances = (each for each in last._distances(X, y) if each.size)
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
    ):
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

    def plot(self, ax=None, *, name=None, **kwargs):
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


def _reaches(levels, calibration):
    """The levels, and how many standard deviations their intervals reach."""
    reach = gaussian_reach if calibration is None else calibration.reach
    if levels is None:
        highest = 1 if calibration is None else calibration.highest_coverage
        levels = [level for level in _LEVELS if level <= highest]
    for level in levels:
        check_coverage(level)
    return np.array(levels, float), [reach(level) for level in levels]
