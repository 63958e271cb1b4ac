"""Pictures of latent space: where images lie in it, and what its codes mean."""

from typing import Self

import numpy as np
from sklearn.utils.multiclass import type_of_target

from ._drawing import as_pictures, before_last, draw_picture, grid, last_step, name_rows


class LatentDisplay:
    """Where images lie in latent space, and what lies where.

    Make it by `from_estimator`, or of codes that are there by the constructor and
    `plot`. To the left are the codes of images in two units, coloured by y; to the
    right, on the same scales, the images that the estimator makes of such codes.

    Parameters
    ----------
    codes : array-like of shape (n_images, 2)
        Two of the codes of each image.

    y : array-like of shape (n_images,), default=None
        What the codes are coloured by: classes or numbers.

    plane : list of lists of float arrays of shape (height, width, n_channels), \
            default=None
        Images on a grid over the codes, the highest second code first. None: without.

    extent : tuple (left, right, bottom, top), default=None
        The codes at the edges of `plane`.

    units : pair of ints, default=(0, 1)
        Which of the codes these are.

    Attributes
    ----------
    scatter_ : matplotlib.collections.PathCollection
        The codes.

    axes_ : ndarray of shape (1,) or (2,) of matplotlib.axes.Axes
        Where codes and images were drawn.

    figure_ : matplotlib.figure.Figure
        The figure around them.

    See Also
    --------
    TraversalDisplay : What single codes mean.

    References
    ----------
    .. [1] D. P. Kingma, M. Welling: Auto-Encoding Variational Bayes, ICLR 2014.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from colorvae_sk import LatentDisplay
    >>> display = LatentDisplay([[0.1, 0.3], [-1.0, 2.0]], y=["cat", "dog"]).plot()
    >>> [text.get_text() for text in display.axes_[0].get_legend().get_texts()]
    ['cat', 'dog']
    """

    def __init__(self, codes, y=None, *, plane=None, extent=None, units=(0, 1)):
        self.codes = codes
        self.y = y
        self.plane = plane
        self.extent = extent
        self.units = units

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, units=None, n_steps=12, image_shape=None, ax=None
    ) -> Self:
        """Encode images, and draw where they lie.

        Parameters
        ----------
        estimator : ColorVAE or Pipeline
            Fitted, with at least two codes. A pipeline ends in such, and its other
            steps transform X before.

        X : images
            Images of one size, as `encode` takes them.

        y : array-like of shape (n_images,), default=None
            What the codes are coloured by: classes or numbers.

        units : pair of ints, default=None
            Which two codes to draw. None: those that differ most among the images.

        n_steps : int, default=12
            Images on each side of the grid. Other codes are at their means.

        image_shape : tuple (height, width[, n_channels]), default=None
            How rows fold into images. None: as the estimator folds them; rows that it
            does not fold are drawn as codes alone.

        ax : array of matplotlib.axes.Axes, default=None
            Where to draw: two axes, or one for codes alone. None: a new figure.

        Returns
        -------
        display : LatentDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If there are less than two codes, or no such units.
        """
        last, X = last_step(estimator), before_last(estimator, X)
        shape = image_shape or last.image_shape
        Z = last.encode(X)
        units = check_units(units, Z, 2)
        if len(units) != 2:
            raise ValueError(f"Expected 2 units to draw a plane, got {units}.")
        if shape is None and not last.image_mode_:
            return cls(Z[:, units], y, units=units).plot(ax)
        sides = [_around(Z[:, unit], n_steps) for unit in units]
        codes = np.tile(Z.mean(axis=0), (n_steps**2, 1))
        codes[:, units[0]] = np.tile(sides[0], n_steps)
        codes[:, units[1]] = np.repeat(sides[1][::-1], n_steps)
        pictures = decoded(last, codes, X, shape)
        plane = [pictures[i : i + n_steps] for i in range(0, len(pictures), n_steps)]
        extent = tuple(end for side in sides for end in _edges(side))
        return cls(Z[:, units], y, plane=plane, extent=extent, units=units).plot(ax)

    def plot(self, ax=None, **kwargs) -> Self:
        """Draw codes and images.

        Parameters
        ----------
        ax : array of matplotlib.axes.Axes, default=None
            Where to draw: two axes, or one for codes alone. None: a new figure.

        **kwargs : dict
            Passed on to :meth:`matplotlib.axes.Axes.scatter`.

        Returns
        -------
        display : LatentDisplay
            The display itself. It needs matplotlib.
        """
        n_panels = 1 if self.plane is None else 2
        axes = grid([(1, 1)], n_panels, ax, width=4.8)[0]
        names = (f"code {unit}" for unit in self.units)
        limits = dict(zip(("xlabel", "ylabel"), names, strict=True))
        if self.plane is not None:
            left, right, *height = self.extent
            limits |= {"xlim": (left, right), "ylim": height}
            rows = [np.hstack(list(map(_framed, row))) for row in self.plane]
            draw_picture(axes[1], np.vstack(rows), "what is decoded")
            axes[1].images[0].set_extent(self.extent)
            axes[1].set(aspect="auto", **limits)
        self._draw_codes(axes[0], kwargs)
        axes[0].set(**limits)
        axes[0].set_title("codes of the images", fontsize=9)
        self.axes_, self.figure_ = axes, axes[0].figure
        return self

    def _draw_codes(self, axis, style):
        """Draw the codes; classes get a legend, numbers a bar of colours."""
        codes, style = np.asarray(self.codes), {"s": 12} | style
        if self.y is None:
            self.scatter_ = axis.scatter(*codes.T, **style)
        elif type_of_target(self.y) == "continuous":
            self.scatter_ = axis.scatter(*codes.T, c=self.y, **style)
            axis.figure.colorbar(self.scatter_, ax=axis)
        else:
            classes, numbers = np.unique(self.y, return_inverse=True)
            colours = "tab10" if len(classes) <= 10 else "tab20"
            style = {"cmap": colours, "vmin": 0} | style
            style = {"vmax": 9 if colours == "tab10" else 19} | style
            self.scatter_ = axis.scatter(*codes.T, c=numbers, **style)
            handles = self.scatter_.legend_elements(num=None)[0]
            axis.legend(handles, [str(each) for each in classes], fontsize=8)


