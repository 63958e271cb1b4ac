"""How fast pictures are damaged, beside albumentations and kornia.

The same float32 patches of 64 x 64 pixels on the [0, 1] scale, one core, the same
damage as near as the libraries have it: albumentations takes them one by one as arrays,
kornia and colorvae_sk in batches as tensors, kornia with the same damage for a whole
batch of a mixture. They take turns; the tables show medians of patches per second. What
a library does not have is left out:

    pip install albumentations kornia
    python benchmarks/damage.py [--repeats 5] [--batch-sizes 32 128]
"""

import argparse
import time
from importlib.util import find_spec
from statistics import median

import numpy as np
import torch
from sklearn.pipeline import make_pipeline
from table import print_table

from colorvae_sk import (
    ColorCast,
    DefocusBlur,
    Desaturate,
    Downsample,
    Fade,
    GaussianBlur,
    GaussianNoise,
    JPEGCompression,
    MissingPixels,
    MotionBlur,
    PoissonNoise,
    Quantize,
    RandomDegradation,
    SaltPepperNoise,
    blind_degradation,
    load_photos,
)
from colorvae_sk.degradations import as_degrader

SIDE = 64  # pixels
SECONDS = 0.5  # of one run


# ------------------------------------------------------------------ the libraries
def ours():
    """Damage by colorvae_sk: name -> (tensor (n, C, H, W)) -> tensor."""
    generator = torch.Generator().manual_seed(0)
    damage = {
        "Gaussian noise": GaussianNoise((0, 0.2)),
        "Poisson noise": PoissonNoise((10, 100)),
        "salt and pepper": SaltPepperNoise((0, 0.1)),
        "Gaussian blur": GaussianBlur((0.1, 3)),
        "motion blur": MotionBlur((3, 15)),
        "defocus": DefocusBlur((1, 5)),
        "JPEG": JPEGCompression((5, 95)),
        "gain and gamma": ColorCast(),
        "contrast and saturation": Fade(),
        "grey": Desaturate(1.0),
        "few levels": Quantize((4, 64)),
        "downsampling": Downsample((2, 4), filter="area"),
        "missing pixels": MissingPixels((0, 0.3)),
        "missing blocks": MissingPixels((0, 0.3), size=(4, 16)),
        "mixture of three": RandomDegradation(
            [GaussianNoise((0, 0.2)), GaussianBlur((0.1, 3)), JPEGCompression((5, 95))],
            n=(1, 3),
        ),
        "noise, blur, JPEG, cast": make_pipeline(
            GaussianNoise((0, 0.2)),
            GaussianBlur((0.1, 3)),
            JPEGCompression((5, 95)),
            ColorCast(),
        ),
        "blind mixture": blind_degradation(),
    }
    degraders = {name: as_degrader(each) for name, each in damage.items()}
    return {name: bind(degrade, generator) for name, degrade in degraders.items()}


def bind(degrade, generator):
    """A degrader with its generator."""
    return lambda patches: degrade(patches, generator)


