"""Quantised latents: at each place one of a few code vectors, and what it costs."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from ._blocks import LatentLayer, at_least_float32, pointwise_net
from ._layers import convolve

DECAY = 0.99  # share of its running mean that a code vector keeps in each step
RARE = 0.1  # of its fair share of places: a code that is chosen less often is dead
GOLDEN = 0.6180339887498949  # multiples of it, modulo 1, are spread evenly
NEVER_LESS = 1e-3  # probability that the prior spreads evenly over all codes
COMMITMENT = 0.25  # price of the distance to the code, in nats per squared unit


class Codebook(nn.Module):
    """Code vectors that follow what is encoded.

    Each is the running mean of the vectors that chose it [1]_; one that is hardly
    chosen any more begins anew at a vector of the batch [2]_. No random numbers are
    drawn, no optimiser has a part in it, and all of it is in the buffers.

    Parameters
    ----------
    n_embeddings : int
        How many code vectors.
    n_latent : int
        Their length.

    References
    ----------
    .. [1] A. van den Oord, O. Vinyals, K. Kavukcuoglu: Neural Discrete Representation
       Learning, NeurIPS 2017, appendix A.1.
    .. [2] P. Dhariwal et al.: Jukebox: A Generative Model for Music, 2020, section 3.
    """

    def __init__(self, n_embeddings, n_latent):
        super().__init__()
        self.register_buffer("shares", torch.empty(n_embeddings))
        self.register_buffer("sums", torch.empty(n_embeddings, n_latent))
        self.register_buffer("n_chosen", torch.empty(n_embeddings, dtype=torch.long))

    def reset_buffers(self):
        """Begin: no code is chosen by any vector."""
        for buffer in self.buffers():
            buffer.zero_()

    @property
    def vectors(self):
        """The code vectors (n_embeddings, n_latent)."""
        return self.sums / self.shares.clamp_min(1e-8)[:, None]

    def nearest(self, vectors):
        """Indices of the nearest codes: (n, n_latent, h, w) -> (n, h, w)."""
        codes = self.vectors
        kernel = -2 * codes[:, :, None, None]
        return convolve(vectors, kernel, codes.square().sum(1)).argmin(dim=1)

    @torch.no_grad()
    def follow(self, vectors, indices):
        """Take in vectors (n, n_latent, h, w) and the codes that they chose (n, h, w).

        If one is not finite, none is taken in.
        """
        vectors = vectors.movedim(1, -1).flatten(0, -2)
        indices = indices.flatten()
        ones = vectors.new_ones(len(vectors))
        counts = torch.zeros_like(self.shares).index_add_(0, indices, ones)
        totals = torch.zeros_like(self.sums).index_add_(0, indices, vectors)
        shares = self.shares.lerp(counts / len(vectors), 1 - DECAY)
        sums = self.sums.lerp(totals / len(vectors), 1 - DECAY)
        shares, sums = self._revive(shares, sums, vectors)
        is_sound = vectors.isfinite().all()
        self.shares.copy_(torch.where(is_sound, shares, self.shares))
        self.sums.copy_(torch.where(is_sound, sums, self.sums))
        self.n_chosen.add_((counts * is_sound).long())

    def _revive(self, shares, sums, vectors):
        """Put dead codes where vectors are: one after the other, in other places."""
        fair = 1 / len(shares)
        is_dead = shares < RARE * fair
        rank = is_dead.cumsum(0) - 1
        place = (rank * GOLDEN % 1 * len(vectors)).long()
        begins = is_dead & (rank < len(vectors))
        shares = torch.where(begins, fair, shares)
        return shares, torch.where(begins[:, None], fair * vectors[place], sums)

    def perplexity(self):
        """Of the choices since `forget`: as many codes, chosen alike, say as much."""
        counts = self.n_chosen.cpu().double()
        share = counts / counts.sum().clamp_min(1)
        return float(torch.exp(-torch.xlogy(share, share).sum()))

    def forget(self):
        """Begin to count the choices anew."""
        self.n_chosen.zero_()


class Code(NamedTuple):
    """The chosen codes (n, 1, h, w), and the prior (n, n_embeddings, h, w)."""

    indices: torch.Tensor
    prior: torch.Tensor

    def as_normal(self):
        """Standard normal numbers that choose the same codes (see `chosen_by`)."""
        upto = self.prior.cumsum(1).gather(1, self.indices)
        middle = upto - 0.5 * self.prior.gather(1, self.indices)
        return torch.special.ndtri(middle)


def chosen_by(noise, prior):
    """The codes that standard normal numbers (n, 1, h, w) draw from the prior.

    Their distribution function makes them uniform; that of the prior is inverted.
    """
    below = prior.cumsum(1) < torch.special.ndtr(noise)
    return below.sum(1, keepdim=True).clamp_max(prior.shape[1] - 1)


class QuantisedLayer(LatentLayer):
    """A latent that is one of a few code vectors at each place [1]_.

    The posterior is the code that is nearest to what is encoded, the prior p(k | d) a
    softmax over the codes; the cost is -log p(k | d). What is added to d is centred:
    z = sigma(d) * (c_k - sum_j p(j | d) c_j), so that d stays as it is on the mean way.

    Parameters
    ----------
    width, n_evidence, n_latent : int
        As for `LatentLayer`.
    n_embeddings : int
        How many code vectors.

    References
    ----------
    .. [1] A. van den Oord, O. Vinyals, K. Kavukcuoglu: Neural Discrete Representation
       Learning, NeurIPS 2017.
    """

    def __init__(self, width, n_evidence, n_latent, n_embeddings):
        super().__init__(width, n_evidence, n_latent)
        self.n_units = 1
        self.posterior = pointwise_net(width + n_evidence, 2 * width, n_latent)
        self.prior = pointwise_net(width, width, n_embeddings)
        self.codebook = Codebook(n_embeddings, n_latent)

    def forward(self, above, evidence=None, noise=None):
        """Give the features with the latent added, its code and its cost.

        `noise` is standard normal, or integers: the codes themselves.
        """
        if evidence is None and noise is None:
            return above, None, above.new_zeros((len(above), self.n_units))
        prior = at_least_float32(self.prior(above)).softmax(dim=1)
        prior = prior.lerp(torch.full_like(prior, 1 / prior.shape[1]), NEVER_LESS)
        if evidence is None:
            indices = noise if is_integer(noise) else chosen_by(noise, prior)
            latent, cost = self._look_up(indices), 0 * prior[:, :1].flatten(2).sum(2)
        else:
            latent, indices, cost = self._quantise(above, evidence, prior)
        latent = latent - self._mean(prior.detach())
        return self.add(above, latent), Code(indices, prior), cost

    def _quantise(self, above, evidence, prior):
        """The nearest codes, passed straight through, and what they cost.

        The value of the cost is in nats; its gradient draws what is encoded towards
        the code too.
        """
        encoded = self.posterior(torch.cat([above, evidence], dim=1))
        encoded = at_least_float32(encoded).clamp(-8, 8)
        with torch.autocast(encoded.device.type, enabled=False):
            indices = self.codebook.nearest(encoded.detach())[:, None]
            code = self._look_up(indices)
            if self.training and torch.is_grad_enabled():
                self.codebook.follow(encoded.detach(), indices[:, 0])
        distance = COMMITMENT * (encoded - code).square().flatten(1).sum(
            1, keepdim=True
        )
        nats = -prior.gather(1, indices).log().flatten(2).sum(2)
        cost = nats + distance - distance.detach()
        return encoded + (code - encoded).detach(), indices, cost

    def _look_up(self, indices):
        """Code vectors of indices (n, 1, h, w): (n, n_latent, h, w)."""
        return F.embedding(indices[:, 0], self.codebook.vectors).movedim(-1, 1)

    def _mean(self, prior):
        """The mean code vector of each place."""
        with torch.autocast(prior.device.type, enabled=False):
            codes = self.codebook.vectors.T[:, :, None, None].contiguous()
            return convolve(prior, codes.to(prior.dtype), None)


def is_integer(tensor):
    """Whether its values are whole numbers by their kind."""
    return not tensor.is_floating_point()
