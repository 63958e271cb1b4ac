"""The networks: the ladder, the dense and the conv VAE.

Every network is called in the same way and answers with the same tuple::

    restored, log_sigma, latent_cost = network(damaged, target=None, noise=None)

``damaged`` and ``target`` are float tensors (n, C, H, W), NaN where a pixel is
missing. ``restored`` and ``log_sigma`` have the shape of ``damaged``;
``latent_cost`` is (n, n_units), the Kullback-Leibler divergence of each unit (channel)
of the latent layers, in nats per image. With ``with_sigma=False`` time is saved and
``log_sigma`` is zero. What is given decides which way down is taken:

========  =====  ============================================================
target    noise  the latent variables are
========  =====  ============================================================
None      None   at their mean: the restoration itself
None      given  drawn without the target: a plausible restoration
given     given  drawn from the posterior that sees the target: for training
given     None   at the mean of that posterior: the code of the target
========  =====  ============================================================

Beside that a network tells what is needed to train and use it:

- ``stages``: what it learns, one after the other;
  ``stages_of(name)``: those that learn a parameter; ``lesson(stage, ...)``: what the
  arguments of the network, and what its answer is compared with, to learn a stage
  from crops (damaged, target) and from tiles of the pictures that they are cut from,
  as large together, as strictly (0 to 1) as it is to be judged;
  ``global_stages``: those that only look at the tiles; ``exact_stages``: those in
  which half precision would be seen, as the smallest residuals matter;
- ``units``: how many units each latent layer has;
- ``fixed_size``: the one (H, W) that it takes, or None where any will do;
  ``multiple``: a tile of a larger image starts at a multiple of this, in pixels;
  ``overlap``: how many pixels tiles must share; ``dtype``: what it computes in when
  it restores;
- ``draw_noise(n, size, generator)``, ``encode(images)`` to codes (n, n_codes), and
  ``decode(codes, size)``.
"""

import math
from functools import partial
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from ._blocks import (
    LOG_SIGMA_RANGE,
    GatedBlock,
    LatentLayer,
    Pyramid,
    SigmaHead,
    at_ends,
    at_least_float32,
    draw,
    draw_codes,
    fill_from_around,
    fill_missing,
    may_miss,
    pad_to_multiple,
    stacks,
    standard_kl,
    starting_at,
)
from ._colour_stage import ColourStage, apply_curves, miscoloured
from ._critic import PatchCritic
from ._layers import Conv, PointwiseConv
from ._quantised import QuantisedLayer
from ._summary import N_TEXTURE, block_means, summarise_colours

COARSE = (4, 4)  # cells in which colours are compared: noise and blur are none
LOCAL = 0.04  # so large an error of the colours may be one of a place: clipped noise
MISSED_SCALE = 10.0  # brings the errors of a restoration to the size of features


