"""What training minimises: distortion, the price of information, and error bars.

A missing value (NaN) in the target drops out of every sum, and an image whose
target is all missing out of every mean.
"""

import math
from statistics import NormalDist

import torch
from torch import nn

from ._distortions import LOSSES, masked

COVERAGE = 0.9  # of the intervals that the error bars are fitted by
REACH = NormalDist().inv_cdf((1 + COVERAGE) / 2)  # half their width, in sigmas
SMALLEST = 1e-6  # residual that is told from none
LENIENT, STRICT = 1e-2, 1e-5  # tolerances, mean squared errors: of 20 and of 50 dB


def gaussian_nll(restored, log_sigma, target):
    """Negative log likelihood N(target; restored, sigma), in nats per value."""
    observed = target.isfinite()
    residual = (restored - masked(target, observed)) * torch.exp(-log_sigma)
    nll = log_sigma + 0.5 * residual.square() + 0.5 * math.log(2 * math.pi)
    n_values = observed.flatten(1).sum(1).clamp_min(1)
    return masked(nll, observed).flatten(1).sum(1) / n_values


def interval_error(restored, log_sigma, target, level=COVERAGE):
    """How badly intervals of 90 % fit the target, per value.

    The quantile loss [1]_ of log |residual| at a level, for which log(1.645 sigma) is
    the guess. At 0.9 it is least where 90 % of the values are within 1.645 sigma of
    what was restored, as those of a Gaussian are; unlike its likelihood, it is not
    ruled by the few largest residuals.

    References
    ----------
    .. [1] R. Koenker, G. Bassett: Regression Quantiles, Econometrica 46 (1978).
    """
    observed = target.isfinite()
    residual = (restored - masked(target, observed)).abs().clamp_min(SMALLEST)
    excess = torch.log(residual / REACH) - log_sigma
    error = torch.maximum(level * excess, (level - 1) * excess)
    n_values = observed.flatten(1).sum(1).clamp_min(1)
    return masked(error, observed).flatten(1).sum(1) / n_values


def per_layer(latent_cost, units):
    """The sum over the units of each latent layer: (n, n_units) -> (n, n_layers)."""
    if units is None:
        return latent_cost
    layers = latent_cost.split(list(units), dim=1)
    return torch.stack([layer.sum(1) for layer in layers], dim=1)


class NegativeELBO(nn.Module):
    """The objective of every network: distortion + beta * KL + error bars.

    The distortion is 0.5 * log(mean squared error + tolerance) of each image: the
    Gaussian negative log likelihood per value at its best variance [1]_, up to a
    constant, and the PSNR itself up to a factor; `loss` names others. Below the
    tolerance little is gained: else images that are hardly damaged, which any change
    makes worse, would keep a network that has just begun from changing any. The
    Kullback-Leibler divergence is divided by the number of values of the image. The
    error bars are fitted by their intervals (`interval_error`); the restoration is
    held fixed for it.

    Parameters
    ----------
    beta : float
        Price of information [2]_; 1 gives the evidence lower bound.
    free_bits : float
        Nats per value, in each latent layer, that cost nothing [3]_.
    units : sequence of ints or None
        How many units each latent layer has. None: one.
    with_error_bars : bool
        Whether to fit the error bars.
    tolerance : float
        Mean squared error below which little is gained.
    loss : str
        The distortion, one of `LOSSES`.

    Attributes
    ----------
    warmup : float
        Factor on beta, which a training schedule may raise from 0 to 1.
    leniency : float
        Factor on the tolerance, which a training schedule may lower to 1; to judge by,
        in ``eval`` mode, it is none.

    References
    ----------
    .. [1] O. Rybkin, K. Daniilidis, S. Levine: Simple and Effective VAE Training with
       Calibrated Decoders, ICML 2021.
    .. [2] I. Higgins et al.: beta-VAE, ICLR 2017.
    .. [3] D. P. Kingma et al.: Improving Variational Inference with Inverse
       Autoregressive Flow, NeurIPS 2016.
    """

    def __init__(
        self,
        beta=1.0,
        free_bits=0.0,
        units=None,
        with_error_bars=True,
        tolerance=STRICT,
        loss="gaussian",
    ):
        super().__init__()
        self.beta, self.free_bits, self.units = beta, free_bits, units
        self.with_error_bars, self.tolerance = with_error_bars, tolerance
        self.loss, self.warmup, self.leniency = loss, 1.0, 1.0

    def forward(self, prediction, target):
        restored, log_sigma, latent_cost = prediction
        n_values = target.isfinite().flatten(1).sum(1).to(restored.dtype)
        tolerance = self.tolerance * (self.leniency if self.training else 1)
        distortion = LOSSES[self.loss](restored, target, tolerance)
        cost = per_layer(latent_cost, self.units)
        information = cost / n_values.clamp_min(1)[:, None]
        price = (information - self.free_bits).clamp_min(0).sum(1)
        loss = distortion + self.beta * self.warmup * price
        if self.with_error_bars:
            loss = loss + interval_error(restored.detach(), log_sigma, target)
        counts = (n_values > 0).to(loss.dtype)
        return (loss * counts).sum() / counts.sum().clamp_min(1)
