"""Send images of any size through a trained network: in batches, or tile by tile."""

import copy
import math

import numpy as np
import torch

from ._layers import rounding
from ._overshoot import join_overshoot, split_overshoot
from ._side_by_side import n_at_a_time, side_by_side
from ._streaming import LadderStream, least_tile
from ._summary import BLOCK, TILE, summarise_tiles, tile_pixels
from ._tiling import blend_tiles
from .losses import gaussian_nll

BATCH_PIXELS = 2**18  # images of one size go together up to this many pixels
TILES = {"cpu": 512}  # pixels: smaller ones have more rim, larger ones more memory
LARGE_TILE = 1024  # on other devices, which want much to do at once
NOISE_BLOCK = 128  # pixels: latents are drawn in squares of this side
OUT_OF_MEMORY = ("out of memory", "allocate memory")  # as torch says it


class Restorer:
    """What a network makes of images, one after the other.

    Parameters
    ----------
    network : module
        As `networks` describes.
    device : str
        Where it computes.
    tile_size : int or None
        Images of more pixels than a tile of this height and width are restored tile by
        tile; in tiles of half of it where memory does not suffice. None: what suits
        the device.
    mixed_precision : bool, default=False
        Whether images are restored with bfloat16 where that does no harm.
    """

    def __init__(self, network, device, tile_size, mixed_precision=False):
        if network.dtype != next(network.parameters()).dtype:
            network = copy.deepcopy(network).to(network.dtype)
        if next(network.parameters()).device != torch.device(device):
            network = network.to(device)
        self.network, self.device = network.eval(), device
        self.mixed_precision = mixed_precision
        if network.fixed_size is not None:
            self.least = self.tile = network.fixed_size
            return
        kind = torch.device(device).type
        side = round_up(tile_size or TILES.get(kind, LARGE_TILE), network.multiple)
        least = least_tile(network)
        self.least, self.tile = (least, least), (max(side, least),) * 2
        self.most_pixels = self.tile[0] ** 2 if tile_size else BATCH_PIXELS

    def restore(self, images, indices=None):
        """Yield the restored image and its standard deviations: (C, H, W) each."""
        for i, parts in self.restore_parts(images, indices, with_std=True):
            shape = images.n_channels, *images.raw(i).shape[:2]
            both = np.empty((2, *shape), np.float32)
            for rows, columns, *values in parts:
                both[:, :, rows, columns] = values
            yield both[0], both[1]

    def restore_parts(self, images, indices=None, key=None, with_std=False):
        """Yield the number of each image, and an iterator over its restored parts.

        Parameters
        ----------
        images : Images
            Damaged ones.
        indices : iterable of int, default=None
            Which of them. None: all.
        key : int, default=None
            With a key, latents are drawn for each image, seeded by key and image.
        with_std : bool, default=False
            Whether standard deviations are wanted too.

        Yields
        ------
        i : int
            The number of an image.
        parts : iterator of tuples (rows, columns, restored, std)
            Two slices, and arrays (C, h, w); std may be None if it is not wanted. The
            parts cover the image. If memory does not suffice for a tile, they come
            again from the first, in smaller tiles.
        """
        indices = range(len(images)) if indices is None else indices
        n = n_at_a_time(self.device)

        def restore(batch):
            return self._restore_batch(images, batch, key, with_std)

        in_batches = batches(images, indices, self._fits, BATCH_PIXELS // n)
        for batch, together in side_by_side(restore, in_batches, n):
            for k, (i, _) in enumerate(batch):
                if together is None:
                    yield i, self._restore_tiles(images, i, key, with_std)
                else:
                    yield i, as_parts(together, k)

    @torch.inference_mode()
    def elbo(self, images, i, key):
        """The evidence lower bound of image i, in nats per value."""
        size = images.raw(i).shape[:2]
        context, noise = self._context(images, i), self._noise(images, i, key)
        if context:
            context["target_seen"] = context["seen"]
        nats, n_values = 0.0, 0
        largest = size if self._fits(size) else self._largest
        for k, (rows, columns) in enumerate(cut(size, largest)):
            tile = images.part(i, rows, columns)
            damaged = self.tensor(self._as_tile(tile)[None])
            tile_noise = self._to_device(noise.of(rows, columns))
            restored, log_sigma, cost = self.network(
                damaged, damaged, tile_noise, **context
            )
            nll = gaussian_nll(restored, log_sigma, damaged)[0]
            n_seen = np.isfinite(tile).sum()
            n_paid = self.network.units[0] if context and k > 0 else 0  # the colours
            nats -= float(nll * n_seen + cost[0, n_paid:].sum())
            n_values += n_seen
        return nats / n_values if n_values else np.nan

    @torch.inference_mode()
    def encode(self, images):
        """The codes of images of one size: (n, n_codes)."""
        return self._codes(self.network.encode, images).float().cpu().numpy()

    @torch.inference_mode()
    def encode_indices(self, images):
        """The same, as the integers of a quantised network."""
        return self._codes(self.network.encode_indices, images).cpu().numpy()

    def _codes(self, encode, images):
        together = batches(images, range(len(images)), lambda size: True, BATCH_PIXELS)
        codes = [encode(self.tensor(np.stack([x for _, x in b]))) for b in together]
        return torch.cat(codes)

    @torch.inference_mode()
    def decode(self, codes, size):
        """Images (n, C, H, W) of this size from their codes (n, n_codes)."""
        n_together = max(1, BATCH_PIXELS // (size[0] * size[1]))
        codes = torch.from_numpy(codes).to(self.device)
        if codes.is_floating_point():  # integers are a quantised network's own
            codes = codes.to(self.network.dtype)
        images = [
            self.network.decode(part, size).cpu().numpy()
            for part in codes.split(n_together)
        ]
        return np.concatenate(images)

    @property
    def _largest(self):
        """Height and width of the largest square that the network takes whole."""
        if self.network.fixed_size is not None:
            return self.tile
        step = self.network.multiple
        return (max(step, math.isqrt(self.most_pixels) // step * step),) * 2

    def _fits(self, size):
        """Whether the network takes an image of this size as it is."""
        if self.network.fixed_size is None:
            return size[0] * size[1] <= self.most_pixels
        return tuple(size) == self.tile

    @torch.inference_mode()
    def _restore_batch(self, images, batch, key, with_std):
        """Restored images and standard deviations, (n, C, H, W) each.

        None where the images are too large for it.
        """
        if batch[0][1] is None:
            return None
        try:
            damaged = self.tensor(np.stack([image for _, image in batch]))
            noise = self._noise_of_batch(images, batch, key)
            inside, beyond = damaged, None
            if self.network.fixed_size is None:
                inside, beyond = split_overshoot(damaged)
            with rounding(self.mixed_precision):
                restored, log_sigma, _ = self.network(
                    inside, noise=noise, with_sigma=with_std
                )
            if self.network.fixed_size is None:
                restored = join_overshoot(restored, beyond)
            std = log_sigma.exp().cpu().numpy() if with_std else None
            return restored.cpu().numpy(), std
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        return None

    def _restore_tiles(self, images, i, key, with_std):
        """Yield the parts of an image; its colours are judged once, from all of it."""
        in_tiles = self._blend if self.network.fixed_size else self._stream
        while True:
            try:
                yield from in_tiles(images, i, key, with_std)
                return
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            self._halve()

    def _halve(self):
        """Take smaller tiles from now on."""
        if self.tile == self.least:
            height, width = self.tile
            raise MemoryError(
                f"Memory does not suffice for tiles of {height} x {width} pixels, the "
                "smallest that this network restores. Free some, or pass device='cpu'."
            )
        half = round_up(self.tile[0] // 2, self.network.multiple)
        self.tile = (max(half, self.least[0]),) * 2
        self.most_pixels = min(self.most_pixels, self.tile[0] ** 2)
        if torch.device(self.device).type == "cuda":
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def _stream(self, images, i, key, with_std):
        """Yield parts, tile by tile; they are those of the whole image."""
        size = images.raw(i).shape[:2]
        noise, colour_noise = None, None
        if key is not None:
            noise = self._noise(images, i, key)
            colour_noise = self.tensor(noise.first[0])
        seen = self._context(images, i)["seen"]
        stream = LadderStream(
            self.network, size, self.tile[0], seen, colour_noise, with_std
        )
        overshoots = False
        for tile in stream:
            area, codes = stream.area(tile), None
            if noise is not None:
                codes = self._to_device(noise.of(*area)[1:])
            inside, beyond = self._split_part(images, i, area)
            overshoots = overshoots or beyond is not None
            with rounding(self.mixed_precision):
                rows, columns, restored, log_sigma = stream.feed(tile, inside, codes)
            if overshoots:  # what comes out lags behind what went in
                beyond = self._split_part(images, i, (rows, columns))[1]
            restored = join_overshoot(restored, beyond)
            std = log_sigma.exp()[0].cpu().numpy() if with_std else None
            yield rows, columns, restored[0].cpu().numpy(), std

    def _split_part(self, images, i, area):
        """A part of an image, and what lies beyond the range there, by whole blocks."""
        sizes = images.raw(i).shape[:2]
        blocks = [
            slice(side.start // BLOCK * BLOCK, min(round_up(side.stop, BLOCK), size))
            for side, size in zip(area, sizes, strict=True)
        ]
        inner = [
            slice(side.start - whole.start, side.stop - whole.start)
            for side, whole in zip(area, blocks, strict=True)
        ]
        parts = split_overshoot(self.tensor(images.part(i, *blocks)[None]))
        return [None if part is None else part[..., *inner] for part in parts]

    @torch.inference_mode()
    def _blend(self, images, i, key, with_std):
        """Yield parts, blended of tiles of the one size that the network takes."""
        size = images.raw(i).shape[:2]
        noise = None
        if key is not None:
            noise = self._to_device(self._noise(images, i, key).first)

        def restore_tile(rows, columns):
            tile = images.part(i, rows, columns)
            damaged = self.tensor(self._as_tile(tile)[None])
            restored, log_sigma, _ = self.network(damaged, noise=noise)
            both = torch.cat([restored, log_sigma.exp()], dim=1)[0].cpu().numpy()
            return both[:, : tile.shape[1], : tile.shape[2]]

        layout = self.tile, self.network.overlap, self.network.multiple
        for rows, both in blend_tiles(restore_tile, size, *layout):
            yield rows, slice(0, size[1]), *np.split(both, 2)

    def _as_tile(self, image):
        """An image that the network takes, and no smaller one."""
        if self.network.fixed_size is None:
            return image
        return fill_out(image, self.tile)

    def _context(self, images, i):
        """What the tiles of an image must know of the whole."""
        if not self.network.global_stages:
            return {}
        rows, columns = map(tile_pixels, images.raw(i).shape[:2])
        strips = []
        for tile in np.split(rows, range(TILE, len(rows), TILE)):  # not all at once
            strips.append(images.part(i, slice(tile[0], tile[-1] + 1), columns))
        tiles = split_overshoot(self.tensor(np.concatenate(strips, axis=1)[None]))[0]
        return {"seen": summarise_tiles(tiles)}

    def _noise(self, images, i, key):
        """One draw of latents for an image, whatever batch it is in."""
        seed = images.hash(i, key)
        return PlacedNoise(self.network, images.raw(i).shape[:2], seed)

    def _noise_of_batch(self, images, batch, key):
        """The latents of images that are restored together."""
        if key is None:
            return None
        whole = [slice(0, side) for side in batch[0][1].shape[1:]]
        draws = [self._noise(images, i, key).of(*whole) for i, _ in batch]
        return self._to_device(map(torch.cat, zip(*draws, strict=True)))

    def _to_device(self, noise):
        return [self.tensor(part) for part in noise]

    def tensor(self, array):
        """An array as a tensor that the network takes."""
        tensor = torch.as_tensor(array).to(self.device, self.network.dtype)
        if tensor.ndim == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor


class PlacedNoise:
    """The latents of an image, drawn square by square, so that any part can be had.

    Parameters
    ----------
    network : module
        As `networks` describes.
    size : pair of ints
        Height and width of the image.
    seed : int
        The same seed gives the same latents.

    Attributes
    ----------
    first : list of tensors
        The latents of the first square; those that have no place are the image's.
    """

    def __init__(self, network, size, seed):
        self.network, self.size, self.seed = network, size, seed
        self.side = round_up(NOISE_BLOCK, network.multiple)
        self.n_columns = -(-size[1] // self.side)
        self.first = self._draw(0, 0)

    def of(self, rows, columns):
        """The latents of a part of the image: two slices, from multiples on."""
        if self.network.fixed_size is not None:
            return self.first
        lines = [
            join([self._square(m, n)[1:] for n in self._squares(columns)], axis=3)
            for m in self._squares(rows)
        ]
        noise = [self.first[0], *join(lines, axis=2)]
        area = (
            slice(side.start - start, side.stop - start)
            for side in (rows, columns)
            for start in [side.start // self.side * self.side]
        )
        return self.network.noise_of_tile(noise, *area)

    def _squares(self, side):
        return range(side.start // self.side, -(-side.stop // self.side))

    def _square(self, m, n):
        return self._draw(m, n) if m or n else self.first

    def _draw(self, m, n):
        """Draw a square: all that is of the image in the m-th row, the n-th column."""
        corner = m * self.side, n * self.side
        size = [
            min(self.side, end - start)
            for start, end in zip(corner, self.size, strict=True)
        ]
        generator = torch.Generator("cpu")
        generator.manual_seed((self.seed + m * self.n_columns + n) % 2**63)
        return self.network.draw_noise(1, size, generator)


def join(squares, axis):
    """Join latents, a list for each square, side by side."""
    return [torch.cat(parts, dim=axis) for parts in zip(*squares, strict=True)]


def batches(images, indices, fits, most_pixels):
    """Join consecutive images of one shape that fit, up to so many pixels.

    Each batch is a list of pairs: the number of an image, and the image, or None where
    it does not fit.
    """
    batch = []
    for i in indices:
        size = images.raw(i).shape[:2]
        image = images[i] if fits(size) else None
        joins = batch and image is not None and image.shape == batch[0][1].shape
        n_pixels = (len(batch) + 1) * size[0] * size[1]
        if batch and not (joins and n_pixels <= most_pixels):
            yield batch
            batch = []
        if image is None:
            yield [(i, None)]
        else:
            batch.append((i, image))
    if batch:
        yield batch


def as_parts(together, k):
    """Image k of those that were restored together, in one part."""
    restored, std = together
    rows, columns = map(slice, restored.shape[2:])
    return [(rows, columns, restored[k], None if std is None else std[k])]


def is_out_of_memory(error):
    """Whether memory did not suffice."""
    return isinstance(error, MemoryError) or any(
        words in str(error).lower() for words in OUT_OF_MEMORY
    )


def round_up(size, multiple):
    """The next multiple."""
    return -(-size // multiple) * multiple


def fill_out(image, size):
    """Mirror an image (C, H, W) until it is at least of this size."""
    sides = zip(image.shape[1:], size, strict=True)
    missing = [max(0, full - side) for side, full in sides]
    if not any(missing):
        return image
    return np.pad(image, [(0, 0), *((0, m) for m in missing)], mode="symmetric")


def cut(image_size, size):
    """Rows and columns of parts that cover an image once, none larger than the size."""
    for top in range(0, image_size[0], size[0]):
        for left in range(0, image_size[1], size[1]):
            bottom, right = top + size[0], left + size[1]
            rows = slice(top, min(bottom, image_size[0]))
            yield rows, slice(left, min(right, image_size[1]))
