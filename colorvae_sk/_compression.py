"""Compression: what is lost when a picture is stored as JPEG."""

from numbers import Integral
from typing import ClassVar

import torch
from sklearn.utils._param_validation import StrOptions

from ._degradation import BaseDegradation, fill_missing_with_means, number_or_range
from ._jpeg import compress_jpeg


class JPEGCompression(BaseDegradation):
    """Store as a JPEG file: blocks, ringing and smeared colour.

    The file's lossy half is computed [1]_: luma and chroma, chroma at lower resolution,
    cosine transform of blocks of 8 x 8 pixels, rounding to the quality's steps; and the
    way back. The result is what Pillow gives, but for a few pixels off by one of 255
    levels. Missing pixels are filled with their channel's mean before, and are missing
    again after.

    Parameters
    ----------
    quality : int or pair of ints in [1, 100], default=30
        Quality as programs ask for it, by the rule of the Independent JPEG Group [2]_.
        A pair (low, high) is drawn from uniformly, for each image anew.

    subsampling : {"4:2:0", "4:2:2", "4:4:4"}, default="4:2:0"
        How much coarser chroma is stored than luma: by 2 in both directions, by 2
        across, or not at all. Images that have not three channels have no chroma.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same damage in each call.
        See scikit-learn's glossary.

    References
    ----------
    .. [1] ITU-T, "Digital compression and coding of continuous-tone still images",
       T.81 (1992).
    .. [2] Independent JPEG Group, libjpeg, ``jpeg_quality_scaling`` in ``jcparam.c``.

    Examples
    --------
    >>> import numpy as np
    >>> from colorvae_sk import JPEGCompression
    >>> ramp = np.arange(0, 64, 8, dtype=np.uint8).reshape(1, 1, 8)
    >>> print(JPEGCompression(quality=10).transform(ramp)[0, 0])
    [ 0  4 12 22 34 44 52 57]
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDegradation._parameter_constraints,
        "quality": number_or_range(Integral, 1, 100),
        "subsampling": [StrOptions({"4:2:0", "4:2:2", "4:4:4"})],
    }

    def __init__(self, quality=30, subsampling="4:2:0", random_state=None):
        self.quality = quality
        self.subsampling = subsampling
        self.random_state = random_state

    def _degrade(self, images, generator):
        quality = self._draw_integer("quality", images, generator).float()
        filled = fill_missing_with_means(images)
        compressed = compress_jpeg(filled, quality, self.subsampling)
        if filled is images:
            return compressed
        return torch.where(images.isnan(), images, compressed)
