"""Training images that lie on the device, so that crops are cut there."""

from functools import lru_cache
from itertools import repeat

import numpy as np
import torch

from ._batches import TrainingImages
from ._summary import tile_pixels

SHARE = 0.25  # of the memory that is free, which the images may take
MISSING = -1  # in the place of a row or column that an image has not


class ResidentImages(TrainingImages):
    """The same crops and pictures as of `TrainingImages`, as tensors on a device.

    A GPU learns faster than a CPU cuts and converts crops.

    Parameters
    ----------
    images, target, indices, patch_size, with_pictures
        As of `TrainingImages`.
    device : str
        Where they are to lie.
    """

    def __init__(self, *args, device, **kwargs):
        super().__init__(*args, **kwargs)
        self.device, self._ready = device, None
        self._sides = np.array([self.shapes[i] for i in self.indices])
        areas = self._sides.prod(1)
        self._starts = np.cumsum(areas) - areas
        self._pixels = [self._upload(source, areas.sum()) for source in self.sources]

    def _upload(self, source, n_pixels):
        """All pixels of these images, one after the other: (n_pixels, C)."""
        pixels = torch.empty((n_pixels, source.n_channels), device=self.device)
        for i, start in zip(self.indices, self._starts, strict=True):
            image = torch.from_numpy(source[i]).to(self.device)
            lines = image.flatten(1).T
            pixels[start : start + len(lines)] = lines
        return pixels

    def crops(self, positions, rng):
        """The same random parts of image and target: list of tensors (n, C, h, w)."""
        areas = []
        for sides, size in zip(self._sides[positions].T, self.patch_size, strict=True):
            begin = rng.integers(np.maximum(sides - size, 0) + 1)[:, None]
            lines = begin + np.arange(size)
            areas.append(np.where(lines < sides[:, None], lines, MISSING))
        return self._gather(positions, *areas)

    def _pictures(self, positions, choose):
        areas = [
            [
                self._tiles(side, size, choose)
                for side, size in zip(sides, self.patch_size, strict=True)
            ]
            for sides in self._sides[positions].tolist()
        ]
        return self._gather(positions, *map(np.stack, zip(*areas, strict=True)))

    def _tiles(self, side, size, choose):
        """Rows (or columns) of some of the tiles along a side."""
        there = tile_lines(side, 2 * -(-size // self._tile), self._tile)
        chosen = choose(len(there) // self._tile, -(-size // self._tile))
        lines = self._tile * chosen[:, None] + np.arange(self._tile)
        return there[lines.ravel()[:size]]

    def _gather(self, positions, rows, columns):
        """The pixels in these rows (n, h) and columns (n, w) of images and targets."""
        is_missing = (rows < 0)[:, :, None] | (columns < 0)[:, None, :]
        widths, starts = self._sides[positions, 1], self._starts[positions]
        starts = starts[:, None] + rows.clip(0) * widths[:, None]
        starts, columns = (
            torch.from_numpy(x).to(self.device) for x in (starts, columns.clip(0))
        )
        places = starts[:, :, None] + columns[:, None, :]
        views = [p[places].permute(0, 3, 1, 2).contiguous() for p in self._pixels]
        if is_missing.any():
            is_missing = torch.from_numpy(is_missing[:, None]).to(self.device)
            views = [view.masked_fill_(is_missing, torch.nan) for view in views]
        return views


@lru_cache(4096)
def tile_lines(side, most, tile):
    """Rows (or columns) in one of the tiles of a side, filled up to a whole tile."""
    lines = tile_pixels(side, most, tile)
    n_missing = max(0, tile - len(lines))
    return np.concatenate([lines, np.fromiter(repeat(MISSING, n_missing), int)])


def have_room(device, *sources):
    """Whether images may lie on a device: not on the CPU, where they are anyway."""
    if torch.device(device).type != "cuda":
        return False
    n_bytes = sum(4 * s.n_channels * s.n_pixels for s in sources if s is not None)
    return n_bytes <= SHARE * torch.cuda.mem_get_info(device)[0]
