"""Training: the skorch net and its callbacks."""

import math
from contextlib import suppress

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from tqdm.auto import tqdm

from ._batches import Batches
from ._blocks import may_miss
from ._compiled import CompiledNetwork
from ._distortions import squared_error
from ._parallel import ALONE
from .losses import LENIENT, per_layer

EASY_START = 50  # steps over which the learning rate rises
ACTIVE = 0.01  # nats per code: a latent unit that costs less says nothing
SELDOM = 4  # steps: so often the average of the weights takes them in
SMALLEST = 1e-10  # mean squared error, of 100 dB: equal images have a PSNR too
MAX_SKIPPED = 10  # steps in a row whose gradient is not finite
ASKED = 50  # steps: so often a GPU is asked how many of them there were
BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


# ------------------------------------------------------------------ the net
class VAENet(NeuralNet):
    """The skorch net that trains a network of this package, stage by stage.

    It differs from skorch's own in that a batch holds the network's arguments, that
    only the parameters of the stage are learned, in mixed precision or by a compiled
    network if asked for, and that no step waits for its loss to be read. `team` learns
    it together.
    """

    compiled_ = None

    def __init__(
        self, *args, mixed_precision=False, in_one_launch=False, team=ALONE, **kwargs
    ):
        self.mixed_precision, self.in_one_launch = mixed_precision, in_one_launch
        self.team = team
        super().__init__(
            *args,
            iterator_train=Batches,
            iterator_valid=Batches,
            iterator_valid__training=False,
            **kwargs,
        )

    @property
    def _default_callbacks(self):
        return []

    def learn_stage(self, stage, dataset, epochs, progress=None):
        """Learn one of the network's stages for so many epochs.

        `progress`, if given, is how far it had come when it was cut off; the network
        must have the weights of then.
        """
        for name, parameter in self.module_.named_parameters():
            parameter.requires_grad_(stage in self.module_.stages_of(name))
        self.module_.zero_grad()  # the stage before has left gradients
        self.stage_ = stage
        if self.in_one_launch:
            self.compiled_ = CompiledNetwork(self.module_, self.batch_size)
        self._initialize_optimizer()
        self.sums_ = None
        self.notify("on_train_begin", X=dataset, y=None)
        if progress is not None:
            self._resume(progress)
        with suppress(StageOver):
            self.fit_loop(dataset, epochs=epochs - len(self.history))
        self.notify("on_train_end", X=dataset, y=None)

    def initialize_optimizer(self, *args, **kwargs):
        """Make an optimiser once a stage begins.

        With the first one torch loads its compiler, which takes longer than it takes
        to load a model that only restores.
        """
        if hasattr(self, "stage_"):
            return super().initialize_optimizer(*args, **kwargs)
        self._register_attribute("optimizer_", None)  # so that skorch knows its name
        return self

    def state(self):
        """The weights, and how far the stage has come, in plain values and tensors."""
        return {"module": self.module_.state_dict(), "progress": self._progress()}

    def _progress(self):
        return {
            "optimizer": self.optimizer_.state_dict(),
            "history": [plain(row) for row in self.history[:-1]],
            "sums": self.team.gather(self.sums_.state()),
            "callbacks": [callback.state() for callback in self._resumables],
            "place": self.team.gather(self.iterator_train__source.place),
        }

    def _resume(self, progress):
        self.optimizer_.load_state_dict(progress["optimizer"])
        self.history.extend(progress["history"])
        sums = self.team.own(progress["sums"])  # on the CPU: a file was read
        for name in ("losses", "costs", "psnrs"):
            sums[name] = [tensor.to(self.device) for tensor in sums[name]]
        self.sums_ = EpochSums(**sums)
        states = progress["callbacks"]
        for callback, state in zip(self._resumables, states, strict=True):
            callback.resume(state)
        self.iterator_train__source.resume(self.team.own(progress["place"]))

    @property
    def _resumables(self):
        return [cb for _, cb in self.callbacks_ if isinstance(cb, Resumable)]

    def notify(self, method_name, **kwargs):
        """Tell all callbacks; one that interrupts at an epoch's end ends the stage."""
        if method_name != "on_epoch_end":
            return super().notify(method_name, **kwargs)
        interrupts = []
        for _, callback in self.callbacks_:
            try:
                callback.on_epoch_end(self, **kwargs)
            except KeyboardInterrupt as interrupt:  # skorch's way to stop early
                interrupts.append(interrupt)
        if self.team.any(bool(interrupts)):
            raise StageOver from next(iter(interrupts), None)
        return None

    def get_params_for_optimizer(self, prefix, named_parameters):
        """Leave out what is not learned in this stage."""
        learned = [(n, p) for n, p in named_parameters if p.requires_grad]
        return super().get_params_for_optimizer(prefix, learned)

    def infer(self, x, **fit_params):
        """Run the network on a batch's arguments; it answers in float32."""
        kind = torch.device(self.device).type
        is_plain = self.compiled_ is None or not torch.is_grad_enabled()
        network = self.module_ if is_plain else self.compiled_
        with torch.autocast(kind, torch.bfloat16, enabled=self.mixed_precision):
            prediction = network(**x, **fit_params)
        return tuple(part.float() for part in prediction)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """The criterion of the network's whole answer."""
        return self.criterion_(y_pred, y_true)

    def _set_training(self, training=True):
        """Go through all layers only where the mode changes: skorch asks each step."""
        if self.module_.training != training or self.criterion_.training != training:
            super()._set_training(training)

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Run skorch's loop, but read the losses only when the epoch is over."""
        if iterator is None:
            return
        sums = (self.sums_ if training else None) or EpochSums()
        self.sums_ = sums if training else None
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            sums.add(batch, step)
            self.notify("on_batch_end", batch=batch, training=training, **step)
        loss = self.team.mean(torch.stack(sums.losses).mean())
        self.history.record(f"{prefix}_loss", loss.item())
        n_steps = len(sums.losses)
        self.history.record("n_steps" if training else "n_valid_steps", n_steps)
        psnr = self.team.mean(torch.stack(sums.psnrs).mean())
        self.history.record(f"{prefix}_psnr", psnr.item())
        self._record_information(prefix, sums)
        self.sums_ = None

    def _record_information(self, prefix, sums):
        """Write down what the latents cost in an epoch."""
        shapes = self.module_.noise_shapes(sums.size)
        n_codes = [math.prod(shape[1:]) for shape in shapes for _ in range(shape[0])]
        cost = self.team.mean(torch.stack(sums.costs).sum(0)).cpu()  # in nats
        n_values = torch.tensor(float(sums.n_values), dtype=torch.float64)
        is_active = cost / (sums.n_images * torch.tensor(n_codes)) > ACTIVE
        units = self.module_.units
        kl, counts = (per_layer(x[None], units)[0] for x in (cost, is_active.int()))
        kl = (kl / max(self.team.mean(n_values).item(), 1)).tolist()
        self.history.record(f"{prefix}_kl", kl)
        self.history.record(f"{prefix}_active_units", counts.tolist())


