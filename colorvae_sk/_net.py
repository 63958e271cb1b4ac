"""Training: the skorch net and its callbacks."""

import math
import time
from contextlib import suppress

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from tqdm.auto import tqdm

from ._batches import Batches
from .losses import per_layer
from .networks import may_miss

EASY_START = 50  # steps over which the learning rate rises
ACTIVE = 0.01  # nats per code: a latent unit that costs less says nothing
MAX_SKIPPED = 10  # steps in a row whose gradient is not finite
BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


# ------------------------------------------------------------------ the net
class VAENet(NeuralNet):
    """The skorch net that trains a network of this package, stage by stage.

    It differs from skorch's own in that a batch holds the network's arguments, that
    only the parameters of the stage are learned, in mixed precision if asked for,
    and that no step waits for its loss to be read.
    """

    def __init__(self, *args, mixed_precision=False, **kwargs):
        self.mixed_precision = mixed_precision
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

    def learn_stage(self, stage, dataset, epochs):
        """Learn one of the network's stages for so many epochs."""
        for name, parameter in self.module_.named_parameters():
            parameter.requires_grad_(self.module_.stage_of(name) == stage)
        self._initialize_optimizer()
        self.stage_ = stage
        self.notify("on_train_begin", X=dataset, y=None)
        with suppress(StageOver):
            self.fit_loop(dataset, epochs=epochs)
        self.notify("on_train_end", X=dataset, y=None)

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
        if interrupts:
            raise StageOver from interrupts[0]
        return None

    def get_params_for_optimizer(self, prefix, named_parameters):
        """Leave out what is not learned in this stage."""
        learned = [(n, p) for n, p in named_parameters if p.requires_grad]
        return super().get_params_for_optimizer(prefix, learned)

    def infer(self, x, **fit_params):
        """Run the network on a batch's arguments; it answers in float32."""
        kind = torch.device(self.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=self.mixed_precision):
            prediction = self.module_(**x, **fit_params)
        return tuple(part.float() for part in prediction)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """The criterion of the network's whole answer."""
        return self.criterion_(y_pred, y_true)

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Run skorch's loop, but read the losses only when the epoch is over."""
        if iterator is None:
            return
        losses, costs, n_values, n_images = [], [], 0, 0
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            losses.append(step["loss"].detach())
            costs.append(step["y_pred"][2].detach().sum(0))
            n_values += n_observed(batch[1])
            n_images += len(batch[1])
            self.notify("on_batch_end", batch=batch, training=training, **step)
        self.history.record(f"{prefix}_loss", torch.stack(losses).mean().item())
        self.history.record("n_steps" if training else "n_valid_steps", len(losses))
        cost = torch.stack(costs).sum(0).cpu()
        self._record_information(prefix, cost, int(n_values), n_images, batch)

    def _record_information(self, prefix, cost, n_values, n_images, batch):
        """Write down what the latents cost in an epoch: (n_units,) nats in all."""
        shapes = self.module_.noise_shapes(batch[0]["damaged"].shape[-2:])
        n_codes = [math.prod(shape[1:]) for shape in shapes for _ in range(shape[0])]
        is_active = cost / (n_images * torch.tensor(n_codes)) > ACTIVE
        units = self.module_.units
        kl, counts = (per_layer(x[None], units)[0] for x in (cost, is_active.int()))
        kl = (kl / max(n_values, 1)).tolist()
        self.history.record(f"{prefix}_kl", kl)
        self.history.record(f"{prefix}_active_units", counts.tolist())


def n_observed(images):
    """How many values are not missing."""
    return images.isfinite().sum() if may_miss(images) else images.numel()


