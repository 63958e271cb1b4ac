"""What each loss of `ColorVAE` makes of noise: PSNR, SSIM, CIEDE2000 and sharpness.

Some photographs are learned from, others tested on; the noise has sigma 25 of 255. All
losses take the same number of steps from the same weights, and see the same crops. The
network is a small ladder.

    python benchmarks/losses.py [FOLDER] [--epochs 5] [--csv FILE] [--quick]
"""

import argparse
import time

from protocol import TASKS
from sklearn.base import clone
from table import print_table, write_csv

from colorvae_sk import (
    ColorVAE,
    GaussianNoise,
    ImageFolder,
    ciede2000_error,
    load_photos,
    ms_ssim_score,
    psnr_score,
    sharpness_ratio,
    ssim_score,
)

LOSSES = ("gaussian", "laplace", "ms_ssim", "frequency", "ciede2000")
MEASURES = {
    "PSNR": psnr_score,
    "SSIM": ssim_score,
    "MS-SSIM": ms_ssim_score,
    "CIEDE2000": ciede2000_error,
    "sharpness": sharpness_ratio,
}
N_TESTED, N_LEARNED = 10, 30  # photographs, spread over the folder


def split(photos):
    """Photographs to test on, and others to learn from."""
    n_tested = min(N_TESTED, len(photos) // 3)
    step = len(photos) // n_tested
    rest = [photo for i, photo in enumerate(photos) if i % step]
    return photos[::step][:n_tested], rest[:: max(1, len(rest) // N_LEARNED)][
        :N_LEARNED
    ]


def measure(clean, restored):
    """All measures of some photographs."""
    return {name: metric(clean, restored) for name, metric in MEASURES.items()}


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", help="default: the bundled photographs")
    parser.add_argument("--epochs", type=int, default=5, help="passes over the photos")
    parser.add_argument("--csv", help="file to write all digits to")
    parser.add_argument("--quick", action="store_true", help="a tiny network")
    return parser.parse_args()


def main():
    """Learn by each loss, and print a table."""
    options = parse()
    folder = options.folder
    photos = load_photos() if folder is None else list(ImageFolder(folder))
    if options.quick:
        photos = [photo[:64, :64] for photo in photos]
    tested, learned = split(photos)
    clean = [photo.astype("float32") / 255 for photo in tested]
    noisy = [TASKS["awgn25"](photo, str(i)) for i, photo in enumerate(clean)]
    vae = ColorVAE(
        degradation=GaussianNoise(25 / 255), random_state=0, latent_share=0.02
    )
    vae.set_params(widths=(32, 64), n_blocks=1, max_epochs=options.epochs)
    if options.quick:
        vae.set_params(widths=(8, 8), max_epochs=1)
    rows = [{"loss": "(noisy)", **measure(clean, noisy), "seconds": None}]
    for loss in LOSSES:
        began = time.perf_counter()
        restored = clone(vae).set_params(loss=loss).fit(learned).transform(noisy)
        seconds = time.perf_counter() - began
        rows.append({"loss": loss, **measure(clean, restored), "seconds": seconds})
        print(rows[-1], flush=True)
    print_table(rows)
    if options.csv:
        write_csv(rows, options.csv)


if __name__ == "__main__":
    main()