class EpochSums:
    """What is gathered in the course of an epoch."""

    def __init__(
        self, losses=(), costs=(), psnrs=(), n_values=0, n_images=0, size=None
    ):
        self.losses, self.costs, self.psnrs = list(losses), list(costs), list(psnrs)
        self.n_values, self.n_images, self.size = n_values, n_images, size

    def add(self, batch, step):
        """Add what a step came to; no device is waited for."""
        self.losses.append(step["loss"].detach())
        self.costs.append(step["y_pred"][2].detach().sum(0))
        self.psnrs.append(mean_psnr(step["y_pred"][0].detach(), batch[1]))
        self.n_values += n_observed(batch[1])
        self.n_images += len(batch[1])
        self.size = tuple(batch[0]["damaged"].shape[-2:])

    def state(self):
        """All of it, as the arguments of another."""
        return dict(vars(self))


@torch.no_grad()
def mean_psnr(restored, target):
    """Mean PSNR of the images of a batch of which something is known, in dB."""
    error, n_values = squared_error(restored, target)
    counts = n_values > 0
    psnr = -10 * torch.log10(error + SMALLEST)
    return (psnr * counts).sum() / counts.sum().clamp_min(1)


def plain(row):
    """An epoch of the history without numpy's scalars, which are no plain values."""
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in row.items()}


def n_observed(images):
    """How many values are not missing."""
    return images.isfinite().sum() if may_miss(images) else images.numel()


