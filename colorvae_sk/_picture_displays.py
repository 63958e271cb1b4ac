"""Pictures beside each other: what was restored, and what else might have been."""

from typing import Self

import numpy as np

from ._coverage import coverage_score
from ._drawing import (
    as_pictures,
    as_spreads,
    before_last,
    check_shapes,
    draw_heat,
    draw_picture,
    grid,
    last_step,
    name_rows,
    scores,
)


class RestorationDisplay:
    """Pictures damaged, restored and clean, with error bars, errors and scores.

    Make it by `from_estimator` or `from_predictions`. There is a row for each picture
    and a panel for each of its states that are known. Above the damaged picture and the
    restored one stand PSNR, SSIM and CIEDE2000. Error bars (standard deviations) and
    errors are means over the channels, drawn on one scale from zero (dark): where the
    error bars are honest, errors are large only where they are bright too.

    Parameters
    ----------
    restored : list of float arrays of shape (height, width, n_channels)
        What was restored, on the [0, 1] scale.

    damaged : list of such arrays, default=None
        What it was made of; NaN (drawn white) where a pixel is missing.

    clean : list of such arrays, default=None
        How the pictures were before; NaN where that is not known.

    std : list of such arrays, default=None
        Standard deviations of `restored`.

    names : list of str, default=None
        What stands before each row.

    Attributes
    ----------
    axes_ : ndarray of shape (n_images, n_panels) of matplotlib.axes.Axes
        The panels.

    figure_ : matplotlib.figure.Figure
        The figure around them.

    See Also
    --------
    PosteriorDisplay : Several restorations of each picture.
    CalibrationDisplay : How honest the error bars are.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from colorvae_sk import GaussianNoise, RestorationDisplay, load_photos
    >>> clean = load_photos()[1][None, ::4, ::4] / 255
    >>> noisy = GaussianNoise(0.1, random_state=0).transform(clean)
    >>> display = RestorationDisplay.from_predictions(
    ...     clean, noisy, 0 * noisy + 0.1, X=noisy
    ... )
    >>> [axes.get_title().split()[0] for axes in display.axes_[0]]
    ['damaged', 'restored', 'clean', 'error', 'error']
    """

    def __init__(self, restored, *, damaged=None, clean=None, std=None, names=None):
        self.restored = restored
        self.damaged = damaged
        self.clean = clean
        self.std = std
        self.names = names

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, names=None, ax=None) -> Self:
        """Restore pictures, and draw what came of it.

        Parameters
        ----------
        estimator : ColorVAE or Pipeline
            Fitted. A pipeline ends in such, and its other steps transform X before.

        X : images
            Damaged images, as `predict` takes them: a few, as each gets a row.

        y : images, default=None
            The clean version of each. None: without scores and errors.

        names : list of str, default=None
            What stands before each row.

        ax : array of matplotlib.axes.Axes, default=None
            Where to draw, (n_images, n_panels). None: a new figure.

        Returns
        -------
        display : RestorationDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If y is no clean version of X.
        """
        last, X = last_step(estimator), before_last(estimator, X)
        restored, std = last.predict(X, return_std=True)
        known = {"image_shape": last.image_shape, "data_range": last.data_range_}
        return cls.from_predictions(y, restored, std, X=X, names=names, ax=ax, **known)

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_pred,
        y_std=None,
        *,
        X=None,
        names=None,
        ax=None,
        image_shape=None,
        data_range=None,
    ) -> Self:
        """Draw what was restored before.

        Parameters
        ----------
        y_true : array-like or list of images, or None
            The clean images: integers on the range of their dtype, floats on [0, 1].
            None, if they are not known.

        y_pred : array-like or list of the same shapes
            The restored images.

        y_std : array-like or list of the same shapes, default=None
            Standard deviations of `y_pred`, in the same unit, as
            ``predict(X, return_std=True)`` gives them.

        X : array-like or list of the same shapes, default=None
            The damaged images.

        names : list of str, default=None
            What stands before each row.

        ax : array of matplotlib.axes.Axes, default=None
            Where to draw, (n_images, n_panels). None: a new figure.

        image_shape : tuple (height, width[, n_channels]), default=None
            How rows fold into images. None makes each row an image of a single line.

        data_range : pair of floats, default=None
            Values that mean 0 and 1, as in `psnr_score`.

        Returns
        -------
        display : RestorationDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If there are not as many of one as of another, or if their shapes differ.
        """
        known = {"image_shape": image_shape, "data_range": data_range}
        given = {"X": X, "y_true": y_true}
        states = {
            name: None if images is None else as_pictures(images, **known, name=name)
            for name, images in given.items()
        }
        display = cls(
            as_pictures(y_pred, **known, name="y_pred"),
            damaged=states["X"],
            clean=states["y_true"],
            std=None if y_std is None else as_spreads(y_std, y_pred, **known),
            names=names,
        )
        return display.plot(ax)

    def plot(self, ax=None) -> Self:
        """Draw the pictures.

        Parameters
        ----------
        ax : array of matplotlib.axes.Axes, default=None
            Where to draw, (n_images, n_panels). None: a new figure.

        Returns
        -------
        display : RestorationDisplay
            The display itself. It needs matplotlib.
        """
        states = {
            "damaged": self.damaged,
            "restored": self.restored,
            "clean": self.clean,
            "error bars": self.std,
            "error": self.clean,
        }
        check_shapes(states)
        draws = {
            "damaged": self._draw_damaged,
            "restored": self._draw_restored,
            "clean": self._draw_clean,
            "error bars": self._draw_spread,
            "error": self._draw_error,
        }
        panels = [name for name, images in states.items() if images is not None]
        sizes = [image.shape[:2] for image in self.restored]
        self.axes_ = grid(sizes, len(panels), ax)
        for i, row in enumerate(self.axes_):
            for name, axis in zip(panels, row, strict=True):
                draws[name](axis, i, name if i == 0 else "")
        name_rows(self.axes_, self.names)
        self.figure_ = self.axes_[0, 0].figure
        return self

    def _scores(self, i, image):
        """How close an image comes to the clean one, if that is known."""
        return "" if self.clean is None else scores(self.clean[i], image)

    def _draw_damaged(self, axis, i, name):
        image = self.damaged[i]
        draw_picture(axis, image, name, self._scores(i, image))

    def _draw_restored(self, axis, i, name):
        image = self.restored[i]
        draw_picture(axis, image, name, self._scores(i, image))

    def _draw_clean(self, axis, i, name):
        draw_picture(axis, self.clean[i], name)

    def _draw_spread(self, axis, i, name):
        spread = self.std[i].mean(axis=2)
        low, high = np.quantile(spread, [0.001, 0.999])
        text = f"{low:.3f} to {high:.3f}"
        if self.clean is not None:
            images = [self.clean[i]], [self.restored[i]], [self.std[i]]
            share = coverage_score(*images, coverage=0.9, data_range=(0, 1))
            text += f"   90 % interval holds {100 * share:.0f} %"
        draw_heat(axis, spread, self._largest(i), name, text)

    def _draw_error(self, axis, i, name):
        error = self._error(i)
        text = f"mean {np.nanmean(error):.3f}   largest {np.nanmax(error):.3f}"
        draw_heat(axis, error, self._largest(i), name, text)

    def _error(self, i):
        """The mean absolute error of each pixel that is known: (H, W)."""
        error = np.abs(self.clean[i] - self.restored[i].clip(0, 1))
        return error.mean(axis=2)

    def _largest(self, i):
        """The value that is drawn brightest, of error bars and errors alike."""
        tops = []
        if self.std is not None:
            tops.append(np.quantile(self.std[i].mean(axis=2), 0.95))
        if self.clean is not None:
            tops.append(np.nanquantile(self._error(i), 0.99))
        return max(tops)


