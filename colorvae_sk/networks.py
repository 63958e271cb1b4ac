"""The networks: blocks first, then the dense, the conv and the ladder VAE.

Every network is called in the same way and answers with the same tuple::

    restored, log_sigma, latent_cost = network(damaged, target=None, noise=None)

``damaged`` and ``target`` are float tensors (n, C, H, W), NaN where a pixel is
missing. ``restored`` and ``log_sigma`` have the shape of ``damaged``;
``latent_cost`` is (n, n_units), the Kullback-Leibler divergence of each unit (channel)
of the latent layers, in nats per image. What is given decides which way down is taken:

========  =====  ============================================================
target    noise  the latent variables are
========  =====  ============================================================
None      None   at their mean: the restoration itself
None      given  drawn without the target: a plausible restoration
given     given  drawn from the posterior that sees the target: for training
given     None   at the mean of that posterior: the code of the target
========  =====  ============================================================

Beside that a network tells what is needed to train and use it:

- ``stages``: its groups of parameters, learned one after the other;
  ``stage_of(name)``: the group of a parameter; ``lesson(stage, ...)``: what the
  arguments of the network, and what its answer is compared with, to learn a stage
  from crops (damaged, target) and from copies of the pictures that they are cut from,
  shrunk to their size; ``global_stages``: those that only look at the copies;
- ``units``: how many units each latent layer has;
- ``fixed_size``: the one (H, W) that it takes, or None where any will do;
  ``multiple``: a tile of a larger image starts at a multiple of this, in pixels;
  ``overlap``: how many pixels tiles must share; ``dtype``: what it computes in when
  it restores;
- ``draw_noise(n, size, generator)``, ``encode(images)`` to codes (n, n_codes), and
  ``decode(codes, size)``.
"""

import math
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

LOG_SIGMA_RANGE = (-7.0, 2.0)  # standard deviations from 0.001 to 7.4
THUMBNAIL = 48  # pixels; the colours are judged from this much of a picture
N_QUANTILES = 17  # of each channel of it
COARSE = (4, 4)  # cells in which colours are compared: noise and blur are none
N_PIECES = 8  # of each tone curve
MISSED_SCALE = 10.0  # brings the errors of a restoration to the size of features
CURVE_STEP = 0.1  # all pixels hang on the curves: they learn in smaller steps


# ------------------------------------------------------------------ blocks
def fill_missing(images, value=0.5):
    """Images without NaN, and where they were observed (1) or missing (0)."""
    observed = images.isfinite()
    return torch.where(observed, images, value), observed.to(images.dtype)


def fill_from_around(images, observed, n_scales):
    """Fill holes with the mean of what is observed near by, and else with 0.5.

    Means over 2 x 2, 4 x 4, ... pixels, `n_scales` times doubled, fill what the finer
    ones leave open [1]_; sides are multiples of the largest.

    References
    ----------
    .. [1] S. J. Gortler, R. Grzeszczuk, R. Szeliski, M. F. Cohen: The Lumigraph,
       SIGGRAPH 1996: pull and push.
    """
    known, weight = [images * observed], [observed]
    for _ in range(n_scales):
        known.append(F.avg_pool2d(known[-1], 2))
        weight.append(F.avg_pool2d(weight[-1], 2))
    filled = torch.full_like(known[-1], 0.5)
    for i in reversed(range(n_scales + 1)):
        if i < n_scales:
            filled = F.interpolate(filled, scale_factor=2, mode="bilinear")
        means = known[i] / weight[i].clamp_min(1e-6)
        filled = torch.where(weight[i] > 0, means, filled)
    return filled


def may_miss(images):
    """Whether a value may be missing; asked of the CPU only, as a GPU would wait."""
    return images.device.type != "cpu" or not bool(images.sum().isfinite())


