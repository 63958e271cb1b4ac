"""How samples learn to look true: a critic learns beside the latents, against them."""

import math

import torch
from torch.nn import functional as F

from ._net import Resumable

ALONE = 0.2  # share of a stage in which the critic has no say yet
FULL = 0.5  # share of it after which it has its full say
PACE = 0.25  # of the critic's learning rate, to that of the others: it is Adam's
MOST = 1e4  # times that the gradient of the critic's opinion may be scaled up


class Adversary(Resumable):
    """Teach the critic, and the latents to please it, in each step of their stage.

    The critic minimises the hinge loss [1]_ of samples (z ~ p) and clean images. To the
    gradient of the objective, that of the critic's opinion of the samples is added,
    scaled to a share of the norm of the former, as far as both move the same
    parameters [2]_: so it can never take over. Where it is not finite, none is added.
    Samples that are farther from the restoration than the truth is, or grainier, are no
    opinion's matter: the excess is added to the critic's displeasure.

    Parameters
    ----------
    schedule : Schedule
        Knows how far the stage has come: the critic learns alone for the first fifth,
        then gets its say until the middle.
    share : float
        Norm of what the critic adds, as a share of that of the objective's gradient.

    References
    ----------
    .. [1] J. H. Lim, J. C. Ye: Geometric GAN, 2017.
    .. [2] P. Esser, R. Rombach, B. Ommer: Taming Transformers for High-Resolution Image
       Synthesis, CVPR 2021, section 3.1.
    """

    kept = ("n_steps_", "gap_", "weight_")

    def __init__(self, schedule, share):
        self.schedule, self.share = schedule, share

    def on_train_begin(self, net, **kwargs):
        self.critic_, self.team_ = net.module_.critic, net.team
        parameters = net.module_.named_parameters()
        self.learned_ = [p for _, p in parameters if p.requires_grad]
        self.optimizer_ = torch.optim.Adam(
            self.critic_.parameters(), lr=PACE * net.lr, betas=(0.0, 0.99)
        )
        self._count_anew()

    def state(self):
        """How far it has come; the critic itself is a part of the network."""
        return super().state() | {"optimizer": self.optimizer_.state_dict()}

    def resume(self, state):
        """Go on from there."""
        self.optimizer_.load_state_dict(state["optimizer"])
        super().resume({name: state[name] for name in self.kept})

    def on_grad_computed(self, net, batch, **kwargs):
        given, target = batch
        seen = {name: given[name] for name in ("damaged", "seen")}
        with torch.no_grad():
            mean, log_sigma, _ = net.infer(seen)
        sample = net.infer(seen | {"noise": given["noise"]})[0]
        views = [net.module_.view(x, mean, log_sigma, target) for x in (sample, target)]
        weight = self._please(*views)
        gap = self._learn(views[0].detach(), views[1], net.optimizer_.param_groups[0])
        self.n_steps_ += 1
        self.gap_, self.weight_ = self.gap_ + gap, self.weight_ + weight

    @property
    def _say(self):
        """Rises from 0 to the full share."""
        progress = (self.schedule.progress() - ALONE) / (FULL - ALONE)
        return self.share * min(max(progress, 0.0), 1.0)

    def _please(self, sample, truth):
        """Add the gradient of the critic's opinion; give the factor on it."""
        say = self._say
        if say == 0.0:
            return 0.0
        loss = excess(sample, truth) - self.critic_(sample).mean()
        gradients = torch.autograd.grad(loss, self.learned_, allow_unused=True)
        both = [
            (p.grad, g)
            for p, g in zip(self.learned_, gradients, strict=True)
            if g is not None and p.grad is not None
        ]
        norm, its_norm = map(torch.nn.utils.get_total_norm, zip(*both, strict=True))
        factor = say * (norm / its_norm).clamp_max(MOST)
        is_sound = factor.isfinite() & its_norm.isfinite()
        for gradient, its in both:
            gradient.add_(torch.where(is_sound, factor * its, 0.0))
        return torch.where(is_sound, factor, 0.0).item()

    def _learn(self, sample, truth, generator_group):
        """A step of the critic; by how much more it likes the truth."""
        self.critic_.requires_grad_(True)
        marks = [self.critic_(view) for view in (sample, truth)]
        loss = F.relu(1 + marks[0]).mean() + F.relu(1 - marks[1]).mean()
        self.optimizer_.zero_grad()
        loss.backward()
        self.team_.average(self.critic_.parameters())
        norm = torch.nn.utils.clip_grad_norm_(self.critic_.parameters(), 1.0).item()
        if math.isfinite(norm):
            self.optimizer_.param_groups[0]["lr"] = PACE * generator_group["lr"]
            self.optimizer_.step()
        self.optimizer_.zero_grad()
        self.critic_.requires_grad_(False)
        gap = (marks[1].mean() - marks[0].mean()).item()
        return gap if math.isfinite(norm) else 0.0

    def on_epoch_end(self, net, **kwargs):
        sums = torch.tensor([self.gap_, self.weight_], dtype=torch.float64)
        gap, weight = (net.team.mean(sums) / max(self.n_steps_, 1)).tolist()
        net.history.record("critic_gap", gap)
        net.history.record("critic_weight", weight)
        self._count_anew()

    def _count_anew(self):
        self.n_steps_, self.gap_, self.weight_ = 0, 0.0, 0.0

    def on_train_end(self, net, **kwargs):
        self.critic_ = self.learned_ = self.optimizer_ = self.team_ = None


def excess(sample, truth):
    """How much farther from the restoration samples are than the truth, or zero.

    The mean over images of the logarithm of the ratio of the energies of what the
    critic sees of them, and of its differences from the means around: they are not to
    be grainier either.
    """
    views = (view.chunk(2, dim=1)[1] for view in (sample, truth))
    ratios = [
        torch.log(energy(ours) / energy(theirs))
        for ours, theirs in zip(*map(with_grain, views), strict=True)
    ]
    return sum(ratio.clamp_min(0).mean() for ratio in ratios)


def with_grain(images):
    """Images (n, C, H, W), and what they differ by from the means around them."""
    means = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return images, images - means


def energy(images):
    """The mean square of each image: (n, C, H, W) -> (n,)."""
    return images.square().flatten(1).mean(1) + 1e-6
