"""Send images of any size through a trained network: in batches, or tile by tile."""

import copy

import numpy as np
import torch

from ._colour_stage import summarise_colours
from ._images import image_hash
from ._tiling import map_tiles
from .losses import gaussian_nll

BATCH_PIXELS = 2**18  # images of one size go together up to this many pixels


class Restorer:
    """What a network makes of images, one after the other.

    Parameters
    ----------
    network : module
        As `networks` describes.
    device : str
        Where it computes.
    tile_size : int
        Larger images are restored in tiles of this height and width, in pixels.
    """

    def __init__(self, network, device, tile_size):
        if network.dtype != next(network.parameters()).dtype:
            network = copy.deepcopy(network).to(network.dtype)
        self.network, self.device = network.to(device).eval(), device
        if network.fixed_size is None:
            step = network.multiple
            side = max(tile_size, 2 * network.overlap)
            self.tile = (-(-side // step) * step,) * 2
        else:
            self.tile = network.fixed_size

    @torch.inference_mode()
    def restore(self, images, key=None):
        """Yield the restored image and its standard deviations: (C, H, W) each.

        With a `key`, latents are drawn for each image, seeded by key and image.
        """
        for batch in batches(images, self._fits):
            if self._fits(batch[0].shape):
                restored = self._restore_batch(np.stack(batch), batch, key)
                yield from zip(*restored, strict=True)
            else:
                yield self._restore_tiles(batch[0], key)

    @torch.inference_mode()
    def elbo(self, image, key):
        """The evidence lower bound of one image (C, H, W), in nats per value."""
        context, noise = self._context(image), self._noise([image], key)
        if context:
            context["target_seen"] = context["seen"]
        nats, n_values = 0.0, np.isfinite(image).sum()
        for k, (tile, rows, columns) in enumerate(cut(image, self.tile)):
            damaged = self.tensor(self._as_tile(tile)[None])
            tile_noise = self.network.noise_of_tile(noise, rows, columns)
            restored, log_sigma, cost = self.network(
                damaged, damaged, tile_noise, **context
            )
            nll = gaussian_nll(restored, log_sigma, damaged)[0]
            n_paid = self.network.units[0] if context and k > 0 else 0  # the colours
            nats -= float(nll * np.isfinite(tile).sum() + cost[0, n_paid:].sum())
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
        together = batches(images, lambda shape: True)
        return torch.cat([encode(self.tensor(np.stack(batch))) for batch in together])

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

    def _fits(self, shape):
        """Whether the network takes an image of this shape (C, H, W) as it is."""
        sides = zip(shape[1:], self.tile, strict=True)
        if self.network.fixed_size is None:
            return all(side <= limit for side, limit in sides)
        return all(side == limit for side, limit in sides)

    def _restore_batch(self, stacked, images, key, **context):
        noise = self._noise(images, key)
        damaged = self.tensor(stacked)
        restored, log_sigma, _ = self.network(damaged, noise=noise, **context)
        return restored.cpu().numpy(), log_sigma.exp().cpu().numpy()

    def _restore_tiles(self, image, key):
        """Restore a large image; its colours are judged once, from all of it."""
        height, width = image.shape[1:]
        context, noise = self._context(image), self._noise([image], key)
        image = self._as_tile(image)

        def restore_tile(tile, rows, columns):
            tile_noise = self.network.noise_of_tile(noise, rows, columns)
            restored, log_sigma, _ = self.network(
                self.tensor(tile[None]), noise=tile_noise, **context
            )
            return torch.cat([restored, log_sigma.exp()], dim=1)[0].cpu().numpy()

        network = self.network
        both = map_tiles(
            restore_tile, image, self.tile, network.overlap, network.multiple
        )
        return np.split(both[:, :height, :width], 2)

    def _as_tile(self, image):
        """An image that the network takes, and no smaller one."""
        if self.network.fixed_size is None:
            return image
        return fill_out(image, self.tile)

    def _context(self, image):
        """What the tiles of an image must know of the whole."""
        if not self.network.global_stages:
            return {}
        return {"seen": summarise_colours(self.tensor(image[None]))}

    def _noise(self, images, key):
        """One draw of latents for each image, whatever batch it is in."""
        if key is None:
            return None
        draws = []
        for image in images:
            generator = torch.Generator("cpu")
            generator.manual_seed(image_hash(image, key) % 2**63)
            draws.append(self.network.draw_noise(1, image.shape[1:], generator))
        return [self.tensor(torch.cat(parts)) for parts in zip(*draws, strict=True)]

    def tensor(self, array):
        """An array as a tensor that the network takes."""
        tensor = torch.as_tensor(array).to(self.device, self.network.dtype)
        if tensor.ndim == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor


def batches(images, may_join):
    """Join consecutive images of one shape, as far as they may and memory allows."""
    batch = []
    for image in images:
        n_pixels = image.shape[1] * image.shape[2]
        joins = batch and image.shape == batch[0].shape and may_join(image.shape)
        if batch and not (joins and (len(batch) + 1) * n_pixels <= BATCH_PIXELS):
            yield batch
            batch = []
        batch.append(image)
    if batch:
        yield batch


def fill_out(image, size):
    """Mirror an image (C, H, W) until it is at least of this size."""
    sides = zip(image.shape[1:], size, strict=True)
    missing = [max(0, full - side) for side, full in sides]
    if not any(missing):
        return image
    return np.pad(image, [(0, 0), *((0, m) for m in missing)], mode="symmetric")


def cut(image, size):
    """Parts (C, h, w) of an image that cover it once, none larger than the size.

    Each with its rows and its columns, as slices.
    """
    for top in range(0, image.shape[1], size[0]):
        for left in range(0, image.shape[2], size[1]):
            rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
            yield image[:, rows, columns], rows, columns