def of_albumentations():
    """The nearest of albumentations, picture by picture."""
    import albumentations as A
    import cv2

    scaling = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_CUBIC}
    noise = A.GaussNoise(std_range=(0, 0.2), p=1)
    blur = A.GaussianBlur(sigma_limit=(0.1, 3), blur_limit=0, p=1)
    jpeg = A.ImageCompression(quality_range=(5, 95), p=1)
    cast = A.Compose(
        [
            A.RandomGamma((70, 140), p=1),
            A.MultiplicativeNoise((0.6, 1.4), per_channel=True, p=1),
        ]
    )
    fade = A.ColorJitter((1, 1), (0.35, 0.75), (0.2, 0.7), (0, 0), p=1)
    holes = {"hole_height_range": (4, 16), "hole_width_range": (4, 16)}
    blocks = A.CoarseDropout(num_holes_range=(1, 12), **holes, p=1)
    levels = A.Posterize(num_bits=(2, 6), p=1)
    motion = A.MotionBlur(blur_limit=(3, 15), p=1)
    transforms = {
        "Gaussian noise": noise,
        "Poisson noise": A.ShotNoise((0.01, 0.1), p=1),
        "salt and pepper": A.SaltAndPepper((0.0001, 0.1), p=1),
        "Gaussian blur": blur,
        "motion blur": motion,
        "defocus": A.Defocus((1, 5), alias_blur=(0.1, 0.5), p=1),
        "JPEG": jpeg,
        "gain and gamma": cast,
        "contrast and saturation": fade,
        "grey": A.ToGray(p=1),
        "few levels": levels,
        "downsampling": A.Downscale((0.25, 0.5), interpolation_pair=scaling, p=1),
        "missing pixels": A.PixelDropout(0.15, p=1),
        "missing blocks": blocks,
        "mixture of three": A.SomeOf([noise, blur, jpeg], n=2, p=1),
        "noise, blur, JPEG, cast": A.Compose([noise, blur, jpeg, cast]),
        "blind mixture": blind_of_albumentations(),
    }
    return {name: one_by_one(each) for name, each in transforms.items()}


def blind_of_albumentations():
    """The mixture of `blind_degradation`, kind by kind; it has no scratches."""
    import albumentations as A
    import cv2

    def one(*weighted):
        """One of pairs (weight, transform)."""
        total = sum(weight for weight, _ in weighted)
        parts = [A.Sequential([each], p=w / total) for w, each in weighted]
        return A.OneOf(parts, p=1)

    def noise(largest):
        return A.GaussNoise(std_range=(0, largest / 255), p=1)

    noises = one(
        (8, noise(55)),
        (1, A.ShotNoise((0.001, 0.1), p=1)),
        (1, A.SaltAndPepper((0.0001, 0.1), p=1)),
    )
    blurs = one(
        (2, A.GaussianBlur(sigma_limit=(0, 3), blur_limit=0, p=1)),
        (1, A.MotionBlur(blur_limit=(3, 15), p=1)),
        (1, A.Defocus((1, 4), alias_blur=(0.1, 0.5), p=1)),
    )
    blur = A.Sequential([blurs, noise(10)], p=1)
    jpeg = A.ImageCompression(quality_range=(5, 95), p=1)
    gain = A.MultiplicativeNoise((0.6, 1.4), per_channel=True, p=1)
    cast = A.Sequential([A.RandomGamma((70, 140), p=1), gain], p=1)
    paler = A.ColorJitter((1, 1), (0.35, 0.75), (0.2, 0.7), (0, 0), p=1)
    fade = one((4, paler), (1, A.ToGray(p=1)))
    sides = {"hole_height_range": (2, 32), "hole_width_range": (2, 32)}
    holes = one(
        (3, A.PixelDropout(0.5, p=1)),
        (3, A.CoarseDropout(num_holes_range=(1, 8), **sides, p=1)),
        (1, A.ChannelDropout(p=1)),
    )
    scaling = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_CUBIC}
    small = A.Downscale((0.25, 1), interpolation_pair=scaling, p=1)
    kinds = [noises, blur, jpeg, cast, fade, holes, small]
    stored = A.Sequential([A.FromFloat("uint8", p=1), A.ToFloat(255, p=1)], p=1)
    lost = A.PixelDropout(1.0, p=1)
    weights = 4, 3, 3, 3, 3, 3, 1, 1, 1
    single = one(*zip(weights, [*kinds, stored, lost], strict=True))
    drawn = one((1, A.RandomOrder(kinds, n=2)), (1, A.RandomOrder(kinds, n=3)))
    several = A.Sequential([drawn, one((1, stored), (1, A.NoOp(p=1)))], p=1)
    return one((1, single), (1, several))


def one_by_one(transform):
    """Apply a transform of albumentations to each picture (H, W, C) of a batch."""

    def damage(patches):
        return np.stack([transform(image=patch)["image"] for patch in patches])

    damage.takes_arrays = True
    return damage


