r"""What `transform` gives of the speed of its network alone.

The bare loop sends float tensors, which are ready, through the network of the model
that ships, rounded as there, and does nothing with what comes out; large pictures it
cuts into squares without any overlap, which would leave seams. `transform` takes
pictures in 8 bits and gives them back. They take turns; the table shows medians of the
seconds that all cores took.

    python benchmarks/share.py [--threads 1] [--repeats 5] [--small 64] \
        [--megapixels 24]
"""

import argparse
import time
from functools import partial
from statistics import median

import numpy as np
import torch
from size import make_picture
from table import print_table

from colorvae_sk import load_pretrained
from colorvae_sk._layers import rounding

TILE = 256  # pixels: the sides of the squares
TOGETHER = 2**18  # pixels of a batch


def batch_of(pictures):
    """Pictures in 8 bits as the tensor that the network takes."""
    tensor = torch.from_numpy(np.moveaxis(pictures, 3, 1) / np.float32(255))
    return tensor.contiguous(memory_format=torch.channels_last)


def small_ones(n):
    """Pictures of 64 x 64, and their batches."""
    pictures = make_picture(0.01, "uint8")[:, :64, :64].repeat(n, axis=0)
    n_together = max(1, TOGETHER // 64**2)
    starts = range(0, n, n_together)
    return pictures, [batch_of(pictures[k : k + n_together]) for k in starts]


def large_one(megapixels):
    """A large picture, and squares of it, none smaller than the others by much."""
    picture = make_picture(megapixels, "uint8")
    rows, columns = (
        np.array_split(np.arange(side), -(-side // TILE)) for side in picture.shape[1:3]
    )
    squares = [
        picture[:, r[0] : r[-1] + 1, c[0] : c[-1] + 1] for r in rows for c in columns
    ]
    return picture, map(batch_of, squares)


def mixed_ones(n):
    """A list of pictures of many sizes, and a batch of each."""
    rng, large = np.random.default_rng(0), make_picture(0.5, "uint8")[0]
    sizes = rng.integers(64, 512, (n, 2))
    pictures = [large[:height, :width] for height, width in sizes]
    return pictures, [batch_of(picture[np.newaxis]) for picture in pictures]


def seconds(function, *arguments):
    """How long it takes, of all cores."""
    began = time.process_time()
    function(*arguments)
    return time.process_time() - began


@torch.inference_mode()
def loop(network, batches):
    """The bare loop; its batches are made outside of the time."""
    network = partial(network, with_sigma=False)
    return sum(seconds(network, batch) for batch in batches)


def compare(name, make, size, vae, repeats):
    """A row of the table."""
    restorer, times = vae._restorer(), []
    for _ in range(repeats):
        pictures, batches = make(size)
        with rounding(restorer.mixed_precision):
            bare = loop(restorer.network, batches)
        times.append((bare, seconds(vae.transform, pictures)))
    bare, ours = (median(column) for column in zip(*times, strict=True))
    n_pixels = sum(picture[..., 0].size for picture in pictures)
    return {
        "pictures": name,
        "megapixels": n_pixels / 1e6,
        "loop, s/MP": 1e6 * bare / n_pixels,
        "transform, s/MP": 1e6 * ours / n_pixels,
        "share": bare / ours,
    }


def main():
    """Compare on small pictures, on a large one and on a list of mixed sizes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--megapixels", type=float, default=24)
    parser.add_argument("--small", type=int, default=64, help="how many small pictures")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    vae = load_pretrained()
    cases = [
        ("of 64 x 64", small_ones, options.small),
        ("of mixed sizes", mixed_ones, max(1, options.small // 4)),
        ("one large", large_one, options.megapixels),
    ]
    print_table([compare(*case, vae, options.repeats) for case in cases])


if __name__ == "__main__":
    main()
