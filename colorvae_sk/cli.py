"""The command ``colorvae``: what can be done without writing a line of Python."""

import argparse
from pathlib import Path

import colorvae_sk  # its public names, and torch with them, come when they are used

UNLIMITED = 10**6  # epochs: the seconds end the fit
MEASURES = ("PSNR (dB)", "SSIM", "CIEDE2000")
ROW = "{:<24}" + "{:>10} -> {:<8}" * len(MEASURES) + "{:>10}"


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

    demo = commands.add_parser("demo", help="restore example pictures")
    demo.add_argument(
        "--output", type=Path, default=Path("demo"), help="folder to write to"
    )
    demo.add_argument("--seconds", type=float, default=120, help="to learn")
    demo.set_defaults(run=run_demo)
    return parser


# ------------------------------------------------------------------ demo
def run_demo(options):
    """Fit on some of the bundled photographs, and restore others.

    Parameters
    ----------
    options : argparse.Namespace
        ``output``, the folder for the comparison and the fitted model, and
        ``seconds``, the time to learn.
    """
    options.output.mkdir(parents=True, exist_ok=True)
    photos = [photo.astype("float32") / 255 for photo in colorvae_sk.load_photos()]
