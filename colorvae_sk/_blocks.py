"""What networks are made of: missing values, gated blocks and latent layers."""

import math
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from ._layers import ChannelNorm, Conv, Linear, PointwiseConv, ScaledConv

LOG_SIGMA_RANGE = (-7.0, 2.0)  # standard deviations from 0.001 to 7.4
LOG_HALF = math.log(0.5)  # values on [0, 1] spread no more
FEATURE_SCALE = 16.0  # brings the features that images are made of to about 1
STRIP = 2**21  # bytes of the widest features of rows, n + 1 times on n threads


# ------------------------------------------------------------ missing values
def fill_missing(images, value=0.5):
    """Images without NaN, and where they were observed (1) or missing (0)."""
    observed = images.isfinite()
    return torch.where(observed, images, value), observed.to(images.dtype)


def at_ends(images):
    """Where values are at an end of [0, 1], to which they may have been clipped: 1."""
    return ((images == 0) | (images == 1)).to(images.dtype)


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
            filled = double_size(filled)
        means = known[i] / weight[i].clamp_min(1e-6)
        filled = torch.where(weight[i] > 0, means, filled)
    return filled


def double_size(images):
    """Images of twice the height and width, bilinear.

    On a CPU torch's own differs in the last bit, by the number of threads.
    """
    if images.device.type != "cpu":
        return F.interpolate(images, scale_factor=2, mode="bilinear")
    for axis in (2, 3):
        n = images.shape[axis]
        first, last = images.narrow(axis, 0, 1), images.narrow(axis, n - 1, 1)
        before = torch.cat([first, images.narrow(axis, 0, n - 1)], axis)
        after = torch.cat([images.narrow(axis, 1, n - 1), last], axis)
        pairs = [0.75 * images + 0.25 * other for other in (before, after)]
        images = torch.stack(pairs, axis + 1).flatten(axis, axis + 1)
    return images


def may_miss(images):
    """Whether a value may be missing; asked of the CPU only, as a GPU would wait."""
    return images.device.type != "cpu" or not bool(images.sum().isfinite())


# ------------------------------------------------------------------ blocks
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


def gate(features):
    """The product of the two halves of the channels."""
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        return Gate.apply(features)
    first, second = features.chunk(2, dim=1)  # a compiler knows how to write in place
    return first * second


class GatedBlock(nn.Module):
    """Two gated residual branches: one looks around, one mixes channels.

    References
    ----------
    L. Chen, X. Chu, X. Zhang, J. Sun: Simple Baselines for Image Restoration
    (NAFNet), ECCV 2022; here without statistics over the image.
    """

    def __init__(self, width, may_round=False):
        super().__init__()
        self.look = nn.Sequential(
            ChannelNorm(width, may_round),
            PointwiseConv(width, 2 * width),
            Conv(2 * width, 2 * width, 3, padding=1, groups=2 * width),
        )
        self.look_out = ScaledConv(width, width)
        self.mix = nn.Sequential(
            ChannelNorm(width, may_round), PointwiseConv(width, 2 * width)
        )
        self.mix_out = ScaledConv(width, width)

    def forward(self, features, area=None, out=None):
        """Give the features of an area (two slices), of all by default.

        They are written to `out`; where there is none and no gradient is asked for,
        they may be written over those that came.
        """
        rows, columns = area or map(slice, (0, 0), features.shape[-2:])
        strips = strips_of(features, rows)
        if area is None and (torch.is_grad_enabled() or len(strips) == 1):
            return self._mixed(features, self.look_out(gate(self.look(features))))
        out = features[..., rows, columns] if out is None else out
        place, ready = slice(0, 0), out[..., :0, :]
        for strip in strips:
            part = self._strip(features, strip)[..., columns]
            out[..., place, :] = ready  # its last row was still looked at
            place = slice(strip.start - rows.start, strip.stop - rows.start)
            ready = part
        out[..., place, :] = ready
        return out

    def _strip(self, features, rows):
        """These rows of the result, from themselves and their neighbours.

        Rows lie in a piece in memory, where columns would have to be copied.
        """
        above = max(rows.start - 1, 0)
        seen = gate(self.look(features[..., above : rows.stop + 1, :]))
        seen = seen[..., rows.start - above : rows.stop - above, :]
        return self._mixed(features[..., rows, :], self.look_out(seen))

    def _mixed(self, features, branch):
        """The features with the first branch, and then the second, added."""
        features = branch.to(features.dtype).add_(features)
        branch = self.mix_out(gate(self.mix(features)))
        return branch.to(features.dtype).add_(features)