def at_least_float32(tensor):
    """Half precision made single: a divergence would be lost in its rounding."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def standard_kl(mu, log_sigma):
    """KL(N(mu, sigma) || N(0, 1)) in nats: (n, n_units, ...) -> (n, n_units)."""
    kl = 0.5 * (mu.square() + torch.exp(2 * log_sigma) - 1) - log_sigma
    return kl.flatten(2).sum(2) if kl.ndim > 2 else kl


def draw(mu, log_sigma, noise):
    """A draw from N(mu, sigma), or its mean where there is no noise."""
    return mu if noise is None else mu + torch.exp(log_sigma) * noise


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each pixel: no statistics over an image."""

    def forward(self, features):
        channels_last = features.permute(0, 2, 3, 1)
        return super().forward(channels_last).permute(0, 3, 1, 2)


class Gate(torch.autograd.Function):
    """The product of the two halves of the channels.

    The gradient is written in place: autograd would concatenate its halves, which
    costs a tenth of a training step.
    """

    @staticmethod
    def forward(ctx, features):
        ctx.save_for_backward(features)
        first, second = features.chunk(2, dim=1)
        return first * second

    @staticmethod
    def backward(ctx, gradient):
        (features,) = ctx.saved_tensors
        first, second = features.chunk(2, dim=1)
        both = torch.empty_like(features)
        to_first, to_second = both.chunk(2, dim=1)
        torch.mul(gradient, second, out=to_first)
        torch.mul(gradient, first, out=to_second)
        return both


gate = Gate.apply


def mix_channels(features, weight, bias):
    """A 1x1 convolution.

    On one thread torch computes it in a plain loop, unless told to use oneDNN, which
    takes a fifth of the time.
    """
    if features.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
        is_float32 = features.dtype == weight.dtype == torch.float32
        if is_float32 and torch.backends.mkldnn.is_available():
            sides = (0, 0), (1, 1), (1, 1)
            return torch.mkldnn_convolution(features, weight, bias, *sides, 1)
    return F.conv2d(features, weight, bias)


class PointwiseConv(nn.Conv2d):
    """A convolution that looks at each pixel alone."""

    def __init__(self, n_inputs, n_outputs, bias=True):
        super().__init__(n_inputs, n_outputs, 1, bias=bias)

    def forward(self, features):
        return mix_channels(features, self.weight, self.bias)


class ScaledConv(PointwiseConv):
    """A 1x1 convolution whose output is scaled by a small learned factor."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)
        self.scale = nn.Parameter(torch.empty(n_outputs))

    def forward(self, features):
        weight = self.weight * self.scale[:, None, None, None]
        return mix_channels(features, weight, self.bias * self.scale)


class GatedBlock(nn.Module):
    """Two gated residual branches: one looks around, one mixes channels.

    References
    ----------
    L. Chen, X. Chu, X. Zhang, J. Sun: Simple Baselines for Image Restoration
    (NAFNet), ECCV 2022; here without statistics over the image.
    """

    def __init__(self, width):
        super().__init__()
        self.look = nn.Sequential(
            ChannelNorm(width),
            PointwiseConv(width, 2 * width),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width),
        )
        self.look_out = ScaledConv(width, width)
        self.mix = nn.Sequential(ChannelNorm(width), PointwiseConv(width, 2 * width))
        self.mix_out = ScaledConv(width, width)

    def forward(self, features):
        features = features + self.look_out(gate(self.look(features)))
        return features + self.mix_out(gate(self.mix(features)))


def stack(width, n_blocks):
    """Gated blocks, one after the other."""
    return nn.Sequential(*(GatedBlock(width) for _ in range(n_blocks)))


def stacks(widths, n_blocks):
    """A stack for each scale, finest first."""
    return nn.ModuleList(map(stack, widths, n_blocks))


class Pyramid(nn.Module):
    """Features of an image at scales 1/2, 1/4, 1/8, ..., finest first."""

    def __init__(self, n_inputs, widths, n_blocks):
        super().__init__()
        self.stem = nn.Conv2d(4 * n_inputs, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.Conv2d(above, below, 2, stride=2) for above, below in pairwise(widths)
        )
        self.blocks = stacks(widths, n_blocks)

    def forward(self, images):
        scales = [self.blocks[0](self.stem(F.pixel_unshuffle(images, 2)))]
        for down, blocks in zip(self.down, self.blocks[1:], strict=True):
            scales.append(blocks(down(scales[-1])))
        return scales


def starting_at(factor, layer):
    """The layer, marked to start at this multiple of the usual (see `initialise`)."""
    layer.start = factor
    return layer


def initialise(network, generator):
    """Give every parameter its first value, drawn from `generator` alone.

    Weights are uniform with variance 1 / (3 fan-in), torch's own rule, times what is
    marked by `starting_at`; biases are zero.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_uniform_(module.weight, math.sqrt(5), generator=generator)
            module.weight.data *= getattr(module, "start", 1.0)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, ScaledConv):
            nn.init.constant_(module.scale, 0.2)
        if isinstance(module, ChannelNorm):
            module.reset_parameters()
    return network


