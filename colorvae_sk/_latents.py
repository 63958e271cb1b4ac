"""Ways through the space of latent codes."""

import numpy as np
from sklearn.utils import check_scalar

NEARLY_PARALLEL = 1e-4  # radians: below, a great circle is a straight line


class LatentsMixin:
    """What estimators do with codes, beside `encode` and `decode`."""

    def interpolate(self, X_first, X_second, n_steps=8) -> np.ndarray:
        """Pictures on the way from one to another, in latent space.

        Both ends are encoded, and what lies between their codes is decoded. The way
        follows a great circle, as codes of many dimensions lie near a sphere and a
        straight line would cut through its inside, where no pictures are [1]_.
        With "conv" and "dense" the codes hold all that these networks know of an image.
        A ladder reads them as those of an image of which nothing else is known, so that
        this is worth seeing where it has learned from damage that leaves nothing, such
        as ``MissingPixels((0, 1))``.

        Parameters
        ----------
        X_first : images
            Where to begin, in any container that `fit` takes; all of one size, as
            `encode` takes them.
        X_second : images
            Where each of them is to end; as many, of the same size.
        n_steps : int, default=8
            Pictures on each way, the two ends among them; at least 2.

        Returns
        -------
        X_between : ndarray of shape (n_steps, n_images, ...)
            For each step, images in the shape and dtype of those that the network was
            fitted on. The ends are what `decode` makes of their codes.

        Raises
        ------
        ValueError
            If there are not as many of one as of the other, or if sizes differ.

        See Also
        --------
        colorvae_sk.TraversalDisplay : Draws such ways.

        References
        ----------
        .. [1] T. White: Sampling Generative Networks, arXiv:1609.04468, 2016.
        """
        check_scalar(n_steps, "n_steps", int, min_val=2)
        ends = [self._check_damaged(X) for X in (X_first, X_second)]
        n_first, n_second = map(len, ends)
        if n_first != n_second:
            raise ValueError(
                f"X_first has {n_first} image(s), but X_second has {n_second}. Pass "
                "for each image in X_first where its way is to end."
            )
        size, other = (images.shape(0) for images in ends)
        if size != other:
            raise ValueError(
                f"Images in X_first are {size}, but in X_second {other}. Crop or "
                "resize them first."
            )
        first, second = self.encode(X_first), self.encode(X_second)
        shares = np.linspace(0, 1, n_steps)
        return np.stack([self.decode(between(first, second, t), size) for t in shares])


def between(first, second, share):
    """Codes (n, n_codes) at a share of the ways on great circles from first to second.

    Lengths change linearly; the way is straight where an end is zero, and where both
    point to the same side or to opposite ones.
    """
    ends = first, second
    lengths = [np.linalg.norm(codes, axis=1, keepdims=True) for codes in ends]
    begin, end = (x / np.where(n > 0, n, 1) for x, n in zip(ends, lengths, strict=True))
    angle = np.arccos(np.sum(begin * end, axis=1, keepdims=True).clip(-1, 1))
    is_straight = (np.minimum(*lengths) == 0) | (np.sin(angle) < NEARLY_PARALLEL)
    way = np.sin((1 - share) * angle) * begin + np.sin(share * angle) * end
    length = (1 - share) * lengths[0] + share * lengths[1]
    bent = length * way / np.where(is_straight, 1, np.sin(angle))
    return np.where(is_straight, (1 - share) * first + share * second, bent)
