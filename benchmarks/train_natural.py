"""Train the model that ships as "natural", on any folder of photographs.

    python benchmarks/train_natural.py PHOTOS --hours 2 --run runs/natural
    python benchmarks/export_weights.py runs/natural/model.joblib natural

The hours are those of the whole training, whatever the machine. It may be cut off, and
goes on, to the step, when the same command is given again, here or where the folder of
the run was copied to; ``--sitting`` ends it by itself after so many minutes. Every
twentieth photograph is held out: how well its damage is undone is written to
``quality.csv`` in the folder of the run as the training goes. ``--start`` begins with
the weights that ship, or with those of a file that ``colorvae_sk.save`` wrote; where
they have fewer ``--blocks``, others are appended that do nothing yet, and where they
have more, the last are left out. ``--only`` learns a single stage; of the restoration,
from less of what it leaves to the colours.
"""

import argparse
import copy
import math
import time
from pathlib import Path

import joblib
import numpy as np
import torch
from joblib import Parallel, delayed
from protocol import TASKS, read
from skimage import img_as_ubyte
from skimage.transform import rescale
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback
from table import append_csv

from colorvae_sk import (
    ColorCast,
    ColorVAE,
    DefocusBlur,
    Desaturate,
    Downsample,
    Fade,
    GaussianBlur,
    GaussianNoise,
    ImageFolder,
    JPEGCompression,
    MissingChannels,
    MissingPixels,
    MissingScratches,
    MotionBlur,
    PoissonNoise,
    Quantize,
    RandomDegradation,
    SaltPepperNoise,
    _training,
    ciede2000_error,
    list_pretrained,
    load,
    load_pretrained,
    psnr_score,
    save,
)
from colorvae_sk._net import Schedule, WeightAverage
from colorvae_sk.networks import LadderVAE

HELD_OUT = 20  # every so many photographs, one
SCALES = 1, 1, 0.67, 0.5  # each photograph comes in these: details differ by camera
UNUSUAL = 0.15  # so many unusual pictures are there for each photograph
WATCHED = "awgn25", "awgn50-8bit", "jpeg20", "blur", "missing", "blocks", "cast", "fade"
UNLIMITED = 10**6  # epochs: the hours end the fit
KINDS = {  # of damage, and how often each of them is
    "noise": 9,
    "blur": 3,
    "jpeg": 5,
    "cast": 6,
    "fade": 4,
    "holes": 3.5,
    "small": 0.8,
    "8 bits": 4,
    "nothing left": 0.2,
    "several": 5,
}
RESTORATION = {  # the same for the restoration alone
    "noise": 12,
    "blur": 2.5,
    "jpeg": 7,
    "cast": 0.5,
    "fade": 0.5,
    "holes": 5,
    "small": 0.8,
    "8 bits": 1,
    "nothing left": 0.1,
    "several": 3,
}
ALMOST_NOTHING = 1e-9  # of the hours
YOUNG = 0.02  # scale of the branches of blocks that are appended


def some(*pairs, **options):
    """A mixture of (weight, degradation); one of them by default."""
    weights, degradations = zip(*pairs, strict=True)
    options = {"n": 1, "weights": weights} | options
    return RandomDegradation(list(degradations), **options)


def natural_damage(often=None):
    """The damage that the model learns to undo: mostly of one kind, else of several."""
    kinds = natural_kinds()
    return some(*((n, kinds[kind]) for kind, n in (often or KINDS).items()))


def natural_kinds():
    """The kinds of damage by name."""
    noise = some(
        (4, GaussianNoise((0, 55 / 255), clip=False)),
        (4, make_pipeline(GaussianNoise((0, 55 / 255)), Quantize())),
        (2, GaussianNoise((25 / 255, 55 / 255), clip=False)),
        (3, make_pipeline(GaussianNoise((25 / 255, 55 / 255)), Quantize())),
        (1, PoissonNoise((10, 1000))),
        (1, SaltPepperNoise((0, 0.1))),
    )
    blur = make_pipeline(
        some(
            (3, GaussianBlur((0, 3))),
            (1, MotionBlur((1, 15))),
            (1, DefocusBlur((0, 4))),
        ),
        GaussianNoise((0, 10 / 255), clip=False),
    )
    holes = some(
        (3, MissingPixels((0, 0.9))),
        (3, MissingPixels((0, 0.6), size=(2, 32))),
        (1, MissingScratches((1, 8), width=(1, 4))),
        (1, MissingChannels(1)),
    )
    jpeg = some((2, JPEGCompression((5, 50))), (1, JPEGCompression((50, 95))))
    cast = ColorCast()
    fade = some((4, Fade()), (1, Desaturate((0, 1))))
    filters = ("nearest", "bilinear", "bicubic", "area")
    small = Downsample((1, 4), filter=filters)
    single = [(3, noise), (1, blur), (2, jpeg), (2, cast), (2, fade), (1, holes)]
    several = make_pipeline(
        some(*single, (1, small), n=(2, 3)), RandomDegradation([Quantize()], n=(0, 1))
    )
    return {
        "noise": noise,
        "blur": blur,
        "jpeg": jpeg,
        "cast": cast,
        "fade": fade,
        "holes": holes,
        "small": small,
        "8 bits": Quantize(),
        "nothing left": MissingPixels(1.0),
        "several": several,
    }


