"""Seconds per megapixel of the model that ships, beside others.

FFDNet's architecture [1]_ for colour pictures, with random weights: twelve 3x3
convolutions of 96 channels at half resolution, 0.85 million parameters, 212,760
multiply-adds per pixel. And scikit-image's NL-means and total variation, which use one
thread. All restore the same noisy photograph in turns, in float32; the table shows
medians.

    python benchmarks/speed.py [--threads 1] [--repeats 7]

References
----------
.. [1] K. Zhang, W. Zuo, L. Zhang: FFDNet: Toward a Fast and Flexible Solution for
   CNN-Based Image Denoising, IEEE TIP 2018.
"""

import argparse
import time
from statistics import median

import numpy as np
import torch
from classical import denoisers
from skimage.data import astronaut
from table import print_table
from torch import nn
from torch.nn import functional as F

from colorvae_sk import load_pretrained

SIZE = (480, 320)
SIGMA = 25 / 255  # of the noise


class FFDNet(nn.Module):
    """The architecture; its weights are random."""

    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(13, 96, 3, padding=1), nn.ReLU()]
        for _ in range(10):
            layers += [nn.Conv2d(96, 96, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(96, 12, 3, padding=1))

    def forward(self, pictures):
        parts = F.pixel_unshuffle(pictures, 2)
        level = torch.full_like(parts[:, :1], 25 / 255)
        features = torch.cat([parts, level], dim=1)
        features = features.contiguous(memory_format=torch.channels_last)
        return F.pixel_shuffle(self.layers(features), 2)


def methods():
    """Functions of a picture (H, W, 3), by name."""
    network = FFDNet().to(memory_format=torch.channels_last).eval()
    vae = load_pretrained()
    classical = denoisers(SIGMA)

    @torch.inference_mode()
    def peer(picture):
        return network(torch.from_numpy(picture).permute(2, 0, 1)[None]).numpy()

    return {
        "FFDNet's architecture": peer,
        "natural": lambda picture: vae.transform([picture]),
        "natural, with error bars": lambda x: vae.predict([x], return_std=True),
        **{name: classical[name] for name in ("NL-means", "total variation")},
    }


def noisy_photograph():
    """A part of a photograph, with white noise."""
    clean = np.float32(astronaut()[: SIZE[0], : SIZE[1]] / 255)
    noise = np.random.default_rng(0).standard_normal(clean.shape, dtype=np.float32)
    return clean + SIGMA * noise


def seconds(method, picture):
    """How long it takes."""
    began = time.perf_counter()
    method(picture)
    return time.perf_counter() - began


def main():
    """Let them take turns."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    picture = noisy_photograph()
    all_of = methods()
    turns = range(options.repeats + 1)  # the first warms up
    times = [{name: seconds(f, picture) for name, f in all_of.items()} for _ in turns]
    size = SIZE[0] * SIZE[1] / 1e6
    middle = {name: median(turn[name] for turn in times[1:]) / size for name in all_of}
    first = next(iter(middle.values()))
    print_table(
        [
            {"method": name, "s/MP": s, "to the first": s / first}
            for name, s in middle.items()
        ]
    )


if __name__ == "__main__":
    main()
