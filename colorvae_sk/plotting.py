"""Draw what was damaged and what was restored, with its error bars and scores."""

import numpy as np

from ._images import as_images
from .metrics import ciede2000_error, coverage_score, psnr_score

__all__ = ["plot_restoration"]

_WIDTH = 3.2  # of a panel, in inches


def plot_restoration(damaged, restored, std, clean, titles=None):
    """Draw each picture damaged, restored, its error bars, and clean, with scores.

    There is a row for each picture. Missing pixels are drawn white; for the scores of
    the damaged picture they are filled with the mean of their channel.

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
    >>> figure.axes[0].get_xlabel()
    'PSNR 20.2 dB   CIEDE2000 11.3'
    """
    from matplotlib import pyplot

    columns = [_unit_images(images) for images in (damaged, restored, clean)]
    columns.insert(2, _unit_spreads(std, restored))
    rows = list(zip(*columns, strict=True))
    height = sum(_WIDTH * _aspect(row[0]) + 0.6 for row in rows)
    figure, axes = pyplot.subplots(
        len(rows), 4, figsize=(4 * _WIDTH, height), layout="constrained", squeeze=False
    )
    for row, row_axes in zip(rows, axes, strict=True):
        _draw_row(row_axes, *row)
    names = ["damaged", "restored", "error bars", "clean"]
    for axis, name in zip(axes[0], names, strict=True):
        axis.set_title(name)
    for axis, title in zip(axes[:, 0], titles or [""] * len(rows), strict=True):
        axis.set_ylabel(title)
    return figure


def _unit_images(images):
    """Pictures of any kind as float32 arrays (H, W, C) on [0, 1]."""
    return [np.moveaxis(image, 0, 2) for image in as_images(images)]


def _unit_spreads(std, restored):
    """Standard deviations in the unit of the restored pictures, brought to [0, 1]."""
    restored, std = as_images(restored), as_images(std, data_range=(0, 1))
    for i in range(len(std)):
        low, high = restored._range_of(restored.raw(i).dtype)
        yield np.float32(std.raw(i) / (high - low))


def _aspect(image):
    """Height of a picture of width 1."""
    return image.shape[0] / image.shape[1]


def _draw_row(axes, damaged, restored, std, clean):
    """Draw one picture in its four states."""
    filled = np.where(np.isnan(damaged), _channel_means(damaged), damaged)
    _draw(axes[0], np.nan_to_num(damaged, nan=1.0), _scores(clean, filled))
    _draw(axes[1], restored, _scores(clean, restored))
    coverage = coverage_score([clean], [restored], [std], coverage=0.9)
    spread = std.mean(axis=2)  # over the channels
    top = float(np.quantile(spread, 0.999))
    axes[2].imshow(spread, cmap="inferno", vmin=0, vmax=top)
    _label(axes[2], f"0 to {top:.2f}   90 % interval holds {100 * coverage:.0f} %")
    _draw(axes[3], clean, "")


def _channel_means(image):
    """Mean of what was observed of each channel; middle grey where nothing was."""
    observed = ~np.isnan(image)
    total, count = np.nansum(image, axis=(0, 1)), observed.sum(axis=(0, 1))
    return np.where(count > 0, total / np.maximum(count, 1), 0.5)


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
