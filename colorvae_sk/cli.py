"""The command ``colorvae``: what can be done without writing a line of Python."""

import argparse
import atexit
import errno
import gc
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

from . import __version__

HELP = argparse.RawDescriptionHelpFormatter
UNITS = {"s": 1, "m": 60, "h": 3600}
GOOD, SOME_FAILED, WRONG_USE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
RESUMABLE = ("degrade", "restore", "train")
MAX_PIXELS = 200_000_000  # as `restore_folder` has it
DAMAGES = (  # the degradations by name: a look into their module would take seconds
    "blind",
    "ColorCast",
    "DefocusBlur",
    "Desaturate",
    "Downsample",
    "Fade",
    "GaussianBlur",
    "GaussianNoise",
    "JPEGCompression",
    "MissingChannels",
    "MissingPixels",
    "MissingScratches",
    "MotionBlur",
    "PoissonNoise",
    "Quantize",
    "SaltPepperNoise",
)
MAIN_EXAMPLES = """
examples:
  colorvae demo                                   see what it can do
  colorvae restore photos -o restored             restore a folder
  colorvae degrade photos -o noisy -d GaussianNoise:sigma=0.1
  colorvae train photos -o mine.safetensors --time 30m
  colorvae score restored photos                  compare with clean pictures
  colorvae app                                    a page to drop a photograph on
  colorvae COMMAND --help                         all about one command
"""
RESTORE_EXAMPLES = """
examples:
  colorvae restore photos -o restored
  colorvae restore cat.jpg dog.png -o restored --overwrite
  colorvae restore scans -o restored --recursive --model mine.safetensors
  colorvae restore photos -o restored --std restored_std
  curl -s https://example.org/a.jpg | colorvae restore - -o - > a.jpg

A file keeps its name, format, bit depth, alpha, EXIF, colour profile and resolution.
Files that are in the output folder already are skipped: so the same command goes on
after it was interrupted.

exit codes:
  0  every file was restored, or was there already
  1  some files failed; standard error says which and why
  2  nothing was done: the arguments are wrong
"""
DEGRADE_EXAMPLES = f"""
examples:
  colorvae degrade photos -o noisy -d GaussianNoise:sigma=0.1
  colorvae degrade photos -o bad -d Fade -d JPEGCompression:quality=10
  colorvae degrade photos -o soft -d GaussianBlur:sigma=1..2

A degradation is a name, and parameters behind a colon; 1..2 is drawn from anew for
each picture. Several befall each picture in turn. Those that make pixels go missing
write TIFF files of floats, NaN where a pixel is missing. The names, as the
documentation has them:
  {", ".join(DAMAGES[:5])},
  {", ".join(DAMAGES[5:11])},
  {", ".join(DAMAGES[11:])}
"""
TRAIN_EXAMPLES = """
examples:
  colorvae train photos -o mine.safetensors --time 30m
  colorvae train scans -o mine.safetensors --time 2h --start natural -d Fade
  colorvae train photos -o denoiser.safetensors -d GaussianNoise:sigma=0..0.2

The pictures in the folder are clean: they are damaged afresh in each step. What was
learned is kept each minute beside the model, so that the same command goes on after it
was interrupted. A degradation is written as `colorvae degrade --help` says.
"""
SCORE_EXAMPLES = """
examples:
  colorvae score restored clean
  colorvae score restored clean --format csv > scores.csv

Pictures are paired by their names; the ending may differ. PSNR (dB) and SSIM are better
high, CIEDE2000 (colour difference) is better low.
"""
INFO_EXAMPLES = """
examples:
  colorvae info natural
  colorvae info mine.safetensors --format json
"""
APP_EXAMPLES = """
examples:
  colorvae app                                    open the page in the browser
  colorvae app --model mine.safetensors --port 0
  colorvae app --no-browser                       tell where the page is, no more

The page is for this machine alone, and asks nothing of any other. Ctrl-C ends it.
"""
COMPLETION_EXAMPLES = """
examples:
  eval "$(colorvae completion bash)"              in ~/.bashrc
  eval "$(colorvae completion zsh)"               in ~/.zshrc, after compinit
"""


