"""What the colours of a whole picture are judged by: a few numbers of each channel."""

import numpy as np
import torch
from torch.nn import functional as F

from ._blocks import fill_missing, may_miss

TILE = 16  # pixels of each side: what is looked at keeps its scale
MOST_TILES = 16  # along a side of a picture
BLOCK = 8  # pixels of each side in which noise is averaged out: those of JPEG
N_QUANTILES = 17  # of the pixels
N_MEANS = 9  # of the means of blocks
N_GRAINS = 5  # of the second differences between neighbours
FAINT = 1 / 1024  # differences below this are alike
N_TEXTURE = N_GRAINS + 2  # the last numbers, which tell nothing of the colours
N_SEEN = N_QUANTILES + N_MEANS + N_TEXTURE  # numbers of each channel


# ------------------------------------------------------------------ samples
def tile_pixels(side, most=MOST_TILES, tile=TILE):
    """Which rows (or columns) are in one of the tiles: spread evenly over a side.

    Tiles begin at multiples of 8 pixels, as the blocks of JPEG do.

    Examples
    --------
    >>> tile_pixels(30, most=2, tile=4)
    array([ 0,  1,  2,  3, 24, 25, 26, 27])
    """
    n = min(most, side // tile)
    if n < 2:
        return np.arange(min(side, tile))
    starts = np.arange(n) * (side - tile) // (n - 1)
    starts = np.maximum(starts // BLOCK * BLOCK, np.arange(n) * tile)
    return (starts[:, None] + np.arange(tile)).ravel()


def take_tiles(images, rows, columns):
    """The pixels (..., H, W) that are in these rows and in these columns."""
    return images[..., rows[:, None], columns]


def block_means(images, size):
    """The mean of what was observed in each cell of a grid; NaN where nothing was.

    (n, C, H, W) with NaN -> (n, C, *size).
    """
    if not may_miss(images):
        return F.adaptive_avg_pool2d(images, size)
    filled, observed = fill_missing(images, 0.0)
    share = F.adaptive_avg_pool2d(observed, size)
    return F.adaptive_avg_pool2d(filled, size) / share


# ------------------------------------------------------------------ summaries
@torch.no_grad()
def summarise_colours(images):
    """What the colours of whole pictures are judged by: (n, C, H, W) -> (n, 33 C)."""
    rows, columns = map(tile_pixels, images.shape[-2:])
    if (len(rows), len(columns)) != images.shape[-2:]:
        images = take_tiles(images, rows, columns)
    return summarise_tiles(images)


@torch.no_grad()
def summarise_tiles(images):
    """The same of tiles of 16 x 16 pixels that lie beside each other.

    Of each channel, 17 quantiles of the pixels, which tell of noise too, 9 of the means
    of blocks of 8 x 8, which do not, and 5 of the differences between neighbours, which
    tell of noise and blur alone, brought to [-1, 1]; how much larger differences are
    between the blocks of JPEG; and the share of the pixels that was observed.
    """
    share = images.isfinite().to(images.dtype).mean((2, 3))
    size = [-(-side // BLOCK) for side in images.shape[-2:]]
    parts = (
        quantiles(images[..., ::2, ::2].flatten(2), N_QUANTILES),
        quantiles(block_means(images, size).flatten(2), N_MEANS),
        quantiles(grain(images), N_GRAINS),
        seams(images),
        share,
    )
    return torch.cat(parts, dim=1)


def grain(images):
    """How rough neighbours are, 0 to about 1: (n, C, H, W) -> (n, C, n_values).

    The logarithms of the second differences of every other row and column, within the
    tiles.
    """
    differences = [
        lines.diff(n=2, dim=3).abs().flatten(2)
        for lines in (lines_of_tiles(images), lines_of_tiles(images.mT))
    ]
    both = torch.cat(differences, dim=2)
    return 0.3 * torch.log10(both / FAINT + 1)


def seams(images):
    """How much neighbours differ between blocks, to elsewhere: (n, C, H, W) -> (n, C).

    The logarithm of the quotient of the mean differences, both not below a faint one.
    """
    inner, between = [], []
    for lines in (lines_of_tiles(images), lines_of_tiles(images.mT)):
        step = lines.diff(dim=3).abs()
        between.append(step[..., BLOCK - 1].flatten(2))
        inner.append(step[..., BLOCK // 2 - 1 :: BLOCK].flatten(2))
    inner, between = (torch.cat(x, dim=2).nanmean(2) for x in (inner, between))
    return torch.log((between + FAINT) / (inner + FAINT)).nan_to_num(0.0)


def lines_of_tiles(images):
    """Every other row, cut where tiles end: (n, C, H, W) -> (n, C, n_lines, 16)."""
    lines = images[..., ::2, :]
    lines = F.pad(lines, (0, -lines.shape[3] % TILE), value=torch.nan)
    return lines.unflatten(3, (-1, TILE)).flatten(2, 3)


def quantiles(values, n):
    """Quantiles of what was observed of each channel: (n, C, m) -> (n, n_levels C).

    They are brought from [0, 1] to [-1, 1]; those of nothing are 0.
    """
    values = sort(values)
    n_observed = values.isfinite().sum(2, keepdim=True)
    levels = torch.linspace(0, 1, n, dtype=values.dtype, device=values.device)
    place = levels * (n_observed - 1).clamp_min(0)
    below, above = (
        values.gather(2, index.long()) for index in (place.floor(), place.ceil())
    )
    return (2 * torch.lerp(below, above, place.frac()) - 1).nan_to_num(0.0).flatten(1)


def sort(values):
    """Sort along the last axis, NaN last."""
    if values.device.type == "cpu":  # where numpy is twenty times as fast as torch
        return torch.from_numpy(np.sort(values.numpy()))
    return values.sort().values
