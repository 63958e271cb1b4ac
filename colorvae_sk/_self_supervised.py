"""How well damaged images are restored, judged without any clean ones.

Some pixels are hidden, and what is restored there is compared with the damaged values
that the estimator has not seen.
"""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_scalar

from ._images import _FULL_RANGES, as_images, image_hash, like_frame
from .metrics import (
    _average,
    _check_count,
    _check_shapes,
    _ImageScorer,
    _psnr,
    _to_unit,
    psnr_score,
)


def make_masked_psnr_scorer(*, share=0.05, n_masks=4, image_shape=None, random_state=0):
    """Make a scorer that needs no clean images: PSNR at pixels that were hidden.

    Of each image a few pixels are hidden (NaN), the estimator restores what is left,
    and the PSNR is taken between what it put there and the damaged values that it has
    not seen [1]_ [2]_. A scorer with the default parameters is ready as
    ``masked_psnr_scorer``.

    Parameters
    ----------
    share : float in (0, 1), default=0.05
        Share of an image's observed pixels that a mask hides, all channels at once;
        one pixel at least. More make the score steadier and the task harder than
        the one that it stands for.

    n_masks : int in [1, inf), default=4
        How many masks, one call of ``predict`` each. No pixel is hidden twice, so
        ``share * n_masks`` is 1 at most.

    image_shape : tuple (height, width[, n_channels]), default=None
        How rows fold into images. None hides single features of a row.

    random_state : int in [0, inf), default=0
        Another number hides other pixels. Which ones depends on it and on the image's
        own values alone, so that all candidates of a search are judged by the same.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y=None, sample_weight=None)`` gives the mean PSNR of
        the images in X in dB, more is better. `y` isn't looked at.

    Raises
    ------
    ValueError
        Here, if a parameter is out of range; from the scorer, if the estimator leaves
        hidden pixels missing.

    See Also
    --------
    psnr_score : Against clean images, where there are some.

    Notes
    -----
    Where the noise of a pixel has mean zero and doesn't depend on that of any other
    pixel, the expected squared error at hidden pixels is that to the clean values plus
    the variance of the noise. The latter is the same for all candidates: so an image
    ranks them as its PSNR at the hidden pixels would, although the numbers are lower.

    This does not hold

    - for noise that neighbours share, as after JPEG compression, demosaicing or blur:
      it can be foreseen from them, and to leave it in is rewarded;
    - for damage that is no noise, as blur, casts, fading and low resolution: what
      reproduces it best is ranked first;
    - for clipped noise near black and white, whose mean is not zero.

    Hidden pixels are filled from around. What an estimator makes of a pixel's own
    noisy value isn't judged, though who does well at the one mostly does at the other.

    References
    ----------
    .. [1] J. Batson and L. Royer, "Noise2Self: blind denoising by self-supervision",
       ICML (2019).
    .. [2] A. Krull, T.-O. Buchholz and F. Jug, "Noise2Void - learning denoising from
       single noisy images", CVPR (2019).

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import ColorVAE, make_masked_psnr_scorer
    >>> scorer = make_masked_psnr_scorer(share=0.1, n_masks=2)
    >>> X_noisy = np.random.default_rng(0).normal(0.5, 0.1, (4, 8, 8, 3))
    >>> vae = ColorVAE(max_epochs=3, random_state=0).fit(X_noisy)
    >>> 15 < scorer(vae, X_noisy) < 25  # 20 is what this noise allows
    True
    """
    check_scalar(
        share, "share", Real, min_val=0, max_val=1, include_boundaries="neither"
    )
    check_scalar(n_masks, "n_masks", Integral, min_val=1)
    check_scalar(random_state, "random_state", Integral, min_val=0)
    if share * n_masks > 1 + 1e-9:
        raise ValueError(
            f"{n_masks} masks that hide a share of {share} each would need more pixels "
            "than there are. Make share * n_masks 1 at most."
        )
    return _MaskedScorer(share, n_masks, image_shape, random_state)


