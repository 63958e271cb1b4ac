"""How far restored images are really off: error bars set right, and honest intervals.

A curve sends predicted standard deviations to those that were seen, and conformal risk
control finds how many of them an interval must reach, both from images that the
network did not learn from. `CalibrationMixin` brings it to the estimators.
"""

import math
from numbers import Real
from typing import Self

import numpy as np
from scipy.special import ndtri
from sklearn.isotonic import isotonic_regression
from sklearn.utils.validation import check_is_fitted

SMALLEST = 1e-6  # standard deviation on the [0, 1] scale; none is taken for less
_LEVELS = np.geomspace(SMALLEST, 1e3, 2001)  # of standard deviations: 1 % apart
_REACHES = np.append(np.geomspace(1e-4, 1e7, 5001), np.inf)  # of intervals: 0.5 % apart
_N_KNOTS = 100  # of the curve, at most
_PER_KNOT = 256  # values, at least: their mean square is known to about 10 %
_ROUNDING = 1e-9  # 1 - 0.9 is less than 0.1


class Calibration:
    """What was learned of the residuals of images with known truth.

    Standard deviations and residuals are on the [0, 1] scale.

    Parameters
    ----------
    curve : pair of ndarrays of shape (n_knots,)
        Logarithms of predicted standard deviations, rising, and of the root mean
        squared residuals found there, which do not fall.

    reaches : ndarray of shape (n_reaches,)
        Half the width of an interval, in standard deviations; rising.

    losses : ndarray of shape (n_reaches,)
        Share of an image's values outside of such intervals, a mean over images;
        falling to 0.

    n_images : int
        How many images this is the mean of.
    """

    def __init__(self, curve, reaches, losses, n_images):
        self.curve = curve
        self.reaches = reaches
        self.losses = losses
        self.n_images = n_images

    @property
    def highest_coverage(self):
        """The highest coverage that there are enough images for."""
        return self.n_images / (self.n_images + 1)

    def correct(self, sigma):
        """Standard deviations as they should have been.

        Parameters
        ----------
        sigma : float array of any shape
            As the network predicts them.

        Returns
        -------
        sigma : float array of the same shape and dtype
        """
        return follow(self.curve, sigma)

    def reach(self, coverage):
        """Half the width of an interval that holds this share of the true values.

        It is the smallest reach q with ``n / (n + 1) * loss(q) + 1 / (n + 1) <= 1 -
        coverage``, where ``loss`` is the mean loss of n images. One more image, if it
        is exchangeable with these, then has an expected loss of at most 1 - coverage:
        conformal risk control [1]_.

        Parameters
        ----------
        coverage : float in (0, 1)
            The share.

        Returns
        -------
        reach : float
            In corrected standard deviations.

        Raises
        ------
        ValueError
            If there are too few images for this coverage.

        References
        ----------
        .. [1] A. N. Angelopoulos, S. Bates, A. Fisch, L. Lei and T. Schuster,
           "Conformal Risk Control", arXiv:2208.02814, 2022.
        """
        n = self.n_images
        n_needed = math.ceil(coverage / (1 - coverage) - _ROUNDING)
        if n < n_needed:
            raise ValueError(
                f"coverage={coverage:g} needs {n_needed} images to find the width of "
                f"intervals from, and calibrate had {n}: it keeps half of its images "
                f"for this. Calibrate on at least {2 * n_needed - 1} images in which "
                f"something is observed, or ask for {1000 * n // (n + 1) / 1000}."
            )
        bounds = n / (n + 1) * self.losses + 1 / (n + 1)
        return float(self.reaches[np.argmax(bounds <= 1 - coverage + _ROUNDING)])


# --------------------------------------------------------- standard deviations
def fit_curve(residuals):
    """The curve from predicted standard deviations to root mean squared residuals.

    Isotonic regression of squared residuals on predicted variances. So that images need
    not be kept, values are first put into fine bins of the predicted standard
    deviation, and these joined to at most 100 groups of equal weight.

    Parameters
    ----------
    residuals : iterable of pairs of float arrays of the same shape
        For each image its residuals, NaN where the truth is not known, and predicted
        standard deviations. Images weigh the same, whatever their size.

    Returns
    -------
    curve : pair of ndarrays of shape (n_knots,)
        As `Calibration` takes it.
    """
    sums = np.zeros((4, len(_LEVELS) + 1))  # values; weights; variances; squares
    for residual, sigma in map(observed, residuals):
        if residual.size:
            sums += sums_by_level(residual, sigma)
    check_known(sums[0].sum())
    sums = join_levels(sums[:, sums[0] > 0])
    _, weight, variance, square = sums
    square = isotonic_regression(square / weight, sample_weight=weight)
    return tuple(0.5 * np.log((variance / weight, np.maximum(square, SMALLEST**2))))


