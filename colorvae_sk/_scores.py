"""`colorvae score`: restored pictures beside clean ones, in a table."""

import csv
import json
import os
import sys
from pathlib import Path

import numpy as np

from ._files import read_picture
from .datasets import ImageFolder
from .metrics import ciede2000_error, psnr_score, ssim_score

MEASURES = {"psnr": psnr_score, "ssim": ssim_score, "ciede2000": ciede2000_error}
HEAD = "PSNR (dB)    SSIM  CIEDE2000"
ROW = "{:>9.2f}{:>8.4f}{:>11.2f}"


def score_files(options):
    """Compare the pictures that the arguments name; the exit code."""
    pairs, lonely = find_pairs(options.restored, options.clean, options.recursive)
    for path in lonely:
        print(f"{path}: it has no clean version of its name.", file=sys.stderr)
    rows, failed = [], len(lonely)
    for name, restored, clean in pairs:
        try:
            rows.append({"file": name, **scores(restored, clean, options.max_pixels)})
        except (OSError, ValueError) as error:
            print(f"{restored}, {clean}: {error}", file=sys.stderr)
            failed += 1
    if rows:
        WRITERS[options.format](rows)
    return int(failed > 0)


def find_pairs(restored, clean, recursive):
    """Name, restored and clean file of each picture, and the files without a partner.

    Names must be equal; where there is no such name, those without their ending.
    """
    if os.path.isfile(restored) and os.path.isfile(clean):
        return [(os.path.basename(restored), restored, clean)], []
    files, partners = (by_name(folder, recursive) for folder in (restored, clean))
    stems = {}
    for name, path in partners.items():
        stems.setdefault(os.path.splitext(name)[0], []).append(path)
    pairs, lonely = [], []
    for name, path in files.items():
        same_stem = stems.get(os.path.splitext(name)[0], [])
        partner = partners.get(name) or (same_stem[0] if len(same_stem) == 1 else None)
        if partner is None:
            lonely.append(path)
        else:
            pairs.append((name, path, partner))
    if not pairs:
        raise ValueError(
            f"No picture in {restored!r} has the name of one in {clean!r}, with or "
            "without its ending."
        )
    return pairs, lonely


def by_name(folder, recursive):
    """The pictures in a folder by their path from there."""
    paths = ImageFolder(folder, recursive=recursive).paths.tolist()
    return {Path(os.path.relpath(path, folder)).as_posix(): path for path in paths}


def scores(restored, clean, max_pixels):
    """All measures of one picture."""
    truth, estimate = ([read_colours(p, max_pixels)] for p in (clean, restored))
    return {name: measure(truth, estimate) for name, measure in MEASURES.items()}


def read_colours(path, max_pixels):
    """A picture as (H, W, 3)."""
    colours = read_picture(path, max_pixels).colours
    return np.stack([colours] * 3, axis=2) if colours.ndim == 2 else colours


def mean_of(rows):
    """The mean of each measure."""
    return {name: float(np.mean([row[name] for row in rows])) for name in MEASURES}


def write_table(rows):
    """Columns for people, the mean last."""
    rows = [*rows, {"file": f"mean of {len(rows)}", **mean_of(rows)}]
    width = max(len(row["file"]) for row in rows) + 2
    print(" " * width + HEAD)
    for row in rows:
        print(f"{row['file']:<{width}}" + ROW.format(*(row[name] for name in MEASURES)))


def write_csv(rows):
    """A line for each picture."""
    writer = csv.DictWriter(sys.stdout, ["file", *MEASURES], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def write_json(rows):
    """Pictures and mean; what is infinite has no number in JSON and is null."""
    rows, mean = [finite(row) for row in rows], finite(mean_of(rows))
    print(json.dumps({"pictures": rows, "mean": mean}, indent=2))


def finite(row):
    """A row without infinite numbers."""
    return {k: None if v in (np.inf, -np.inf) else v for k, v in row.items()}


WRITERS = {"table": write_table, "csv": write_csv, "json": write_json}