class LadderVAE(nn.Module):
    """A conditional hierarchical VAE, fully convolutional: the default for images.

    The global colours are judged and set right first (`ColourStage`), for which tiles
    from all over the pictures are learned from. Holes are filled from around them, and
    else with 0.5. A context encoder turns the result into features at scales 1/2, 1/4,
    ...; then, top down, at each scale: features, a centred latent, gated blocks. The
    head gives what is to be added to the filled image. The posterior of the latents
    sees what the restoration without latents misses of the target.

    Parameters
    ----------
    n_channels : int
        Channels of the images.
    widths : tuple of int
        Features at scales 1/2, 1/4, ...
    n_blocks : int, tuple of ints or two such tuples
        Gated blocks of each scale, on the way up and again on the way down; of two
        tuples each way has its own.
    n_latent : int
        Latent channels of each scale; the colour latent has twice as many.
    latent_layer : callable
        Makes a latent layer from widths of features and evidence, and its channels.
    """

    stages = ("colours", "restoration", "error bars", "latents")
    global_stages = ("colours",)
    exact_stages = ("error bars",)
    fixed_size = None
    dtype = torch.float32

    def __init__(
        self,
        n_channels,
        widths=(48, 96, 128),
        n_blocks=2,
        n_latent=4,
        latent_layer=LatentLayer,
    ):
        super().__init__()
        self.n_channels, self.widths = n_channels, widths
        self.n_blocks = both_ways(n_blocks, len(widths))
        n_up, n_down = self.n_blocks
        n_features = 64
        self.colour = ColourStage(n_channels, n_features, 2 * n_latent, latent_layer)
        self.context = Pyramid(2 * n_channels, widths, n_up)
        one_each, half = (1,) * len(widths), [width // 2 for width in widths]
        self.evidence = Pyramid(4 * n_channels, half, one_each)
        self.latents = nn.ModuleList(latent_layer(w, w // 2, n_latent) for w in widths)
        self.blocks = stacks(widths, n_down, finest_rounds=False)
        self.up = nn.ModuleList(
            nn.Sequential(PointwiseConv(below, 4 * above), nn.PixelShuffle(2))
            for above, below in pairwise(widths)
        )
        self.head = starting_at(0.0, Conv(widths[0], 4 * n_channels, 3, padding=1))
        n_about = n_features + n_channels * N_TEXTURE
        self.sigma = SigmaHead(widths[0], 8 * n_channels, n_about, 4 * n_channels)

    @staticmethod
    def stages_of(name):
        """The stages in which the parameter of this name is learned."""
        if "latent" in name or "evidence" in name:
            return ("latents",)
        first = name.partition(".")[0]
        if first == "sigma":  # last by what the colours leave wrong too
            return ("restoration", "error bars")
        return ("colours",) if first == "colour" else ("restoration",)

    def lesson(self, stage, damaged, target, pictures, generator, strictness=1.0):
        """See the module.

        The colours are learned from the pictures alone. The restoration is not asked
        for what they leave wrong, as that can't be known from a crop; strictly, it is
        for errors so small that they may come from the crop.
        """
        seen = summarise_colours(pictures[0])
        if stage == "colours":
            damaged, target = (block_means(images, COARSE) for images in pictures)
            return {"damaged": damaged, "seen": seen, "only_colours": True}, target
        given = {"damaged": damaged, "seen": seen}
        if stage == "restoration":
            with torch.no_grad():
                curves = self.colour(seen)[0]
            trusted = LOCAL * strictness
            target = miscoloured(target, curves, pictures, trusted)
        if stage == "latents":
            noise = self.draw_noise(len(damaged), damaged.shape[-2:], generator)
            target_seen = summarise_colours(pictures[1])
            given |= {"target": target, "noise": noise, "target_seen": target_seen}
            given["with_sigma"] = False
        return given, target

    def forward(self, damaged, target=None, noise=None, only_colours=False, **context):
        """See the module.

        `context` is what `summarise_colours` says of the pictures that the images are
        parts of: `seen` of the damaged ones, and `target_seen`; the images are whole by
        default. With `only_colours` nothing but these are restored.
        """
        if only_colours:
            return self._restore_colours(damaged, **context)
        ways = self._ways_down(damaged, target, noise, **context)
        restored, log_sigma, _, costs = ways
        return restored, log_sigma, torch.cat(costs, dim=1)

    def _restore_colours(self, damaged, seen):
        filled, observed = fill_missing(damaged)
        curves = self.colour(seen)[0]
        restored = torch.where(observed > 0, apply_curves(filled, curves), 0.5)
        cost = restored.new_zeros((len(restored), sum(self.units)))
        return restored, torch.zeros_like(restored), cost

    def _ways_down(
        self,
        damaged,
        target=None,
        noise=None,
        seen=None,
        target_seen=None,
        with_sigma=True,
    ):
        height, width = damaged.shape[-2:]
        seen = summarise_colours(damaged) if seen is None else seen
        if target is not None and target_seen is None:
            target_seen = summarise_colours(target)
        noise = [None] * (1 + len(self.widths)) if noise is None else noise
        curves, colours, code, cost = self.colour(seen, target_seen, noise[0])
        codes, costs = [code], [cost]

        padded = pad_to_multiple(damaged, self.multiple)
        filled, observed = fill_missing(padded)
        filled = apply_curves(filled, curves)
        if may_miss(damaged):
            filled = fill_from_around(filled, observed, len(self.widths))
        evidence = [None] * len(self.widths)
        if target is not None:
            missed = self._missed(damaged, target, seen)
            evidence = self.evidence(torch.cat([*missed, filled, observed], dim=1))
        context = self.context(torch.cat([filled, observed], dim=1))
        features = 0.0
        for i in reversed(range(len(self.widths))):
            features, code, cost = self.latents[i](
                features + context[i], evidence[i], noise[-1 - i]
            )
            codes.append(code)
            costs.append(cost)
            features = self.blocks[i](features)
            if i > 0:
                features = self.up[i - 1](features)
        restored = filled + F.pixel_shuffle(self.head(features), 2)
        log_sigma = torch.zeros_like(restored)
        if with_sigma:
            marks = F.pixel_unshuffle(torch.cat([observed, at_ends(padded)], 1), 2)
            log_sigma = self.sigma(features, marks, self.about(seen, colours))
            log_sigma = F.pixel_shuffle(log_sigma, 2)
        sides = slice(height), slice(width)
        return restored[..., *sides], log_sigma[..., *sides], codes, costs

    def about(self, seen, colours):
        """What the error bars are told of whole pictures: (n, n_about)."""
        texture = seen[:, -self.n_channels * N_TEXTURE :]
        return torch.cat([colours, texture], dim=1)

    @torch.no_grad()
    def _missed(self, damaged, target, seen):
        """What the restoration misses of the target, zero where that is not known."""
        restored = self._ways_down(damaged, seen=seen, with_sigma=False)[0]
        missed = MISSED_SCALE * (target - restored)
        return fill_missing(pad_to_multiple(missed, self.multiple), 0.0)

    @property
    def units(self):
        """The colours' first, then from coarse to fine."""
        return tuple(layer.n_units for layer in self.latent_layers)

    @property
    def latent_layers(self):
        """In the order of their units."""
        return [self.colour.latent, *reversed(self.latents)]

    @property
    def overlap(self):
        """Twice what a pixel reaches, in pixels, as a multiple."""
        stem_and_head, alignment = 4, 2 ** len(self.widths) - 1
        blocks = sum(2 * n * 2**i for way in self.n_blocks for i, n in enumerate(way))
        reach = stem_and_head + blocks + alignment
        return -(-2 * reach // self.multiple) * self.multiple

    @property
    def multiple(self):
        """Sides are padded to multiples of this, in pixels."""
        return 2 ** len(self.widths)

    def noise_shapes(self, size):
        """Shapes of the codes of one image of this size, the colours' first."""
        height, width = (-(-side // self.multiple) for side in size)
        colours, *others = self.units
        shapes = [(colours, 1, 1)]
        for i, n_units in enumerate(others):
            shapes.append((n_units, height * 2**i, width * 2**i))
        return shapes

    def draw_noise(self, n, size, generator):
        """Standard normal codes for n images: a list, the colours' first."""
        return draw_codes(n, self.noise_shapes(size), generator)

    def noise_of_tile(self, noise, rows, columns):
        """The part of an image's codes that belongs to a tile (two slices)."""
        if noise is None:
            return None
        step = self.multiple
        parts = [noise[0]]
        for i, part in enumerate(noise[1:]):
            area = (
                slice(side.start // step * 2**i, -(-side.stop // step) * 2**i)
                for side in (rows, columns)
            )
            parts.append(part[..., *area])
        return parts

    def encode(self, images):
        """The code of each image, to be read where nothing else is known of it."""
        return in_a_row(self._codes(images))

    def _codes(self, images):
        """What the latent layers say of images where nothing else is known of them."""
        nothing = torch.full_like(images, math.nan)
        return self._ways_down(nothing, target=images)[2]

    def decode(self, codes, size):
        """Images of this size from their codes alone."""
        shapes = self.noise_shapes(size)
        parts = codes.split([math.prod(shape) for shape in shapes], dim=1)
        noise = [
            part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True)
        ]
        nothing = self.head.weight.new_full(
            (len(codes), self.n_channels, *size), math.nan
        )
        return self(nothing, noise=noise)[0]


class QuantisedLadderVAE(LadderVAE):
    """The ladder with quantised latent layers, that of the colours too.

    So the indices of the code vectors say all: an image has no other code.

    Parameters
    ----------
    n_channels, widths, n_blocks, n_latent
        As for `LadderVAE`; the length of the code vectors is `n_latent`, of the
        colours' twice that.
    n_embeddings : int
        Code vectors of each latent layer.
    """

    def __init__(self, *args, n_embeddings=64, **kwargs):
        layer = partial(QuantisedLayer, n_embeddings=n_embeddings)
        super().__init__(*args, latent_layer=layer, **kwargs)

    def encode(self, images):
        """The code of each image, as standard normal numbers."""
        return in_a_row([code.as_normal() for code in self._codes(images)])

    def encode_indices(self, images):
        """The same code as integers (n, n_codes), which `decode` takes too."""
        return in_a_row([code.indices for code in self._codes(images)])


def both_ways(n_blocks, n_scales):
    """How many blocks each scale has on the way up, and on the way down."""
    if isinstance(n_blocks, int):
        n_blocks = (n_blocks,) * n_scales
    return n_blocks if isinstance(n_blocks[0], tuple) else (n_blocks, n_blocks)


def in_a_row(parts):
    """Codes (n, n_units, ...) of several layers as (n, n_codes)."""
    return torch.cat([part.flatten(1) for part in parts], dim=1)


class AdversarialLadderVAE(LadderVAE):
    """The ladder with a critic beside it, which is needed to learn alone.

    No stage learns the critic: it learns against one (see `_adversary`).

    Parameters
    ----------
    n_channels, widths, n_blocks, n_latent
        As for `LadderVAE`.
    critic_width : int
        Features of the first layer of the critic.
    """

    def __init__(self, *args, critic_width=32, **kwargs):
        super().__init__(*args, **kwargs)
        self.critic = PatchCritic(2 * self.n_channels, critic_width)

    @staticmethod
    def stages_of(name):
        """The stages in which the parameter of this name is learned."""
        return () if name.startswith("critic.") else LadderVAE.stages_of(name)

    @staticmethod
    def view(images, mean, log_sigma, target):
        """What the critic sees of images: the restoration, and how they differ from it.

        The difference is counted in standard deviations, so that damage of any strength
        looks alike, and large ones by their logarithm; zero where the target is not
        known.
        """
        difference = (images - mean) * torch.exp(-log_sigma)
        difference = torch.where(target.isfinite(), difference, 0.0)
        return torch.cat([mean, torch.asinh(difference)], dim=1)


class SpreadOut(nn.Module):
    """Let codes begin above their noise: those that don't are soon ignored for good.

    Means (the first half of the units) are multiplied by 10, and the logarithm of the
    standard deviation (the second) is lowered by 2.
    """

    def forward(self, posterior):
        mu, log_sigma = posterior.chunk(2, dim=1)
        return torch.cat([10 * mu, log_sigma - 2], dim=1)


class _BottleneckVAE(nn.Module):
    """A classical VAE: q(z | y) of one vector per image, p(x | z), z ~ N(0, I).

    A subclass builds `encoder`, (n, 2 C, H, W) -> (n, 2 n_latent), `decoder`, from
    latents to features, and the heads `mean` and `sigma`, from features to images.
    """

    stages = ("all",)
    global_stages = exact_stages = ()
    multiple = 1
    dtype = torch.float32

    def __init__(self, n_channels, fixed_size, n_latent):
        super().__init__()
        self.n_channels, self.n_latent = n_channels, n_latent
        self.fixed_size = tuple(fixed_size)

    @property
    def units(self):
        """All in one layer."""
        return (self.n_latent,)

    @property
    def overlap(self):
        """Tiles share half of themselves, and are blended."""
        return min(self.fixed_size) // 2

    @staticmethod
    def stages_of(name):
        """All is learned together."""
        return ("all",)

    def lesson(self, stage, damaged, target, pictures, generator, strictness=1.0):
        """See the module; all is learned on the posterior way."""
        noise = self.draw_noise(len(damaged), damaged.shape[-2:], generator)
        return {"damaged": damaged, "target": target, "noise": noise}, target

    def forward(self, damaged, target=None, noise=None, with_sigma=True):
        """See the module; the target is not looked at, as q sees y alone."""
        mu, log_sigma = self._posterior(damaged)
        noise = None if noise is None else noise[0]
        features = self.decoder(draw(mu, log_sigma, noise))
        restored, cost = self._cut(self.mean(features)), standard_kl(mu, log_sigma)
        if not with_sigma:
            return restored, torch.zeros_like(restored), cost
        residual_log_sigma = self._cut(self.sigma(features.detach())) - 3
        return restored, residual_log_sigma.clamp(*LOG_SIGMA_RANGE), cost

    def _posterior(self, images):
        observed = torch.cat(fill_missing(images), dim=1)
        posterior = at_least_float32(self.encoder(observed)).clamp(-16, 16)
        return posterior.chunk(2, dim=1)

    def noise_shapes(self, size):
        """Shape of the code of one image."""
        return [(self.n_latent,)]

    def draw_noise(self, n, size, generator):
        """Standard normal codes for n images: a list of one tensor."""
        return draw_codes(n, self.noise_shapes(size), generator)

    def noise_of_tile(self, noise, rows, columns):
        """Every tile of an image draws alike."""
        return noise

    def encode(self, images):
        """The mean of q(z | y) of each image."""
        return self._posterior(images)[0]

    def decode(self, codes, size=None):
        """Images from their codes; `size` is the network's own."""
        return self._cut(self.mean(self.decoder(codes)))

    def _cut(self, images):
        """Cut off what the sides were filled up with."""
        height, width = self.fixed_size
        return images[..., :height, :width]


class DenseVAE(_BottleneckVAE):
    """The reference network of the literature, for rows and small images.

    Fully connected: encoder 128-64-32, Gaussian latent, decoder 64-128-256. It
    restores in float64, as in float32 an image would depend on its batch's size.
    """

    dtype = torch.float64

    def __init__(self, n_channels, fixed_size, n_latent=8):
        super().__init__(n_channels, fixed_size, n_latent)
        shape = (n_channels, *self.fixed_size)
        n_values = math.prod(shape)
        self.encoder = nn.Sequential(
            nn.Flatten(),
            *dense(2 * n_values, 128, 64, 32),
            nn.Linear(32, 2 * n_latent),
            SpreadOut(),
        )
        self.decoder = nn.Sequential(*dense(n_latent, 64, 128, 256))
        self.mean, self.sigma = (
            nn.Sequential(layer, nn.Unflatten(1, shape))
            for layer in (
                nn.Linear(256, n_values),
                starting_at(0.0, nn.Linear(256, n_values)),
            )
        )


def dense(*widths):
    """Fully connected layers with rectifiers between and after them."""
    for n_inputs, n_outputs in pairwise(widths):
        yield from (nn.Linear(n_inputs, n_outputs), nn.ReLU())


class ConvVAE(_BottleneckVAE):
    """A convolutional bottleneck: strided down to one latent vector, and back up."""

    def __init__(self, n_channels, fixed_size, widths=(32, 64, 128), n_latent=128):
        super().__init__(n_channels, fixed_size, n_latent)
        self.granularity = 2 ** len(widths)
        coarse = [-(-side // self.granularity) for side in self.fixed_size]
        n_coarse = widths[-1] * math.prod(coarse)
        self.encoder = nn.Sequential(
            *self._down(2 * n_channels, *widths),
            nn.Flatten(),
            nn.Linear(n_coarse, 2 * n_latent),
            SpreadOut(),
        )
        self.decoder = nn.Sequential(
            nn.Linear(n_latent, n_coarse),
            nn.Unflatten(1, (widths[-1], *coarse)),
            *self._up(*reversed(widths), widths[0]),
        )
        self.mean = nn.Conv2d(widths[0], n_channels, 3, padding=1)
        self.sigma = starting_at(0.0, PointwiseConv(widths[0], n_channels))

    @staticmethod
    def _down(*widths):
        for n_inputs, n_outputs in pairwise(widths):
            yield nn.Conv2d(n_inputs, n_outputs, 4, stride=2, padding=1)
            yield from (nn.GELU(), GatedBlock(n_outputs))

    @staticmethod
    def _up(*widths):
        for n_inputs, n_outputs in pairwise(widths):
            yield GatedBlock(n_inputs)
            yield nn.ConvTranspose2d(n_inputs, n_outputs, 4, stride=2, padding=1)
            yield nn.GELU()

    def _posterior(self, images):
        return super()._posterior(pad_to_multiple(images, self.granularity))