class TraversalDisplay:
    """What happens to pictures on ways through latent space.

    Make it by `from_estimator`, which changes one code at a time, or by
    `from_interpolation`, which goes from one picture to another.

    Parameters
    ----------
    images : list of lists of float arrays of shape (height, width, n_channels)
        For each way its pictures, on the [0, 1] scale.

    row_names : list of str, default=None
        What stands before each way.

    column_names : list of str, default=None
        What stands above each step.

    Attributes
    ----------
    axes_ : ndarray of shape (n_ways, n_steps) of matplotlib.axes.Axes
        The panels.

    figure_ : matplotlib.figure.Figure
        The figure around them.

    See Also
    --------
    LatentDisplay : Where images lie.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np
    >>> from colorvae_sk import TraversalDisplay
    >>> ways = np.random.default_rng(0).uniform(size=(2, 5, 8, 8, 3))
    >>> TraversalDisplay(ways, row_names=["first", "second"]).plot().axes_.shape
    (2, 5)
    """

    def __init__(self, images, *, row_names=None, column_names=None):
        self.images = images
        self.row_names = row_names
        self.column_names = column_names

    @classmethod
    def from_estimator(
        cls, estimator, X, *, units=None, values=None, image_shape=None, ax=None
    ) -> Self:
        """Change one code of a picture after the other.

        Parameters
        ----------
        estimator : ColorVAE or Pipeline
            Fitted. A pipeline ends in such, and its other steps transform X before.

        X : images
            Images of one size, as `encode` takes them. The first is changed.

        units : sequence of ints, default=None
            Which codes. None: the five (or fewer) that differ most among the images,
            the most different first. A ladder has its colours' codes first, then those
            from coarse to fine.

        values : sequence of floats, default=None
            What each code is set to; a priori, codes are standard normal. None: -2 to
            2, in seven steps.

        image_shape : tuple (height, width[, n_channels]), default=None
            How rows fold into images. None: as the estimator folds them.

        ax : array of matplotlib.axes.Axes, default=None
            Where to draw, (n_units, n_values). None: a new figure.

        Returns
        -------
        display : TraversalDisplay
            The display, drawn.
        """
        last, X = last_step(estimator), before_last(estimator, X)
        Z = last.encode(X)
        units = check_units(units, Z, min(5, Z.shape[1]))
        values = np.linspace(-2, 2, 7) if values is None else np.asarray(values, float)
        codes = np.tile(Z[0], (len(units), len(values), 1))
        for row, unit in enumerate(units):
            codes[row, :, unit] = values
        codes = codes.reshape(-1, Z.shape[1])
        pictures = decoded(last, codes, X, image_shape or last.image_shape)
        rows = [
            pictures[i : i + len(values)] for i in range(0, len(codes), len(values))
        ]
        names = [f"code {unit}" for unit in units]
        steps = [f"{value:+.2g}" for value in values]
        return cls(rows, row_names=names, column_names=steps).plot(ax)

    @classmethod
    def from_interpolation(
        cls, estimator, X_first, X_second, *, n_steps=8, image_shape=None, ax=None
    ) -> Self:
        """Go from one picture to another.

        Parameters
        ----------
        estimator : ColorVAE or Pipeline
            Fitted. A pipeline ends in such, and its other steps transform both before.

        X_first : images
            Where the ways begin, as `interpolate` takes them.

        X_second : images
            Where they end.

        n_steps : int, default=8
            Pictures on each way.

        image_shape : tuple (height, width[, n_channels]), default=None
            How rows fold into images. None: as the estimator folds them.

        ax : array of matplotlib.axes.Axes, default=None
            Where to draw, (n_images, n_steps). None: a new figure.

        Returns
        -------
        display : TraversalDisplay
            The display, drawn.
        """
        last = last_step(estimator)
        X_first, X_second = (before_last(estimator, X) for X in (X_first, X_second))
        known = {"image_shape": image_shape or last.image_shape}
        steps = [
            as_pictures(each, **known, data_range=last.data_range_)
            for each in last.interpolate(X_first, X_second, n_steps)
        ]
        shares = [f"{share:.0%}" for share in np.linspace(0, 1, n_steps)]
        ways = list(map(list, zip(*steps, strict=True)))
        return cls(ways, column_names=shares).plot(ax)

    def plot(self, ax=None) -> Self:
        """Draw the pictures.

        Parameters
        ----------
        ax : array of matplotlib.axes.Axes, default=None
            Where to draw, (n_ways, n_steps). None: a new figure.

        Returns
        -------
        display : TraversalDisplay
            The display itself. It needs matplotlib.
        """
        sizes = [row[0].shape[:2] for row in self.images]
        n_steps = len(self.images[0])
        self.axes_ = grid(sizes, n_steps, ax, width=1.3, n_lines=1)
        titles = [self.column_names or [""] * n_steps]
        titles += [[""] * n_steps] * (len(sizes) - 1)
        for panels, row, names in zip(self.axes_, self.images, titles, strict=True):
            for axis, image, name in zip(panels, row, names, strict=True):
                draw_picture(axis, image, name)
        name_rows(self.axes_, self.row_names)
        self.figure_ = self.axes_[0, 0].figure
        return self


