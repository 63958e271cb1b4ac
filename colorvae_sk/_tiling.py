"""Apply a function to an image tile by tile, and blend the tiles without seams."""

import numpy as np

NOTHING = 1e-6  # weight at a tile's rim: what nobody else saw still counts there


def tile_slices(length, tile, overlap, multiple=1):
    """Slices that cover one side of an image, neighbours sharing the overlap.

    Each starts at a multiple, and is as long as a tile; the last ends with the side
    and may be longer, by less than the multiple.

    Examples
    --------
    >>> tile_slices(10, tile=4, overlap=1)
    [slice(0, 4, None), slice(3, 7, None), slice(6, 10, None)]
    >>> tile_slices(3, tile=4, overlap=1)
    [slice(0, 3, None)]
    """
    if length <= tile:
        return [slice(0, length)]
    last = (length - tile) // multiple * multiple
    inner = range(0, last, tile - overlap)
    return [slice(start, start + tile) for start in inner] + [slice(last, length)]


def ramp(length, overlap):
    """Weights along one side of a tile: from nothing at the rim to 1.

    They rise over the middle half of the overlap, so that a pixel near the rim,
    where the function couldn't see all of its surroundings, has no say.
    """
    position = np.arange(length) + 0.5
    distance = np.minimum(position, length - position)
    rising = (distance - 0.25 * overlap) / max(0.5 * overlap, 1.0)
    return np.clip(rising, NOTHING, 1.0).astype(np.float32)


def blend_tiles(function, size, tile, overlap, multiple=1):
    """Blend what a function makes of the overlapping tiles of an image.

    Parameters
    ----------
    function : callable
        Takes the two slices of a tile, gives an array (C, h, w).
    size : pair of ints
        Height and width of the image, in pixels.
    tile : pair of ints
        Height and width of the tiles, in pixels.
    overlap : int
        Pixels that neighbouring tiles share at least; smaller than a tile.
    multiple : int, default=1
        Tiles start at multiples of this, in pixels; it divides tile and overlap.

    Yields
    ------
    rows : slice
        The next rows of the image that are finished.
    blended : float32 ndarray of shape (C, h, width)
        They: each pixel is a weighted mean over the tiles that hold it. No more than a
        row of tiles is held.
    """
    height, width = size
    bands = tile_slices(height, tile[0], overlap, multiple)
    columns = tile_slices(width, tile[1], overlap, multiple)
    rest = None
    for rows, below in zip(bands, [*bands[1:], slice(height, height)], strict=True):
        total = blend_row(function, rows, columns, overlap)
        if rest is not None:
            total[:, : rest.shape[1]] += rest
        n_finished = below.start - rows.start
        done, rest = total[:, :n_finished], total[:, n_finished:].copy()
        yield slice(rows.start, below.start), done[:-1] / done[-1]


def blend_row(function, rows, columns, overlap):
    """The weighted sum over a row of tiles; the weights are its last channel."""
    total, height, width = None, rows.stop - rows.start, columns[-1].stop
    for part in columns:
        result = function(rows, part)
        weight = np.outer(*(ramp(side, overlap) for side in result.shape[1:]))
        if total is None:
            total = np.zeros((len(result) + 1, height, width), np.float32)
        total[:-1, :, part] += weight * result
        total[-1, :, part] += weight
    return total
