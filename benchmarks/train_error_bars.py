"""Learn the error bars of the model that ships once more, from whole photographs.

    python benchmarks/train_error_bars.py PHOTOS MODEL RUN [--pictures 8000]
    python benchmarks/export_weights.py RUN/model.joblib natural

MODEL is a file that ``joblib.dump`` or ``colorvae_sk.save`` wrote, or the name of
weights that ship. A fit learns error bars from crops, few at a time, whose edges are
more uncertain than the rest, from photographs whose colours it knows too well. Here the
network restores whole photographs first, or large parts of them, in as many processes
as there are cores: a half of them are of those that ``train_natural.py`` holds out, and
they alone are given other colours. Of each, what the head of the error bars reads and
what it is to tell are kept in the folder RUN, at random places. Then the head alone
learns from these, many photographs at a time.

It does so three times. The first two times every other held-out photograph is kept
aside. Some damage goes unseen, a cast mostly: intervals of what looks clean are too
wide then, and those of a cast too narrow. So the level of the quantile loss is moved
for each kind of damage until intervals hold 90 %: of the photographs kept aside, or of
the learned ones, which are many, where colours have no part in it: as many again are
restored for that alone; of those that were not shrunk, as shrunk ones are harder. How
well they are held is printed. Then the head learns from all, with the means of both
levels, of which those of local damage are moved on, as each head is a little different.
Given again, the command goes on with the photographs that are still to be restored.
"""

import argparse
import copy
import io
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.pipeline import make_pipeline
from table import print_table
from torch.nn import functional as F
from train_natural import (
    SCALES,
    UNUSUAL,
    at_scale,
    natural_kinds,
    open_model,
    some,
    split_files,
    unusual,
)

from colorvae_sk import (
    DefocusBlur,
    Desaturate,
    Fade,
    GaussianBlur,
    GaussianNoise,
    JPEGCompression,
    MissingChannels,
    MissingPixels,
    MissingScratches,
    MotionBlur,
    PoissonNoise,
    Quantize,
    SaltPepperNoise,
)
from colorvae_sk._muon import MuonAdamW
from colorvae_sk._storage import replace_file
from colorvae_sk.degradations import as_degrader
from colorvae_sk.losses import COVERAGE, REACH, interval_error

OFTEN = {  # kinds of damage that have a level of their own
    "faint noise": 1.8,
    "weak noise": 3.3,
    "strong noise": 1.8,
    "strong noise in 8 bits": 1.8,
    "other noise": 1,
    "blur": 1.7,
    "motion": 0.6,
    "defocus": 0.6,
    "jpeg to 20": 2,
    "jpeg to 50": 2,
    "jpeg to 95": 1,
    "cast": 4,
    "fade": 3,
    "desaturated": 0.6,
    "few holes": 2,
    "pixels": 1.5,
    "blocks": 1.5,
    "scratches": 0.4,
    "channels": 0.4,
    "small": 0.8,
    "8 bits": 2,
    "nothing left": 0.2,
    "several": 1.5,
}
NOISE = 9 / 255, 33 / 255, 55 / 255  # sigmas up to which it is faint, weak or strong
LOCAL = (  # those that the colours of a photograph have no part in
    *("faint noise", "weak noise", "strong noise", "strong noise in 8 bits"),
    *("other noise", "blur", "motion", "defocus", "small"),
    *("jpeg to 20", "jpeg to 50", "jpeg to 95"),
    *("few holes", "pixels", "blocks", "scratches"),
)
SOURCES = "learned", "held-out-0", "held-out-1", "judged"  # the last are learned ones
PLACES = 1000  # of 2 x 2 pixels, kept of each photograph
SMALLEST = 0.7  # part of the sides that is restored
PART = 50  # photographs that are restored by a process at a time
BATCH = 64  # photographs of a step
LOOK = 25  # steps between two looks at those kept aside
MARGIN = 0.025  # of log sigma: whole photographs were held to 89 % of common damage
EVEN = 3.0  # price of intervals that depend on whether rows and columns are odd
PATIENCE = 0.5  # of what a level is to move, how much it does at a look
EMA = 0.98


