"""How the estimators learn: the stages of a network, their data and their budget."""

import copy
import warnings

import numpy as np
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback
from skorch.helper import predefined_split

from ._batches import BatchSource, TrainingImages
from ._checkpoint import Checkpoint, keep, read
from ._compiled import pays_to_compile
from ._distortions import OF_CELLS
from ._layers import has_fast_bfloat16
from ._muon import MuonAdamW
from ._net import (
    GradientGuard,
    Patience,
    ProgressBar,
    Schedule,
    VAENet,
    WeightAverage,
    plain,
)
from ._parallel import find_team, is_first
from ._resident import ResidentImages, have_room
from .augmentations import BaseAugmentation, RandomFlip, RandomQuarterTurn
from .degradations import as_degrader, blind_row_degradation, runs_on_cpu
from .losses import STRICT, NegativeELBO

COLLAPSED = 1e-4  # nats per value: latents below this carry nothing
PATIENT_STEPS = 1000  # before we speak of collapse
TOLERANCES = {"colours": 3e-4}  # the others' are strict
ALWAYS_STRICT = {"latents"}  # what restores is there already: none is kept from it
SHARES = {"colours": 0.1, "restoration": 0.85, "error bars": 0.05}  # before latents


class TrainingMixin:
    """Learn the stages of the network in ``net_`` from images, in the given budget."""

    @property
    def _batch_size(self):
        return self.batch_size or self._default_batch_size

    def _train(self, images, target, n_epochs, seconds, anneal, file):
        """Learn the network's stages one after the other."""
        if torch.device(self._device).type == "cpu" and "cuda" in str(self.device):
            warnings.warn(
                f"device={self.device!r}, but there is no CUDA: learning on the CPU.",
                stacklevel=4,
            )
        network = copy.deepcopy(self.net_.module_)  # what is interrupted has no effect
        team = find_team(self._device)
        team.check_alike(self, images, target)
        self.seed_, file = team.first(self.seed_), team.file(file)
        n_done, progress = self._go_on(network, file, team)
        team.share(network)
        source = self._batch_source(network, target is None, images.is_lazy)
        dataset, held_out = self._split(images, target, source.rng)
        dataset.n_patches = -(-dataset.n_patches // team.size)  # of each process
        source.rng = team.own_rng(source.rng)
        stages = list(zip(network.stages, self._shares(network), strict=True))
        is_random = self.weights is None and self.n_fits_ == 0
        for stage, share in stages[n_done:]:
            epochs = max(1, round(share * n_epochs))
            n_steps = epochs * -(-dataset.n_patches // self._batch_size)
            time_limit = None if seconds is None else share * seconds
            is_lenient = is_random and stage not in ALWAYS_STRICT
            schedule = Schedule(n_steps, time_limit, anneal, is_lenient, team)
            source.begin(stage, schedule)
            net = self._wrap(
                network,
                stage,
                criterion__with_error_bars=stage in network.stages_of("sigma"),
                criterion__tolerance=TOLERANCES.get(stage, STRICT),
                criterion__loss=self._loss_of(stage, network),
                train_split=None if held_out is None else predefined_split(held_out),
                iterator_train__source=source,
                iterator_valid__source=source,
                callbacks=self._stage_callbacks(schedule, file, n_done),
                in_one_launch=pays_to_compile(self._device, schedule),
                team=team,
            )
            net.learn_stage(stage, dataset, epochs, progress)
            self.history_ = self.history_ + rows_of_history(net)
            n_done, progress = n_done + 1, None
        team.share(network)
        if file is not None and team.rank == 0:
            keep(file, self._fit_so_far(n_done) | {"module": network.state_dict()})
        self.net_, self.n_fits_ = self._wrap(network), self.n_fits_ + 1
        self._warn_of_collapse()

    def _loss_of(self, stage, network):
        """The distortion of a stage; few mean colours have no structure to compare."""
        is_global = stage in network.global_stages
        return "gaussian" if is_global and self.loss not in OF_CELLS else self.loss

    def _go_on(self, network, file, team):
        """Stages that were learned before the fit was cut off, and what of the next."""
        kept = {} if file is None or team.rank > 0 else read(file)
        kept = team.first(kept)
        if not kept:
            return 0, None
        if self._speaks:
            print(f"The fit goes on from {file}.")
        self.seed_, self.history_ = kept["seed"], kept["history"]
        network.load_state_dict(kept["module"])
        return kept["n_done"], kept.get("progress")

    @property
    def _speaks(self):
        """Whether to say how the fit goes: of several processes, one does."""
        return bool(self.verbose) and is_first()

    def _fit_so_far(self, n_done):
        return {"seed": self.seed_, "history": self.history_, "n_done": n_done}

    def _shares(self, network):
        """What share of the budget each stage takes."""
        if len(network.stages) == 1:
            return [1.0]
        before = [(1 - self.latent_share) * share for share in SHARES.values()]
        return [*before, self.latent_share]

    def _batch_source(self, network, is_clean, is_lazy=False):
        degrade, on_cpu = None, False
        if is_clean and self.degradation is not None:
            damage, as_rows = self._damage(), self._is_plain
            degrade = as_degrader(damage, as_rows)
            on_cpu = runs_on_cpu(damage)
        is_remote = torch.device(self._device).type != "cpu"
        ahead = (on_cpu or is_lazy) and is_remote  # files are decoded in the background
        if on_cpu and is_remote and self._speaks:
            print(f"{self.degradation!r} damages images on the CPU, in the background.")
        seed = np.random.SeedSequence([self.seed_, self.n_fits_])
        augmentations = self._augmentations(network)
        return BatchSource(network, degrade, self._device, seed, augmentations, ahead)

    def _augmentations(self, network):
        """The augmentations as a list."""
        if isinstance(self.augmentation, str):
            is_photo = network.fixed_size is None and not self._is_plain
            return [RandomFlip(), RandomQuarterTurn()] if is_photo else []
        if isinstance(self.augmentation, BaseAugmentation):
            return [self.augmentation]
        return list(self.augmentation or [])

    def _damage(self):
        """The degradation; of plain rows, "blind" means noise and missing values."""
        if self._is_plain and isinstance(self.degradation, str):
            return blind_row_degradation()
        return self.degradation

    @property
    def _is_plain(self):
        """Whether it was fitted on rows that are no images."""
        return not self.image_mode_ and self.image_shape is None

    def _split(self, images, target, rng):
        """What to learn from, and what is held out to stop early."""
        order = np.arange(len(images))
        n_held_out = 0
        if self.early_stopping:
            order = rng.permutation(order)
            n_held_out = max(1, round(self.validation_fraction * len(images)))
            if n_held_out == len(images):
                raise ValueError(
                    f"early_stopping=True holds out {n_held_out} of {len(images)} "
                    "image(s), which leaves none to learn from. Pass more images or "
                    "early_stopping=False."
                )
        looks_far = bool(self.net_.module_.global_stages)
        kind = TrainingImages
        options = {"patch_size": self.patch_size_, "with_pictures": looks_far}
        if not images.is_lazy and have_room(self._device, images, target):
            kind, options["device"] = ResidentImages, self._device
        learning = kind(images, target, order[n_held_out:], **options)
        if n_held_out == 0:
            return learning, None
        return learning, kind(images, target, order[:n_held_out], **options)

    def _stage_callbacks(self, schedule, file, n_done):
        team = schedule.team
        callbacks = [*team.callbacks(), GradientGuard(), WeightAverage(self.ema_decay)]
        if self._speaks:
            callbacks.append(ProgressBar(schedule))
        callbacks += clone(list(self.callbacks or []), safe=False)
        if file is not None:
            callbacks.append(Checkpoint(file, self._fit_so_far(n_done)))
        callbacks.append(schedule)
        if self.early_stopping:
            callbacks.append(Patience(self.n_iter_no_change))
        return callbacks  # what may end an epoch comes when all others had their say

    def _wrap(self, network, stage=None, **options):
        """A skorch net around the network, to learn a stage if one is named."""
        return VAENet(
            network,
            NegativeELBO,
            criterion__beta=self.beta,
            criterion__free_bits=self._free_bits,
            criterion__units=network.units,
            optimizer=MuonAdamW,
            lr=self.lr,
            batch_size=self._batch_size,
            device=self._device,
            mixed_precision=self._mixes_precision(network, stage),
            verbose=0,
            **options,
        ).initialize()

    def _warn_of_collapse(self):
        """Say so if the latents have come to carry no information."""
        stage = self.history_[-1]["stage"]
        n_steps = sum(row["n_steps"] for row in self.history_ if row["stage"] == stage)
        information = sum(self.history_[-1]["train_kl"])
        if information < COLLAPSED and n_steps >= PATIENT_STEPS:
            warnings.warn(
                f"The latents collapsed: they carry {information:.1g} nats per value. "
                "Lower beta, raise free_bits or learn longer.",
                ConvergenceWarning,
                stacklevel=5,
            )

    @property
    def _device(self):
        if str(self.device) == "auto":
            return best_device()
        try:
            is_cuda = torch.device(self.device).type == "cuda"
            if is_cuda and not torch.cuda.is_available():
                return "cpu"
            torch.Generator(self.device)  # what can't draw, such as "meta", can't learn
        except RuntimeError as error:
            raise ValueError(
                "Expected device to be 'auto' or a device that torch knows and this "
                f"machine has, such as 'cpu' or 'cuda:0', got {self.device!r}."
            ) from error
        return self.device

    def _mixes_precision(self, network, stage):
        if stage in network.exact_stages:
            return False
        if self.mixed_precision != "auto":
            return self.mixed_precision
        return network.dtype == torch.float32 and has_fast_bfloat16(self._device)


# ------------------------------------------------------------------ helpers
def check_augmentation(augmentation):
    """Complain unless each of these is an augmentation with valid parameters."""
    several = isinstance(augmentation, list | tuple)
    for each in augmentation if several else [augmentation]:
        if isinstance(each, BaseAugmentation):
            each._validate_params()
        elif several:
            raise TypeError(
                "Expected augmentation to be a list of augmentations such as "
                f"RandomFlip(), got {each!r} in it."
            )


def check_callbacks(callbacks):
    """Complain unless each of these is a callback of skorch, or a name and one."""
    for each in callbacks or []:
        callback = each[1] if isinstance(each, tuple) and len(each) == 2 else each
        kind = callback if isinstance(callback, type) else type(callback)
        if not issubclass(kind, Callback):
            raise TypeError(
                "Expected callbacks to be a list of skorch.callbacks.Callback, got "
                f"{each!r} in it."
            )


def best_device():
    """CUDA, else MPS, else the CPU."""
    if torch.cuda.is_available():  # the current one, for the thread of batches too
        return f"cuda:{torch.cuda.current_device()}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def rows_of_history(net):
    """A dict for each epoch that the net has learned."""
    return [
        {"stage": net.stage_, **{k: v for k, v in plain(row).items() if k != "batches"}}
        for row in net.history
    ]
