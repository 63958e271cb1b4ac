"""What a network learns from: batches of crops, damaged as they are drawn."""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import repeat

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import Dataset

from ._summary import TILE, take_tiles, tile_pixels

KEPT_BYTES = 2**28  # of tiles of pictures, so that they are not read again
READY_BYTES = 2**28  # of whole images as floats: more are converted batch by batch
SMALLEST_PART = 0.3  # of the sides of a picture, if there are only few to learn from
JOINED = 0.6  # share of the parts that are joined of two pictures
MANY = 9000  # pictures: enough to learn colours from whole ones
TOGETHER = 128  # crops are damaged at once: small batches would spend time on overhead
MOST_PIXELS = 2**19  # of them together
ON_CUDA = 2**25, 512  # the same, at most, and bytes of free memory for each pixel
MARGIN = 8  # pixels between what is damaged side by side: blur reaches across


class TrainingImages(Dataset):
    """Pairs of images, to be cropped: what the net learns from.

    Parameters
    ----------
    images : Images
        Clean images, or damaged ones if there is a target.
    target : Images or None
        The clean version of each image.
    indices : array of int
        Which of the images take part.
    patch_size : pair of ints
        Height and width of the crops; smaller images are filled up with NaN.
    with_pictures : bool, default=False
        Whether the crops come with the pictures that they are cut from.

    Attributes
    ----------
    with_pictures : bool
        Whether they do; crops that are whole images need no other.
    """

    def __init__(self, images, target, indices, patch_size, with_pictures=False):
        self.sources = (images,) if target is None else (images, target)
        self.indices, self.patch_size = indices, tuple(patch_size)
        self.shapes = {i: images.shape(i) for i in indices}
        area = math.prod(self.patch_size)
        self.n_patches = sum(
            max(1, round(math.prod(shape) / area)) for shape in self.shapes.values()
        )
        n_bytes = 4 * images.n_channels * sum(map(math.prod, self.shapes.values()))
        is_small = n_bytes * len(self.sources) <= READY_BYTES
        self._ready = self._stack() if self._are_whole and is_small else None
        self.with_pictures = with_pictures and not self._are_whole
        n_values = 4 * images.n_channels * area  # of a picture with twice the sides
        n_bytes = 4 * len(self.sources) * n_values
        self._tile = min(TILE, *self.patch_size)
        self._kept = lru_cache(max(1, KEPT_BYTES // n_bytes))(self._cut_tiles)

    def __len__(self):
        return len(self.indices)

    @property
    def _are_whole(self):
        """Whether each crop is an image as it is."""
        return set(self.shapes.values()) == {self.patch_size}

    def _stack(self):
        """All images at once, so that a batch is a single look-up."""
        shape = len(self), self.sources[0].n_channels, *self.patch_size
        stacks = [np.empty(shape, np.float32) for _ in self.sources]
        for stack, source in zip(stacks, self.sources, strict=True):
            for k, i in enumerate(self.indices):
                stack[k] = source[i]
        return stacks

    def order(self, rng):
        """Positions of an epoch's crops: random, and each image in its turn."""
        n_rounds = -(-self.n_patches // len(self))
        rounds = [rng.permutation(len(self)) for _ in range(n_rounds)]
        return np.concatenate(rounds)[: self.n_patches]

    def crops(self, positions, rng):
        """The same random parts of image and target: list of arrays (n, C, h, w)."""
        if self._ready is not None:
            return [images[positions] for images in self._ready]
        crops = zip(*(self._crop(self.indices[k], rng) for k in positions), strict=True)
        return [np.stack(images) for images in crops]

    def _crop(self, i, rng):
        sides = zip(self.shapes[i], self.patch_size, strict=True)
        rows, columns = (_random_slice(side, size, rng) for side, size in sides)
        for source in self.sources:
            yield fill_up(source.part(i, rows, columns), self.patch_size)

    def pictures(self, positions):
        """Tiles from all over the images and targets: arrays (n, C, h, w)."""
        return self._pictures(positions, _spread)

    def parts(self, positions, rng):
        """The same from random parts: the larger, the more pictures there are.

        The colours of a few whole pictures would be learned by heart. So most parts are
        those of two pictures side by side, too.
        """
        smallest = SMALLEST_PART + (1 - SMALLEST_PART) * len(self) / MANY
        if smallest >= 1:
            return self.pictures(positions)

        def near(n, n_chosen):
            return _choose_near(n, n_chosen, rng.uniform(smallest, 1), rng)

        return join_some(self._pictures(positions, near), rng, self._tile)

    def _pictures(self, positions, choose):
        """Tiles of images and targets; `choose` says which, of so many, how many."""
        pictures = (
            self._beside(self._kept(self.indices[k]), choose) for k in positions
        )
        return [np.stack(images) for images in zip(*pictures, strict=True)]

    def _cut_tiles(self, i):
        """Twice as many tiles of an image and its target as a crop has along a side."""
        most = (2 * -(-size // self._tile) for size in self.patch_size)
        area = np.ix_(*map(tile_pixels, self.shapes[i], most, repeat(self._tile)))
        return [source.part(i, *area) for source in self.sources]

    def _beside(self, tiles, choose):
        """Some of these tiles, as large as a crop together."""
        area = []
        for side, size in zip(tiles[0].shape[1:], self.patch_size, strict=True):
            chosen = choose(max(1, side // self._tile), -(-size // self._tile))
            pixels = self._tile * chosen[:, None] + np.arange(self._tile)
            area.append(pixels.ravel()[:size])
        return [
            take_tiles(fill_up(image, (self._tile, self._tile)), *area)
            for image in tiles
        ]


def _spread(n, n_chosen):
    """So many of n, in their order, over all of them."""
    return np.arange(n_chosen) * n // n_chosen


def _choose_near(n, n_chosen, share, rng):
    """So many of n, in their order, at random within a share of them."""
    size = max(1, round(share * n))
    near = rng.integers(n - size + 1) + np.arange(size)
    return np.sort(rng.choice(near, n_chosen, replace=size < n_chosen))


def _random_slice(side, size, rng):
    """A random stretch of one side of an image."""
    start = int(rng.integers(max(side - size, 0) + 1))
    return slice(start, start + size)


def join_some(views, rng, tile):
    """Replace the right of most images (n, C, h, w) by that of others, in all views.

    Where it begins is a multiple of the size of a tile.
    """
    n, _, _, width = views[0].shape
    cuts = tile * rng.integers(-(-width // tile), size=n)
    cuts = np.where(rng.random(n) < JOINED, cuts, width)
    is_other = np.arange(width) >= cuts[:, None, None, None]
    others = rng.permutation(n)
    return [choose(is_other, images[others], images) for images in views]


def choose(mask, images, others):
    """`numpy.where`, and the same of tensors."""
    if isinstance(images, torch.Tensor):
        return torch.where(torch.from_numpy(mask).to(images.device), images, others)
    return np.where(mask, images, others)


def fill_up(image, size):
    """Put NaN below and to the right of an image (C, H, W) that is smaller."""
    sides = zip(image.shape[1:], size, strict=True)
    missing = [(0, max(full - side, 0)) for side, full in sides]
    if missing == [(0, 0), (0, 0)]:
        return image
    return np.pad(image, [(0, 0), *missing], constant_values=np.nan)


class Batches:
    """An epoch of batches: crops on the device, turned and damaged there.

    Each batch is a pair: the arguments of the network, and the target.

    Parameters
    ----------
    dataset : TrainingImages
        Where the crops are from.
    batch_size : int
        Crops of a batch.
    source : BatchSource
        What happens to a crop before the network sees it.
    training : bool, default=True
        If not, every epoch is the same.
    """

    def __init__(self, dataset, batch_size, source, training=True):
        self.dataset, self.batch_size = dataset, batch_size
        self.source, self.training = source, training

    def __len__(self):
        return -(-self.dataset.n_patches // self.batch_size)

    def __iter__(self):
        batches = self._prepare()
        for batch, place in one_ahead(batches) if self.source.ahead else batches:
            if self.training:
                self.source.place = place
            yield batch
            if self.training and self.source.schedule.is_over:
                return

    def _prepare(self):
        """Yield batches, each with the place from which to go on after it."""
        rng = self.source.rng if self.training else np.random.default_rng(0)
        generator = torch.Generator(self.source.device)
        order, begin, n_done = self._start(rng, generator)
        n_together = self._n_together
        for start in range(begin, len(order), n_together):
            place = {"order": torch.from_numpy(order), "begin": start}
            place |= {"rng": rng.bit_generator.state, "draws": generator.get_state()}
            positions = order[start : start + n_together]
            views = self.source.damage(self.dataset, positions, rng, generator)
            for k in range(-(-len(positions) // self.batch_size)):
                batch = slice(k * self.batch_size, (k + 1) * self.batch_size)
                strictness = self.source.schedule.strictness if self.training else 1.0
                lesson = self.source.lesson(views, batch, generator, strictness)
                if k < n_done:
                    continue
                yield lesson, {**place, "n_done": k + 1}
            n_done = 0

    @property
    def _n_together(self):
        """Crops that are damaged at once: whole batches."""
        most = self.source.room // math.prod(self.dataset.patch_size)
        most = most if self.source.is_cuda else min(most, TOGETHER)
        return self.batch_size * max(1, most // self.batch_size)

    def _start(self, rng, generator):
        """Order of the crops, where in it to begin, and batches not to take again."""
        place = self.source.take_place() if self.training else None
        if place is None:
            generator.manual_seed(int(rng.integers(2**63)))
            return self.dataset.order(rng), 0, 0
        rng.bit_generator.state = place["rng"]
        generator.set_state(place["draws"])
        return place["order"].numpy(), place["begin"], place["n_done"]


class BatchSource:
    """Send crops to the device, change and damage them, and make a lesson of them.

    Parameters
    ----------
    network : module
        Knows what it needs to learn.
    degrade : callable or None
        (images, generator) -> damaged images, if there is no target.
    device : str
        Where to.
    seed : int
        Of all that is drawn here.
    augmentations : sequence of callables
        What changes the crops first: (tensors, generator) -> new tensors.
    ahead : bool, default=False
        Whether to prepare a batch in the background while another is learned from.

    Attributes
    ----------
    stage : str
        What the network learns.
    schedule : Schedule
        Says when the time is over.
    place : dict
        Where the last batch was in its epoch, and all generators with it.
    """

    def __init__(self, network, degrade, device, seed, augmentations=(), ahead=False):
        self.network, self.degrade, self.device = network, degrade, device
        self.rng, self.ahead = np.random.default_rng(seed), ahead
        self.augmentations = augmentations
        self.is_cuda = torch.device(device).type == "cuda"
        self.room = room_for_damage(device) if self.is_cuda else MOST_PIXELS

    def begin(self, stage, schedule):
        """Serve another stage."""
        self.stage, self.schedule = stage, schedule
        self.place = self._resumed = None

    def resume(self, place):
        """Go on after the batch of this place, with the next epoch that is begun."""
        self._resumed = place

    def take_place(self):
        """Where to go on, once."""
        place, self._resumed = self._resumed, None
        return place

    @torch.no_grad()
    def damage(self, dataset, positions, rng, generator):
        """Damaged and clean images of crops and of the pictures that they are from.

        A crop and the picture that it is cut from are changed alike, and meet the same
        damage: they are damaged as one image, side by side.
        """
        if not dataset.with_pictures:
            views = [dataset.crops(positions, rng)]
        elif self.stage in self.network.global_stages:
            views = [dataset.parts(positions, rng)]
        else:
            views = [dataset.crops(positions, rng), dataset.pictures(positions)]
        before = generator.get_state()
        views = [self._augment(view, generator.set_state(before)) for view in views]
        damaged, targets = [view[0] for view in views], [view[-1] for view in views]
        if self.degrade is not None:
            damaged = damage_alike(self.degrade, damaged, generator)
        return damaged, targets

    @torch.no_grad()
    def lesson(self, views, batch, generator, strictness):
        """The arguments of the network, and the target, of some of these images."""
        damaged, targets = ([images[batch] for images in view] for view in views)
        crops = channels_last(damaged[0]), channels_last(targets[0])
        pictures = damaged[-1], targets[-1]
        rest = pictures, generator, strictness
        return self.network.lesson(self.stage, *crops, *rest)

    def _augment(self, arrays, generator):
        tensors = [to_device(images, self.device) for images in arrays]
        for augment in self.augmentations:
            tensors = augment(tensors, generator)
        return tensors


def one_ahead(items):
    """Yield what an iterator gives, whose next item is made in the background."""
    nothing = object()
    with ThreadPoolExecutor(1) as background:
        upcoming = background.submit(next, items, nothing)
        while (item := upcoming.result()) is not nothing:
            upcoming = background.submit(next, items, nothing)
            yield item


def room_for_damage(device):
    """Pixels of crops that CUDA damages at once: each launch costs, however small."""
    most, bytes_of_pixel = ON_CUDA
    return min(most, torch.cuda.mem_get_info(device)[0] // bytes_of_pixel)


def damage_alike(degrade, views, generator):
    """Damage several views (n, C, H, W) of the same pictures as if they were one."""
    if len(views) == 1:
        return [degrade(views[0], generator)]
    margin = (0, MARGIN, 0, 0)
    apart = [F.pad(view, margin, mode="replicate") for view in views[:-1]]
    damaged, start = degrade(torch.cat([*apart, views[-1]], dim=3), generator), 0
    parts = []
    for view in views:
        parts.append(damaged[..., start : start + view.shape[3]])
        start += view.shape[3] + MARGIN
    return parts


def channels_last(images):
    """The same images in the layout in memory that convolutions are fastest with."""
    return images.contiguous(memory_format=torch.channels_last)


def to_device(images, device):
    """An array as a tensor on the device; a tensor is there already."""
    if isinstance(images, torch.Tensor):
        return images
    return torch.from_numpy(images).to(device, non_blocking=True)
