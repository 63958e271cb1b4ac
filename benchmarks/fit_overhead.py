"""What `ColorVAE.fit` costs on top of a bare torch loop.

Both learn from the same pictures with the same network, crops, damage, loss,
optimiser and mixed precision, and take the same number of steps. The loop does not
clip gradients, average weights, anneal or keep a history, as `fit` does. It has arrays;
`fit` is given these, and once an ImageFolder of the same pictures in files. They take
turns; the table shows the median of the patches per second of each, and which share of
the loop's time goes into batches: crops, augmentation and damage.

    python benchmarks/fit_overhead.py [FOLDER] [--repeats 5] [--quick]
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import torch
from PIL import Image
from sklearn.base import clone
from table import print_table

from colorvae_sk import ColorVAE, GaussianNoise, ImageFolder, load_photos
from colorvae_sk._batches import Batches
from colorvae_sk._images import as_images
from colorvae_sk._muon import MuonAdamW
from colorvae_sk.losses import NegativeELBO

EPOCHS = {"ladder": 2, "dense": 20}  # of one run
TRIALS = [
    ("ladder", "noise", GaussianNoise(25 / 255), "arrays"),
    ("ladder", "noise", GaussianNoise(25 / 255), "files"),
    ("ladder", "blind", "blind", "arrays"),
    ("dense", "noise", GaussianNoise(25 / 255), "arrays"),
]
ENDLESS = SimpleNamespace(is_over=False, strictness=0.0)  # no time limit


class TimedBatches(Batches):
    """Batches that sum up the seconds in which they are made."""

    seconds = 0.0

    def __iter__(self):
        began = time.perf_counter()
        for batch in super().__iter__():
            self.seconds += time.perf_counter() - began
            yield batch
            began = time.perf_counter()


def fit(vae, photos):
    """Fit; give the number of steps, and None for the seconds that batches took."""
    vae = clone(vae).fit(photos)
    return sum(row["n_steps"] for row in vae.history_), None


def loop(vae, photos):
    """Take the same steps in plain torch; give their number, and batches' seconds."""
    vae, images = clone(vae), as_images(photos)
    vae.image_mode_ = True
    vae._begin(images)
    network = vae.net_.module_
    source = vae._batch_source(network, is_clean=True)
    dataset, _ = vae._split(images, None, source.rng)
    batches, n_steps = TimedBatches(dataset, vae._batch_size, source), 0
    for stage, share in zip(network.stages, vae._shares(network), strict=True):
        source.begin(stage, ENDLESS)
        n_epochs = max(1, round(share * vae.max_epochs))
        n_steps += learn_stage(vae, network, stage, batches, n_epochs)
    return n_steps, batches.seconds


def learn_stage(vae, network, stage, batches, n_epochs):
    """Learn one stage in plain torch; give the number of steps."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(stage in network.stages_of(name))
    learned = [p for p in network.parameters() if p.requires_grad]
    optimiser = MuonAdamW(learned, lr=vae.lr)
    step = make_step(vae, network, stage, optimiser)
    for _ in range(n_epochs):
        losses = [step(inputs, target) for inputs, target in batches]
        float(torch.stack(losses).mean())  # waits for the device
    return n_epochs * len(batches)


def make_step(vae, network, stage, optimiser):
    """One step of the optimiser as a function of a batch."""
    criterion = NegativeELBO(vae.beta, vae._free_bits, network.units)
    kind = torch.device(vae._device).type
    mixes = vae._mixes_precision(network, stage)

    def step(inputs, target):
        optimiser.zero_grad()
        with torch.autocast(kind, torch.bfloat16, enabled=mixes):
            prediction = network(**inputs)
        loss = criterion(tuple(part.float() for part in prediction), target)
        loss.backward()
        optimiser.step()
        return loss.detach()

    return step


def run(learn, vae, photos):
    """Patches per second of one run, its steps, and the share of making batches."""
    began = time.perf_counter()
    n_steps, seconds = learn(vae, photos)
    elapsed = time.perf_counter() - began
    share = None if seconds is None else seconds / elapsed
    return n_steps * vae.batch_size / elapsed, n_steps, share


def compare(architecture, name, degradation, source, sources, repeats):
    """A row of the table: medians of alternating runs."""
    vae = ColorVAE(
        architecture=architecture,
        degradation=degradation,
        max_epochs=EPOCHS[architecture],
        batch_size={"ladder": 4, "dense": 128}[architecture],  # as by default
        random_state=0,
    )
    arrays = sources["arrays"]()
    run(loop, vae, arrays[:1])  # warm up
    runs = [
        (run(fit, vae, sources[source]()), run(loop, vae, arrays))
        for _ in range(repeats)
    ]
    assert len({n_steps for pair in runs for _, n_steps, _ in pair}) == 1
    by_fit, by_loop = (median(pair[i][0] for pair in runs) for i in (0, 1))
    return {
        "network": architecture,
        "damage": name,
        "fit from": source,
        "steps of a run": runs[0][0][1],
        "fit, patches/s": by_fit,
        "loop, patches/s": by_loop,
        "fit / loop": by_fit / by_loop,
        "share of batches": median(pair[1][2] for pair in runs),
    }


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", help="default: the bundled photographs")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each")
    parser.add_argument("--quick", action="store_true", help="one photograph, one run")
    return parser.parse_args()


def write_bundled(folder):
    """Put the bundled photographs into a folder, as PNG."""
    for k, photo in enumerate(load_photos()):
        Image.fromarray(photo).save(Path(folder, f"{k}.png"))


def main():
    """Compare fit and loop for the ladder and the dense network."""
    options = parse()
    chosen = slice(1, 2) if options.quick else slice(None)
    repeats = 1 if options.quick else options.repeats
    with tempfile.TemporaryDirectory() as bundled:
        folder = options.folder or bundled
        if options.folder is None:
            write_bundled(bundled)
        photos = list(ImageFolder(folder)[chosen])
        sources = {
            "arrays": lambda: photos,
            "files": lambda: ImageFolder(folder)[chosen],
        }
        rows = [compare(*trial, sources, repeats) for trial in TRIALS]
    print(
        f"{len(photos)} photograph(s), torch with {torch.get_num_threads()} thread(s)"
    )
    print_table(rows)


if __name__ == "__main__":
    main()