def strips_of(features, rows):
    """Slices of these rows, on a CPU so few that what a block computes is cached.

    The system would be asked for the memory of whole features again for each layer.
    """
    if features.device.type != "cpu" or torch.compiler.is_compiling():
        return [rows]
    bytes_of_row = 2 * features[..., :1, :].numel() * features.element_size()
    n_rows = max(8, STRIP * (1 + torch.get_num_threads()) // bytes_of_row)
    tops = range(rows.start, rows.stop, n_rows)
    return [slice(top, min(top + n_rows, rows.stop)) for top in tops]


def stacks(widths, n_blocks, finest_rounds=True):
    """Gated blocks of each scale, finest first, and whether these may round too."""
    return nn.ModuleList(
        nn.Sequential(*(GatedBlock(w, finest_rounds or i > 0) for _ in range(n)))
        for i, (w, n) in enumerate(zip(widths, n_blocks, strict=True))
    )


class Pyramid(nn.Module):
    """Features of an image at scales 1/2, 1/4, 1/8, ..., finest first."""

    def __init__(self, n_inputs, widths, n_blocks):
        super().__init__()
        self.stem = Conv(4 * n_inputs, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            Conv(above, below, 2, stride=2) for above, below in pairwise(widths)
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
        if hasattr(module, "reset_buffers"):
            module.reset_buffers()
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
        self.n_units = n_latent
        self.log_sigma = starting_at(0.0, PointwiseConv(width, n_latent))
        self.posterior = pointwise_net(width + n_evidence, 2 * width, 2 * n_latent)
        starting_at(0.0, self.posterior[-1])
        # At full size the noise would drown the features that are there already.
        self.project = starting_at(0.5, PointwiseConv(n_latent, width, bias=False))

    def forward(self, above, evidence=None, noise=None):
        """Give the features with the latent added, the code u and its cost."""
        code, cost = noise, above.new_zeros((len(above), self.n_units))
        if evidence is not None:
            both = torch.cat([above, evidence], dim=1)
            posterior = at_least_float32(self.posterior(both)).clamp(-8, 8)
            mu, log_sigma = posterior.chunk(2, dim=1)
            code, cost = draw(mu, log_sigma, noise), standard_kl(mu, log_sigma)
        if code is None:
            return above, code, cost
        return self.add(above, code), code, cost

    def add(self, above, code):
        """The features with the latent of this code added."""
        latent = torch.exp(self.log_sigma(above).clamp(-8, 4)) * code
        return above + self.project(latent)


def pointwise_net(n_inputs, n_hidden, n_outputs):
    """Two layers that look at each pixel alone."""
    return nn.Sequential(
        PointwiseConv(n_inputs, n_hidden),
        nn.GELU(),
        PointwiseConv(n_hidden, n_outputs),
    )


def draw_codes(n, shapes, generator):
    """Standard normal codes of these shapes for n images, on the generator's device."""
    device = generator.device
    return [
        torch.randn((n, *shape), generator=generator, device=device) for shape in shapes
    ]


class SigmaHead(nn.Module):
    """The log standard deviation of what is left of images, at most half their range.

    It sees features of each pixel and `n_marks` marks: which values were observed, and
    which may have been clipped; and `n_context` numbers about the whole picture. It
    never moves what it reads. Rare features are not to carry it away: what it makes of
    them is bounded.
    """

    def __init__(self, width, n_marks, n_context, n_outputs):
        super().__init__()
        self.n_marks = n_marks
        self.context = nn.Sequential(
            Linear(n_context, 2 * width), nn.GELU(), Linear(2 * width, 4 * width)
        )
        self.bounded = PointwiseConv(width + n_marks, 2 * width)
        self.wide = PointwiseConv(2 * width, 2 * width)
        self.head = starting_at(0.0, PointwiseConv(width, n_outputs))

    def forward(self, features, marks, context):
        shifts = self.context(context.detach())[..., None, None].chunk(2, dim=1)
        strips = strips_of(features, slice(0, features.shape[2]))
        if torch.is_grad_enabled() or len(strips) == 1:
            return self._log_sigma(features, marks, shifts)
        parts = [
            self._log_sigma(features[:, :, rows], marks[:, :, rows], shifts)
            for rows in strips
        ]
        return torch.cat(parts, dim=2)

    def _log_sigma(self, features, marks, shifts):
        seen = torch.cat([FEATURE_SCALE * features.detach(), marks], dim=1)
        features = F.softsign(self.bounded(seen).add_(shifts[0]))
        features = gate(self.wide(features).add_(shifts[1]))
        return (self.head(features) - 3).clamp(LOG_SIGMA_RANGE[0], LOG_HALF)