class StageOver(Exception):  # noqa: N818
    """A callback has ended the stage."""


# ------------------------------------------------------------------ callbacks
class Resumable(Callback):
    """A callback that can tell how far it has come, and go on from there.

    Attributes named in `kept` are what it needs for that.
    """

    kept = ()

    def state(self):
        """How far it has come."""
        return {name: getattr(self, name) for name in self.kept}

    def resume(self, state):
        """Go on from there."""
        vars(self).update(state)


class Schedule(Resumable):
    """Spend the stage's budget: warm up, anneal, and stop in time.

    The learning rate rises linearly over the first steps, then falls to zero along a
    cosine [1]_; beta rises over the first fifth of a stage that learns latents; the
    tolerance of the distortion falls geometrically over the first half.

    Parameters
    ----------
    n_steps : int
        Steps of the stage.
    seconds : float or None
        Seconds of the stage; whichever is spent first ends it.
    anneal : bool, default=True
        Whether the learning rate falls.
    lenient : bool, default=True
        Whether the network is new, so that the tolerance starts high.
    team : Alone or Team
        Whose clock counts.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter: SGDR, ICLR 2017.
    """

    def __init__(self, n_steps, seconds=None, anneal=True, lenient=True, team=ALONE):
        self.n_steps, self.seconds, self.anneal = n_steps, seconds, anneal
        self.lenient, self.team = lenient, team

    def on_train_begin(self, net, **kwargs):
        self.step_, self.began_ = 0, self.team.clock()

    def state(self):
        """How far it has come."""
        return {"step": self.step_, "elapsed": self.elapsed}

    def resume(self, state):
        """Go on from there."""
        self.step_ = state["step"]
        self.began_ = self.team.clock() - state["elapsed"]

    @property
    def elapsed(self):
        """Seconds that the stage has taken."""
        return self.team.clock() - self.began_

    @property
    def is_over(self):
        """Whether the time is spent."""
        return self.seconds is not None and self.elapsed >= self.seconds

    @property
    def strictness(self):
        """Rises from 0 to 1 over the first half; what is not new is judged strictly."""
        return min(1.0, 2 * self.progress()) if self.lenient else 1.0

    def progress(self):
        """Share of the budget that is spent."""
        spent = self.step_ / self.n_steps
        if self.seconds is not None:
            spent = max(spent, self.elapsed / self.seconds)
        return min(spent, 1.0)

    def on_batch_begin(self, net, training=True, **kwargs):
        if not training:
            return
        progress = self.progress()
        factor = min(1.0, (self.step_ + 1) / min(EASY_START, self.n_steps))
        if self.anneal:
            factor *= 0.5 * (1 + math.cos(math.pi * progress))
            net.criterion_.warmup = min(1.0, 5 * progress)
        most = LENIENT / net.criterion_.tolerance
        net.criterion_.leniency = most ** (1 - self.strictness)
        for group in net.optimizer_.param_groups:
            group["lr"] = net.lr * factor
        self.step_ += 1

    def on_epoch_end(self, net, **kwargs):
        net.history.record("seconds", self.elapsed)
        if self.is_over:
            raise KeyboardInterrupt  # skorch's way to stop


