"""What storing a picture as a JPEG file does to it, in torch, for many at once.

Only what loses information is computed: colour transform, chroma subsampling, cosine
transform and quantisation, and their way back. The entropy coding of a file loses
nothing and is left out. Rounding follows the library of the Independent JPEG Group
(IJG), which wrote most of the JPEG files that there are.
"""

import math
from typing import NamedTuple

import torch
from torch.nn import functional

# Quantisation steps at quality 50: ITU-T T.81 (1992), tables K.1 and K.2.
_LUMA_STEPS = [
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
]
_CHROMA_STEPS = [
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
]
_TO_YCC = torch.tensor(  # ITU-T T.871 (2011), section 7
    [
        [0.299, 0.587, 0.114],
        [-0.299 / 1.772, -0.587 / 1.772, 0.886 / 1.772],
        [0.701 / 1.402, -0.587 / 1.402, -0.114 / 1.402],
    ]
)
_TO_RGB = torch.tensor(
    [[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]]
)


class _Grid(NamedTuple):
    """How coarsely colour is stored, and what is added before decimals are dropped.

    The IJG adds one offset in even and another in odd columns, so that halves go up
    and down by turns and don't add up to a drift.
    """

    cell: tuple  # pixels down and across that share a colour
    shrink_offsets: tuple
    enlarge_offsets: tuple


_GRIDS = {
    "4:4:4": _Grid((1, 1), (0, 0), (0, 0)),
    "4:2:2": _Grid((1, 2), (0, 1 / 2), (1 / 4, 1 / 2)),
    "4:2:0": _Grid((2, 2), (1 / 4, 1 / 2), (1 / 2, 7 / 16)),
}


def compress_jpeg(images, quality, subsampling="4:2:0"):
    """Compress images and open them again.

    Parameters
    ----------
    images : float32 tensor of shape (n, C, H, W)
        Without NaN; clipped to [0, 1] and rounded to 8 bits first. Three channels are
        a colour picture; of any other number, each is coded like a grey picture.

    quality : float32 tensor with n elements
        Quality of each image, whole numbers from 1 to 100.

    subsampling : {"4:2:0", "4:2:2", "4:4:4"}, default="4:2:0"
        How much coarser colour is stored than luma: by 2 in both directions, by 2
        across, or not at all.

    Returns
    -------
    images : float32 tensor of shape (n, C, H, W)
        Multiples of 1/255.
    """
    grid = _GRIDS[subsampling]
    luma_steps, chroma_steps = _steps(quality)
    pixels = images.clamp(0, 1).mul_(255).round_()
    if images.shape[1] != 3:
        return _code(pixels - 128, luma_steps).add(128).div_(255)
    luma, chroma = _to_ycc(pixels)
    luma = _code(luma, luma_steps)
    chroma = _code(_shrink(chroma, grid), chroma_steps)
    chroma = _enlarge(chroma, grid, luma.shape[2:])
    return _to_rgb(luma, chroma).div_(255)


def _steps(quality):
    """Quantisation steps (n, 1, 64) of luma and of chroma for n qualities."""
    return _STEPS.to(quality.device)[quality.flatten().long()].split(1, dim=1)


def _map_colours(images, matrix):
    """Let a matrix act on the channels of images."""
    matrices = matrix.to(images.device).expand(len(images), -1, -1)
    return torch.bmm(matrices, images.flatten(2)).view_as(images)


def _to_ycc(pixels):
    """RGB (n, 3, H, W) on 0..255 -> luma (n, 1, H, W), chroma (n, 2, H, W), signed."""
    luma, chroma = _map_colours(pixels, _TO_YCC).round_().split([1, 2], dim=1)
    return luma.sub_(128), chroma.clamp_(-128, 127)


def _to_rgb(luma, chroma):
    """Luma (n, 1, H, W), chroma (n, 2, H, W), signed -> RGB (n, 3, H, W) on 0..255."""
    colours = _map_colours(torch.cat([luma, chroma], dim=1), _TO_RGB)
    return colours.add_(128).round_().clamp_(0, 255)


def _shrink(chroma, grid):
    """Average the pixels that share a colour."""
    if grid.cell == (1, 1):
        return chroma
    down, across = grid.cell
    padded = _pad(chroma, down, 8 * across)
    rows = padded[..., ::2, :] + padded[..., 1::2, :] if down == 2 else padded
    means = (rows[..., ::2] + rows[..., 1::2]).div_(down * across)
    return _floor_by_turns(means, grid.shrink_offsets)