def sums_by_level(residual, sigma):
    """What to sum in each fine bin of one image: (4, n_bins)."""
    bins = np.searchsorted(_LEVELS, sigma)
    share = 1 / residual.size
    each = np.ones_like(sigma), share, share * sigma**2, share * residual**2
    n_bins = len(_LEVELS) + 1
    return [np.bincount(bins, w + np.zeros_like(sigma), n_bins) for w in each]


def join_levels(sums):
    """Join bins that follow each other to groups of about equal weight."""
    n_groups = min(_N_KNOTS, max(1, int(sums[0].sum()) // _PER_KNOT))
    upto = np.cumsum(sums[1]) - sums[1] / 2  # the middle of each bin
    group = np.floor(n_groups * upto / sums[1].sum())
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    return np.add.reduceat(sums, starts, axis=1)


def follow(curve, sigma):
    """Send standard deviations through a curve, which goes on by constant factors."""
    predicted, seen = curve
    log_sigma = np.log(np.maximum(sigma, SMALLEST))
    beyond = log_sigma - np.clip(log_sigma, predicted[0], predicted[-1])
    corrected = np.exp(np.interp(log_sigma, predicted, seen) + beyond)
    return np.maximum(corrected, SMALLEST).astype(sigma.dtype)


# ------------------------------------------------------------------- intervals
def find_losses(residuals, curve):
    """How much lies outside of intervals of any width.

    Parameters
    ----------
    residuals : iterable of pairs of float arrays of the same shape
        As in `fit_curve`, of other images.

    curve : pair of ndarrays of shape (n_knots,)
        As `fit_curve` gives it.

    Returns
    -------
    reaches, losses : ndarrays of shape (n_reaches,)
        As `Calibration` takes them. Reaches are 0.5 % apart; those at which no loss
        falls are left out.

    n_images : int
        How many images have values that are known.
    """
    total, n_images = np.zeros(len(_REACHES)), 0
    for residual, sigma in map(observed, residuals):
        if residual.size:
            total += shares_inside(np.abs(residual) / follow(curve, sigma))
            n_images += 1
    check_known(n_images)
    losses = 1 - total / n_images
    falls = np.diff(losses, prepend=1.0) < 0
    return _REACHES[falls], losses[falls], n_images


def shares_inside(distances):
    """Share of the distances that are no longer than each reach."""
    counts = np.bincount(np.searchsorted(_REACHES, distances), minlength=len(_REACHES))
    return np.cumsum(counts) / distances.size


def observed(pair):
    """Residuals and standard deviations, in one line, where the truth is known."""
    residual, sigma = (np.asarray(array, np.float64) for array in pair)
    seen = ~np.isnan(residual)
    return residual[seen], np.maximum(sigma[seen], SMALLEST)


def check_known(n):
    """Complain if there are no values, or images, whose truth is known."""
    if n == 0:
        raise ValueError(
            "There are too few images whose clean versions are known: nothing of y is "
            "observed (not NaN) in those that were looked at. Pass more of them."
        )


def gaussian_reach(coverage):
    """How many standard deviations hold this share of a Gaussian to both sides."""
    return float(ndtri((1 + coverage) / 2))


def check_coverage(coverage):
    """Complain unless this is a share."""
    if not isinstance(coverage, Real) or not 0 < coverage < 1:
        raise ValueError(
            "Expected coverage to be a number between 0 and 1 (both excluded), such as "
            f"0.9, got {coverage!r}."
        )


# ------------------------------------------------------------------ estimators
class CalibrationMixin:
    """What estimators say of their own errors: calibrated intervals.

    Attributes
    ----------
    calibration_ : Calibration
        What `calibrate` found.
    """

    def calibrate(self, X, y) -> Self:
        """Set the error bars right, from images whose clean versions are known.

        Half of the images, drawn at random by the seed of the fit, show how large
        residuals really are where the network predicts some standard deviation: a
        curve that does not fall sends the one to the other [1]_. From then on `predict`
        gives standard deviations that were sent through it. The other half, which the
        curve has not seen, tell how many of these standard deviations an interval must
        reach: see `predict_interval`.

        The network stays as it is, and so does what is restored. Whatever changes the
        network, `fit` and `partial_fit`, forgets the calibration.

        Parameters
        ----------
        X : images
            Damaged images, in any container that `fit` takes, which `fit` has not seen:
            at least 2. Intervals that hold 0.9 need 17 of them, 0.95 needs 37 and 0.99
            needs 197.
        y : images
            The clean version of each; NaN where it is not known. What is missing in X
            but known here counts.

        Returns
        -------
        self : object
            The calibrated estimator. If anything goes wrong, it stays as it was.

        Raises
        ------
        ValueError
            If y is no clean version of each image in X, or too little of it is known.

        Notes
        -----
        In a pipeline, the last step is calibrated on what the steps before give:
        ``pipe[-1].calibrate(pipe[:-1].transform(X), X)``.

        References
        ----------
        .. [1] D. Levi, L. Gispan, N. Giladi and E. Fetaya, "Evaluating and Calibrating
           Uncertainty Prediction in Regression Tasks", Sensors 22(15), 5540, 2022.
        """
        check_is_fitted(self)
        images, target = self._check_clean_pair(X, y)
        if len(images) < 2:
            raise ValueError(
                "Expected at least 2 images to calibrate on, got 1: one half sets the "
                "standard deviations right, the other the width of the intervals."
            )
        order = np.random.default_rng(self.seed_).permutation(len(images))
        first, second = np.split(order, [len(order) // 2])
        curve = fit_curve(self._residuals(images, target, first))
        found = find_losses(self._residuals(images, target, second), curve)
        self.calibration_ = Calibration(curve, *found)
        return self

    def predict_interval(self, X, coverage=0.9):
        """Between which values the true ones lie.

        The interval of a value reaches a multiple of its standard deviation, the same
        for all values, to both sides of what is restored. After `calibrate` the
        multiple comes from conformal risk control [1]_: for images that are
        exchangeable with those of `calibrate`, such as independent draws from the same
        source with the same damage, the intervals hold at least `coverage` of an
        image's values, on average over images and calibrations. That is no promise for
        each single image, nor for each kind of pixel. Without `calibrate` the multiple
        is that of a Gaussian, and nothing is guaranteed.

        The fewer images `calibrate` has seen, the wider intervals must be to be safe:
        those that hold 0.9 hold about 0.97 after 24 images and 0.91 after 200.

        Parameters
        ----------
        X : images
            Damaged images in any container that `fit` takes.
        coverage : float in (0, 1), default=0.9
            The share of true values that the intervals are to hold.

        Returns
        -------
        lower : ndarray or list of ndarrays
            In the container, shape and unit of X; float32 where X is of integers. It is
            neither rounded nor clipped, so it may lie outside of the range of X; as
            the truth does not, ``np.clip(lower, 0, 255)`` of uint8 loses nothing.
        upper : ndarray or list of ndarrays
            The same of the other end.

        Raises
        ------
        ValueError
            If `coverage` is not between 0 and 1, or if `calibrate` has seen too few
            images for it: the message says how many are needed.

        See Also
        --------
        colorvae_sk.interval_coverage_score : The share that intervals hold.

        References
        ----------
        .. [1] A. N. Angelopoulos, S. Bates, A. Fisch, L. Lei and T. Schuster,
           "Conformal Risk Control", arXiv:2208.02814, 2022.
        """
        check_is_fitted(self)
        check_coverage(coverage)
        calibration = getattr(self, "calibration_", None)
        reach = (calibration.reach if calibration else gaussian_reach)(coverage)
        images = self._check_damaged(X)
        lower, upper = images.bound_canvas(), images.bound_canvas()
        for i, rows, columns, values, sigma in self._with_error_bars(images):
            lower.write(i, rows, columns, values - reach * sigma)
            upper.write(i, rows, columns, values + reach * sigma)
        return lower.result(), upper.result()

    def _with_error_bars(self, images):
        """Yield restored parts and their standard deviations, set right if known.

        Each as (number of the image, rows, columns, restored, standard deviations).
        """
        calibration = getattr(self, "calibration_", None)
        for i, parts in self._restorer().restore_parts(images, with_std=True):
            for rows, columns, values, sigma in parts:
                sigma = calibration.correct(sigma) if calibration else sigma
                yield i, rows, columns, values, sigma

    def _distances(self, X, y):
        """Yield how far off known values are, in standard deviations, by image."""
        images, target = self._check_clean_pair(X, y)
        calibration = getattr(self, "calibration_", None)
        for i, (restored, sigma) in enumerate(self._restorer().restore(images)):
            sigma = calibration.correct(sigma) if calibration else sigma
            residual, sigma = observed((target[i] - restored, sigma))
            yield np.abs(residual) / sigma

    def _check_clean_pair(self, X, y):
        """X and its clean version as images that fit each other and the network."""
        images, target = self._check_pair(X, y, is_new=False)
        if target is None:
            raise ValueError(
                "Restored images are compared with clean ones, but y holds none. Pass "
                "as y the clean version of each image in X, in the same order."
            )
        self._check_channels(images)
        return images, target

    def _residuals(self, images, target, indices):
        """Yield residuals and predicted standard deviations of some of the images."""
        restored = self._restorer().restore(images, indices)
        for i, (image, sigma) in zip(indices, restored, strict=True):
            yield target[i] - image, sigma