class GradientGuard(Resumable):
    """Clip the gradient's norm; drop a step whose gradient is not finite.

    Parameters
    ----------
    max_norm : float, default=1
        Longer gradients are shortened to this.
    """

    kept = ("n_steps_", "n_skipped_", "n_in_a_row_")

    def __init__(self, max_norm=1.0):
        self.max_norm = max_norm

    def on_train_begin(self, net, **kwargs):
        self.n_steps_ = self.n_skipped_ = self.n_in_a_row_ = 0
        self.learned_ = learned_parameters(net.module_)  # it takes a while to find them

    def state(self):
        """How far it has come, in plain values."""
        return {name: int(count) for name, count in super().state().items()}

    def on_grad_computed(self, net, **kwargs):
        parameters = [p for p in self.learned_ if p.grad is not None]
        self.n_steps_ += 1
        if parameters and parameters[0].is_cuda:
            net.optimizer_.max_norm = self.max_norm  # it need not wait for the norm
        else:
            self._guard(parameters)

    def _guard(self, parameters):
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
        if math.isfinite(norm.item()):
            self.n_in_a_row_ = 0
            if norm > self.max_norm:
                torch.nn.utils.clip_grads_with_norm_(parameters, self.max_norm, norm)
            return
        for parameter in parameters:
            parameter.grad = None
        self.n_skipped_ += 1
        self.n_in_a_row_ += 1
        self._give_up_in_time()

    def on_batch_end(self, net, training, **kwargs):
        """Count what a GPU has skipped, which is asked for it seldom."""
        found_inf = getattr(net.optimizer_, "found_inf", None)
        if not training or found_inf is None:
            return
        self.n_skipped_ = self.n_skipped_ + found_inf
        self.n_in_a_row_ = (self.n_in_a_row_ + 1) * found_inf
        if self.n_steps_ % ASKED == 0:
            self._give_up_in_time()

    def on_epoch_end(self, net, **kwargs):
        net.history.record("n_skipped", int(self.n_skipped_))

    def on_train_end(self, net, **kwargs):
        self.learned_ = None
        if 0 < self.n_steps_ == int(self.n_skipped_):
            self._give_up()

    def _give_up_in_time(self):
        if self.n_in_a_row_ > MAX_SKIPPED:
            self._give_up()

    def _give_up(self):
        raise FloatingPointError(
            f"The loss was not finite in {int(self.n_in_a_row_)} steps in a row. Pass "
            "a lower lr or beta, and look for extreme values in the images."
        )


class WeightAverage(Resumable):
    """Follow the weights with an exponential moving average; end the stage with it.

    Parameters
    ----------
    decay : float
        Share of the average that each step keeps; less in the first steps.
    """

    kept = ("step_", "average_")

    def __init__(self, decay):
        self.decay = decay

    def on_train_begin(self, net, **kwargs):
        self.step_ = 0
        self.learned_ = learned_parameters(net.module_)
        self.average_ = [p.detach().clone() for p in self.learned_]

    def resume(self, state):
        """Go on from there."""
        self.step_ = state["step_"]
        torch._foreach_copy_(self.average_, state["average_"])

    def on_batch_end(self, net, training, **kwargs):
        if training:
            self.step_ += 1
            if self.step_ % SELDOM == 0:
                self._follow(SELDOM)

    @torch.no_grad()
    def _follow(self, n_steps):
        """Take in the weights, as if they had been these for the last steps."""
        kept = min(self.decay, self.step_ / (self.step_ + 10)) ** n_steps
        torch._foreach_lerp_(self.average_, self.learned_, 1 - kept)

    @torch.no_grad()
    def on_train_end(self, net, **kwargs):
        self._follow(self.step_ % SELDOM)
        torch._foreach_copy_(self.learned_, self.average_)
        self.average_ = self.learned_ = None


def learned_parameters(module):
    """The parameters that a stage learns."""
    return [p for p in module.parameters() if p.requires_grad]


class Patience(Resumable):
    """End the stage when the validation loss has stopped falling.

    Parameters
    ----------
    n_epochs : int
        Epochs without a better loss that are waited for.
    """

    kept = ("best_", "n_worse_")

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def on_train_begin(self, net, **kwargs):
        self.best_, self.n_worse_ = math.inf, 0

    def on_epoch_end(self, net, **kwargs):
        loss = net.history[-1, "valid_loss"]
        self.n_worse_ = 0 if loss < self.best_ else self.n_worse_ + 1
        self.best_ = min(self.best_, loss)
        if self.n_worse_ >= self.n_epochs:
            raise KeyboardInterrupt


class ProgressBar(Callback):
    """A bar with the time left, on standard error.

    Parameters
    ----------
    schedule : Schedule
        Knows how much is done.
    """

    def __init__(self, schedule):
        self.schedule = schedule

    def on_train_begin(self, net, **kwargs):
        self.bar_ = tqdm(total=100, desc=net.stage_, unit="%", bar_format=BAR)

    def on_batch_end(self, net, training, **kwargs):
        done = int(100 * self.schedule.progress())
        if training and done > self.bar_.n:
            self.bar_.update(done - self.bar_.n)

    def on_epoch_end(self, net, **kwargs):
        self.bar_.set_postfix(loss=f"{net.history[-1, 'train_loss']:.3f}")

    def on_train_end(self, net, **kwargs):
        self.bar_.close()