def main(arguments=None):
    """Run the command.

    Parameters
    ----------
    arguments : list of str, default=None
        What stands behind ``colorvae`` on the command line. None: take it from there.

    Returns
    -------
    code : int
        0: all went well; 1: some files failed; 2: the arguments were wrong, nothing
        was done; 130: it was interrupted; 143: it was told to end (SIGTERM).

    Examples
    --------
    >>> from colorvae_sk.cli import main
    >>> main(["demo", "--output", "demo"])  # doctest: +SKIP
    """
    options = parser().parse_args(arguments)
    if arguments is None:  # the program: all is over when it ends, garbage or not
        atexit.register(gc.freeze)
        signal.signal(signal.SIGTERM, terminate)
    try:
        return options.run(options) or GOOD
    except KeyboardInterrupt as error:
        hint = " The same command goes on." if options.command in RESUMABLE else ""
        print(f"Interrupted.{hint}", file=sys.stderr)
        return TERMINATED if isinstance(error, Terminated) else INTERRUPTED
    except BrokenPipeError:  # whoever reads our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return GOOD
    except (OSError, ValueError) as error:
        print(f"colorvae {options.command}: {error}", file=sys.stderr)
        is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        return SOME_FAILED if is_full else WRONG_USE


class Terminated(KeyboardInterrupt):
    """Another process wants this one to end."""


def terminate(number, frame):
    """End as after Ctrl-C, so that no process that works for this one is left."""
    raise Terminated


def command(name):
    """What runs a command, imported when it runs: help comes at once."""

    def run(options):
        with uncollected():
            from . import _commands

        return getattr(_commands, name)(options)

    return run


