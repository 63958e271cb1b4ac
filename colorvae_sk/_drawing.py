"""What the displays of pictures share: how they are read, laid out and scored."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._images import as_images
from .metrics import ciede2000_error, psnr_score, ssim_score

HEAT = "inferno"  # the colours of error bars and errors: bright is large
_FACE = 9  # size of the titles, in points
_LINE = 0.17  # height of a line of a title, in inches


# ------------------------------------------------------------------ what is drawn
def last_step(estimator):
    """The fitted estimator, or the one at the end of a pipeline."""
    check_is_fitted(estimator)
    return getattr(estimator, "steps", [(None, estimator)])[-1][1]


def before_last(estimator, X):
    """X as it comes to the last step of a pipeline."""
    has_more = len(getattr(estimator, "steps", ())) > 1
    return estimator[:-1].transform(X) if has_more else X


def as_pictures(X, image_shape=None, data_range=None, name="X"):
    """Images as float32 arrays (H, W, C) on the [0, 1] scale; NaN where missing."""
    images = as_images(X, image_shape=image_shape, data_range=data_range, name=name)
    return [np.moveaxis(images[i], 0, 2) for i in range(len(images))]


def as_spreads(std, X, image_shape=None, data_range=None):
    """Standard deviations in the unit of the images X, brought to [0, 1] as these."""
    images = as_images(X, image_shape=image_shape, data_range=data_range)
    deviations = as_images(std, image_shape=image_shape, data_range=(0, 1), name="std")
    check_numbers({"images": images, "error bars": deviations})
    spreads = []
    for i in range(len(images)):
        low, high = images._range_of(images.raw(i).dtype)
        spreads.append(np.moveaxis(deviations[i], 0, 2) / np.float32(high - low))
    return spreads


def check_numbers(states):
    """Complain unless there are as many of one as of another; None is left out."""
    states = {name: images for name, images in states.items() if images is not None}
    if len({len(images) for images in states.values()}) > 1:
        counts = ", ".join(f"{len(images)} {name}" for name, images in states.items())
        raise ValueError(
            f"Expected as many pictures of each kind, but got {counts}. Pass each "
            "picture in all its states, in the same order."
        )


def check_shapes(states):
    """Complain unless each picture has one shape in all its states."""
    check_numbers(states)
    states = {name: images for name, images in states.items() if images is not None}
    for i, pictures in enumerate(zip(*states.values(), strict=True)):
        if len({picture.shape for picture in pictures}) > 1:
            shapes = (picture.shape for picture in pictures)
            listed = ", ".join(map("{1} {0}".format, shapes, states))
            raise ValueError(
                f"Picture {i} has different shapes: {listed}. Pass each picture in all "
                "its states, in the same order."
            )


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
    >>> from colorvae_sk._drawing import fill_with_means
    >>> fill_with_means(np.array([[[0.25, np.nan], [np.nan, np.nan]]]))
    array([[[0.25, 0.5 ],
            [0.25, 0.5 ]]])
    """
    missing = np.isnan(image)
    n_observed = np.sum(~missing, axis=(0, 1))
    means = np.nansum(image, axis=(0, 1)) / np.maximum(n_observed, 1)
    means = np.where(n_observed > 0, means, 0.5).astype(image.dtype)
    return np.where(missing, means, image)


def scores(clean, image):
    """PSNR and SSIM of a picture, and CIEDE2000 if it has colours, in a line."""
    pair = {"y_true": [clean], "y_pred": [fill_with_means(image)]}
    pair["data_range"] = 0, 1
    text = f"PSNR {psnr_score(**pair):.1f} dB   SSIM {ssim_score(**pair):.3f}"
    if clean.shape[2] == 3:
        text += f"   CIEDE2000 {ciede2000_error(**pair):.1f}"
    return text


# ------------------------------------------------------------------ where and how
def grid(sizes, n_columns, ax=None, width=3.2, n_lines=2):
    """Axes (n_rows, n_columns) for pictures of these sizes (H, W), one to a row.

    `width` is that of a panel in inches; `n_lines` are left for the titles.
    """
    if ax is None:
        from matplotlib import pyplot

        heights = [max(0.3, width * rows / columns) for rows, columns in sizes]
        figure_size = n_columns * width, sum(heights) + _LINE * n_lines * len(sizes)
        return pyplot.subplots(
            len(sizes),
            n_columns,
            figsize=figure_size,
            height_ratios=heights,
            layout="constrained",
            squeeze=False,
        )[1]
    axes = np.atleast_2d(np.asarray(ax, dtype=object))
    if axes.shape != (len(sizes), n_columns):
        raise ValueError(
            f"Expected ax to be an array of {len(sizes)} x {n_columns} axes, one for "
            f"each panel, got {axes.shape[0]} x {axes.shape[1]}."
        )
    return axes


def draw_picture(axis, image, *title):
    """Draw a picture (H, W, C), missing pixels white; other than colours, the mean."""
    image = np.nan_to_num(image, nan=1.0).clip(0, 1)
    image = image if image.shape[2] == 3 else image.mean(axis=2)
    axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="none")
    label(axis, *title)


def draw_heat(axis, image, largest, *title):
    """Draw a map (H, W), from 0 (dark) to the largest value (bright)."""
    axis.imshow(image, cmap=HEAT, vmin=0, vmax=largest or 1, interpolation="none")
    label(axis, *title)


def label(axis, *title):
    """Write above a picture, and take its scales away."""
    axis.set_title("\n".join(line for line in title if line), fontsize=_FACE)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def name_rows(axes, names):
    """Write the names, if there are any, before the rows."""
    for axis, name in zip(axes[:, 0], names or [""] * len(axes), strict=True):
        axis.set_ylabel(name)