def pad_to_multiple(images, multiple):
    """Mirror the right and the lower edge until both sides are multiples."""
    height, width = images.shape[-2:]
    right, below = -width % multiple, -height % multiple
    if not right and not below:
        return images
    mode = "reflect" if right < width and below < height else "replicate"
    return F.pad(images, (0, right, 0, below), mode=mode)


# ------------------------------------------------------------ latent layers
class LatentLayer(nn.Module):
    """A centred Gaussian latent of each place: what the context leaves open.

    The latent is z = sigma(d) * u with the code u ~ N(0, 1), so that its prior is
    N(0, sigma(d)); the posterior of u sees the evidence too. As the prior's mean is
    zero, d stays as it is on the mean way.
    """

    def __init__(self, width, n_evidence, n_latent):
        super().__init__()
        self.n_latent = n_latent
        self.log_sigma = starting_at(0.0, PointwiseConv(width, n_latent))
        self.posterior = nn.Sequential(
            PointwiseConv(width + n_evidence, 2 * width),
            nn.GELU(),
            starting_at(0.0, PointwiseConv(2 * width, 2 * n_latent)),
        )
        # At full size the noise would drown the features that are there already.
        self.project = starting_at(0.5, PointwiseConv(n_latent, width, bias=False))

    def forward(self, above, evidence=None, noise=None):
        """Give the features with the latent added, the code u and its cost."""
        code, cost = noise, above.new_zeros((len(above), self.n_latent))
        if evidence is not None:
            both = torch.cat([above, evidence], dim=1)
            posterior = at_least_float32(self.posterior(both)).clamp(-8, 8)
            mu, log_sigma = posterior.chunk(2, dim=1)
            code, cost = draw(mu, log_sigma, noise), standard_kl(mu, log_sigma)
        if code is None:
            return above, code, cost
        latent = torch.exp(self.log_sigma(above).clamp(-8, 4)) * code
        return above + self.project(latent), code, cost


def draw_codes(n, shapes, generator):
    """Standard normal codes of these shapes for n images, on the generator's device."""
    device = generator.device
    return [
        torch.randn((n, *shape), generator=generator, device=device) for shape in shapes
    ]


class SigmaHead(nn.Module):
    """The log standard deviation of what is left; it never moves what it reads."""

    def __init__(self, width, n_context, n_outputs):
        super().__init__()
        self.wide = PointwiseConv(width, 2 * width)
        self.context = nn.Linear(n_context, 2 * width)
        self.head = starting_at(0.0, PointwiseConv(width, n_outputs))

    def forward(self, features, context):
        features = self.wide(features.detach())
        features = gate(features + self.context(context.detach())[..., None, None])
        return (self.head(features) - 3).clamp(*LOG_SIGMA_RANGE)


