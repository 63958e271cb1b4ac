"""The whole family side by side: what is restored, and how sharp one sample is.

Every member learns for the same time to undo the damage of one task of ``protocol.py``
and is scored on the pictures of a folder:

    python benchmarks/family.py FOLDER --train PHOTOS --seconds 300
    python benchmarks/family.py --quick

PSNR, SSIM and CIEDE2000 are of the restoration. "sample" is the PSNR of one sample of
the posterior, and "sharpness" the energy of its Laplacian as a share of that of the
clean picture: 1 is perfect, less is too soft, more is too grainy. The first row is of
the damaged pictures. Means are over pictures. "KL" is what all latents together carry,
in nats per value; "codes" the perplexity of the codes of each layer, the colours'
first, then coarse to fine. Set OMP_NUM_THREADS to give all members the same processor.
"""

import argparse

import numpy as np
import torch
from protocol import TASKS
from quality import (
    LESSONS,
    MEASURES,
    UNLIMITED,
    do_nothing,
    information,
    load_pictures,
    megapixels,
)
from scipy.ndimage import laplace
from table import print_table, write_csv

from colorvae_sk import ColorVAE, ColorVAEGAN, ColorVQVAE, psnr_score

FAMILY = {
    "ColorVAE (ladder)": ColorVAE(),
    "ColorVQVAE": ColorVQVAE(),
    "ColorVAEGAN": ColorVAEGAN(),
    "ColorVAE (conv)": ColorVAE("conv"),
    "ColorVAE (dense)": ColorVAE("dense"),
}


# ------------------------------------------------------------------ measuring
def energy(picture):
    """The mean square of the Laplacian of each channel of a picture (H, W, C)."""
    return np.square(laplace(np.float64(picture), axes=(0, 1))).mean()


def sharpness(clean, pictures):
    """Energy of the Laplacian as a share of that of the clean pictures."""
    pairs = zip(clean, pictures, strict=True)
    return float(np.mean([energy(picture) / energy(true) for true, picture in pairs]))


def scores(clean, restored, samples, model=None):
    """A row of the table, without its name."""
    row = {name: measure(clean, restored) for name, measure in MEASURES.items()}
    row |= {
        "sample": psnr_score(clean, samples),
        "sharpness": sharpness(clean, samples),
    }
    if model is None:
        return row | {"KL": None, "codes": None, "steps": None}
    codes = model.history_[-1].get("perplexity")
    row["KL"] = float(sum(information(model)))
    row["codes"] = None if codes is None else " ".join(f"{n:.0f}" for n in codes)
    return row | {"steps": sum(epoch["n_steps"] for epoch in model.history_)}


def learn(member, photos, options):
    """One of the family, fitted for so long to undo the damage of the task."""
    member.set_params(
        degradation=LESSONS[options.task],
        max_epochs=UNLIMITED,
        max_seconds=options.seconds,
        random_state=0,
    )
    return member.fit(photos)


def compare(pictures, photos, options):
    """A row for the damaged pictures, and one for each of the family."""
    clean = list(pictures.values())
    damaged = [TASKS[options.task](true, name) for name, true in pictures.items()]
    untouched = [do_nothing(picture)[0] for picture in damaged]
    yield {"method": "(damaged)", **scores(clean, untouched, untouched)}
    for name, member in FAMILY.items():
        model = learn(member, photos, options)
        samples = model.sample_posterior(damaged, random_state=0)[0]
        row = scores(clean, model.transform(damaged), samples, model)
        yield {"method": name, **row}


# ------------------------------------------------------------------ command line
def parse(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", help="clean pictures to test on")
    parser.add_argument("--train", help="folder of clean pictures to fit on")
    parser.add_argument("--task", choices=list(TASKS), default="awgn25")
    parser.add_argument("--seconds", type=float, default=300, help="of each fit")
    parser.add_argument("--n-pictures", type=int, help="test on so many only")
    parser.add_argument("--csv", help="write the table to this file too")
    quick = "cut from two bundled photographs, after 2 seconds of learning"
    parser.add_argument("--quick", action="store_true", help=quick)
    options = parser.parse_args(arguments)
    if not options.quick and not (options.folder and options.train):
        parser.error("give a FOLDER of clean pictures and --train, or --quick")
    if options.quick:
        options.seconds = 2.0
    return options


def main():
    """Compare the whole family on one task."""
    options = parse()
    pictures, photos = load_pictures(options)
    size, n_threads = megapixels(pictures.values()), torch.get_num_threads()
    print(
        f"{len(pictures)} pictures, {size:.2f} megapixels, {options.task}, "
        f"{options.seconds:g} seconds each on {n_threads} torch thread(s)"
    )
    rows = list(compare(pictures, photos, options))
    print_table(rows)
    if options.csv:
        write_csv(rows, options.csv)


if __name__ == "__main__":
    main()
