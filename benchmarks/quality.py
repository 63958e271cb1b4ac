"""How well damage is undone, beside the classical methods of scikit-image.

Pictures of a folder meet the damage of ``protocol.py``; each method restores them, in
this one run, and is scored on the clean ones. ColorVAE is fitted for each task, or
loaded from a file, or the one that ships:

    python benchmarks/quality.py FOLDER --task awgn25 --train PHOTOS --seconds 300
    python benchmarks/quality.py FOLDER --task cast fade --model vae.joblib
    python benchmarks/quality.py FOLDER --task all --model natural --alone
    python benchmarks/quality.py --quick

Means are over pictures. "coverage" is the share of the true values inside the 90 %
intervals. Seconds per megapixel are of the wall clock, with as many threads as torch
and the method see fit; set OMP_NUM_THREADS to compare. A table of ColorVAE's scores on
all tasks comes last.
"""

import argparse
import time
from copy import copy
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import torch
from classical import methods_for
from protocol import BLOCK, BLUR_NOISE, BLUR_SIGMA, TASKS, read_folder
from sklearn.pipeline import make_pipeline
from table import print_table, write_csv

from colorvae_sk import (
    ColorCast,
    ColorVAE,
    Fade,
    GaussianBlur,
    GaussianNoise,
    ImageFolder,
    JPEGCompression,
    MissingPixels,
    Quantize,
    ciede2000_error,
    coverage_score,
    list_pretrained,
    load_photos,
    load_pretrained,
    psnr_score,
    ssim_score,
)

UNLIMITED = 10**6  # epochs: the seconds end the fit
MEASURES = {
    "PSNR": psnr_score,
    "SSIM": ssim_score,
    "CIEDE2000": ciede2000_error,
}

COSTS = "coverage", "s/MP"

# What ColorVAE learns to undo for each task.
LESSONS = {
    **{f"awgn{s}": GaussianNoise(s / 255, clip=False) for s in (15, 25, 50)},
    **{
        f"awgn{s}-8bit": make_pipeline(GaussianNoise(s / 255), Quantize())
        for s in (15, 25, 50)
    },
    **{f"jpeg{q}": JPEGCompression(q) for q in (10, 20, 30, 40)},
    "blur": make_pipeline(
        GaussianBlur(BLUR_SIGMA), GaussianNoise(BLUR_NOISE, clip=False)
    ),
    "missing": MissingPixels(0.3),
    "blocks": MissingPixels((0.02, 0.3), size=BLOCK),
    "cast": ColorCast(),
    "fade": Fade(),
}


# ------------------------------------------------------------------ methods
def do_nothing(picture):
    """The damaged picture, its holes filled with the mean of their channel."""
    return np.where(np.isnan(picture), np.nanmean(picture, axis=(0, 1)), picture), None


def restore_classically(picture, method):
    """What scikit-image makes of it: no error bars."""
    return method(picture), None


def restore(picture, model):
    """ColorVAE's restoration and error bars."""
    restored, std = model.predict([picture], return_std=True)
    return restored[0], std[0]


def average_samples(picture, model, n_samples):
    """The mean of several plausible restorations."""
    samples = model.sample_posterior([picture], n_samples, random_state=0)
    return np.mean([sample[0] for sample in samples], axis=0), None


def classical_methods(task):
    """The competitors, by name."""
    methods = methods_for(task).items()
    named = {name: partial(restore_classically, method=m) for name, m in methods}
    return {"(damaged)": do_nothing, **named}


def methods_of(model, n_samples, tile_size):
    """What is asked of ColorVAE, by name."""
    name = f"ColorVAE ({model.architecture_})"
    methods = {name: partial(restore, model=model)}
    if tile_size is not None:
        tiled = copy(model).set_params(tile_size=tile_size)
        side, _ = tiled._restorer().tile  # a network may need larger ones
        methods[f"{name}, tiles of {side}"] = partial(restore, model=tiled)
    if n_samples > 0:
        one, several = (
            partial(average_samples, model=model, n_samples=n) for n in (1, n_samples)
        )
        methods[f"{name}, one sample"] = one
        methods[f"{name}, mean of {n_samples} samples"] = several
    return methods


# ------------------------------------------------------------------ measuring
def evaluate(method, clean, damaged):
    """Mean scores of a method, and its seconds per megapixel."""
    began = time.perf_counter()
    results = [method(picture) for picture in damaged]
    seconds = time.perf_counter() - began
    restored, std = zip(*results, strict=True)
    scores = {n: measure(clean, list(restored)) for n, measure in MEASURES.items()}
    scores["coverage"] = None
    if std[0] is not None:
        scores["coverage"] = coverage_score(clean, list(restored), list(std))
    return {**scores, "s/MP": seconds / megapixels(clean)}


def megapixels(pictures):
    """Size of all pictures together."""
    return sum(picture.shape[0] * picture.shape[1] for picture in pictures) / 1e6


