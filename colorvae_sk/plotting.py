"""Draw what was damaged and what was restored, in one call."""

from ._drawing import fill_with_means
from ._picture_displays import RestorationDisplay

__all__ = ["fill_with_means", "plot_restoration"]


def plot_restoration(damaged, restored, std, clean, titles=None):
    """Draw each picture damaged, restored, clean, its error bars and errors.

    It is `RestorationDisplay.from_predictions`, for those who want the figure alone.

    Parameters
    ----------
    damaged, restored, std, clean : array-like or list of images
        The four states of each picture, the standard deviations in the unit of
        `restored`.

    titles : list of str of length n_images, default=None
        What stands before each row.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Five axes for each picture, from left to right. It needs matplotlib.

    Raises
    ------
    ValueError
        If there are not as many of one as of another, or if their shapes differ.
    """
    return RestorationDisplay.from_predictions(
        clean, restored, std, X=damaged, names=titles
    ).figure_
