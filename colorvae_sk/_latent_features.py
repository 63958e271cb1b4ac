"""LatentFeatures: the codes of a VAE, in a Pipeline before any estimator."""

from typing import ClassVar

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    MetaEstimatorMixin,
    TransformerMixin,
    clone,
)
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import check_is_fitted

from ._base import BaseColorVAE, unchanged_on_error
from ._images import as_images


class LatentFeatures(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, MetaEstimatorMixin, BaseEstimator
):
    """Turn images, or rows, into their latent codes.

    A classifier, a regressor or a clustering takes the codes as it takes principal
    components. Codes of a variational autoencoder are a nonlinear counterpart of
    these [1]_.

    Parameters
    ----------
    estimator : ColorVAE, or estimator with `encode`
        What makes the codes. It is cloned and fitted. To use one as it is fitted
        already, put it into a :class:`~sklearn.frozen.FrozenEstimator`. Short codes are
        those of the architectures "dense", the default for rows, and "conv"; the
        ladder's are longer than the image. ``degradation=None`` learns a plain VAE, any
        other codes that withstand such damage.

    Attributes
    ----------
    estimator_ : estimator
        The fitted one.

    n_features_in_ : int
        Values of a row. Only when fitted on rows.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features. Only when fitted on a data frame.

    See Also
    --------
    ColorVAE.encode : The codes alone.
    sklearn.decomposition.PCA : Linear codes.

    References
    ----------
    .. [1] D. P. Kingma and M. Welling: Auto-Encoding Variational Bayes, ICLR 2014.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from colorvae_sk import ColorVAE, LatentFeatures
    >>> X, y = load_digits(return_X_y=True)
    >>> codes = LatentFeatures(ColorVAE(n_latent=8, max_epochs=2, random_state=0))
    >>> digits = make_pipeline(codes, LogisticRegression(max_iter=1000)).fit(X, y)
    >>> digits[0].transform(X).shape
    (1797, 8)
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "encode"])]
    }

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y=None):
        """Fit the estimator to the images alone.

        Parameters
        ----------
        X : images or array-like of shape (n_images, n_features)
            What the estimator takes, all of one size.
        y : object, default=None
            Ignored: labels of a pipeline are no clean images. An estimator that needs
            pairs is fitted beforehand, and frozen.

        Returns
        -------
        self : object
            The fitted transformer.
        """
        self._validate_params()
        with unchanged_on_error(self):
            self._learn(X)
        return self

    def _learn(self, X):
        estimator = clone(self.estimator)
        shape = getattr(estimator, "image_shape", None)
        images = as_images(X, estimator=self, reset=True, image_shape=shape)
        if isinstance(estimator, BaseColorVAE):
            estimator._foresee_codes(images)
        self.estimator_ = estimator.fit(X, None)
        first = X[:1] if hasattr(X, "__getitem__") else np.asarray(X)[:1]
        self._n_features_out = self.estimator_.encode(first).shape[1]

    def transform(self, X):
        """The codes of each image.

        Parameters
        ----------
        X : images or array-like of shape (n_images, n_features)
            All of one size: that of the network, if it has a bottleneck (see
            ``patch_size``).

        Returns
        -------
        Z : float32 ndarray of shape (n_images, n_codes)
            Means of the posterior; a priori each code is standard normal.
        """
        check_is_fitted(self)
        as_images(X, estimator=self)
        return self.estimator_.encode(X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