@contextmanager
def uncollected():
    """Import here: all that this makes stays, so none of it is garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


# ------------------------------------------------------------------ the arguments
def parser():
    """Describe the command line."""
    whole = argparse.ArgumentParser(
        prog="colorvae",
        description="Restore damaged colour pictures.",
        epilog=MAIN_EXAMPLES,
        formatter_class=HELP,
    )
    version = f"%(prog)s {__version__}"
    whole.add_argument("--version", action="version", version=version)
    commands = whole.add_subparsers(required=True, metavar="command", dest="command")
    for add in (
        add_demo,
        add_restore,
        add_train,
        add_score,
        add_degrade,
        add_info,
        add_app,
        add_completion,
    ):
        add(commands)
    return whole


def add_demo(commands):
    """Describe `colorvae demo`."""
    demo = add_command(
        commands, "demo", "Restore two photographs and write comparison.png."
    )
    demo.add_argument(
        "-o",
        "--output",
        type=Path,
        default="demo",
        help="folder to write to (default: demo)",
    )
    demo.add_argument(
        "--seconds",
        type=duration,
        help="learn for so long from four other photographs (the model is kept for the "
        "next time); without it the model that ships restores",
    )


def add_restore(commands):
    """Describe `colorvae restore`."""
    restore = add_command(
        commands, "restore", "Restore picture files into a folder.", RESTORE_EXAMPLES
    )
    add_files(restore)
    add_model(restore, "-m", "--model", default="natural")
    restore.add_argument(
        "--std",
        type=path,
        metavar="FOLDER",
        help="write the error bars too, as TIFF files",
    )
    add_device(restore)


def add_train(commands):
    """Describe `colorvae train`."""
    train = add_command(
        commands, "train", "Learn to restore from clean pictures.", TRAIN_EXAMPLES
    )
    train.add_argument("folder", type=path, help="folder of clean pictures")
    train.add_argument(
        "-o", "--output", type=path, required=True, help="file for the model"
    )
    train.add_argument(
        "-t",
        "--time",
        type=duration,
        default=600.0,
        help="how long to learn, such as 90s, 10m or 2h (default: 10m)",
    )
    add_damage(train, required=False)
    add_model(train, "--start", help="begin with what this model has learned")
    train.add_argument(
        "--checkpoint",
        type=path,
        metavar="FOLDER",
        help="where to keep what was learned so far",
    )
    train.add_argument(
        "--overwrite", action="store_true", help="replace a model that is there"
    )
    train.add_argument("-r", "--recursive", action="store_true", help=RECURSIVE)
    train.add_argument(
        "--seed", type=int, default=0, help="of all that is drawn (default: 0)"
    )
    add_device(train)


def add_score(commands):
    """Describe `colorvae score`."""
    score = add_command(
        commands, "score", "Compare restored pictures with clean ones.", SCORE_EXAMPLES
    )
    score.add_argument("restored", type=path, help="folder of pictures, or one")
    score.add_argument(
        "clean", type=path, help="folder of their clean versions, or one"
    )
    score.add_argument("-r", "--recursive", action="store_true", help=RECURSIVE)
    add_format(score, "table", "csv", "json")
    add_max_pixels(score)


def add_degrade(commands):
    """Describe `colorvae degrade`."""
    degrade = add_command(
        commands, "degrade", "Damage pictures, to try restorations.", DEGRADE_EXAMPLES
    )
    add_files(degrade)
    add_damage(degrade, required=True)
    degrade.add_argument(
        "--seed", type=int, default=0, help="of all that is drawn (default: 0)"
    )


def add_info(commands):
    """Describe `colorvae info`."""
    info = add_command(commands, "info", "Tell what is in a model.", INFO_EXAMPLES)
    info.add_argument("model", help="file of a model, or the name of one that ships")
    add_format(info, "text", "json")


def add_app(commands):
    """Describe `colorvae app`."""
    app = add_command(
        commands, "app", "Restore photographs on a page in the browser.", APP_EXAMPLES
    )
    add_model(app, "-m", "--model", default="natural")
    app.add_argument(
        "-p",
        "--port",
        type=port,
        default=8765,
        help="where the page is; 0: any port that is free (default: 8765)",
    )
    app.add_argument(
        "--no-browser", action="store_true", help="do not open the page in the browser"
    )
    add_max_pixels(app)
    add_device(app)


def add_completion(commands):
    """Describe `colorvae completion`."""
    completion = add_command(
        commands,
        "completion",
        "Write a script by which a shell completes commands.",
        COMPLETION_EXAMPLES,
    )
    completion.add_argument("shell", choices=("bash", "zsh"))


# ------------------------------------------------------------------ their parts
RECURSIVE = "look into the folders within too"


def add_command(commands, name, description, epilog=None):
    """A parser for a command; it is run by the function of its name."""
    help = description[0].lower() + description[1:].rstrip(".")
    part = commands.add_parser(
        name, help=help, description=description, epilog=epilog, formatter_class=HELP
    )
    part.set_defaults(run=command(name))
    return part


def add_files(part):
    """Arguments of commands that make files of files."""
    part.add_argument(
        "files",
        nargs="+",
        type=path,
        help="picture files or folders of them; - is standard input",
    )
    part.add_argument(
        "-o",
        "--output",
        required=True,
        type=path,
        help="folder to write to; of standard input a file, - for standard output",
    )
    part.add_argument(
        "--overwrite", action="store_true", help="replace files that are there"
    )
    part.add_argument("-r", "--recursive", action="store_true", help=RECURSIVE)
    part.add_argument(
        "-j",
        "--jobs",
        type=int,
        default=1,
        help="processes at work (default: 1; -1: one for each core)",
    )
    add_max_pixels(part)
    part.add_argument(
        "-q", "--quiet", action="store_true", help="tell of nothing but failures"
    )


def add_max_pixels(part):
    """How large a picture may be."""
    part.add_argument(
        "--max-pixels",
        type=limit,
        default=MAX_PIXELS,
        help="refuse larger pictures (default: 2e8)",
    )


def add_model(part, *names, default=None, help="the model (default: natural)"):
    """A model, by name or file."""
    part.add_argument(*names, default=default, metavar="natural|FILE", help=help)


def add_damage(part, required):
    """Degradations, by name."""
    part.add_argument(
        "-d",
        "--degradation",
        action="append",
        required=required,
        metavar="NAME[:PARAMETER=VALUE,...]",
        help="what befalls the pictures; may be given several times"
        + ("" if required else " (default: blind)"),
    )


def add_device(part):
    """Where torch computes."""
    part.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda, cuda:1, mps, ... (default: auto)",
    )


def add_format(part, *formats):
    """How a result is written to standard output."""
    part.add_argument(
        "-f",
        "--format",
        choices=formats,
        default=formats[0],
        help=f"(default: {formats[0]})",
    )


def path(text):
    """A path, which has some name."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty one")
    return text


def limit(text):
    """A number of pixels, more than none."""
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"expected more than 0 pixels, got {text}")
    return number


def duration(text):
    """Seconds, more than none: 90, 90s, 10m or 2h."""
    unit = UNITS.get(text[-1:])
    seconds = float(text[:-1]) * unit if unit else float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected more than 0 seconds, got {text}")
    return seconds


def port(text):
    """The number of a port."""
    number = int(text)
    if not 0 <= number < 2**16:
        raise argparse.ArgumentTypeError(f"expected 0 to 65535, got {text}")
    return number