# ------------------------------------------------------------------ colour
def block_means(images, size):
    """The mean of what was observed in each cell of a grid; NaN where nothing was.

    (n, C, H, W) with NaN -> (n, C, *size).
    """
    if not may_miss(images):
        return F.adaptive_avg_pool2d(images, size)
    filled, observed = fill_missing(images, 0.0)
    share = F.adaptive_avg_pool2d(observed, size)
    return F.adaptive_avg_pool2d(filled, size) / share


@torch.no_grad()
def summarise_colours(images):
    """What the colours of whole pictures are judged by: (n, C, H, W) -> (n, 18 C).

    Of each channel, 17 quantiles of a thumbnail of 48 x 48 pixels, brought to [-1, 1],
    and the share of the thumbnail that was observed.
    """
    cells = sort(block_means(images, THUMBNAIL).flatten(2))
    n_observed = cells.isfinite().sum(2, keepdim=True)
    levels = torch.linspace(0, 1, N_QUANTILES, dtype=cells.dtype, device=cells.device)
    place = levels * (n_observed - 1).clamp_min(0)
    below, above = (
        cells.gather(2, index.long()) for index in (place.floor(), place.ceil())
    )
    quantiles = 2 * torch.lerp(below, above, place.frac()) - 1
    share = n_observed / cells.shape[2]
    return torch.cat([quantiles.nan_to_num(0.0).flatten(1), share.flatten(1)], dim=1)


def sort(values):
    """Sort along the last axis, NaN last."""
    if values.device.type == "cpu":  # where numpy is twenty times as fast as torch
        return torch.from_numpy(np.sort(values.numpy()))
    return values.sort().values


class ColourStage(nn.Module):
    """Judge the colours of a whole picture; curves and a mixing set them right.

    The colours of the damaged picture (`summarise_colours`) and one centred latent
    vector give, for each channel, a monotone curve of eight straight pieces over
    [0, 1], continued straight beyond, and a C x C mixing of the channels.
    """

    def __init__(self, n_channels, n_features, n_latent):
        super().__init__()
        self.n_channels = n_channels
        n_seen = n_channels * (N_QUANTILES + 1)
        self.context = perceptron(n_seen, 2 * n_features, n_features)
        self.evidence = perceptron(2 * n_seen, 2 * n_features, n_features)
        self.latent = LatentLayer(n_features, n_features, n_latent)
        n_outputs = n_channels * (1 + N_PIECES + n_channels)
        self.curves = perceptron(n_features, 2 * n_features, n_outputs)
        starting_at(0.0, self.curves[-1])

    def forward(self, seen, target_seen=None, noise=None):
        """Summaries of the colours -> (offsets, slopes, mixing), features, code, cost.

        The target's summary, if given, is what the posterior sees beside.
        """
        with torch.autocast(seen.device.type, enabled=False):  # colours must be exact
            evidence = None
            if target_seen is not None:
                evidence = self.evidence(torch.cat([seen, target_seen], dim=1))
                evidence = evidence[..., None, None]
            context = self.context(seen)[..., None, None]
            features, code, cost = self.latent(context, evidence, noise)
            features = features.flatten(1)
            curves = CURVE_STEP * self.curves(features)
        curves = curves.unflatten(1, (self.n_channels, -1))
        offsets, slopes, mixing = curves.split([1, N_PIECES, self.n_channels], dim=2)
        identity = torch.eye(self.n_channels, dtype=mixing.dtype, device=mixing.device)
        return (offsets, torch.exp(slopes), mixing + identity), features, code, cost


def perceptron(n_inputs, n_hidden, n_outputs):
    """Two fully connected layers."""
    return nn.Sequential(
        nn.Linear(n_inputs, n_hidden), nn.GELU(), nn.Linear(n_hidden, n_outputs)
    )