class _MaskedScorer(_ImageScorer):
    """Compare what an estimator restores at hidden pixels with what was there."""

    def __init__(self, share, n_masks, image_shape, random_state):
        super().__init__(psnr_score)
        self.share = share
        self.n_masks = n_masks
        self.image_shape = image_shape
        self.random_state = random_state

    def __repr__(self):
        return (
            f"make_masked_psnr_scorer(share={self.share}, n_masks={self.n_masks}, "
            f"image_shape={self.image_shape}, random_state={self.random_state})"
        )

    def __call__(self, estimator, X, y=None, sample_weight=None):
        """Score what ``estimator.predict`` puts in place of hidden pixels.

        Parameters
        ----------
        estimator : estimator instance
            Fitted; its `predict` returns images, and fills what is NaN.

        X : array-like or list of images
            Damaged images. Those in uint8 or uint16 are handed on as floats on [0, 1],
            for NaN marks what is hidden.

        y : object, default=None
            Ignored.

        sample_weight : array-like of shape (n_images,), default=None
            Weights of the images.

        Returns
        -------
        score : float
            In dB.
        """
        images = _open(X, self.image_shape)
        turns = [self._draw_turns(images[i]) for i in range(len(images))]
        unseen = [np.full(images[i].shape, np.nan) for i in range(len(images))]
        for turn in range(self.n_masks):
            hidden = [turns_of_one == turn for turns_of_one in turns]
            for i, restored in enumerate(self._restore(estimator, X, images, hidden)):
                np.copyto(unseen[i], restored, where=hidden[i])
        scores = (
            _psnr(*_checked_pair(i, images, unseen[i], turns[i] >= 0))
            for i in range(len(images))
        )
        return _average(scores, images, sample_weight)

    def _draw_turns(self, image):
        """For each pixel (H, W) the number of the mask that hides it, -1 for none."""
        rng = np.random.default_rng(image_hash(image, self.random_state))
        observed = np.flatnonzero(~np.isnan(image).all(axis=0))
        n_hidden = max(1, round(self.share * len(observed)))
        drawn = rng.permutation(observed)[: n_hidden * self.n_masks]
        turns = np.full(image.shape[1:], -1)
        turns.flat[drawn] = np.arange(len(drawn)) // n_hidden
        return turns

    def _restore(self, estimator, X, images, hidden):
        """What the estimator makes of images without the hidden pixels: (C, H, W)."""
        left = (
            np.where(mask, np.nan, images[i]).astype(np.float32)
            for i, mask in enumerate(hidden)
        )
        given = like_frame(X, images.give_back(left, with_nan=True))
        restored = as_images(
            estimator.predict(given),
            image_shape=self.image_shape,
            data_range=images.data_range,
            name="y_pred",
        )
        _check_count(images, restored, "y_pred")
        for i in range(len(images)):
            _check_shapes(i, images.raw(i), restored.raw(i), "y_pred")
            yield np.clip(_to_unit(restored, restored.raw(i)), 0, 1)


def _open(X, image_shape):
    """See X as images whose dtype, or float32 on [0, 1] in its place, can hold NaN."""
    images = as_images(X, image_shape=image_shape)
    dtype = images.raw(0).dtype
    if dtype.kind not in "iu" or dtype.type in _FULL_RANGES:
        return images
    is_list = isinstance(X, (list, tuple)) and not images.is_rows
    floats = [np.asarray(x, float) for x in X] if is_list else np.asarray(X, float)
    return as_images(floats, image_shape=image_shape, data_range=images.data_range)


def _checked_pair(i, images, unseen, hidden):
    """Image i and what was restored of it unseen, which must be all that was hidden."""
    target = _to_unit(images, images.raw(i))
    n_left = np.count_nonzero(np.isnan(unseen) & hidden & ~np.isnan(target))
    if n_left:
        raise ValueError(
            f"The estimator left {n_left} hidden values of image {i} missing (NaN). "
            "Pass one that fills what is missing, as ColorVAE does."
        )
    return target, unseen


masked_psnr_scorer = make_masked_psnr_scorer()