def compare(task, pictures, methods):
    """A row of the table for each method."""
    damaged = [TASKS[task](clean, name) for name, clean in pictures.items()]
    clean = list(pictures.values())
    for name, method in methods.items():
        yield {"method": name, "task": task, **evaluate(method, clean, damaged)}


def fit(task, photos, options):
    """ColorVAE, fitted for so long to undo the damage of a task."""
    model = ColorVAE(
        architecture=options.architecture,
        degradation=LESSONS[task],
        patch_size=options.patch_size,
        batch_size=options.batch_size,
        max_epochs=UNLIMITED,
        max_seconds=options.seconds,
        verbose=1,
        random_state=0,
    )
    return model.fit(photos)


def information(model):
    """Nats per value of each latent layer, over the last half of their stage."""
    last = model.history_[-1]["stage"]
    rows = [row["train_kl"] for row in model.history_ if row["stage"] == last]
    return np.mean(rows[len(rows) // 2 :], axis=0)


def report(task, pictures, model, options):
    """Compare all methods on a task, and print the table."""
    methods = {"(damaged)": do_nothing} if options.alone else classical_methods(task)
    if model is not None:
        methods |= methods_of(model, options.samples, options.tile_size)
    rows = list(compare(task, pictures, methods))
    print_table(rows)
    if model is not None and model.history_:
        n_steps = sum(row["n_steps"] for row in model.history_)
        kl = " ".join(f"{value:.4f}" for value in information(model))
        print(f"fitted in {n_steps} steps; KL in nats per value, coarse to fine: {kl}")
    return rows


def summarise(rows):
    """For each task, a row of what ColorVAE made of it, beside the damaged pictures."""
    tasks = dict.fromkeys(row["task"] for row in rows)
    for task in tasks:
        damaged, *others = (row for row in rows if row["task"] == task)
        ours = next(row for row in others if row["method"].startswith("ColorVAE"))
        before = {f"{name} before": damaged[name] for name in ("PSNR", "CIEDE2000")}
        yield {"task": task, **before, **{k: ours[k] for k in (*MEASURES, *COSTS)}}


# ------------------------------------------------------------------ command line
def parse(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", help="clean pictures to test on")
    tasks = [*TASKS, "all"]
    parser.add_argument("--task", nargs="+", choices=tasks, default=["awgn25"])
    parser.add_argument("--model", help="a name that ships, or a file of joblib's")
    parser.add_argument("--alone", action="store_true", help="no classical methods")
    parser.add_argument("--train", help="folder of clean pictures to fit on")
    parser.add_argument("--architecture", default="ladder")
    parser.add_argument("--patch-size", type=int, help="of ColorVAE, in pixels")
    parser.add_argument("--batch-size", type=int, help="of ColorVAE")
    parser.add_argument("--seconds", type=float, default=300, help="of each fit")
    parser.add_argument("--save", type=Path, help="folder for the fitted models")
    parser.add_argument("--n-pictures", type=int, help="test on so many only")
    parser.add_argument("--samples", type=int, default=0, help="from the posterior")
    parser.add_argument("--tile-size", type=int, help="restore by tiles too, in pixels")
    parser.add_argument("--csv", help="write the table to this file too")
    quick = "cut from two bundled photographs, after 5 seconds of learning"
    parser.add_argument("--quick", action="store_true", help=quick)
    options = parser.parse_args(arguments)
    if options.folder is None and not options.quick:
        parser.error("give a FOLDER of clean pictures, or --quick")
    if options.quick:
        options.seconds = 5.0
    if "all" in options.task:
        options.task = list(TASKS)
    return options


def load_pictures(options):
    """The pictures to test on, by name, and those to learn from, if any."""
    if options.quick:
        photos = [np.float32(photo / 255) for photo in load_photos()]
        chelsea, coffee = (photos.pop(1)[100:292, 100:292] for _ in range(2))
        return {"chelsea": chelsea, "coffee": coffee}, photos
    learned = None if options.train is None else list(ImageFolder(options.train))
    return read_folder(options.folder, options.n_pictures), learned


def model_for(task, photos, options):
    """The model of the file, or one that is fitted now, or none."""
    if options.model in list_pretrained():
        return load_pretrained(options.model)
    if options.model is not None:
        return joblib.load(options.model)
    if photos is None:
        return None
    model = fit(task, photos, options)
    if options.save is not None:
        options.save.mkdir(parents=True, exist_ok=True)
        joblib.dump(model, options.save / f"{options.architecture}-{task}.joblib")
    return model


def main():
    """Compare all methods on all tasks that are asked for."""
    options, rows = parse(), []
    pictures, photos = load_pictures(options)
    size, n_threads = megapixels(pictures.values()), torch.get_num_threads()
    print(
        f"{len(pictures)} pictures, {size:.2f} megapixels, {n_threads} torch thread(s)"
    )
    for task in options.task:
        rows += report(task, pictures, model_for(task, photos, options), options)
    if any(row["method"].startswith("ColorVAE") for row in rows):
        print_table(list(summarise(rows)))
    if options.csv:
        write_csv(rows, options.csv)


if __name__ == "__main__":
    main()
