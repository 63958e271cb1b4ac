"""What sets the colours of whole pictures right: curves and a mixing."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from ._blocks import LatentLayer, starting_at
from ._layers import Linear
from ._summary import N_SEEN, block_means

CELLS = (8, 8)  # in which what the colours leave wrong is judged
N_PIECES = 8  # of each tone curve
N_HIDDEN, N_RESIDUAL = 192, 2  # width and depth of what judges them
CAUTION = 0.5  # cells' worth of belief that there is no such error
STEEPEST = 3.0  # logarithm of a slope: no picture has more to it than 20 times
CURVE_STEP = 0.1  # all pixels hang on the curves: they learn in smaller steps


class ColourStage(nn.Module):
    """Judge the colours of a whole picture; curves and a mixing set them right.

    The colours of the damaged picture (`summarise_colours`) and one centred latent
    vector give, for each channel, a monotone curve of eight straight pieces over
    [0, 1], continued straight beyond, and a C x C mixing of the channels.
    `latent_layer` makes the layer of that vector.
    """

    def __init__(self, n_channels, n_features, n_latent, latent_layer=LatentLayer):
        super().__init__()
        self.n_channels = n_channels
        n_seen = n_channels * N_SEEN
        self.context = perceptron(n_seen, n_features)
        self.evidence = perceptron(2 * n_seen, n_features)
        self.latent = latent_layer(n_features, n_features, n_latent)
        n_outputs = n_channels * (1 + N_PIECES + n_channels)
        self.curves = perceptron(n_features, n_outputs)
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
        slopes = torch.exp(slopes.clamp(-STEEPEST, STEEPEST))
        return (offsets, slopes, mixing + identity), features, code, cost


class Residual(nn.Module):
    """A fully connected layer that adds to what it gets."""

    def __init__(self, width):
        super().__init__()
        self.layer = Linear(width, width)

    def forward(self, x):
        return x + F.gelu(self.layer(x))


def perceptron(n_inputs, n_outputs):
    """Fully connected layers, those in the middle residual."""
    return nn.Sequential(
        Linear(n_inputs, N_HIDDEN),
        nn.GELU(),
        *(Residual(N_HIDDEN) for _ in range(N_RESIDUAL)),
        Linear(N_HIDDEN, n_outputs),
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
        curved = torch.addcmul(curved, slopes[:, :, k, None, None], piece)
    return torch.einsum("ndc,nchw->ndhw", mixing, curved)


def miscoloured(target, curves, pictures, trusted=0.0):
    """The target (n, C, H, W) with the colours that the curves leave wrong.

    Damaged pictures, sent through the curves, are compared with the clean ones in a few
    cells: the affine map of colours between them, by least squares with a ridge, is
    what is done to the target, less an error of the size `trusted` (root mean square).
    Noise and blur are averaged out in the cells.
    """
    damaged, clean = (block_means(images, CELLS) for images in pictures)
    seen, true = (
        cells.flatten(2).transpose(1, 2)  # (n, n_cells, C)
        for cells in (apply_curves(damaged, curves), clean)
    )
    known = (seen + true).isfinite().all(2, keepdim=True)
    error, true = (torch.where(known, x, 0.0) for x in (seen - true, true))
    colours = torch.cat([true, known.to(true.dtype)], dim=2)
    ridge = CAUTION * torch.eye(colours.shape[2], device=colours.device)
    correlation = colours.transpose(1, 2) @ colours + ridge
    map_ = torch.linalg.solve_ex(correlation, colours.transpose(1, 2) @ error).result
    size = (colours @ map_).square().mean((1, 2)).sqrt()[:, None, None]
    map_ = map_ * (1 - trusted / size.clamp_min(max(trusted, 1e-6)))
    gain, offset = map_[:, :-1], map_[:, -1, :, None, None]
    return target + torch.einsum("ndc,ndhw->nchw", gain, target) + offset
