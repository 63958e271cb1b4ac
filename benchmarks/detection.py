"""Find a foreign patch in a texture: RestorationOutlierDetector beside IsolationForest.

Brick, grass and gravel come with scikit-image. Each detector is fitted on crops of the
left half of one, and tested on crops of the right half: untouched ones, and ones into
which a patch of another texture was pasted. AUROC tells how well it knows the one from
the other; the overlap (intersection over union) is that of the first box that is drawn
with the pasted patch, and 0 where none is drawn.

    python benchmarks/detection.py [--seconds 30] [--csv FILE] [--quick]
"""

import argparse
import time

import numpy as np
from skimage import data
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from table import print_table, write_csv

from colorvae_sk import ColorVAE, MissingPixels, RestorationOutlierDetector

TEXTURES = {"brick": data.brick, "grass": data.grass, "gravel": data.gravel}
SIDE, PATCH = 64, 24  # pixels
N_LEARNED, N_TESTED = 120, 40  # crops


def crops(texture, n, rng):
    """Square parts of a texture: (n, SIDE, SIDE)."""
    tops, lefts = (rng.integers(0, side - SIDE + 1, n) for side in texture.shape)
    return np.stack(
        [texture[t : t + SIDE, c : c + SIDE] for t, c in zip(tops, lefts, strict=True)]
    )


def paste(pictures, others, rng):
    """The pictures with a patch of other textures each, and where it is: boxes."""
    pictures, boxes = pictures.copy(), []
    for i, picture in enumerate(pictures):
        other = others[i % len(others)]
        row, column = (rng.integers(0, side - PATCH + 1) for side in other.shape)
        top, left = rng.integers(0, SIDE - PATCH + 1, 2)
        patch = other[row : row + PATCH, column : column + PATCH]
        picture[top : top + PATCH, left : left + PATCH] = patch
        boxes.append((top, left, top + PATCH, left + PATCH))
    return pictures, np.array(boxes)


def overlap(first, second):
    """Intersection over union of two boxes (top, left, bottom, right)."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    shared = np.prod(np.maximum(high - low, 0))
    areas = (np.prod(box[2:] - box[:2]) for box in (first, second))
    return float(shared / (sum(areas) - shared))


def task(name, rng):
    """Crops to learn from, untouched ones, ones with a patch, and its boxes."""
    left, right = (
        {key: texture()[:, half] for key, texture in TEXTURES.items()}
        for half in (slice(0, 256), slice(256, 512))
    )
    others = [texture for key, texture in right.items() if key != name]
    untouched, marked = (crops(right[name], N_TESTED, rng) for _ in range(2))
    return crops(left[name], N_LEARNED, rng), untouched, *paste(marked, others, rng)


def detector(seconds):
    """The detector with a small network that learns for so long."""
    vae = ColorVAE(
        widths=(24, 48),
        n_blocks=1,
        degradation=MissingPixels((0.3, 0.7), size=(1, 3)),
        augmentation=None,
        max_epochs=100_000,
        max_seconds=seconds,
        random_state=0,
    )
    return RestorationOutlierDetector(vae, random_state=0)


def judge(name, seconds):
    """A row of the table."""
    learned, untouched, marked, boxes = task(name, np.random.default_rng(0))
    tested = np.concatenate([untouched, marked])
    is_marked = np.arange(len(tested)) >= len(untouched)
    began = time.perf_counter()
    ours = detector(seconds).fit(learned)
    elapsed = time.perf_counter() - began
    found = ours.detect(tested)
    overlaps = [
        overlap(box[0], true) if len(box) else 0.0
        for box, true in zip(found[len(untouched) :], boxes, strict=True)
    ]
    forest = make_pipeline(PCA(16, random_state=0), IsolationForest(random_state=0))
    forest.fit(learned.reshape(len(learned), -1))
    theirs = forest.score_samples(tested.reshape(len(tested), -1))
    return {
        "texture": name,
        "AUROC": float(roc_auc_score(is_marked, -ours.score_samples(tested))),
        "overlap": float(np.mean(overlaps)),
        "boxed in vain": float(np.mean([len(b) > 0 for b in found[: len(untouched)]])),
        "AUROC, IsolationForest": float(roc_auc_score(is_marked, -theirs)),
        "seconds": elapsed,
    }


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30, help="to learn a texture")
    parser.add_argument("--csv", help="file to write all digits to")
    parser.add_argument("--quick", action="store_true", help="one texture, one second")
    return parser.parse_args()


def main():
    """Print a row for each texture, and their means."""
    options = parse()
    names, seconds = list(TEXTURES), options.seconds
    if options.quick:
        names, seconds = names[:1], 1
    rows = [judge(name, seconds) for name in names]
    numbers = [{k: v for k, v in row.items() if k != "texture"} for row in rows]
    means = {key: float(np.mean([row[key] for row in numbers])) for key in numbers[0]}
    rows.append({"texture": "(mean)", **means})
    print_table(rows)
    if options.csv:
        write_csv(rows, options.csv)


if __name__ == "__main__":
    main()
