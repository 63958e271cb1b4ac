"""RestorationOutlierDetector: find what does not belong, in pictures and in rows."""

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, OutlierMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted

from ._anomaly import boxes, checkerboard, evidence, fit_normal, strangeness
from ._base import unchanged_on_error
from ._color_vae import ColorVAE
from ._images import as_images, like_frame, refuse_lone_image
from .degradations import MissingPixels

N_PIXELS = 400  # of each picture, from which the usual evidence is learned


class RestorationOutlierDetector(OutlierMixin, MetaEstimatorMixin, BaseEstimator):
    """Tell pictures that do not belong, and what in them, by restoring hidden pixels.

    Each picture is hidden in turns, in the two halves of checkerboards of small
    squares, and filled in by an estimator that knows pictures that do belong. What was
    there is compared with that, in units of the predicted error bars: residuals near a
    pixel that are larger, or smaller, than usual are evidence. Its Mahalanobis distance
    from that of the training pictures is the anomaly map, as in PaDiM [1]_, which takes
    its features from a classifier. The score of a picture looks at the highest value of
    its map, and at its evidence lower bound [2]_.

    Parameters
    ----------
    estimator : ColorVAE, default=None
        What fills in. It is cloned and fitted, and must have met missing pixels. To use
        one as it is fitted already, put it into a
        :class:`~sklearn.frozen.FrozenEstimator`. None: for images a ColorVAE that
        learns to fill in small squares, in 20 epochs; for rows the default ColorVAE.

    sides : tuple of ints, default=(1, 2)
        Sides of the squares that are hidden, in pixels: each is a way to hide. Rows are
        hidden value by value.

    smoothing : float, default=6.0
        Standard deviation of the window over which evidence is averaged, in pixels.
        Things are found that are larger than that. Rows are not smoothed.

    contamination : float in (0, 0.5], default=0.1
        Share of the training pictures that is taken for strange.

    random_state : int, RandomState instance or None, default=None
        Seeds the estimator, if that has no `random_state` of its own, and the choice of
        pixels to learn from. Pass an int for reproducible results.

    Attributes
    ----------
    estimator_ : ColorVAE
        The fitted one.

    offset_ : float
        `decision_function` is `score_samples` minus this.

    threshold_ : float
        Pixels that are stranger than this are outlined by `detect`: so many standard
        deviations from what is usual. All but a share of `contamination` of the
        training pictures stay below it everywhere.

    n_features_in_ : int
        Values of a row. Only when fitted on rows.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features. Only when fitted on a data frame.

    See Also
    --------
    ColorVAE.score_samples : The evidence lower bound alone.
    sklearn.ensemble.IsolationForest : For features without neighbours.

    References
    ----------
    .. [1] T. Defard, A. Setkov, A. Loesch, R. Audigier: PaDiM: a Patch Distribution
       Modeling Framework for Anomaly Detection and Localization, ICPR Workshops 2021.
    .. [2] J. An and S. Cho: Variational Autoencoder based Anomaly Detection using
       Reconstruction Probability, SNU Data Mining Center 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import ColorVAE, RestorationOutlierDetector
    >>> X = np.random.default_rng(0).normal(0.5, 0.1, (20, 16, 16))
    >>> vae = ColorVAE(widths=(8, 8), max_epochs=1, random_state=0)
    >>> detector = RestorationOutlierDetector(vae, random_state=0).fit(X)
    >>> detector.predict(np.ones((1, 16, 16)))
    array([-1])
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict", "score_samples"]), None],
        "sides": [tuple, list],
        "smoothing": [Interval(Real, 0, None, closed="neither")],
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator=None,
        sides=(1, 2),
        smoothing=6.0,
        contamination=0.1,
        random_state=None,
    ):
        self.estimator = estimator
        self.sides = sides
        self.smoothing = smoothing
        self.contamination = contamination
        self.random_state = random_state

    # ------------------------------------------------------------- learning
    def fit(self, X, y=None):
        """Learn what belongs.

        Parameters
        ----------
        X : images or array-like of shape (n_images, n_features)
            Pictures that do belong; a share of `contamination` may not.
        y : object, default=None
            Ignored.

        Returns
        -------
        self : object
            The fitted detector.
        """
        self._validate_params()
        check_sides(self.sides)
        with unchanged_on_error(self):
            self._learn(X)
        return self

    def _learn(self, X):
        rng = check_random_state(self.random_state)
        images = as_images(X, estimator=self, reset=True)
        self.estimator_ = self._make_estimator(images, rng).fit(X, None)
        images = self._open(X)
        maps = [self._evidence(part) for part in self._filled_in(X, images)]
        samples = np.concatenate([draw_pixels(each, rng) for each, _ in maps])
        self._normal = fit_normal(samples)
        highest = np.array([strangeness(*each, *self._normal).max() for each in maps])
        elbo = self.estimator_.score_samples(X)
        self._usual = [middle_and_spread(x) for x in both_signs(highest, elbo)]
        share = 100 * self.contamination
        self.threshold_ = float(np.percentile(highest, 100 - share))
        self.offset_ = float(np.nanpercentile(self._score(highest, elbo), share))

    def _make_estimator(self, images, rng):
        """A clone of the estimator, or the default, with a seed of its own."""
        seed = int(rng.randint(2**31 - 1))
        if self.estimator is None:
            if images.is_rows:
                return ColorVAE(random_state=seed)
            holes = MissingPixels((0.3, 0.7), size=(1, 1 + max(self.sides)))
            return ColorVAE(degradation=holes, augmentation=None, random_state=seed)
        estimator = clone(self.estimator)
        parameters = estimator.get_params()
        if "random_state" in parameters and parameters["random_state"] is None:
            estimator.set_params(random_state=seed)
        return estimator

    # ------------------------------------------------------------ judging
    def score_samples(self, X):
        """How usual each picture is: the lower, the stranger.

        Parameters
        ----------
        X : images or array-like of shape (n_images, n_features)
            In any container that `fit` takes.

        Returns
        -------
        scores : ndarray of shape (n_images,)
            Minus the larger of two numbers, both in standard deviations of the training
            pictures: of the logarithm of the highest value of the anomaly map, and of
            the evidence lower bound. NaN where nothing is observed.
        """
        images = self._open(X)
        highest = [self._map(part).max() for part in self._filled_in(X, images)]
        elbo = self.estimator_.score_samples(X)
        return self._score(np.array(highest), elbo)

    def decision_function(self, X):
        """`score_samples` minus `offset_`: negative for what does not belong.

        Parameters
        ----------
        X : images or array-like of shape (n_images, n_features)
            In any container that `fit` takes.

        Returns
        -------
        decisions : ndarray of shape (n_images,)
            NaN where nothing is observed.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Whether each picture belongs.

        Parameters
        ----------
        X : images or array-like of shape (n_images, n_features)
            In any container that `fit` takes.

        Returns
        -------
        y : int ndarray of shape (n_images,)
            1 for what belongs, -1 for what does not. What is missing is not strange: 1
            where nothing is observed.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def anomaly_map(self, X):
        """How strange each pixel is, or each value of a row.

        Parameters
        ----------
        X : images or array-like of shape (n_images, n_features)
            In any container that `fit` takes.

        Returns
        -------
        maps : ndarray of shape (n_images, height, width) or list of ndarrays
            In standard deviations of what is usual; above `threshold_` it is strange. A
            list for a list of images. (n_images, n_features) for rows that are no
            images.
        """
        images = self._open(X)
        maps = [self._map(part) for part in self._filled_in(X, images)]
        if images.is_rows and self._image_shape is None:
            return np.concatenate(maps)
        return maps if isinstance(X, list | tuple) else np.stack(maps)

    def detect(self, X):
        """Outline what does not belong.

        Parameters
        ----------
        X : images
            In any container that `fit` takes.

        Returns
        -------
        boxes : list of int ndarrays of shape (n_boxes, 4)
            For each image its boxes, the strangest first: top, left, bottom and right
            in pixels, where the last two are just outside, as in the ``bbox`` of
            :func:`skimage.measure.regionprops`. None where nothing is strange.
        """
        images = self._open(X)
        least = self.smoothing**2  # pixels: less is no region
        return [
            boxes(self._map(part), self.threshold_, least)
            for part in self._filled_in(X, images)
        ]

    # ------------------------------------------------------------ helpers
    @property
    def _image_shape(self):
        return getattr(self.estimator_, "image_shape", None)

    def _open(self, X):
        """X as images on the scale of the estimator."""
        check_is_fitted(self)
        as_images(X, estimator=self)  # complains of rows of another length
        shape, data_range = self._image_shape, self.estimator_.data_range_
        images = as_images(X, image_shape=shape, data_range=data_range)
        refuse_lone_image(images, self.estimator_)
        return images

    def _filled_in(self, X, images):
        """Yield for each image what it is, and what was filled in each way to hide."""
        is_plain = images.is_rows and self._image_shape is None
        sides = (1,) if is_plain else self.sides
        ways = [self._fill_in(X, images, side) for side in sides]
        for i, pairs in enumerate(zip(*ways, strict=True)):
            yield images[i], pairs, 0 if is_plain else self.smoothing

    def _fill_in(self, X, images, side):
        """Each image filled in, square by square unseen, and its error bars."""
        n_images = range(len(images))
        filled = [[np.empty_like(images[i]) for _ in range(2)] for i in n_images]
        for turn in (0, 1):
            hidden = [checkerboard(images.shape(i), side) == turn for i in n_images]
            left = [np.where(hidden[i], np.nan, images[i]) for i in n_images]
            for i, parts in enumerate(self._restore(X, left, images.is_rows)):
                for into, part in zip(filled[i], parts, strict=True):
                    np.copyto(into, part, where=hidden[i])
        return filled

    def _restore(self, X, parts, as_rows):
        """Yield what is restored, and its error bars, on the [0, 1] scale."""
        low, high = self.estimator_.data_range_
        given = [low + (high - low) * np.moveaxis(part, 0, -1) for part in parts]
        if as_rows:
            given = like_frame(X, np.stack(given).reshape(len(given), -1))
        answers = self.estimator_.predict(given, return_std=True)
        for part, *answer in zip(parts, *answers, strict=True):
            shape = (*part.shape[1:], part.shape[0])
            restored, std = (np.moveaxis(x.reshape(shape), -1, 0) for x in answer)
            yield (restored - low) / (high - low), std / (high - low)

    def _evidence(self, part):
        image, pairs, smoothing = part
        maps = [evidence(image, *pair, smoothing) for pair in pairs]
        return np.stack([each for each, _ in maps]), maps[0][1]

    def _map(self, part):
        return strangeness(*self._evidence(part), *self._normal)

    def _score(self, highest, elbo):
        """Minus the larger of both strangenesses, in standard deviations."""
        pairs = zip(both_signs(highest, elbo), self._usual, strict=True)
        scaled = [(x - middle) / spread for x, (middle, spread) in pairs]
        return -np.maximum(*scaled)  # NaN where nothing is observed

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        return tags


def check_sides(sides):
    """Complain unless these are sides of squares, in pixels."""
    if not sides or not all(isinstance(n, Integral) and n >= 1 for n in sides):
        raise ValueError(
            "The 'sides' parameter of RestorationOutlierDetector must be ints above 0, "
            f"such as (1, 2). Got {sides!r} instead."
        )


def draw_pixels(maps, rng):
    """Some pixels of evidence (n_features, H, W), as rows."""
    rows = maps.reshape(len(maps), -1).T
    return rows[rng.permutation(len(rows))[:N_PIXELS]]


def both_signs(highest, elbo):
    """The two signs that a picture is strange; more is stranger."""
    return np.log(np.maximum(highest, 1e-6)), -elbo


def middle_and_spread(values):
    """Median, and standard deviation as the middle half has it, of what is not NaN."""
    low, middle, high = np.nanpercentile(values, [25, 50, 75])
    return float(middle), float((high - low) / 1.349 + 1e-9)
