"""What each command of ``colorvae`` does; `cli` describes their arguments.

A command takes the parsed arguments and gives the exit code; None is 0. Its result goes
to standard output, all else to standard error.
"""

import os
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

from . import folders
from ._storage import replace_file
from ._weights import shipped_names
from .cli import uncollected
from .datasets import ImageFolder

STANDARD = "-"  # input or output, in place of a file
UNLIMITED = 10**6  # epochs: the time ends the fit
CHECKPOINT = "[0-9a-f]" * 32 + ".pt"  # as a fit names its file


def tell(text):
    """Say something beside the result."""
    print(text, file=sys.stderr)


def is_watched():
    """Whether somebody sees a bar."""
    return sys.stderr is not None and sys.stderr.isatty()


def standard(name):
    """Standard input or output: "in" or "out"."""
    stream = getattr(sys, f"std{name}")
    if stream is None:
        raise ValueError(f"standard {name}put is closed.")
    return stream


def is_standard_input(path):
    """Whether standard input is this file."""
    with suppress(OSError):
        return os.path.samestat(os.stat(path), os.fstat(0))
    return False


# ------------------------------------------------------------------ files of files
def restore(options):
    """Restore files."""
    if options.files == [STANDARD]:
        if options.std:
            raise ValueError("--std needs files; standard input has no name.")
        return pipe(options, lambda: open_model(options.model, options.device))
    jobs = plan(options, std_output=options.std)
    return work(options, jobs, lambda: open_model(options.model, options.device))


def degrade(options):
    """Damage files."""
    from ._damage import makes_holes, read_degradation

    damage = read_degradation(options.degradation, options.seed)
    if options.files == [STANDARD]:
        return pipe(options, lambda: damage)
    jobs = plan(options, ending=".tif" if makes_holes(damage) else None)
    return work(options, jobs, lambda: damage, done="damaged")


def check_file(path, overwrite):
    """Complain now if a file can't be written, or is not to be replaced."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file, -o FILE.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} is there already: --overwrite?")
    folders.prepare_folder(path.parent)


def pipe(options, open_estimator):
    """Restore standard input."""
    source, target = standard("in").buffer, None
    if options.output == STANDARD:
        target = standard("out").buffer
    else:
        check_file(Path(options.output), options.overwrite)
        if is_standard_input(options.output):
            raise ValueError(
                f"{options.output} would be replaced by what is made of it."
            )
    data = source.read()
    try:
        data = folders.restore_bytes(open_estimator(), data, options.max_pixels)
    except ValueError as error:
        raise ValueError(f"standard input: {error}") from error
    if target is None:
        replace_file(options.output, data)
    else:
        target.write(data)
        target.flush()


def plan(options, **how):
    """What is to be done with which file, checked before anything is loaded."""
    if STANDARD in options.files or options.output == STANDARD:
        raise ValueError("- stands for one picture: colorvae ... - -o -")
    jobs = []
    for path in options.files:
        if os.path.isdir(path):
            path = ImageFolder(path, recursive=options.recursive)
        jobs += folders.plan(path, options.output, **how)
    folders.check_outputs(jobs)
    for folder in {options.output, how.get("std_output")} - {None}:
        folders.prepare_folder(folder)
    return jobs


def work(options, jobs, open_estimator, done="restored"):
    """Do the jobs, and tell what became of them."""
    verbose = is_watched() and not options.quiet
    estimator = open_estimator()
    reports = folders.do_all(
        estimator,
        jobs,
        folders.options_for(estimator, options.max_pixels),
        options.overwrite,
        options.jobs,
        verbose,
    )
    return summarise(reports, options, done)


def summarise(reports, options, done):
    """Count what was done; name what failed."""
    counts = Counter(report.status for report in reports)
    if not options.quiet:
        parts = [f"{counts['restored']} {done} into {options.output}"]
        if counts["skipped"]:
            parts.append(f"{counts['skipped']} there already (--overwrite?)")
        if counts["failed"]:
            parts.append(f"{counts['failed']} failed")
        tell(", ".join(parts) + ".")
    for report in reports:
        if report.status == "failed":
            tell(f"{report.source}: {report.reason}")
    return int(counts["failed"] > 0)


def open_model(name, device="auto"):
    """A model that ships, or one in a file."""
    with uncollected():
        from .persistence import load
        from .pretrained import load_pretrained

    if name in shipped_names():
        return load_pretrained(name, device=device)
    if not os.path.exists(name):
        names = ", ".join(shipped_names())
        raise FileNotFoundError(
            f"There is no model {name!r}: neither a file nor {names}."
        )
    model = load(name)
    if device != "auto" and "device" in model.get_params():
        model.set_params(device=device)
    return model


# ------------------------------------------------------------------ models
def train(options):
    """Fit a model and save it."""
    from ._color_vae import ColorVAE
    from ._damage import read_degradation
    from .persistence import save

    output = Path(options.output)
    check_file(output, options.overwrite)
    names = options.degradation or ["blind"]
    damage = "blind" if names == ["blind"] else read_degradation(names, options.seed)
    photos = ImageFolder(options.folder, recursive=options.recursive)
    if output.exists() and any(output.samefile(path) for path in photos.paths):
        raise ValueError(f"{output} is one of the pictures to learn from.")
    checkpoint = options.checkpoint or f"{output}.checkpoint"
    before = checkpoints(checkpoint)
    vae = ColorVAE(
        degradation=damage,
        weights=options.start,
        max_epochs=UNLIMITED,
        max_seconds=options.time,
        checkpoint=checkpoint,
        device=options.device,
        verbose=int(is_watched()),
        random_state=options.seed,
    )
    tell(f"Learning for {options.time:g} s from {len(photos)} pictures.")
    save(vae.fit(photos), output)
    if options.checkpoint is None:
        remove_checkpoints(checkpoint, before)
    tell(f"The model is in {output}: colorvae restore FILES -o OUT --model {output}")


def checkpoints(folder):
    """The checkpoints in a folder, each with the time when it was written."""
    return {(path, path.stat().st_mtime_ns) for path in Path(folder).glob(CHECKPOINT)}


def remove_checkpoints(folder, before):
    """Remove what was written since, and the folder if nothing else is in it."""
    for path, _ in checkpoints(folder) - before:
        path.unlink()
        folders.remove_leftovers(path)
    with suppress(OSError):
        os.rmdir(folder)


def info(options):
    """Tell what is in a model."""
    from ._info import describe

    print(describe(options.model, options.format), file=standard("out"))


def score(options):
    """Compare pictures."""
    from ._scores import score_files

    standard("out")
    return score_files(options)


# ------------------------------------------------------------------ the rest
def demo(options):
    """Restore two photographs."""
    from ._demo import run_demo

    run_demo(options)


def app(options):
    """Serve the page until Ctrl-C."""
    from ._app import Page

    with Page(
        open_model(options.model, options.device), options.port, options.max_pixels
    ) as page:
        print(f"The page is at {page.url} (Ctrl-C ends it)", flush=True)
        if not options.no_browser:
            page.open_browser()
        with suppress(KeyboardInterrupt):
            page.serve_forever()


def completion(options):
    """Write a script for a shell."""
    from ._completion import script
    from .cli import parser

    print(script(parser(), options.shell), file=standard("out"))
