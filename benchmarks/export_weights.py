"""Make weights that ship with the package from a fitted ColorVAE.

The model is written in half precision to ``colorvae_sk/weights/NAME.safetensors``, and
its checksum to the list beside it, ``SHA256SUMS``:

    python benchmarks/export_weights.py MODEL.joblib NAME

Parameters that describe the network and its damage are kept. Those of the training
(budget, learning rate, callbacks, device, ...) go back to their defaults, so that users
who go on learning do not inherit them. MODEL.joblib is unpickled: pass your own only.
"""

import argparse
import hashlib
import re
from copy import copy
from pathlib import Path

import joblib

from colorvae_sk import ColorVAE, GaussianNoise, load, load_photos, psnr_score, save
from colorvae_sk._storage import replace_file

FOLDER = Path(__file__).parent.parent / "colorvae_sk" / "weights"
MAX_BYTES = 10_000_000  # of a file that ships
KEPT = (
    "architecture",
    "widths",
    "n_blocks",
    "n_latent",
    "beta",
    "loss",
    "free_bits",
    "degradation",
    "augmentation",
    "image_shape",
)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="file that joblib.dump wrote")
    parser.add_argument("name", help="what users will call the weights")
    parser.add_argument("--folder", default=FOLDER, help="folder to write to")
    options = parser.parse_args(arguments)
    vae = joblib.load(options.model)
    path = export(vae, options.name, options.folder)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    report(vae, load(path))


def export(vae, name, folder=FOLDER):
    """Write the weights and the list of checksums.

    Parameters
    ----------
    vae : ColorVAE
        The fitted model; it stays as it is.
    name : str
        Lower-case letters, digits, "_" and "-".
    folder : path-like, default=FOLDER
        Where to.

    Returns
    -------
    path : Path
        The file.
    """
    if not re.fullmatch(r"[a-z0-9_-]+", name):
        raise ValueError(f"Expected a name of a-z, 0-9, _ and -, got {name!r}.")
    n_bytes = 2 * sum(w.numel() for w in vae.net_.module_.state_dict().values())
    if n_bytes > MAX_BYTES:
        raise ValueError(
            f"The weights take {n_bytes / 1e6:.1f} MB, more than the "
            f"{MAX_BYTES / 1e6:.0f} MB that may ship. Train a smaller network."
        )
    path = Path(folder) / f"{name}.safetensors"
    save(for_users(vae), path, half=True)
    write_sums(path.parent)
    return path


def for_users(vae):
    """The same fitted model without what was special to its training."""
    defaults = ColorVAE().get_params(deep=False)
    vae = copy(vae)
    for name, value in defaults.items():
        if name not in KEPT:
            setattr(vae, name, value)
    return vae


def write_sums(folder):
    """List the checksums of all weights in the folder, as sha256sum does."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.glob("*.safetensors"))
    ]
    replace_file(folder / "SHA256SUMS", "".join(lines).encode())


def report(vae, loaded):
    """Print what half precision and storage cost on a noisy photograph."""
    clean = load_photos()[1][None, :256, :256]
    if vae.n_channels_ != clean.shape[-1]:
        return
    noisy = GaussianNoise(0.1, random_state=0).fit_transform(clean)
    for name, model in (("fitted", vae), ("exported", loaded)):
        print(f"{name:<10}{psnr_score(clean, model.transform(noisy)):.3f} dB")


if __name__ == "__main__":
    main()
