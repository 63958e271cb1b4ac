"""Teach a network with fewer blocks to restore as a model with more does.

    python benchmarks/distil.py PHOTOS RUN --minutes 60 --blocks 2 3 2 3 2 3 5 3
    python benchmarks/train_error_bars.py PHOTOS RUN/model.joblib RUN/bars

The network begins as the model less the last blocks of its stacks, and learns to give
the same restoration: what is random about a photograph is no matter here, so that few
steps lead far [1]_. The squared difference counts in parts of the squared error that
the model itself makes of a crop. Every few minutes the file RUN/model.joblib is
written, and a line of how far the two are apart on photographs that were held out.

References
----------
.. [1] G. Hinton, O. Vinyals, J. Dean: Distilling the Knowledge in a Neural Network,
   2015.
"""

import argparse
import time
from pathlib import Path

import joblib
import numpy as np
import torch
from protocol import TASKS
from table import print_table
from train_natural import (
    RESTORATION,
    WATCHED,
    natural_damage,
    open_model,
    rebuild,
    split,
    ways_of,
)

from colorvae_sk._muon import MuonAdamW
from colorvae_sk._summary import summarise_colours

TOLERANCE = 3e-5  # of the mean squared error of the model, which may be none
OFTEN = RESTORATION | {"blur": 6, "holes": 8}  # what is learned most slowly
WARM_UP = 50  # steps
N_DRAWN = 48  # crops that are damaged at once
SIDE = 256  # of what is looked at of a held-out photograph


def parse(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="photographs to learn from")
    parser.add_argument("run", type=Path, help="folder to write to")
    parser.add_argument("--model", default="natural", help="a name or a file")
    parser.add_argument("--blocks", type=int, nargs="+", required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--watch", type=float, default=10.0, help="minutes between")
    parser.add_argument("--patch-size", type=int, default=160)
    parser.add_argument("--batch-size", type=int, default=6)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args(arguments)


def network_of(model, device):
    """Its network, ready to restore."""
    return model.net_.module_.to(device, memory_format=torch.channels_last).eval()


# ------------------------------------------------------------------ crops
def damaged_crops(photos, options, rng):
    """Yield batches of damaged and clean crops: tensors (n, C, h, w)."""
    side, damage = options.patch_size, natural_damage(OFTEN)
    photos = [photo for photo in photos if min(photo.shape[:2]) >= side]
    while True:
        chosen = rng.integers(len(photos), size=N_DRAWN)
        clean = np.stack([crop(photos[i], side, rng) for i in chosen])
        clean = np.float32(clean) / 255
        damage.set_params(random_state=int(rng.integers(2**31)))
        damaged = np.float32(damage.fit(clean).transform(clean))
        for first in range(0, N_DRAWN, options.batch_size):
            rows = slice(first, first + options.batch_size)
            yield to_tensor(damaged[rows], options), to_tensor(clean[rows], options)


def crop(photo, side, rng):
    """A random part of a photograph, at times mirrored or upright."""
    top, left = (rng.integers(0, n - side + 1) for n in photo.shape[:2])
    part = photo[top : top + side, left : left + side]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return part.swapaxes(0, 1) if rng.random() < 0.5 else part


def to_tensor(images, options):
    """Images (n, H, W, C) as channels-last (n, C, H, W) on the device."""
    images = torch.from_numpy(np.ascontiguousarray(images))
    return images.to(options.device).permute(0, 3, 1, 2)


# ------------------------------------------------------------------ learning
def learn(student, teacher, batches, options, look):
    """Let the student learn until the time is over."""
    student.requires_grad_(False)
    learned = [
        parameter.requires_grad_()
        for name, parameter in student.named_parameters()
        if student.stages_of(name) == ("restoration",)
    ]
    optimiser = MuonAdamW(learned, lr=options.lr)
    began, looked, losses = time.monotonic(), 0.0, []
    for n_steps, (damaged, clean) in enumerate(batches):
        minutes = (time.monotonic() - began) / 60
        left = max(0.0, 1 - minutes / options.minutes)
        if minutes >= looked or left == 0:
            look(minutes, n_steps, losses)
            looked, losses = looked + options.watch, []
        if left == 0:
            return
        rate = min(left, (n_steps + 1) / WARM_UP)
        optimiser.param_groups[0]["lr"] = options.lr * rate
        loss = distance(student, teacher, damaged, clean)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        losses.append(loss.item())


def distance(student, teacher, damaged, clean):
    """How far they are apart, in parts of the error of the teacher."""
    seen = summarise_colours(damaged)
    with torch.no_grad():
        wanted = teacher(damaged, seen=seen, with_sigma=False)[0]
        error = (wanted - clean).square().mean((1, 2, 3))
    found = student(damaged, seen=seen, with_sigma=False)[0]
    apart = (found - wanted).square().mean((1, 2, 3))
    return (apart / (error + TOLERANCE)).mean()


@torch.inference_mode()
def decibels(network, pictures):
    """PSNR of held-out pictures by task, in dB: means."""
    found = {}
    for task, (damaged, clean) in pictures.items():
        restored = torch.cat([network(part)[0] for part in damaged.split(1)])
        error = (restored.clamp(0, 1) - clean).square().mean((1, 2, 3))
        found[task] = (-10 * error.log10()).mean().item()
    return found


def held_out_pictures(pictures, options):
    """The middle of held-out photographs, damaged and clean, by task."""
    made = {}
    for task in WATCHED:
        clean, damaged = [], []
        for name, picture in pictures.items():
            top, left = ((n - SIDE) // 2 for n in picture.shape[:2])
            part = picture[top : top + SIDE, left : left + SIDE]
            clean.append(part)
            damaged.append(np.float32(TASKS[task](part, name)))
        made[task] = tuple(to_tensor(np.stack(x), options) for x in (damaged, clean))
    return made


def main():
    """Teach it."""
    options = parse()
    options.run.mkdir(parents=True, exist_ok=True)
    photos, held_out = split(options.folder)
    model, smaller = open_model(options.model), open_model(options.model)
    rebuild(smaller, ways_of(options.blocks, len(model.widths)))
    teacher, student = (network_of(each, options.device) for each in (model, smaller))
    pictures = held_out_pictures(held_out, options)
    expected = decibels(teacher, pictures)
    rng = np.random.default_rng(0)

    def look(minutes, n_steps, losses):
        found = decibels(student, pictures)
        row = {"minutes": minutes, "steps": n_steps, "loss": np.mean(losses or np.nan)}
        print_table([row | {task: found[task] - expected[task] for task in found}])
        joblib.dump(smaller, options.run / "model.joblib")

    learn(student, teacher, damaged_crops(photos, options, rng), options, look)


if __name__ == "__main__":
    main()
