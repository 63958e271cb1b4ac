r"""What restoring costs against the size of the picture: seconds and peak memory.

Each size is restored by a process of its own, with the model that ships. Its peak
memory is what the process had in all, interpreter and torch included, less the picture
and the result. The picture is a photograph that is repeated, with noise. Seconds are
medians: the first picture that comes by tiles costs up to half more. Where other
programs run beside, seconds of the cores (of all threads) tell more than those on the
wall.

    python benchmarks/size.py [--megapixels 0.1 1 10 100] [--threads 1] \
        [--dtype uint8] [--std] [--repeats 3]
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from statistics import median

import numpy as np
from table import print_table

SIZES = (0.1, 0.3, 1, 3, 10, 30, 100)
UNIT = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss, in MiB


def make_picture(megapixels, dtype):
    """A noisy picture (1, H, W, 3) of this size, a little wider than high."""
    from colorvae_sk import load_photos

    photo = load_photos()[4]
    height = round((1e6 * megapixels / 1.2) ** 0.5)
    width = round(1e6 * megapixels / height)
    picture = np.empty((1, height, width, 3), dtype)
    rng, white = np.random.default_rng(0), 255 if dtype == "uint8" else 1
    for top in range(0, height, 128):  # no more than a strip as floats
        rows = np.arange(top, min(top + 128, height)) % photo.shape[0]
        strip = photo[rows][:, np.arange(width) % photo.shape[1]] / np.float32(255)
        strip += 0.1 * rng.standard_normal(strip.shape, dtype=np.float32)
        picture[0, top : top + 128] = (white * strip).clip(0, white)
    return picture


def measure(megapixels, dtype, with_std, threads, repeats):
    """A row of the table: restore one picture in this process."""
    import torch

    from colorvae_sk import load_pretrained

    torch.set_num_threads(threads)
    vae = load_pretrained()
    vae.predict(make_picture(0.1, dtype), with_std)  # warm up
    picture = make_picture(megapixels, dtype)
    n_pixels = picture[0, :, :, 0].size
    times = [times_of(vae, picture, with_std) for _ in range(repeats)]
    wall, cpu = (median(column) * 1e6 / n_pixels for column in zip(*times, strict=True))
    n_bytes = picture.nbytes * 2
    if with_std:
        n_bytes += 4 * picture.size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / UNIT
    return {
        "megapixels": n_pixels / 1e6,
        "s/MP": wall,
        "CPU s/MP": cpu,
        "picture and result, MiB": n_bytes / 2**20,
        "peak beside them, MiB": peak - n_bytes / 2**20,
    }


def times_of(vae, picture, with_std):
    """Seconds that it takes to restore a picture: on the wall, and of all cores."""
    began = time.perf_counter(), time.process_time()
    vae.predict(picture, with_std)
    return time.perf_counter() - began[0], time.process_time() - began[1]


def measure_apart(options, megapixels):
    """The same in a new process."""
    command = [sys.executable, __file__, "--child", str(megapixels)]
    command += ["--dtype", options.dtype, "--threads", str(options.threads)]
    command += ["--repeats", str(options.repeats), *["--std"] * options.std]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main():
    """Measure all sizes, or in a child one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megapixels", type=float, nargs="+", default=SIZES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=["uint8", "float32"], default="uint8")
    parser.add_argument("--std", action="store_true", help="error bars too")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        rest = options.dtype, options.std, options.threads, options.repeats
        print(json.dumps(measure(options.child, *rest)))
        return
    rows = [measure_apart(options, size) for size in options.megapixels]
    print_table(rows)


if __name__ == "__main__":
    main()