def _enlarge(chroma, grid, shape):
    """Bring colour back to the shape of the luma, by a triangle filter."""
    if grid.cell == (1, 1):
        return chroma
    height, width = shape
    # What pads the last blocks must not shine in: the filter ends where the image does.
    chroma = chroma[..., : math.ceil(width / 2)]
    weight = 0.25 if width > 4 else 0.0  # the IJG repeats narrow pictures' colours
    for axis, factor in enumerate(grid.cell, start=2):
        chroma = _double(chroma, axis, weight) if factor == 2 else chroma
    return _floor_by_turns(chroma, grid.enlarge_offsets)[..., :height, :width]


def _double(plane, axis, weight):
    """Twice as many values along an axis, each leaning to its nearer neighbour."""
    length = plane.shape[axis]
    first, last = plane.narrow(axis, 0, 1), plane.narrow(axis, length - 1, 1)
    before = torch.cat([first, plane.narrow(axis, 0, length - 1)], dim=axis)
    after = torch.cat([plane.narrow(axis, 1, length - 1), last], dim=axis)
    shape = list(plane.shape)
    shape.insert(axis + 1, 2)
    pairs = plane.new_empty(shape)
    for i, neighbour in enumerate((before, after)):
        torch.lerp(plane, neighbour, weight, out=pairs.select(axis + 1, i))
    return pairs.flatten(axis, axis + 1)


def _floor_by_turns(plane, offsets):
    """Add one offset in even and one in odd columns, then drop the decimals."""
    n_pairs = plane.shape[3] // 2  # the width is even
    offsets = torch.tensor(offsets, device=plane.device).expand(n_pairs, 2)
    return plane.add_(offsets.reshape(-1)).floor_()


def _pad(plane, down, across):
    """Repeat the last row and column until the sides are multiples of these."""
    height, width = plane.shape[2:]
    padding = (0, -width % across, 0, -height % down)
    if not any(padding):
        return plane
    return functional.pad(plane, padding, mode="replicate")


def _code(plane, steps):
    """Quantise the blocks of a plane (n, C, H, W) of whole numbers from -128 to 127."""
    height, width = plane.shape[2:]
    padded = _pad(plane, 8, 8)
    blocks = _quantize(_to_blocks(padded), steps)
    # Halves go up; they are frequent in flat blocks and floats just miss some of them.
    blocks = blocks.add_(0.501).floor_().clamp_(-128, 127)
    return _from_blocks(blocks, padded.shape)[..., :height, :width]


def _quantize(blocks, steps):
    """Round the cosine coefficients of blocks (n, N, 64) to multiples of steps."""
    basis = _COSINES.to(blocks.device)
    # The IJG's transform yields eighths, so halves are frequent; they go outwards.
    eighths = (blocks @ basis.T).mul_(8).round_()
    levels = eighths.abs().div_(8 * steps).add_(0.5).floor_().copysign_(eighths)
    return levels.mul_(steps) @ basis


def _to_blocks(plane):
    """(n, C, H, W) -> (n, N, 64), with sides that are multiples of 8."""
    n, n_channels, height, width = plane.shape
    blocks = plane.reshape(n, n_channels, height // 8, 8, width // 8, 8)
    return blocks.transpose(3, 4).reshape(n, -1, 64)


def _from_blocks(blocks, shape):
    """(n, N, 64) -> (n, C, H, W), undoing `_to_blocks`."""
    n, n_channels, height, width = shape
    blocks = blocks.reshape(n, n_channels, height // 8, width // 8, 8, 8)
    return blocks.transpose(3, 4).reshape(shape)


def _all_steps():
    """Steps (101, 2, 64) of luma and chroma for each quality, as the IJG scales them.

    Those for 0 are never used.
    """
    quality = torch.arange(101.0)
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    steps = torch.tensor([_LUMA_STEPS, _CHROMA_STEPS]).reshape(2, 64)
    scaled = (steps * percent.reshape(-1, 1, 1) + 50) / 100
    return scaled.floor().clamp(1, 255)


def _cosines():
    """Make the 64 cosine patterns of 8 x 8 pixels, orthonormal, one in each row."""
    position, frequency = torch.arange(8), torch.arange(8)[:, None]
    waves = torch.cos((2 * position + 1) * frequency * (math.pi / 16)) / 2
    waves[0] /= math.sqrt(2)
    return torch.kron(waves, waves)


_COSINES = _cosines()
_STEPS = _all_steps()