# ------------------------------------------------------------------ what to learn from
class Lesson(NamedTuple):
    """What is kept of photographs: tensors, n of each."""

    features: torch.Tensor  # (n, n_features, PLACES)
    marks: torch.Tensor  # (n, n_marks, PLACES)
    about: torch.Tensor  # (n, n_about), of the whole photograph
    residual: torch.Tensor  # (n, n_values, PLACES)
    kind: torch.Tensor  # (n,), the place in OFTEN
    scale: torch.Tensor  # (n,), 1 for photographs that were not shrunk, 0 for unusual

    def take(self, chosen):
        """Some of the photographs."""
        return Lesson(*(tensor[chosen] for tensor in self))


def join(lessons):
    """Several lessons as one."""
    return Lesson(*map(torch.cat, zip(*lessons, strict=True)))


def write_parts(options):
    """Restore photographs, part by part, and keep what is learned from.

    Gives the files of each source.
    """
    n_parts = -(-options.pictures // (4 * PART))
    counts = 2 * n_parts, n_parts, n_parts, 4 * n_parts
    todo = [
        (source, k) for source, n in zip(SOURCES, counts, strict=True) for k in range(n)
    ]
    files = [options.run / f"{source}-{k}.npz" for source, k in todo]
    waiting = [
        (*each, f) for each, f in zip(todo, files, strict=True) if not f.exists()
    ]
    work = (delayed(write_part)(options, *each) for each in waiting)
    Parallel(n_jobs=options.jobs, verbose=1)(work)
    return [[f for f in files if f.name.startswith(source)] for source in SOURCES]


def write_part(options, source, part, file):
    """Restore some photographs, and write down what the head reads of them."""
    torch.set_num_threads(1)
    learned, held_out = split_files(options.folder)
    halves = {"held-out-0": held_out[::2], "held-out-1": held_out[1::2]}
    photos = halves.get(source, learned)
    rng = np.random.default_rng([part, SOURCES.index(source)])
    network = open_model(options.model).net_.module_.eval()
    choose = pairs_to_judge if source == "judged" else pairs
    samples = [
        sample(network, rng, *pair, kind, scale)
        for *pair, kind, scale in choose(photos, rng)
    ]
    columns, written = zip(*samples, strict=True), io.BytesIO()
    np.savez(written, *(np.stack(column) for column in columns))
    replace_file(file, written.getvalue())


def pairs(photos, rng):
    """Damaged and clean parts of photographs, the kind of the damage, and the scale."""
    chances = np.array([OFTEN[kind] for kind in OFTEN])
    for _ in range(PART):
        scale = rng.choice(SCALES)
        photo = at_scale(photos[int(rng.integers(len(photos)))], scale)
        if rng.random() < UNUSUAL:
            photo, scale = unusual(photo, rng), 0
        kind = rng.choice(len(chances), p=chances / chances.sum())
        yield *damage(photo, kind, rng), kind, scale


def pairs_to_judge(photos, rng):
    """The same, of photographs that were not shrunk, with all local damage alike."""
    for name in islice(cycle(LOCAL), PART):
        kind, photo = list(OFTEN).index(name), photos[int(rng.integers(len(photos)))]
        yield *damage(at_scale(photo, 1), kind, rng), kind, 1


def damage(photo, kind, rng):
    """A part of a photograph with this damage, and without."""
    clean = np.float32(some_part(photo, rng) / 255)
    clean = torch.from_numpy(clean).permute(2, 0, 1)[None]
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    degrade = as_degrader(kinds_of_damage()[list(OFTEN)[kind]], as_rows=False)
    return degrade(clean, generator), clean


def kinds_of_damage():
    """Those that the model learned to undo, told apart further."""
    faint, weak, strong = pairwise((0, *NOISE))
    return natural_kinds() | {
        "faint noise": some((1, noise(*faint)), (1, noise_in_8_bits(*faint))),
        "weak noise": some((1, noise(*weak)), (1, noise_in_8_bits(*weak))),
        "strong noise": noise(*strong),
        "strong noise in 8 bits": noise_in_8_bits(*strong),
        "other noise": some(
            (1, PoissonNoise((10, 1000))), (1, SaltPepperNoise((0, 0.1)))
        ),
        "blur": make_pipeline(GaussianBlur((0, 3)), noise(*faint)),
        "motion": make_pipeline(MotionBlur((1, 15)), noise(*faint)),
        "defocus": make_pipeline(DefocusBlur((0, 4)), noise(*faint)),
        "jpeg to 20": JPEGCompression((5, 20)),
        "jpeg to 50": JPEGCompression((20, 50)),
        "jpeg to 95": JPEGCompression((50, 95)),
        "fade": Fade(),
        "desaturated": Desaturate((0, 1)),
        "few holes": MissingPixels((0, 0.1), size=(2, 32)),
        "pixels": MissingPixels((0, 0.9)),
        "blocks": MissingPixels((0, 0.6), size=(2, 32)),
        "scratches": MissingScratches((1, 8), width=(1, 4)),
        "channels": MissingChannels(1),
    }


def noise(*sigma):
    """Gaussian noise, not clipped."""
    return GaussianNoise(sigma, clip=False)


def noise_in_8_bits(*sigma):
    """The same as it is stored."""
    return make_pipeline(GaussianNoise(sigma), Quantize())


def some_part(photo, rng):
    """A large part of a photograph, at a random place."""
    sizes = [int(side * rng.uniform(SMALLEST, 1)) for side in photo.shape[:2]]
    rows, columns = (
        slice(start := int(rng.integers(side - size + 1)), start + size)
        for side, size in zip(photo.shape, sizes, strict=False)
    )
    return photo[rows, columns]


def sample(network, rng, damaged, clean, kind, scale):
    """What the head reads of a picture, at random places, and the residuals there."""
    read = []
    hook = network.sigma.register_forward_pre_hook(lambda _, given: read.extend(given))
    with torch.inference_mode():
        restored = network(damaged)[0]
    hook.remove()
    features, marks, about = read
    height, width = (side // 2 for side in clean.shape[-2:])
    residual = (clean - restored)[..., : 2 * height, : 2 * width]
    places = torch.from_numpy(rng.integers(height * width, size=PLACES))
    features, marks, residual = (
        values[0, :, :height, :width].flatten(1)[:, places]
        for values in (features, marks, F.pixel_unshuffle(residual, 2))
    )
    return Lesson(features, marks, about[0], residual, kind, scale)


def read_parts(files):
    """All photographs of some parts."""
    parts = [list(np.load(file).values()) for file in files]
    return Lesson(*map(torch.from_numpy, map(np.concatenate, zip(*parts, strict=True))))


# ------------------------------------------------------------------ learning
def answer(head, lesson):
    """The log standard deviations that a head gives, (n, n_values, PLACES)."""
    features, marks = lesson.features[..., None], lesson.marks[..., None]
    return head(features, marks, lesson.about)[..., 0]


def look(head, lesson):
    """Loss and coverage of each photograph."""
    losses, shares = [], []
    with torch.inference_mode():
        for chosen in torch.arange(len(lesson.kind)).split(BATCH):
            taken = lesson.take(chosen)
            log_sigma = answer(head, taken)
            losses.append(interval_error(0.0, log_sigma, taken.residual))
            inside = taken.residual.abs() <= REACH * log_sigma.exp()
            shares.append(inside.float().mean((1, 2)))
    return torch.cat(losses), torch.cat(shares)


def judges(judged, learned, aside):
    """What levels are found by: photographs that were not shrunk.

    Where colours have no part in it, those are learned ones, which are more.
    """
    local = torch.tensor([list(OFTEN).index(kind) for kind in LOCAL])

    def take(lesson, is_local):
        fits = torch.isin(lesson.kind, local) == is_local
        return lesson.take(fits & (lesson.scale == 1))

    return join([judged, take(learned, True), take(aside, False)])


def by_kind(values, kinds):
    """Means over the photographs of each kind; NaN where there are none."""
    return torch.stack([values[kinds == k].mean() for k in range(len(OFTEN))])


def learn(head, sources, levels, options, aside):
    """Learn the head, equally from all sources, with a level for each kind of damage.

    Gives the running average of the head, and the levels: those of kinds that are kept
    aside are moved until intervals hold them.
    """
    head = copy.deepcopy(head).requires_grad_(True)
    average, levels = copy.deepcopy(head), levels.clone()
    optimizer = MuonAdamW(list(head.parameters()), lr=options.lr)
    rng = np.random.default_rng(0)
    for step in range(options.steps):
        lesson = draw(sources, rng)
        log_sigma, level = answer(head, lesson), levels[lesson.kind, None, None]
        error = interval_error(0.0, log_sigma, lesson.residual, level)
        (error + EVEN * unevenness(log_sigma)).mean().backward()
        for group in optimizer.param_groups:
            group["lr"] = 0.5 * options.lr * (1 + np.cos(np.pi * step / options.steps))
        optimizer.step()
        head.zero_grad()
        with torch.no_grad():
            couples = zip(average.parameters(), head.parameters(), strict=True)
            for mean, parameter in couples:
                mean.lerp_(parameter, 1 - EMA)
        if step % LOOK == LOOK - 1:
            missed = COVERAGE - by_kind(look(average, aside)[1], aside.kind)
            levels += PATIENCE * missed.nan_to_num(0.0)
            levels.clamp_(0.5, 0.99)
    return average, levels


def unevenness(log_sigma):
    """Of each photograph, how much the means at the four places in 2 x 2 pixels vary.

    Damage hardly depends on these; eyes see at once where its error bars do.
    """
    return log_sigma.unflatten(1, (-1, 4)).mean(3).var(2).mean(1)


def draw(sources, rng):
    """A batch with as many photographs of each source."""
    size = BATCH // len(sources)
    chosen = [torch.from_numpy(rng.permutation(len(s.kind))[:size]) for s in sources]
    return join([s.take(k) for s, k in zip(sources, chosen, strict=True)])


def report(head, levels, aside):
    """Print how well a head fits photographs that it has not seen."""
    loss, share = (by_kind(x, aside.kind).tolist() for x in look(head, aside))
    rows = zip(OFTEN, levels.tolist(), loss, share, strict=True)
    columns = "kind", "level", "loss", "held"
    print_table([dict(zip(columns, row, strict=True)) for row in rows])


def main():
    """Restore, and learn."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="photographs to learn from")
    parser.add_argument("model", help="weights to begin with: a name or a file")
    parser.add_argument("run", type=Path, help="folder to keep it in")
    parser.add_argument("--pictures", type=int, default=8000, help="to learn from")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--jobs", type=int, default=-1, help="processes")
    options = parser.parse_args()
    options.run.mkdir(parents=True, exist_ok=True)
    learned, *halves, judged = map(read_parts, write_parts(options))
    model = open_model(options.model)
    head = model.net_.module_.sigma
    levels, found = torch.full((len(OFTEN),), COVERAGE), []
    for half, other in zip(halves, halves[::-1], strict=True):
        aside = judges(judged, learned, other)
        report(head, levels, aside)
        trial, moved = learn(head, (learned, half), levels, options, aside)
        report(trial, moved, aside)
        found.append(moved)
    levels = torch.stack(found).mean(0)
    last, _ = learn(head, (learned, join(halves)), levels, options, judged)
    head.load_state_dict(last.state_dict())
    head.head.bias.data += MARGIN
    joblib.dump(model, options.run / "model.joblib")


if __name__ == "__main__":
    main()
