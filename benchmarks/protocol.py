"""The test damage: what is done to a clean picture depends on its name alone.

A picture is a float32 array (H, W, 3) on [0, 1]. Its damage is drawn from a stream of
its own, seeded by the family of the task and the name of the picture (its file's name
without the suffix), so that any selection of pictures, in any order and on any
machine, meets the same damage. NaN stands for a missing pixel.

    for name, clean in read_folder("photographs").items():
        damaged = TASKS["awgn25"](clean, name)
"""

import io
import zlib
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

SEED = 20240501
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
BLUR_SIGMA = 1.6  # pixels
BLUR_NOISE = 5 / 255
BLOCK = 24  # pixels


def read(file):
    """A picture file as a float32 array (H, W, 3) on [0, 1]."""
    return np.asarray(Image.open(file).convert("RGB"), np.float32) / 255


def read_folder(folder, n_pictures=None):
    """The pictures of a folder by name; at most so many, evenly spaced."""
    files = sorted(p for p in Path(folder).iterdir() if p.suffix.lower() in SUFFIXES)
    if n_pictures is not None and n_pictures < len(files):
        chosen = np.linspace(0, len(files) - 1, n_pictures).round().astype(int)
        files = [files[i] for i in chosen]
    return {file.stem: read(file) for file in files}


def stream(family, name):
    """The random numbers of one picture in one family of tasks."""
    return np.random.default_rng([SEED, zlib.crc32(f"{family}/{name}".encode())])


def store(picture):
    """Clip to [0, 1] and round to 8 bits, as a file would."""
    return (np.rint(np.clip(picture, 0, 1) * 255) / 255).astype(np.float32)


def add_noise(picture, name, sigma, stored=False):
    """White noise; all sigmas share one field, so that they are paired."""
    field = stream("awgn", name).standard_normal(picture.shape)
    noisy = (picture + sigma * field).astype(np.float32)
    return store(noisy) if stored else noisy


def compress(picture, name, quality):
    """A JPEG file by Pillow, with 4:2:0 chroma."""
    file = io.BytesIO()
    levels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(levels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return read(file)


def blur(picture, name):
    """Gaussian blur with mirrored borders, then weak noise, not clipped."""
    sigmas = (BLUR_SIGMA, BLUR_SIGMA, 0)
    soft = gaussian_filter(picture.astype(np.float64), sigmas, mode="reflect")
    field = stream("blur", name).standard_normal(picture.shape)
    return (soft + BLUR_NOISE * field).astype(np.float32)


def lose_pixels(picture, name):
    """30 % of the pixels are missing, in all channels at once."""
    lost = stream("missing", name).random(picture.shape[:2]) < 0.30
    return np.where(lost[..., None], np.float32(np.nan), picture)


def lose_blocks(picture, name):
    """Eight squares of 24 x 24 pixels are missing."""
    rng = stream("blocks", name)
    damaged = picture.copy()
    for _ in range(8):
        row, column = (rng.integers(side - BLOCK) for side in picture.shape[:2])
        damaged[row : row + BLOCK, column : column + BLOCK] = np.nan
    return damaged


def cast(picture, name):
    """A gain for each channel and one gamma, stored in 8 bits."""
    rng = stream("cast", name)
    gain, gamma = rng.uniform(0.6, 1.4, 3), rng.uniform(0.7, 1.4)
    return store(gain * picture.astype(np.float64) ** gamma)


def fade(picture, name):
    """Less saturation around the luma, less contrast around a grey; in 8 bits."""
    rng = stream("fade", name)
    contrast, saturation = rng.uniform(0.35, 0.75), rng.uniform(0.2, 0.7)
    pivot = rng.uniform(0.4, 0.7)
    luma = (picture @ LUMA)[..., None]
    pale = luma + saturation * (picture - luma)
    return store(pivot + contrast * (pale - pivot))


TASKS = {
    **{f"awgn{s}": partial(add_noise, sigma=s / 255) for s in (15, 25, 50)},
    **{
        f"awgn{s}-8bit": partial(add_noise, sigma=s / 255, stored=True)
        for s in (15, 25, 50)
    },
    **{f"jpeg{q}": partial(compress, quality=q) for q in (10, 20, 30, 40)},
    "blur": blur,
    "missing": lose_pixels,
    "blocks": lose_blocks,
    "cast": cast,
    "fade": fade,
}