class Watch(Callback):
    """Write down now and then how well held-out pictures are restored.

    Parameters
    ----------
    pictures : dict
        Clean pictures by name.
    file : Path
        The table that is added to.
    minutes : float
        Between two looks.
    """

    def __init__(self, pictures, file, minutes):
        self.pictures, self.file, self.minutes = pictures, file, minutes

    def on_train_begin(self, net, **kwargs):
        self.due_ = time.monotonic() + 60 * self.minutes

    def on_batch_end(self, net, training, **kwargs):
        if training and time.monotonic() >= self.due_:
            self._look(net)
            self.due_ = time.monotonic() + 60 * self.minutes

    def _look(self, net):
        restore = restorer(averaged(net))
        hours = callback_of(net, Schedule).elapsed / 3600  # of the stage
        for task in WATCHED:
            clean = list(self.pictures.values())
            damaged = [TASKS[task](x, name) for name, x in self.pictures.items()]
            restored = [restore(picture) for picture in damaged]
            row = {"stage": net.stage_, "hours": hours, "task": task}
            row["PSNR"] = psnr_score(clean, restored)
            row["CIEDE2000"] = ciede2000_error(clean, restored)
            append_csv(row, self.file)


class Sitting(Callback):
    """End the training at some time.

    Parameters
    ----------
    end : float
        When, by ``time.monotonic``.
    """

    def __init__(self, end):
        self.end = end

    def on_batch_end(self, net, training, **kwargs):
        if time.monotonic() >= self.end:
            raise KeyboardInterrupt


def callback_of(net, kind):
    """The net's callback of this class."""
    return next(cb for _, cb in net.callbacks_ if isinstance(cb, kind))


def averaged(net):
    """A copy of the network with the running average of its weights."""
    average = callback_of(net, WeightAverage)
    means = dict(zip(map(id, average.learned_), average.average_, strict=True))
    network = copy.deepcopy(net.module_).eval()
    pairs = zip(net.module_.parameters(), network.parameters(), strict=True)
    with torch.no_grad():
        for parameter, twin in pairs:
            twin.copy_(means.get(id(parameter), parameter))
    return network


def restorer(network):
    """A function that sends a picture (H, W, C) through the network."""
    device = next(network.parameters()).device

    @torch.inference_mode()
    def restore(picture):
        damaged = torch.from_numpy(picture).to(device).permute(2, 0, 1)[None]
        return network(damaged)[0][0].permute(1, 2, 0).cpu().numpy()

    return restore


# ------------------------------------------------------------------ command line
def parse(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="photographs to learn from")
    parser.add_argument("--run", type=Path, required=True, help="folder to keep it in")
    parser.add_argument("--hours", type=float, default=2.0, help="of all sittings")
    parser.add_argument("--sitting", type=float, default=math.inf, help="minutes")
    parser.add_argument("--watch", type=float, default=10.0, help="minutes between")
    parser.add_argument("--start", help="weights to begin with: a name or a file")
    parser.add_argument("--widths", type=int, nargs="+", default=[48, 96, 128, 192])
    parser.add_argument(
        "--blocks",
        type=int,
        nargs="+",
        default=[2, 3, 5, 4],
        help="of each scale on the way up and, if not as many, on the way down",
    )
    parser.add_argument("--patch-size", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--latent-share", type=float, default=0.2)
    parser.add_argument("--only", choices=LadderVAE.stages, help="learn this stage")
    parser.add_argument("--device", default="auto")
    return parser.parse_args(arguments)


def split_files(folder):
    """The files of photographs to learn from, and of those that are held out."""
    photos = ImageFolder(folder)
    is_held_out = np.arange(len(photos)) % HELD_OUT == HELD_OUT // 2
    return photos[~is_held_out], photos[is_held_out]


def split(folder):
    """Photographs to learn from, unusual ones too, and held-out pictures by name."""
    learned, held_out = split_files(folder)
    pictures = {Path(p).stem: read(p) for p in held_out.paths}
    work = (delayed(at_scale)(photo, s) for s in SCALES for photo in learned)
    photos = Parallel(n_jobs=-1, prefer="threads")(work)
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(photos), int(UNUSUAL * len(photos)), replace=False)
    return [*photos, *(unusual(photos[i], rng) for i in chosen)], pictures


def at_scale(photo, scale):
    """A photograph (H, W, C) in 8 bits, shrunk."""
    if scale == 1:
        return photo
    return img_as_ubyte(rescale(photo, scale, anti_aliasing=True, channel_axis=2))


