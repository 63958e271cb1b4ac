"""How far samples are spread: as far as the truth is from the restoration."""

from itertools import islice

import torch
from scipy.optimize import brentq
from skorch.callbacks import Callback

from ._distortions import masked

N_CROPS = 64  # that the spread is measured on
WIDEST = 2.0  # at most so far from what was learned, as a logarithm
PRECISION = 0.02  # of the scale's logarithm


class Spreading(Callback):
    """Scale the latents, once they are learned: samples spread as the truth does.

    A sample of the true posterior is as far from its mean as the truth is: the mean
    squared errors are equal, and the sample's PSNR is 3 dB below that of the mean [1]_.
    So the standard deviations of the prior are multiplied by one number at all scales.
    Neither the mean way nor the cost of a code depends on it. It comes after the
    average of the weights and always looks at the same crops, so that a fit that goes
    on after an interruption ends in the same.

    References
    ----------
    .. [1] Y. Blau, T. Michaeli: The Perception-Distortion Tradeoff, CVPR 2018.
    """

    def on_train_end(self, net, X, **kwargs):
        network = net.module_.eval()
        batches = Batch.some_of(net, X)
        biases = [layer.log_sigma.bias for layer in network.latents]
        learned = [bias.detach().clone() for bias in biases]

        def scale_by(shift):
            for bias, before in zip(biases, learned, strict=True):
                bias.copy_(before + shift)

        def too_wide(shift):
            scale_by(shift)
            sums = torch.stack([batch.spreads(network) for batch in batches]).sum(0)
            ours, theirs = net.team.mean(sums.double()).clamp_min(1e-12).log()
            return (ours - theirs).item()

        with torch.no_grad():
            scale_by(root_of(too_wide, -WIDEST, WIDEST))


class Batch:
    """What a network is given to draw samples of some crops, and their truth."""

    @torch.no_grad()
    def __init__(self, network, given, target):
        self.given = {name: given[name] for name in ("damaged", "seen", "noise")}
        self.given["with_sigma"] = False
        self.restored = network(**self.given | {"noise": None})[0]
        self.target, self.observed = target, target.isfinite()

    @classmethod
    def some_of(cls, net, dataset):
        """The first batches of an epoch that is the same at any time."""
        batches = net.get_iterator(dataset, training=False)
        n_batches = -(-N_CROPS // net.batch_size)
        return [cls(net.module_, *each) for each in islice(batches, n_batches)]

    def spreads(self, network):
        """Summed squared distances from the restoration: of samples, of the truth."""
        views = network(**self.given)[0], self.target
        return torch.stack([self._distance(view) for view in views])

    def _distance(self, images):
        return masked(images - self.restored, self.observed).square().sum()


def root_of(function, low, high):
    """Where a rising function is zero between two ends, or the end that is nearer."""
    if function(low) >= 0:
        return low
    return high if function(high) <= 0 else brentq(function, low, high, xtol=PRECISION)
