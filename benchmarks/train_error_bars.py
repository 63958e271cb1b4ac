"""Learn the error bars of the model that ships once more, from whole photographs.

    python benchmarks/train_error_bars.py PHOTOS MODEL RUN [--pictures 5000]
    python benchmarks/export_weights.py RUN/model.joblib natural

MODEL is a file that ``joblib.dump`` or ``colorvae_sk.save`` wrote, or the name of
weights that ship. A fit learns error bars from crops, whose edges are more uncertain
than the rest, few at a time, and from photographs whose colours it knows too well. Here
the network restores whole photographs first, in as many processes as there are cores,
also those that ``train_natural.py`` holds out; of each, what the head of the error bars
reads and what it is to tell are kept in the folder RUN, at random places. Then the head
alone learns from these, many photographs at a time, a half of them held out ones. It
does so twice: at first every other held-out photograph is kept aside, and how well
intervals hold these is printed. Given again, the command goes on with the photographs
that are still to be restored.
"""

import argparse
import copy
import io
from pathlib import Path

import joblib
import numpy as np
import torch
from joblib import Parallel, delayed
from torch.nn import functional as F
from train_natural import SCALES, at_scale, natural_damage, split_files

from colorvae_sk import list_pretrained, load, load_pretrained
from colorvae_sk._muon import MuonAdamW
from colorvae_sk._storage import replace_file
from colorvae_sk.degradations import as_degrader
from colorvae_sk.losses import REACH, interval_error

OFTEN = {
    "blur": 2.5,
    "cast": 4,
    "fade": 3,
    "holes": 5,
    "8 bits": 2,
    "nothing left": 0.1,
    "several": 1.5,
}
PLACES = 1000  # of 2 x 2 pixels, kept of each photograph
PART = 50  # photographs that are restored by a process at a time
BATCH = 64  # photographs of a step
LOOK = 100  # steps between two looks at those kept aside
EMA = 0.98


# ------------------------------------------------------------------ what to learn from
def open_model(name):
    """The model of a file, or one that ships."""
    if name in list_pretrained():
        return load_pretrained(name)
    return joblib.load(name) if Path(name).suffix == ".joblib" else load(name)


