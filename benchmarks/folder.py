"""Memory and time of learning from folders, against the number of files in them.

Each folder is read, learned from and restored by a process of its own, from an
`ImageFolder`. The files are small crops of the bundled photographs, as PNG and JPEG in
turns; a few hundred are written, and linked to under other names, which takes less
disk. The table shows how long it takes to list the folder, to find the sizes of all
pictures, and to decode each of them once, patches per second of a short fit of a small
network, and the peak memory of the process, interpreter and torch included.

    python benchmarks/folder.py [--files 1000 10000 100000] [--seconds 20]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from size import UNIT
from table import print_table

FILES = (1_000, 10_000, 100_000)
N_WRITTEN = 600  # the others are links
SIDE = 48  # pixels


def fill(folder, n_files):
    """Write so many files."""
    import numpy as np
    from PIL import Image

    from colorvae_sk import load_photos

    photos, rng = load_photos(), np.random.default_rng(0)
    for k in range(n_files):
        path = folder / f"{k:06d}.{'png' if k % 2 else 'jpg'}"
        if k >= N_WRITTEN:
            first = k % N_WRITTEN
            os.link(folder / f"{first:06d}{path.suffix}", path)
            continue
        photo = photos[k % len(photos)]
        top, left = (rng.integers(side - SIDE) for side in photo.shape[:2])
        Image.fromarray(photo[top : top + SIDE, left : left + SIDE]).save(path)


def measure(folder, seconds):
    """A row of the table: use one folder in this process."""
    import torch

    from colorvae_sk import ColorVAE, ImageFolder
    from colorvae_sk._images import as_images

    torch.set_num_threads(1)
    marks = [time.perf_counter()]
    pictures = ImageFolder(folder)
    marks.append(time.perf_counter())
    images = as_images(pictures)
    sizes = {images.shape(i) for i in range(len(images))}
    marks.append(time.perf_counter())
    n_values = sum(images.raw(i).size for i in range(len(images)))
    marks.append(time.perf_counter())
    del images  # and what it keeps
    vae = ColorVAE(widths=(8, 8), n_blocks=1, max_seconds=seconds, random_state=0)
    vae.fit(pictures)
    elapsed = time.perf_counter() - marks[-1]
    n_steps = sum(row["n_steps"] for row in vae.history_)
    for k in range(0, min(len(pictures), 5000), 1000):
        vae.transform(pictures[k : k + 1000])
    assert len(sizes) == 1 and n_values == 3 * SIDE**2 * len(pictures)
    listing, sizing, decoding = (b - a for a, b in pairwise(marks))
    return {
        "files": len(pictures),
        "list, s": listing,
        "sizes, s": sizing,
        "decode all, s": decoding,
        "fit, patches/s": n_steps * vae._batch_size / elapsed,
        "peak memory, MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / UNIT,
    }


def measure_apart(n_files, seconds):
    """The same in a new process, of a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), n_files)
        command = [sys.executable, __file__, "--child", folder]
        command += ["--seconds", str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main():
    """Measure folders of several lengths, or in a child one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, nargs="+", default=FILES)
    parser.add_argument("--seconds", type=float, default=20, help="of each fit")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        print(json.dumps(measure(options.child, options.seconds)))
        return
    print_table([measure_apart(n, options.seconds) for n in options.files])


if __name__ == "__main__":
    main()