def unusual(photo, rng):
    """A picture such as no photograph of the folder is, made of one: (H, W, 3), uint8.

    A model that has never seen pure colours or nothing but light takes them for damage.
    """
    changes = too_bright, too_colourful, few_channels, one_colour, few_tones, negative
    return changes[rng.integers(len(changes))](photo, rng)


def too_bright(photo, rng):
    """Overexposed: what is above the range is lost."""
    return to_bytes(photo * rng.uniform(1.2, 4))


def too_colourful(photo, rng):
    """With more saturation than the range has room for."""
    grey = photo.mean(2, keepdims=True)
    return to_bytes(grey + rng.uniform(1.5, 4) * (photo - grey))


def few_channels(photo, rng):
    """With one or two channels at one of the ends."""
    lost = rng.permutation(3)[: rng.integers(1, 3)]
    photo = photo.copy()
    photo[..., lost] = rng.choice([0, 255], p=[0.75, 0.25])
    return photo


def one_colour(photo, rng):
    """From one colour to another, which may be the same, from left to right."""
    left, right = rng.choice([0, 64, 128, 192, 255], (2, 3))
    place = np.linspace(0, rng.integers(2), photo.shape[1])[:, None]
    return to_bytes(np.broadcast_to(left + place * (right - left), photo.shape))


def few_tones(photo, rng):
    """Drawn with two to four tones of each channel."""
    n_steps = rng.integers(1, 4)
    return to_bytes(np.round(photo / 255 * n_steps) / n_steps * 255)


def negative(photo, _):
    """Dark where it was bright."""
    return 255 - photo


def to_bytes(values):
    """Rounded and clipped to 8 bits."""
    return np.uint8(np.clip(values, 0, 255).round())


def open_model(name):
    """The model of a file, or one that ships."""
    if name in list_pretrained():
        return load_pretrained(name)
    return joblib.load(name) if Path(name).suffix == ".joblib" else load(name)


def rebuild(model, n_blocks):
    """Give a model more or fewer blocks, at the ends of its stacks."""
    kind, plan = model._blueprint
    model.n_blocks, model._blueprint = n_blocks, (kind, plan | {"n_blocks": n_blocks})
    old = model.__getstate__()["_weights"]
    model._draw_weights()
    weights = model.__getstate__()["_weights"]
    for new in weights.keys() - old.keys():
        if new.endswith(".scale"):
            weights[new] = np.full_like(weights[new], YOUNG)
    kept = {name: old[name] for name in weights.keys() & old.keys()}
    model._put_weights(weights | kept)
    return model


def ways_of(blocks, n_scales):
    """Numbers of blocks for each scale, or where there are more for each way."""
    if len(blocks) <= n_scales:
        return tuple(blocks)
    return tuple(blocks[:n_scales]), tuple(blocks[n_scales:])


def learn_only(stage):
    """Give the stages all time but one almost none: a step, whose rate is zero."""
    for name in _training.SHARES:
        _training.SHARES[name] = 1.0 if name == stage else ALMOST_NOTHING
    return 1 - ALMOST_NOTHING if stage == "latents" else ALMOST_NOTHING


def build(options, held_out):
    """The estimator, not fitted yet."""
    start, often = None, KINDS
    n_blocks = ways_of(options.blocks, len(options.widths))
    if options.start is not None:
        start = str(options.run / "start.safetensors")
        save(rebuild(open_model(options.start), n_blocks), start)
    if options.only is not None:
        options.latent_share = learn_only(options.only)
    if options.only == "restoration":
        often = RESTORATION
    watch = Watch(held_out, options.run / "quality.csv", options.watch)
    sitting = Sitting(time.monotonic() + 60 * options.sitting)
    return ColorVAE(
        widths=tuple(options.widths),
        n_blocks=n_blocks,
        weights=start,
        degradation=natural_damage(often),
        patch_size=options.patch_size,
        batch_size=options.batch_size,
        latent_share=options.latent_share,
        lr=options.lr,
        ema_decay=0.999,
        max_epochs=UNLIMITED,
        max_seconds=3600 * options.hours,
        checkpoint=options.run,
        callbacks=[watch, sitting],
        device=options.device,
        verbose=1,
        random_state=0,
    )


def main():
    """Train, or go on with it."""
    options = parse()
    options.run.mkdir(parents=True, exist_ok=True)
    photos, held_out = split(options.folder)
    model = build(options, held_out)
    try:
        model.fit(photos)
    except KeyboardInterrupt:
        print("\nNot done yet. Give the same command again to go on.")
        return
    model.set_params(callbacks=None, checkpoint=None)
    joblib.dump(model, options.run / "model.joblib")
    print(f"Done: {options.run / 'model.joblib'}")


if __name__ == "__main__":
    main()
