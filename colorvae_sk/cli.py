"""The command ``colorvae``: what can be done without writing a line of Python."""

import argparse
from itertools import chain, permutations
from pathlib import Path

import joblib

import colorvae_sk  # its public names, and torch with them, come when they are used

_UNLIMITED = 10**6  # epochs: the seconds end the fit
_PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "china", "flower")
_UNSEEN = ("chelsea", "flower")
_ORDERS = list(permutations(range(3)))  # of the channels: few photographs, any hue
_HEAD = f"{'':<23}PSNR (dB)          SSIM         CIEDE2000    in 90 % interval"
_ROW = "{:<20}{:>7.2f} -> {:<6.2f}{:>7.3f} -> {:<6.3f}{:>7.2f} -> {:<6.2f}{:>9.1%}"


def main(arguments=None):
    """Run the command.

    Parameters
    ----------
    arguments : list of str, default=None
        What stands behind ``colorvae`` on the command line. None: take it from there.

    Examples
    --------
    >>> from colorvae_sk.cli import main
    >>> main(["demo", "--output", "demo"])  # doctest: +SKIP
    """
    options = _parser().parse_args(arguments)
    options.run(options)


def _parser():
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="colorvae", description="Restore damaged colour pictures."
    )
    version = f"%(prog)s {colorvae_sk.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(required=True, metavar="command")

    demo = commands.add_parser(
        "demo",
        help="restore example pictures",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description="Restore two photographs and write comparison.png.",
    )
    demo.add_argument("--output", type=Path, default="demo", help="folder to write to")
    demo.add_argument(
        "--seconds",
        type=duration,
        help="learn for so long from four other photographs (the model is kept for the "
        "next time); without it the model that ships restores",
    )
    demo.set_defaults(run=_run_demo)
    return parser


def duration(text):
    """Seconds, more than none."""
    seconds = float(text)
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"expected more than 0 seconds, got {text}")
    return seconds


# ------------------------------------------------------------------ demo
def _run_demo(options):
    """Restore two photographs from fading, from noise and from holes."""
    import matplotlib

    matplotlib.use("agg")  # a file is all that is drawn
    options.output.mkdir(parents=True, exist_ok=True)
    photos = [(photo / 255).astype("float32") for photo in colorvae_sk.load_photos()]
    photos = dict(zip(_PHOTOS, photos, strict=True))
    unseen = {name: photos.pop(name) for name in _UNSEEN}
    if options.seconds is None:
        vae = colorvae_sk.load_pretrained()
    else:
        vae = _fit_or_load(options.output, photos, options.seconds)
    states = [_restore(vae, damage, unseen) for damage in _demo_damage().values()]
    states = [list(chain.from_iterable(images)) for images in zip(*states, strict=True)]
    titles = [f"{kind}, {name}" for kind in _demo_damage() for name in unseen]
    _print_scores(titles, *states)
    _draw(options.output / "comparison.png", titles, *states)


def _demo_damage():
    """What befalls the photographs, by name."""
    from .degradations import Fade, GaussianNoise, MissingPixels

    return {
        "faded": Fade(contrast=(0.4, 0.6), saturation=(0.4, 0.7), random_state=0),
        "noisy": GaussianNoise(0.1, random_state=0),
        "half missing": MissingPixels(0.5, random_state=0),
    }


def _fit_or_load(folder, photos, seconds):
    """A model that was kept by this version with these parameters, else a new one."""
    vae = colorvae_sk.ColorVAE(
        widths=(32, 64),  # small: it has minutes to learn
        n_blocks=1,
        lr=3e-3,
        latent_share=0.1,
        degradation=colorvae_sk.RandomDegradation(list(_demo_damage().values()), n=1),
        max_epochs=_UNLIMITED,
        max_seconds=seconds,
        verbose=1,
        random_state=0,
    )
    key = joblib.hash((colorvae_sk.__version__, vae.get_params()))
    file = folder / f"model-{key[:8]}.joblib"
    if file.exists():
        print(f"The model is from {file}; remove that to fit it anew.")
        return joblib.load(file)
    print(f"Learning for {seconds:g} s from {', '.join(photos)}.")
    vae.fit([photo[..., order] for photo in photos.values() for order in _ORDERS])
    joblib.dump(vae, file)
    return vae


def _restore(vae, damage, photos):
    """Lists of damaged images, restored ones, error bars and clean ones."""
    clean = list(photos.values())
    damaged = damage.fit_transform(clean)
    return damaged, *vae.predict(damaged, return_std=True), clean


def _print_scores(titles, damaged, restored, std, clean):
    """Print a table: three measures of damaged and restored, and the coverage."""
    from . import metrics
    from ._coverage import coverage_score
    from .plotting import fill_with_means

    measures = metrics.psnr_score, metrics.ssim_score, metrics.ciede2000_error
    print(_HEAD)
    for title, *states in zip(titles, damaged, restored, std, clean, strict=True):
        before, after, spread, truth = ([image] for image in states)
        before = [fill_with_means(before[0])]
        scores = [m(truth, images) for m in measures for images in (before, after)]
        coverage = coverage_score(truth, after, spread, coverage=0.9)
        print(_ROW.format(title, *scores, coverage))


def _draw(file, titles, *states):
    """Write the comparison."""
    from matplotlib import pyplot

    from .plotting import plot_restoration

    figure = plot_restoration(*states, titles=titles)
    figure.savefig(file, dpi=100)
    pyplot.close(figure)
    print(f"The comparison is in {file}.")