# ------------------------------------------------------------------ helpers
def check_units(units, Z, n_units):
    """The units to draw, as a list: those that vary most, if none are named."""
    n_codes = Z.shape[1]
    if units is None and n_codes >= n_units:
        return np.argsort(-Z.var(axis=0), kind="stable")[:n_units].tolist()
    units = [] if units is None else list(units)
    if not units or not all(0 <= unit < n_codes for unit in units):
        raise ValueError(
            f"Expected units to be among the {n_codes} codes, numbered from 0, got "
            f"{units}. Pass others, or fit with a larger n_latent."
        )
    return units


def decoded(estimator, codes, X, image_shape):
    """The pictures that an estimator makes of codes of images of the size of X's."""
    known = {"image_shape": image_shape, "data_range": estimator.data_range_}
    size = estimator._as_images(X).shape(0)
    return as_pictures(estimator.decode(codes, size), **known)


def _framed(image):
    """A picture with a thin line below it and to its right."""
    return np.pad(image, [(0, 1), (0, 1), (0, 0)], constant_values=np.nan)


def _around(values, n_steps):
    """Steps from the lowest value to the highest."""
    return np.linspace(values.min(), values.max(), n_steps)


def _edges(steps):
    """The edges of cells around equidistant steps."""
    half = (steps[1] - steps[0]) / 2 or 0.5
    return steps[0] - half, steps[-1] + half
