"""Send a large image through the ladder tile by tile, and compute nothing twice.

A layer that looks around itself can't finish what lies at the rim of a tile before the
next tile has come. So its results lag behind its input: by one pixel of its own scale,
to the right and below, for a 3x3 convolution. What it needs of the tiles before, a few
rows across the image and a few columns of a tile, is kept (`Window`), and so are the
features that a later layer needs again. The answer is that of the whole image, at its
price [1]_.

References
----------
.. [1] M. Alwani, H. Chen, M. Ferdman, P. Milder: Fused-Layer CNN Accelerators,
   MICRO 2016.
"""

from typing import NamedTuple

import torch
from torch.nn import functional as F

from ._blocks import at_ends, fill_from_around, fill_missing, pad_to_multiple
from ._colour_stage import apply_curves

AXES = (2, 3)  # of tensors (n, C, H, W)


def cut_side(length, tile, least, multiple):
    """Where the tiles of a side begin and end: at multiples.

    All have one length, which is at least `least` and at most `tile` if that is more;
    only the last may be shorter, or longer by one multiple: it must have enough pixels
    to mirror.

    Examples
    --------
    >>> cut_side(45, tile=16, least=8, multiple=4)
    [0, 16, 32, 48]
    >>> cut_side(38, tile=16, least=8, multiple=4)
    [0, 16, 32, 40]
    >>> cut_side(36, tile=16, least=16, multiple=4)
    [0, 16, 36]
    >>> cut_side(10, tile=16, least=8, multiple=4)
    [0, 12]
    """
    n_units = -(-length // multiple)
    n_tiles = -(-n_units // max(1, tile // multiple))
    step = max(-(-n_units // n_tiles), -(-least // multiple))
    inner = range(0, max(1, n_units - 1), step)
    return [multiple * k for k in (*inner, n_units)]


class Tile(NamedTuple):
    """One of the tiles of an image: its number along each axis, and all cuts."""

    numbers: dict
    cuts: dict

    def span(self, axis, lag=0):
        """Where it begins and ends for a layer that lags behind, in pixels."""
        k, cuts = self.numbers[axis], self.cuts[axis]
        start, stop = cuts[k], cuts[k + 1]
        start -= 0 if self.is_first(axis) else lag
        return start, stop if self.is_last(axis) else stop - lag

    def is_first(self, axis):
        """Whether the image begins with it."""
        return self.numbers[axis] == 0

    def is_last(self, axis):
        """Whether the image ends with it."""
        return self.numbers[axis] == len(self.cuts[axis]) - 2

    def inner(self, block, before, after):
        """The area of a block less some pixels at sides that others lie beyond."""
        starts = (0 if self.is_first(axis) else before for axis in AXES)
        lost = (0 if self.is_last(axis) else after for axis in AXES)
        stops = (side - n for side, n in zip(block.shape[2:], lost, strict=True))
        return tuple(map(slice, starts, stops))


class Window:
    """The last rows and columns of a feature map that comes block by block.

    Blocks follow each other along the axis `inner`, then along `outer`. Each begins at
    `start` of the inner side, which has this `length`.
    """

    def __init__(self, kept, outer, inner):
        self.kept, self.outer, self.inner = kept, outer, inner
        self.above = self.left = None

    def extend(self, block, tile, start, length):
        """A block with what came before it."""
        whole, body = self.room(block, tile)
        body.copy_(block)
        self.complete(whole, body, tile, start, length)
        return whole

    def delay(self, block, tile, start, length):
        """The same less what is kept of it: all comes later by so many pixels."""
        ended = tile.inner(block, 0, self.kept)
        early, body = self.room(block[..., *ended], tile)
        body.copy_(block[..., : body.shape[2], : body.shape[3]])
        self._put_before(early, tile, start)
        self._keep(block, tile, start, length)
        return early

    def room(self, block, tile):
        """A new tensor for such a block and what comes before it; the block's place."""
        before = self._before(tile)
        sizes = {axis: block.shape[axis] + n for axis, n in before.items()}
        whole = empty_like(block, sizes)
        return whole, whole[..., before[2] :, before[3] :]

    def complete(self, whole, body, tile, start, length):
        """Put what came before it into a room with a block."""
        self._put_before(whole, tile, start)
        self._keep(body, tile, start, length)

    def _before(self, tile):
        """How much came before a block along each axis."""
        return {axis: 0 if tile.is_first(axis) else self.kept for axis in AXES}

    def _put_before(self, whole, tile, start):
        """Put what came before a block around its place."""
        before = self._before(tile)
        above, left = before[self.outer], before[self.inner]
        n_new = whole.shape[self.inner] - left
        if above:
            rows = whole.narrow(self.outer, 0, above).narrow(self.inner, left, n_new)
            rows.copy_(self.above.narrow(self.inner, start, n_new))
        if left:
            columns = self.left.narrow(self.outer, 0, whole.shape[self.outer])
            whole.narrow(self.inner, 0, left).copy_(columns)

    def _keep(self, block, tile, start, length):
        """Keep the end of a block, for those beside and below it."""
        above, n_rows = self._before(tile)[self.outer], block.shape[self.outer]
        place = start, block.shape[self.inner]
        if not tile.is_last(self.inner):
            sizes = {self.outer: above + n_rows, self.inner: self.kept}
            self.left = reuse(self.left, block, sizes)
            old, new = self.left.split([above, n_rows], self.outer)
            new.copy_(self._end(block, self.inner))
            if above:
                rows = self.above.narrow(self.inner, *place)
                old.copy_(self._end(rows, self.inner))
        if not tile.is_last(self.outer):
            sizes = {self.outer: self.kept, self.inner: length}
            self.above = reuse(self.above, block, sizes)
            rows = self.above.narrow(self.inner, *place)
            rows.copy_(self._end(block, self.outer))

    def _end(self, block, axis):
        return block.narrow(axis, block.shape[axis] - self.kept, self.kept)


def reuse(tensor, block, sizes):
    """The tensor if it has the sizes that are asked for, else a new one."""
    fits = tensor is not None and all(tensor.shape[k] == n for k, n in sizes.items())
    return tensor if fits else empty_like(block, sizes)


def empty_like(block, sizes):
    """A new tensor like a block but for its size along some axes."""
    shape = [sizes.get(axis, size) for axis, size in enumerate(block.shape)]
    options = {"dtype": block.dtype, "device": block.device}
    return torch.empty(shape, memory_format=torch.channels_last, **options)


class Flow(NamedTuple):
    """A block of features, how far it lags behind and its scale, both in pixels."""

    block: torch.Tensor
    lag: int
    scale: int


class Stream:
    """Layers that are fed tile by tile, and their windows.

    Parameters
    ----------
    cuts : dict of lists of int
        Where tiles begin and end along each axis.
    outer, inner : int
        Tiles follow each other along `inner` first: the shorter side, as windows
        reach all along it.
    """

    def __init__(self, cuts, outer, inner):
        self.cuts, self.outer, self.inner = cuts, outer, inner
        self._windows = []

    def begin(self, tile):
        """Go through the layers again, with another tile."""
        self.tile, self._n_passed = tile, 0

    def layer(self, flow, function, halo=1):
        """Apply a layer that sees so many pixels, of its scale, around each."""
        whole = self._extend(flow, 2 * halo)
        block = function(whole)[..., *self.tile.inner(whole, halo, halo)]
        return Flow(block, flow.lag + halo * flow.scale, flow.scale)

    def blocks(self, flow, blocks):
        """Apply gated blocks, each of which sees one pixel around each.

        What a block makes is written where the next one reads it.
        """
        whole, (*others, last) = self._extend(flow, 2), blocks
        for block in others:
            area, flow = self._made(flow, whole)
            window = self._next_window(2)
            room, body = window.room(flow.block, self.tile)
            block(whole, area, body)
            window.complete(room, body, self.tile, *self._place(flow))
            whole = room
        area, flow = self._made(flow, whole)
        return flow._replace(block=last(whole, area, empty_like(flow.block, {})))

    def _made(self, flow, whole):
        """The area that a gated block can finish, and the flow of what was there."""
        area = self.tile.inner(whole, 1, 1)
        return area, Flow(whole[..., *area], flow.lag + flow.scale, flow.scale)

    def wait(self, flow, lag):
        """Hold features back until they lag so far behind."""
        n_late = (lag - flow.lag) // flow.scale
        if n_late == 0:
            return flow
        window = self._next_window(n_late)
        early = window.delay(flow.block, self.tile, *self._place(flow))
        return Flow(early, lag, flow.scale)

    def rescale(self, flow, function, factor):
        """Apply a layer that sees a pixel alone, and changes the scale."""
        scale = int(flow.scale * factor)
        flow = self.wait(flow, -(-flow.lag // scale) * scale)
        return Flow(function(flow.block), flow.lag, scale)

    def _extend(self, flow, kept):
        window = self._next_window(kept)
        return window.extend(flow.block, self.tile, *self._place(flow))

    def _next_window(self, kept):
        """The window of the next layer."""
        if self._n_passed == len(self._windows):
            self._windows.append(Window(kept, self.outer, self.inner))
        self._n_passed += 1
        return self._windows[self._n_passed - 1]

    def _place(self, flow):
        """Where a block starts on the inner side, and the length of that."""
        start = self.tile.span(self.inner, flow.lag)[0] // flow.scale
        return start, self.cuts[self.inner][-1] // flow.scale


class LadderStream:
    """A `LadderVAE` that restores an image tile by tile.

    Parameters
    ----------
    network : LadderVAE
        In evaluation mode.
    size : pair of ints
        Height and width of the image.
    tile : int
        Height and width of a tile, in pixels, at most.
    seen : tensor of shape (1, n_seen)
        What `summarise_colours` says of the whole image.
    noise : tensor or None
        The code of the colours, if latents are drawn.
    with_sigma : bool
        Whether the standard deviations are wanted too.
    """

    def __init__(self, network, size, tile, seen, noise=None, with_sigma=True):
        self.network, self.with_sigma = network, with_sigma
        least, multiple = least_tile(network), network.multiple
        self.size = dict(zip(AXES, size, strict=True))
        self.cuts = {
            axis: cut_side(side, tile, least, multiple)
            for axis, side in self.size.items()
        }
        self.inner, self.outer = sorted(AXES, key=self.size.get)
        self.stream = Stream(self.cuts, self.outer, self.inner)
        self.curves, colours, *_ = network.colour(seen, None, noise)
        self.about = network.about(seen, colours)

    def __iter__(self):
        """The tiles, in their order."""
        for m in range(len(self.cuts[self.outer]) - 1):
            for n in range(len(self.cuts[self.inner]) - 1):
                yield Tile({self.outer: m, self.inner: n}, self.cuts)

    def area(self, tile, lag=0):
        """Rows and columns of the image in a tile, for a layer that lags behind."""
        spans = ((axis, *tile.span(axis, lag)) for axis in AXES)
        return tuple(slice(a, min(b, self.size[axis])) for axis, a, b in spans)

    def feed(self, tile, damaged, noise=None):
        """Take a tile of the image, and restore what can be finished.

        Parameters
        ----------
        tile : Tile
            The next one.
        damaged : tensor of shape (1, C, h, w)
            What the image is there.
        noise : list of tensors or None
            Codes of the tile, from coarse to fine.

        Returns
        -------
        rows, columns : slices
            What is finished.
        restored : tensor of shape (1, C, h', w')
            As it is restored.
        log_sigma : tensor of the same shape, or None
            Its log standard deviations, if wanted.
        """
        stream, n_channels = self.stream, self.network.n_channels
        stream.begin(tile)
        known = stream.layer(self._known(damaged), self._fill, self.network.multiple)
        features = self._top_down(self._contexts(known), noise)
        residual = stream.layer(features, self.network.head)
        residual = stream.rescale(residual, shuffle, 0.5)
        if not self.with_sigma:
            known = known._replace(block=known.block[:, :n_channels])
        known = stream.wait(known, residual.lag).block
        rows, columns = self.area(tile, residual.lag)
        place = tuple(slice(side.stop - side.start) for side in (rows, columns))
        restored = residual.block[..., *place] + known[:, :n_channels, *place]
        if not self.with_sigma:
            return rows, columns, restored, None
        features = stream.wait(features, residual.lag).block
        marks = unshuffle(known[:, n_channels:])
        log_sigma = shuffle(self.network.sigma(features, marks, self.about))
        return rows, columns, restored, log_sigma[..., *place]

    def _known(self, damaged):
        """What is known of each value: what it is, and one or two marks."""
        padded = pad_to_multiple(damaged, self.network.multiple)
        filled, observed = fill_missing(padded)
        known = [apply_curves(filled, self.curves), observed]
        if self.with_sigma:
            known.append(at_ends(padded))
        return Flow(torch.cat(known, dim=1), 0, 1)

    def _fill(self, known):
        """Fill the holes from around them, if there are any."""
        filled, observed, *ends = known.split(self.network.n_channels, dim=1)
        if observed.device.type == "cpu" and bool(observed.all()):
            return known
        filled = fill_from_around(filled, observed, len(self.network.widths))
        return torch.cat([filled, observed, *ends], dim=1)

    def _contexts(self, known):
        """The features of the image at each scale, finest first."""
        stream, context = self.stream, self.network.context
        seen = known.block[:, : 2 * self.network.n_channels]
        flow = stream.rescale(known._replace(block=seen), unshuffle, 2)
        flow, contexts = stream.layer(flow, context.stem), []
        for i, blocks in enumerate(context.blocks):
            if i > 0:
                flow = stream.rescale(flow, context.down[i - 1], 2)
            flow = stream.blocks(flow, blocks)
            contexts.append(flow)
        return contexts

    def _top_down(self, contexts, noise):
        """The features that the image is restored from."""
        stream, network, flow = self.stream, self.network, None
        for i in reversed(range(len(contexts))):
            above = contexts[i]
            if flow is not None:
                above = stream.wait(above, flow.lag)
                above = above._replace(block=above.block.add_(flow.block))
            code = None
            if noise is not None:
                code = stream.wait(Flow(noise[-1 - i], 0, above.scale), above.lag).block
            block = network.latents[i](above.block, None, code)[0]
            flow = stream.blocks(above._replace(block=block), network.blocks[i])
            if i > 0:
                flow = stream.rescale(flow, network.up[i - 1], 0.5)
        return flow


def shuffle(features):
    """Four channels become one of twice the height and width."""
    return F.pixel_shuffle(features, 2)


def unshuffle(image):
    """Each channel becomes four of half the height and width."""
    return F.pixel_unshuffle(image, 2)


def least_tile(network):
    """The smallest tile of a ladder: it must hold all that its layers lag behind."""
    n_units = -(-network.overlap // (2 * network.multiple))
    return (n_units + 2) * network.multiple