def has_fast_bfloat16(device):
    """Whether a device computes in bfloat16 faster than in float32."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported()
    in_hardware = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return torch.device(device).type == "cpu" and in_hardware()


class StageOver(Exception):  # noqa: N818
    """A callback has ended the stage."""


# ------------------------------------------------------------------ callbacks
class Schedule(Callback):
    """Spend the stage's budget: warm up, anneal, and stop in time.

    The learning rate rises linearly over the first steps, then falls to zero along a
    cosine [1]_; beta rises over the first fifth of a stage that learns latents.

    Parameters
    ----------
    n_steps : int
        Steps of the stage.
    seconds : float or None
        Seconds of the stage; whichever is spent first ends it.
    anneal : bool, default=True
        Whether the learning rate falls.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter: SGDR, ICLR 2017.
    """

    def __init__(self, n_steps, seconds=None, anneal=True):
        self.n_steps, self.seconds, self.anneal = n_steps, seconds, anneal

    def on_train_begin(self, net, **kwargs):
        self.step_, self.began_ = 0, time.monotonic()

    @property
    def is_over(self):
        """Whether the time is spent."""
        elapsed = time.monotonic() - self.began_
        return self.seconds is not None and elapsed >= self.seconds

    def progress(self):
        """Share of the budget that is spent."""
        spent = self.step_ / self.n_steps
        if self.seconds is not None:
            spent = max(spent, (time.monotonic() - self.began_) / self.seconds)
        return min(spent, 1.0)

    def on_batch_begin(self, net, training=True, **kwargs):
        if not training:
            return
        progress = self.progress()
        factor = min(1.0, (self.step_ + 1) / min(EASY_START, self.n_steps))
        if self.anneal:
            factor *= 0.5 * (1 + math.cos(math.pi * progress))
            net.criterion_.warmup = min(1.0, 5 * progress)
        for group in net.optimizer_.param_groups:
            group["lr"] = net.lr * factor
        self.step_ += 1

    def on_epoch_end(self, net, **kwargs):
        net.history.record("seconds", time.monotonic() - self.began_)
        if self.is_over:
            raise KeyboardInterrupt  # skorch's way to stop


class GradientGuard(Callback):
    """Clip the gradient's norm; drop a step whose gradient is not finite.

    Parameters
    ----------
    max_norm : float, default=1
        Longer gradients are shortened to this.
    """

    def __init__(self, max_norm=1.0):
        self.max_norm = max_norm

    def on_train_begin(self, net, **kwargs):
        self.n_steps_ = self.n_skipped_ = self.n_in_a_row_ = 0

    def on_grad_computed(self, net, named_parameters, **kwargs):
        parameters = [p for _, p in named_parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters]).item()
        self.n_steps_ += 1
        if math.isfinite(norm):
            self.n_in_a_row_ = 0
            if norm > self.max_norm:
                shorter = torch.tensor(norm)
                torch.nn.utils.clip_grads_with_norm_(parameters, self.max_norm, shorter)
            return
        for parameter in parameters:
            parameter.grad = None
        self.n_skipped_ += 1
        self.n_in_a_row_ += 1
        if self.n_in_a_row_ > MAX_SKIPPED:
            self._give_up()

    def on_epoch_end(self, net, **kwargs):
        net.history.record("n_skipped", self.n_skipped_)

    def on_train_end(self, net, **kwargs):
        if 0 < self.n_steps_ == self.n_skipped_:
            self._give_up()

    def _give_up(self):
        raise FloatingPointError(
            f"The loss was not finite in {self.n_in_a_row_} steps in a row. Pass a "
            "lower lr or beta, and look for extreme values in the images."
        )


class WeightAverage(Callback):
    """Follow the weights with an exponential moving average; end the stage with it.

    Parameters
    ----------
    decay : float
        Share of the average that each step keeps; less in the first steps.
    """

    def __init__(self, decay):
        self.decay = decay

    def on_train_begin(self, net, **kwargs):
        self.step_ = 0
        self.learned_ = [p for p in net.module_.parameters() if p.requires_grad]
        self.average_ = [p.detach().clone() for p in self.learned_]

    @torch.no_grad()
    def on_batch_end(self, net, training, **kwargs):
        if training:
            self.step_ += 1
            new = 1 - min(self.decay, self.step_ / (self.step_ + 10))
            torch._foreach_lerp_(self.average_, self.learned_, new)

    @torch.no_grad()
    def on_train_end(self, net, **kwargs):
        torch._foreach_copy_(self.learned_, self.average_)
        self.average_ = self.learned_ = None


class Patience(Callback):
    """End the stage when the validation loss has stopped falling.

    Parameters
    ----------
    n_epochs : int
        Epochs without a better loss that are waited for.
    """

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