def write_parts(options):
    """Restore photographs, part by part, and keep what is learned from.

    Gives the files of learned photographs, and of the two halves of those held out.
    """
    n_parts = -(-options.pictures // PART)
    n_aside = 2 * -(-n_parts // 4)
    todo = [("learned", k) for k in range(n_parts)]
    todo += [(f"held-out-{k % 2}", k) for k in range(n_aside)]
    files = [options.run / f"{kind}-{k}.npz" for kind, k in todo]
    waiting = [
        (*each, f) for each, f in zip(todo, files, strict=True) if not f.exists()
    ]
    work = (delayed(write_part)(options, *each) for each in waiting)
    Parallel(n_jobs=options.jobs, verbose=1)(work)
    kinds = "learned", "held-out-0", "held-out-1"
    return [[f for f in files if f.name.startswith(kind)] for kind in kinds]


def write_part(options, kind, part, file):
    """Restore some photographs, and write down what the head reads of them."""
    torch.set_num_threads(1)
    learned, held_out = split_files(options.folder)
    photos = learned if kind == "learned" else held_out[part % 2 :: 2]
    seed = [part, kind == "learned"]
    rng, generator = np.random.default_rng(seed), torch.Generator()
    generator.manual_seed(int(rng.integers(2**63)))
    network = open_model(options.model).net_.module_.eval()
    degrade = as_degrader(natural_damage(**OFTEN), as_rows=False)
    samples = []
    for _ in range(PART):
        photo = at_scale(photos[int(rng.integers(len(photos)))], rng.choice(SCALES))
        clean = torch.from_numpy(np.float32(photo / 255)).permute(2, 0, 1)[None]
        samples.append(sample(network, degrade(clean, generator), clean, rng))
    columns, written = zip(*samples, strict=True), io.BytesIO()
    np.savez(written, *(np.stack(column) for column in columns))
    replace_file(file, written.getvalue())


def sample(network, damaged, clean, rng):
    """What the head reads of a picture, at random places, and the residuals there."""
    read = []
    hook = network.sigma.register_forward_pre_hook(lambda _, given: read.extend(given))
    with torch.inference_mode():
        restored = network(damaged)[0]
    hook.remove()
    features, about = read
    height, width = (side // 2 for side in clean.shape[-2:])
    residual = (clean - restored)[..., : 2 * height, : 2 * width]
    residual = F.pixel_unshuffle(residual, 2)[0].flatten(1)
    features = features[0, :, :height, :width].flatten(1)
    places = torch.from_numpy(rng.integers(height * width, size=PLACES))
    return features[:, places].numpy(), about[0].numpy(), residual[:, places].numpy()


def read_parts(files):
    """All photographs of some parts: features, what is about them, residuals."""
    parts = [list(np.load(file).values()) for file in files]
    return [torch.from_numpy(np.concatenate(x)) for x in zip(*parts, strict=True)]


# ------------------------------------------------------------------ learning
def look(head, data):
    """Loss and coverage of all photographs."""
    losses, shares = [], []
    with torch.inference_mode():
        batches = (x.split(BATCH) for x in data)
        for features, about, residual in zip(*batches, strict=True):
            log_sigma = head(features[..., None], about)[..., 0]
            losses.append(interval_error(0.0, log_sigma, residual))
            inside = residual.abs() <= REACH * log_sigma.exp()
            shares.append(inside.float().mean((1, 2)))
    return torch.cat(losses).mean().item(), torch.cat(shares).mean().item()


def learn(head, sources, steps, lr, aside=None):
    """Learn the head, equally from all sources; gives the running average of it.

    How well it fits photographs that are kept aside, if any, is printed on the way.
    """
    head = copy.deepcopy(head).requires_grad_(True)
    average = copy.deepcopy(head)
    optimizer = MuonAdamW(list(head.parameters()), lr=lr)
    rng = np.random.default_rng(0)
    for step in range(steps):
        features, about, residual = draw(sources, rng)
        log_sigma = head(features[..., None], about)[..., 0]
        interval_error(0.0, log_sigma, residual).mean().backward()
        for group in optimizer.param_groups:
            group["lr"] = 0.5 * lr * (1 + np.cos(np.pi * step / steps))
        optimizer.step()
        head.zero_grad()
        with torch.no_grad():
            pairs = zip(average.parameters(), head.parameters(), strict=True)
            for mean, parameter in pairs:
                mean.lerp_(parameter, 1 - EMA)
        is_due = step % LOOK == LOOK - 1 or step == steps - 1
        if aside is not None and is_due:
            report(step + 1, average, aside)
    return average


def draw(sources, rng):
    """A batch with as many photographs of each source."""
    size = BATCH // len(sources)
    chosen = [torch.from_numpy(rng.permutation(len(s[0]))[:size]) for s in sources]
    parts = ([x[k] for x in s] for s, k in zip(sources, chosen, strict=True))
    return [torch.cat(tensors) for tensors in zip(*parts, strict=True)]


def report(step, head, aside):
    """Print how well a head fits photographs that it has not seen."""
    print("{} steps: {:.4f} {:.3f}".format(step, *look(head, aside)), flush=True)


def main():
    """Restore, and learn."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="photographs to learn from")
    parser.add_argument("model", help="weights to begin with: a name or a file")
    parser.add_argument("run", type=Path, help="folder to keep it in")
    parser.add_argument("--pictures", type=int, default=5000, help="to restore")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--jobs", type=int, default=-1, help="processes")
    options = parser.parse_args()
    options.run.mkdir(parents=True, exist_ok=True)
    learned, *halves = map(read_parts, write_parts(options))
    model = open_model(options.model)
    head = model.net_.module_.sigma
    budget = options.steps, options.lr
    report(0, head, halves[1])
    learn(head, (learned, halves[0]), *budget, aside=halves[1])
    both = [torch.cat(pair) for pair in zip(*halves, strict=True)]
    head.load_state_dict(learn(head, (learned, both), *budget).state_dict())
    joblib.dump(model, options.run / "model.joblib")


if __name__ == "__main__":
    main()