class PosteriorDisplay:
    """Several restorations of each picture that are each plausible, side by side.

    Make it by `from_estimator` or `from_predictions`. Where the samples differ, the
    damaged picture leaves the answer open: the last panel, their standard deviation
    (a mean over the channels), is bright there.

    Parameters
    ----------
    samples : list of lists of float arrays of shape (height, width, n_channels)
        For each sample, a restoration of each picture, on the [0, 1] scale.

    restored : list of such arrays, default=None
        The most likely restoration of each picture.

    damaged : list of such arrays, default=None
        What they were made of; NaN (drawn white) where a pixel is missing.

    names : list of str, default=None
        What stands before each row.

    Attributes
    ----------
    axes_ : ndarray of shape (n_images, n_panels) of matplotlib.axes.Axes
        The panels.

    figure_ : matplotlib.figure.Figure
        The figure around them.

    See Also
    --------
    RestorationDisplay : One restoration of each picture, with its error bars.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np
    >>> from colorvae_sk import PosteriorDisplay
    >>> samples = np.random.default_rng(0).uniform(size=(3, 1, 16, 16, 3))
    >>> display = PosteriorDisplay.from_predictions(samples.mean(axis=0), samples)
    >>> [axes.get_title().split()[0] for axes in display.axes_[0]]
    ['restored', 'sample', 'sample', 'sample', 'spread']
    """

    def __init__(self, samples, *, restored=None, damaged=None, names=None):
        self.samples = samples
        self.restored = restored
        self.damaged = damaged
        self.names = names

    @classmethod
    def from_estimator(
        cls, estimator, X, *, n_samples=4, random_state=None, names=None, ax=None
    ) -> Self:
        """Draw samples of the restorations of pictures.

        Parameters
        ----------
        estimator : ColorVAE or Pipeline
            Fitted. A pipeline ends in such, and its other steps transform X before.

        X : images
            Damaged images, as `predict` takes them: a few, as each gets a row.

        n_samples : int, default=4
            How many samples of each.

        random_state : int, RandomState instance or None, default=None
            With an int, an image's samples are the same in each call.

        names : list of str, default=None
            What stands before each row.

        ax : array of matplotlib.axes.Axes, default=None
            Where to draw, (n_images, n_panels). None: a new figure.

        Returns
        -------
        display : PosteriorDisplay
            The display, drawn.
        """
        last, X = last_step(estimator), before_last(estimator, X)
        samples = last.sample_posterior(X, n_samples, random_state)
        known = {"image_shape": last.image_shape, "data_range": last.data_range_}
        restored = last.predict(X)
        return cls.from_predictions(restored, samples, X=X, names=names, ax=ax, **known)

    @classmethod
    def from_predictions(
        cls,
        y_pred,
        samples,
        *,
        X=None,
        names=None,
        ax=None,
        image_shape=None,
        data_range=None,
    ) -> Self:
        """Draw samples that were drawn before.

        Parameters
        ----------
        y_pred : array-like or list of images, or None
            The most likely restorations, as `predict` gives them.

        samples : array-like of shape (n_samples, n_images, ...) or list of lists
            The samples, as `sample_posterior` gives them.

        X : array-like or list of images, default=None
            The damaged images.

        names : list of str, default=None
            What stands before each row.

        ax : array of matplotlib.axes.Axes, default=None
            Where to draw, (n_images, n_panels). None: a new figure.

        image_shape : tuple (height, width[, n_channels]), default=None
            How rows fold into images. None makes each row an image of a single line.

        data_range : pair of floats, default=None
            Values that mean 0 and 1, as in `psnr_score`.

        Returns
        -------
        display : PosteriorDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If there are not as many of one as of another, or if their shapes differ.
        """
        known = {"image_shape": image_shape, "data_range": data_range}
        samples = [as_pictures(each, **known, name="samples") for each in samples]
        given = {"y_pred": y_pred, "X": X}
        restored, damaged = (
            None if images is None else as_pictures(images, **known, name=name)
            for name, images in given.items()
        )
        return cls(samples, restored=restored, damaged=damaged, names=names).plot(ax)

    def plot(self, ax=None) -> Self:
        """Draw the pictures.

        Parameters
        ----------
        ax : array of matplotlib.axes.Axes, default=None
            Where to draw, (n_images, n_panels). None: a new figure.

        Returns
        -------
        display : PosteriorDisplay
            The display itself. It needs matplotlib.
        """
        states = {"damaged": self.damaged, "restored": self.restored}
        states |= {f"sample {k + 1}": each for k, each in enumerate(self.samples)}
        check_shapes(states)
        states = {name: images for name, images in states.items() if images is not None}
        has_spread = len(self.samples) > 1
        sizes = [image.shape[:2] for image in self.samples[0]]
        self.axes_ = grid(sizes, len(states) + has_spread, ax, width=2.4)
        for i, row in enumerate(self.axes_):
            for (name, images), axis in zip(states.items(), row, strict=False):
                draw_picture(axis, images[i], name if i == 0 else "")
            if has_spread:
                self._draw_spread(row[-1], i, "spread of the samples" if i == 0 else "")
        name_rows(self.axes_, self.names)
        self.figure_ = self.axes_[0, 0].figure
        return self

    def _draw_spread(self, axis, i, name):
        """Draw the standard deviation of the samples."""
        drawn = np.stack([images[i].clip(0, 1) for images in self.samples])
        spread = drawn.std(axis=0, ddof=1).mean(axis=2)
        text = f"mean {spread.mean():.3f}   largest {spread.max():.3f}"
        draw_heat(axis, spread, np.quantile(spread, 0.99), name, text)