def of_kornia():
    """The nearest of kornia, in batches."""
    import kornia.augmentation as K

    noise = K.RandomGaussianNoise(std=0.1, p=1)
    blur = K.RandomGaussianBlur((25, 25), (0.1, 3.0), p=1)
    jpeg = K.RandomJPEG((5, 95), p=1)
    cast = K.RandomGamma((0.7, 1.4), (0.6, 1.4), p=1)
    fade = K.ColorJiggle(contrast=(0.35, 0.75), saturation=(0.2, 0.7), p=1)
    blocks = K.RandomErasing(scale=(0.01, 0.3), p=1)
    levels = K.RandomPosterize((2.0, 6.0), p=1)
    motion = K.RandomMotionBlur((3, 15), 180.0, 0.0, p=1)
    several = [noise, blur, jpeg, cast, fade, blocks, levels, motion]
    mixed = K.ImageSequential(noise, blur, jpeg, random_apply=(1, 4))
    return {
        "Gaussian noise": noise,
        "salt and pepper": K.RandomSaltAndPepperNoise((0.0001, 0.1), p=1),
        "Gaussian blur": blur,
        "motion blur": motion,
        "JPEG": jpeg,
        "gain and gamma": cast,
        "contrast and saturation": fade,
        "grey": K.RandomGrayscale(p=1),
        "few levels": levels,
        "missing blocks": blocks,
        "mixture of three": mixed,
        "noise, blur, JPEG, cast": K.ImageSequential(noise, blur, jpeg, cast),
        "blind mixture": K.ImageSequential(*several, random_apply=(1, 4)),
    }


LIBRARIES = {
    "colorvae_sk": ours,
    "albumentations": of_albumentations,
    "kornia": of_kornia,
}


# ------------------------------------------------------------------ measuring
def patches_of(photos, n):
    """Float32 patches (n, 3, 64, 64) on [0, 1] from anywhere in the photographs."""
    rng, patches = np.random.default_rng(0), []
    for i in range(n):
        photo = photos[i % len(photos)]
        row, column = (rng.integers(side - SIDE + 1) for side in photo.shape[:2])
        patches.append(photo[row : row + SIDE, column : column + SIDE])
    stacked = np.ascontiguousarray(np.stack(patches).transpose(0, 3, 1, 2))
    return torch.from_numpy(stacked).float() / 255


@torch.no_grad()
def speed(damage, patches):
    """Patches per second."""
    if hasattr(damage, "takes_arrays"):
        patches = np.ascontiguousarray(patches.permute(0, 2, 3, 1))
    n_batches, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < SECONDS:
        damage(patches)
        n_batches += 1
    return n_batches * len(patches) / elapsed


def compare(name, libraries, patches, repeats):
    """A row of the table: medians of alternating runs."""
    damage = {library: each.get(name) for library, each in libraries.items()}
    speeds = {library: [] for library in damage}
    for repeat in range(repeats + 1):
        for library, each in damage.items():
            if each is not None:
                result = speed(each, patches)
                speeds[library] += [result] if repeat > 0 else []  # first: warm up
    row = {lib: median(each) if each else None for lib, each in speeds.items()}
    others = [value for lib, value in row.items() if lib != "colorvae_sk" and value]
    ratio = row["colorvae_sk"] / max(others) if others else None
    return {"damage": name, **row, "of the faster": ratio}


def main():
    """Compare all libraries that are installed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="runs of each")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 128])
    options = parser.parse_args()
    installed = [n for n in LIBRARIES if n == "colorvae_sk" or find_spec(n)]
    libraries = {name: LIBRARIES[name]() for name in installed}
    for batch_size in options.batch_sizes:
        patches = patches_of(load_photos(), batch_size)
        print(f"patches per second, batches of {batch_size}, one core")
        names = libraries["colorvae_sk"]
        print_table([compare(n, libraries, patches, options.repeats) for n in names])


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
