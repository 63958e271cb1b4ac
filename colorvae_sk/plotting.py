"""Draw what was damaged and what was restored, with its error bars and scores."""

import numpy as np

from ._coverage import coverage_score
from ._images import as_images
from .metrics import ciede2000_error, psnr_score

__all__ = ["fill_with_means", "plot_restoration"]

_COLUMNS = ("damaged", "restored", "error bars", "clean")
_WIDTH = 3.2  # of a panel, in inches


def plot_restoration(damaged, restored, std, clean, titles=None):
    """Draw each picture damaged, restored, its error bars, and clean, with scores.

    There is a row for each picture. Error bars are standard deviations, averaged over
    the channels, from the smallest (dark) to the largest (bright). Missing pixels are
    drawn white; for the scores of the damaged picture they are filled with the mean of
    their channel.

    Parameters
    ----------
    damaged : array-like of shape (n_images, height, width[, 1 or 3]) or list
        The damaged pictures, at least one: integers on the range of their dtype,
        floats on [0, 1], NaN where a pixel is missing.

    restored : array-like or list of the same shapes
        What was made of them, as ``predict(X, return_std=True)`` gives it.

    std : array-like or list of the same shapes
        Their standard deviations, as ``predict(X, return_std=True)`` gives them: in
        the unit of `restored`.

    clean : array-like or list of the same shapes
        How the pictures were before.

    titles : list of str of length n_images, default=None
        What stands before each row.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Four axes for each picture, from left to right. It needs matplotlib.

    Raises
    ------
    ValueError
        If there are not as many of one as of another, or if their shapes differ.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from colorvae_sk import GaussianNoise, load_photos
    >>> from colorvae_sk.plotting import plot_restoration
    >>> clean = load_photos()[1][None, ::4, ::4] / 255
    >>> noisy = GaussianNoise(0.1, random_state=0).transform(clean)
    >>> figure = plot_restoration(noisy, noisy, 0 * noisy + 0.1, clean)
    >>> [axes.get_title() for axes in figure.axes]
    ['damaged', 'restored', 'error bars', 'clean']
    """
    from matplotlib import pyplot

    states = [as_images(images) for images in (damaged, restored, clean)]
    states.insert(2, as_images(std, data_range=(0, 1)))
    _check_numbers(states)
    sizes = [states[0].shape(i) for i in range(len(states[0]))]
    height = sum(_WIDTH * height / width + 0.35 for height, width in sizes)
    figure, axes = pyplot.subplots(
        len(sizes), 4, figsize=(4 * _WIDTH, height), layout="constrained", squeeze=False
    )
    for i, row in enumerate(axes):
        _draw_row(row, *_on_unit_scale(i, *states))
    for axis, name in zip(axes[0], _COLUMNS, strict=True):
        axis.set_title(name)
    for axis, title in zip(axes[:, 0], titles or [""] * len(axes), strict=True):
        axis.set_ylabel(title)
    return figure


def fill_with_means(image):
    """Fill missing pixels with the mean of what was observed of their channel.

    Parameters
    ----------
    image : float array of shape (height, width, n_channels)
        On the [0, 1] scale, NaN where a pixel is missing.

    Returns
    -------
    filled : float array of shape (height, width, n_channels)
        Without NaN; middle grey (0.5) where nothing of a channel was observed.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk.plotting import fill_with_means
    >>> fill_with_means(np.array([[[0.25, np.nan], [np.nan, np.nan]]]))
    array([[[0.25, 0.5 ],
            [0.25, 0.5 ]]])
    """
    missing = np.isnan(image)
    n_observed = np.sum(~missing, axis=(0, 1))
    means = np.nansum(image, axis=(0, 1)) / np.maximum(n_observed, 1)
    means = np.where(n_observed > 0, means, 0.5).astype(image.dtype)
    return np.where(missing, means, image)


def _check_numbers(states):
    """Complain unless there are as many of one as of another."""
    numbers = [len(images) for images in states]
    if len(set(numbers)) > 1:
        counts = ", ".join(map("{} {}".format, numbers, _COLUMNS))
        raise ValueError(
            f"Expected as many pictures of each kind, but got {counts}. Pass each "
            "picture in all four states, in the same order."
        )


def _on_unit_scale(i, damaged, restored, std, clean):
    """The states of picture i as float32 arrays (H, W, C) on [0, 1]."""
    states = [images[i] for images in (damaged, restored, std, clean)]
    low, high = restored._range_of(restored.raw(i).dtype)
    states[2] = states[2] / (high - low)
    return [np.moveaxis(image, 0, 2) for image in states]


def _draw_row(axes, damaged, restored, std, clean):
    """Draw one picture in its four states."""
    caption = _scores(clean, fill_with_means(damaged))
    _draw(axes[0], np.nan_to_num(damaged, nan=1.0), caption)
    _draw(axes[1], restored, _scores(clean, restored))
    coverage = coverage_score([clean], [restored], [std], coverage=0.9)
    spread = std.mean(axis=2)  # over the channels
    low, high = np.quantile(spread, [0.001, 0.999])
    axes[2].imshow(spread, cmap="inferno", vmin=low, vmax=high)
    share = f"90 % interval holds {100 * coverage:.0f} %"
    _label(axes[2], f"{low:.3f} to {high:.3f}   {share}")
    _draw(axes[3], clean, "")


def _draw(axis, image, caption):
    """Draw a picture (H, W, 1 or 3)."""
    axis.imshow(image.clip(0, 1), cmap="gray", vmin=0, vmax=1, interpolation="none")
    _label(axis, caption)


def _label(axis, caption):
    """Write below a picture, and take its scales away."""
    axis.set(xticks=[], yticks=[], xlabel=caption)
    axis.spines[:].set_visible(False)


def _scores(clean, image):
    """PSNR of a picture, and CIEDE2000 if it has colours."""
    text = f"PSNR {psnr_score([clean], [image]):.1f} dB"
    if clean.shape[2] == 3:
        text += f"   CIEDE2000 {ciede2000_error([clean], [image]):.1f}"
    return text
