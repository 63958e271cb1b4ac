"""Training: batches of damaged crops, the skorch net, and its callbacks."""

import math
import time
from contextlib import suppress

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch.utils.data import Dataset
from tqdm.auto import tqdm

EASY_START = 50  # steps over which the learning rate rises
MAX_SKIPPED = 10  # steps in a row whose gradient is not finite
BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


# ------------------------------------------------------------------ batches
class TrainingImages(Dataset):
    """Pairs of images, to be cropped: what the net learns from.

    Parameters
    ----------
    images : Images
        Clean images, or damaged ones if there is a target.
    target : Images or None
        The clean version of each image.
    indices : array of int
        Which of the images take part.
    patch_size : pair of ints
        Height and width of the crops; smaller images are filled up with NaN.
    far_share : float, default=0
        Share of the crops that are taken from a smaller copy of the image, so that
        they show more of it: colours are judged from whole pictures.
    """

    def __init__(self, images, target, indices, patch_size, far_share=0.0):
        self.sources = (images,) if target is None else (images, target)
        self.indices, self.patch_size = indices, tuple(patch_size)
        self.far_share = far_share
        self.shapes = {i: images.shape(i) for i in indices}
        area = math.prod(self.patch_size)
        self.n_patches = sum(
            max(1, round(math.prod(shape) / area)) for shape in self.shapes.values()
        )
        self._ready = self._stack() if self._are_whole else None

    def __len__(self):
        return len(self.indices)

    @property
    def _are_whole(self):
        """Whether each crop is an image as it is."""
        return set(self.shapes.values()) == {self.patch_size}

    def _stack(self):
        """All images at once, so that a batch is a single look-up."""
        return [np.stack([source[i] for i in self.indices]) for source in self.sources]

    def order(self, rng):
        """Positions of an epoch's crops: random, and each image in its turn."""
        n_rounds = -(-self.n_patches // len(self))
        rounds = [rng.permutation(len(self)) for _ in range(n_rounds)]
        return np.concatenate(rounds)[: self.n_patches]

    def crops(self, positions, rng):
        """The same random parts of image and target: list of arrays (n, C, h, w)."""
        if self._ready is not None:
            return [images[positions] for images in self._ready]
        crops = zip(*(self._crop(self.indices[k], rng) for k in positions), strict=True)
        return [np.stack(images) for images in crops]

    def _crop(self, i, rng):
        height, width = self.shapes[i]
        step = self._step(height, width, rng)
        rows = _random_slice(height, self.patch_size[0] * step, rng)
        columns = _random_slice(width, self.patch_size[1] * step, rng)
        for source in self.sources:
            crop = source.to_float(source.raw(i)[rows, columns])
            yield fill_up(shrink(crop, step), self.patch_size)

    def _step(self, height, width, rng):
        """Shrink the image by this before cropping."""
        room = min(height // self.patch_size[0], width // self.patch_size[1])
        if room < 2 or rng.random() >= self.far_share:
            return 1
        return int(rng.integers(2, room + 1))


def _random_slice(side, size, rng):
    """A random stretch of one side of an image."""
    start = int(rng.integers(max(side - size, 0) + 1))
    return slice(start, start + size)


def shrink(image, step):
    """The mean of each step x step block of an image (C, H, W)."""
    if step == 1:
        return image
    n_channels, height, width = image.shape
    blocks = image.reshape(n_channels, height // step, step, width // step, step)
    return blocks.mean(axis=(2, 4))


def fill_up(image, size):
    """Put NaN below and to the right of an image that is smaller than a crop."""
    sides = zip(image.shape[1:], size, strict=True)
    missing = [(0, full - side) for side, full in sides]
    if missing == [(0, 0), (0, 0)]:
        return image
    return np.pad(image, [(0, 0), *missing], constant_values=np.nan)


class Batches:
    """An epoch of batches: crops on the device, turned and damaged there.

    Each batch is a pair: the arguments of the network, and the target.

    Parameters
    ----------
    dataset : TrainingImages
        Where the crops are from.
    batch_size : int
        Crops of a batch.
    source : BatchSource
        What happens to a crop before the network sees it.
    training : bool, default=True
        If not, every epoch is the same.
    """

    def __init__(self, dataset, batch_size, source, training=True):
        self.dataset, self.batch_size = dataset, batch_size
        self.source, self.training = source, training

    def __len__(self):
        return -(-self.dataset.n_patches // self.batch_size)

    def __iter__(self):
        rng = self.source.rng if self.training else np.random.default_rng(0)
        generator = torch.Generator(self.source.device)
        generator.manual_seed(int(rng.integers(2**63)))
        order = self.dataset.order(rng)
        for start in range(0, len(order), self.batch_size):
            crops = self.dataset.crops(order[start : start + self.batch_size], rng)
            yield self.source.prepare(crops, rng, generator)
            if self.training and self.source.schedule.is_over:
                return


class BatchSource:
    """Send crops to the device, turn them, damage them, draw the noise of latents.

    Parameters
    ----------
    network : module
        Draws its noise.
    degrade : callable or None
        (images, generator) -> damaged images, if there is no target.
    device : str
        Where to.
    seed : int
        Of all that is drawn here.
    turn : bool
        Whether to mirror and transpose the crops at random.

    Attributes
    ----------
    posterior : bool
        Whether the network is given the target too, and noise.
    schedule : Schedule
        Says when the time is over.
    """

    def __init__(self, network, degrade, device, seed, turn):
        self.network, self.degrade, self.device = network, degrade, device
        self.rng, self.turn = np.random.default_rng(seed), turn

    def begin(self, schedule, posterior):
        """Serve another stage."""
        self.schedule, self.posterior = schedule, posterior

    @torch.no_grad()
    def prepare(self, crops, rng, generator):
        """Arrays -> the arguments of the network, and the target."""
        tensors = [to_device(images, self.device) for images in crops]
        if self.turn:
            tensors = turn(tensors, rng)
        damaged, target = tensors[0], tensors[-1]
        if self.degrade is not None:
            damaged = self.degrade(damaged, generator)
        if not self.posterior:
            return {"damaged": damaged}, target
        noise = self.network.draw_noise(len(damaged), damaged.shape[-2:], generator)
        return {"damaged": damaged, "target": target, "noise": noise}, target


def turn(tensors, rng):
    """Mirror and transpose all tensors alike, one of the eight ways at random."""
    mirrored = [axis for axis in (2, 3) if rng.random() < 0.5]
    tensors = [tensor.flip(mirrored) for tensor in tensors] if mirrored else tensors
    is_square = tensors[0].shape[2] == tensors[0].shape[3]
    if is_square and rng.random() < 0.5:
        tensors = [tensor.transpose(2, 3) for tensor in tensors]
    return [t.contiguous(memory_format=torch.channels_last) for t in tensors]


def to_device(images, device):
    """An array (n, C, H, W) as a tensor, channels last in memory."""
    tensor = torch.from_numpy(images).to(device, non_blocking=True)
    return tensor.contiguous(memory_format=torch.channels_last)


def has_fast_bfloat16(device):
    """Whether a device computes in bfloat16 faster than in float32."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported()
    in_hardware = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return torch.device(device).type == "cpu" and in_hardware()


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
        try:
            super().notify(method_name, **kwargs)
        except KeyboardInterrupt as interrupt:  # skorch's way to stop early
            if method_name != "on_epoch_end":
                raise
            raise StageOver from interrupt

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
        losses, information = [], []
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            losses.append(step["loss"].detach())
            information.append(nats_per_value(step["y_pred"][2].detach(), batch[1]))
            self.notify("on_batch_end", batch=batch, training=training, **step)
        self.history.record(f"{prefix}_loss", torch.stack(losses).mean().item())
        self.history.record("n_steps" if training else "n_valid_steps", len(losses))
        self.history.record(f"{prefix}_kl", torch.stack(information).mean(0).tolist())


def nats_per_value(latent_cost, target):
    """The mean cost of each latent layer: (n, n_layers) -> (n_layers,)."""
    n_values = target.isfinite().flatten(1).sum(1).clamp_min(1)[:, None]
    return (latent_cost / n_values).mean(0)


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
        self.n_skipped_ = self.n_in_a_row_ = 0

    def on_grad_computed(self, net, named_parameters, **kwargs):
        parameters = [p for _, p in named_parameters if p.grad is not None]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.max_norm)
        if norm.isfinite():
            self.n_in_a_row_ = 0
            return
        for parameter in parameters:
            parameter.grad = None
        self.n_skipped_ += 1
        self.n_in_a_row_ += 1
        if self.n_in_a_row_ > MAX_SKIPPED:
            raise FloatingPointError(
                f"The loss was not finite in {self.n_in_a_row_} steps in a row. Pass a "
                "lower lr or beta, and look for extreme values in the images."
            )

    def on_epoch_end(self, net, **kwargs):
        net.history.record("n_skipped", self.n_skipped_)


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