def apply_curves(images, curves):
    """Send each channel through its curve, then mix the channels.

    y' = offset + sum_k slope_k * clamp(y - k / 8, 0, 1 / 8), the first and the
    last piece continued straight; x = M y'.
    """
    offsets, slopes, mixing = curves
    curved = offsets[..., None]
    for k in range(N_PIECES):
        low = 0.0 if k > 0 else -math.inf
        high = 1 / N_PIECES if k < N_PIECES - 1 else math.inf
        piece = (images - k / N_PIECES).clamp(low, high)
        curved = curved + slopes[:, :, k, None, None] * piece
    return torch.einsum("ndc,nchw->ndhw", mixing, curved)


# ------------------------------------------------------------------ networks
class LadderVAE(nn.Module):
    """A conditional hierarchical VAE, fully convolutional: the default for images.

    The global colours are judged and set right first (`ColourStage`), for which whole
    pictures are learned from, shrunk to the size of the crops. Holes are filled from
    around them, and else with 0.5. A context encoder turns the result into features at
    scales 1/2, 1/4, ...; then, top down, at each scale: features, a centred latent,
    gated blocks. The head gives what is to be added to the filled image. The posterior
    of the latents sees what the restoration without latents misses of the target.

    Parameters
    ----------
    n_channels : int
        Channels of the images.
    widths : tuple of int
        Features at scales 1/2, 1/4, ...
    n_blocks : int or tuple of ints
        Gated blocks of each scale, on the way up and again on the way down.
    n_latent : int
        Latent channels of each scale; the colour latent has twice as many.
    """

    stages = ("colours", "restoration", "latents")
    global_stages = ("colours",)
    fixed_size = None
    dtype = torch.float32

    def __init__(self, n_channels, widths=(48, 96, 128), n_blocks=2, n_latent=4):
        super().__init__()
        self.n_channels, self.widths = n_channels, widths
        if isinstance(n_blocks, int):
            n_blocks = (n_blocks,) * len(widths)
        self.n_blocks, self.n_latent = n_blocks, n_latent
        n_features = 64
        self.colour = ColourStage(n_channels, n_features, 2 * n_latent)
        self.context = Pyramid(2 * n_channels, widths, n_blocks)
        one_each, half = (1,) * len(widths), [width // 2 for width in widths]
        self.evidence = Pyramid(4 * n_channels, half, one_each)
        self.latents = nn.ModuleList(LatentLayer(w, w // 2, n_latent) for w in widths)
        self.blocks = stacks(widths, n_blocks)
        self.up = nn.ModuleList(
            nn.Sequential(PointwiseConv(below, 4 * above), nn.PixelShuffle(2))
            for above, below in pairwise(widths)
        )
        self.head = starting_at(0.0, nn.Conv2d(widths[0], 4 * n_channels, 3, padding=1))
        self.sigma = SigmaHead(widths[0], n_features, 4 * n_channels)

    @staticmethod
    def stage_of(name):
        """The stage in which the parameter of this name is learned."""
        if "latent" in name or "evidence" in name:
            return "latents"
        return "colours" if name.startswith("colour.") else "restoration"

    def lesson(self, stage, damaged, target, pictures, generator):
        """See the module; the colours are learned from the pictures alone."""
        seen = summarise_colours(pictures[0])
        if stage == "colours":
            damaged, target = (block_means(images, COARSE) for images in pictures)
            return {"damaged": damaged, "seen": seen, "only_colours": True}, target
        given = {"damaged": damaged, "seen": seen}
        if stage == "latents":
            noise = self.draw_noise(len(damaged), damaged.shape[-2:], generator)
            target_seen = summarise_colours(pictures[1])
            given |= {"target": target, "noise": noise, "target_seen": target_seen}
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

    def _ways_down(self, damaged, target=None, noise=None, seen=None, target_seen=None):
        height, width = damaged.shape[-2:]
        seen = summarise_colours(damaged) if seen is None else seen
        if target is not None and target_seen is None:
            target_seen = summarise_colours(target)
        noise = [None] * (1 + len(self.widths)) if noise is None else noise
        curves, colours, code, cost = self.colour(seen, target_seen, noise[0])
        codes, costs = [code], [cost]

        filled, observed = fill_missing(pad_to_multiple(damaged, self.multiple))
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
        log_sigma = F.pixel_shuffle(self.sigma(features, colours), 2)
        restored = restored[..., :height, :width]
        return restored, log_sigma[..., :height, :width], codes, costs

    @torch.no_grad()
    def _missed(self, damaged, target, seen):
        """What the restoration misses of the target, zero where that is not known."""
        missed = MISSED_SCALE * (target - self._ways_down(damaged, seen=seen)[0])
        return fill_missing(pad_to_multiple(missed, self.multiple), 0.0)

    @property
    def units(self):
        """The colours' first, then from coarse to fine."""
        return (2 * self.n_latent, *(self.n_latent for _ in self.widths))

    @property
    def overlap(self):
        """Twice what a pixel reaches, in pixels, as a multiple."""
        stem_and_head, alignment = 4, 2 ** len(self.widths) - 1
        blocks = sum(4 * n * 2**i for i, n in enumerate(self.n_blocks))
        reach = stem_and_head + blocks + alignment
        return -(-2 * reach // self.multiple) * self.multiple

    @property
    def multiple(self):
        """Sides are padded to multiples of this, in pixels."""
        return 2 ** len(self.widths)

    def noise_shapes(self, size):
        """Shapes of the codes of one image of this size, the colours' first."""
        height, width = (-(-side // self.multiple) for side in size)
        shapes = [(2 * self.n_latent, 1, 1)]
        for i in range(len(self.widths)):
            shapes.append((self.n_latent, height * 2**i, width * 2**i))
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
        nothing = torch.full_like(images, math.nan)
        codes = self._ways_down(nothing, target=images)[2]
        return torch.cat([code.flatten(1) for code in codes], dim=1)

    def decode(self, codes, size):
        """Images of this size from their codes alone."""
        shapes = self.noise_shapes(size)
        parts = codes.split([math.prod(shape) for shape in shapes], dim=1)
        noise = [
            part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True)
        ]
        nothing = codes.new_full((len(codes), self.n_channels, *size), math.nan)
        return self(nothing, noise=noise)[0]


class _BottleneckVAE(nn.Module):
    """A classical VAE: q(z | y) of one vector per image, p(x | z), z ~ N(0, I).

    A subclass builds `encoder`, (n, 2 C, H, W) -> (n, 2 n_latent), `decoder`, from
    latents to features, and the heads `mean` and `sigma`, from features to images.
    """

    stages = ("all",)
    global_stages = ()
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
    def stage_of(name):
        """All is learned together."""
        return "all"

    def lesson(self, stage, damaged, target, pictures, generator):
        """See the module; all is learned on the posterior way."""
        noise = self.draw_noise(len(damaged), damaged.shape[-2:], generator)
        return {"damaged": damaged, "target": target, "noise": noise}, target

    def forward(self, damaged, target=None, noise=None):
        """See the module; the target is not looked at, as q sees y alone."""
        mu, log_sigma = self._posterior(damaged)
        noise = None if noise is None else noise[0]
        restored, residual_log_sigma = self._likelihood(draw(mu, log_sigma, noise))
        return restored, residual_log_sigma, standard_kl(mu, log_sigma)

    def _posterior(self, images):
        observed = torch.cat(fill_missing(images), dim=1)
        posterior = at_least_float32(self.encoder(observed)).clamp(-16, 16)
        return posterior.chunk(2, dim=1)

    def _likelihood(self, latents):
        features = self.decoder(latents)
        log_sigma = self.sigma(features.detach()) - 3
        return self.mean(features), log_sigma.clamp(*LOG_SIGMA_RANGE)

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
        return self._likelihood(codes)[0]


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
            nn.Flatten(), *dense(2 * n_values, 128, 64, 32), nn.Linear(32, 2 * n_latent)
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

    def _likelihood(self, latents):
        height, width = self.fixed_size
        both = super()._likelihood(latents)
        return tuple(part[..., :height, :width] for part in both)
