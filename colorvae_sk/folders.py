"""Restore the picture files of a folder into another folder."""

import errno
import os
import pickle
import tempfile
import time
import uuid
import warnings
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs, wrap_non_picklable_objects
from joblib.parallel import get_active_backend
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from . import _tiff
from ._files import MAX_PIXELS, open_picture, read_picture
from ._images import find_data_range
from ._storage import replace_file, unfinished
from .datasets import ImageFolder

__all__ = ["FileReport", "restore_folder"]

# After these errors of writing the next file would fare no better.
HOPELESS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
SHOWN = 5  # failures in a warning


class FileReport(NamedTuple):
    """What became of one file.

    Attributes
    ----------
    source : str
        The file that was to be restored.
    output : str
        Where it goes.
    status : {"restored", "skipped", "failed"}
        What became of it.
    reason : str
        Why it was skipped or failed; "" if it was restored.
    seconds : float
        How long it took.

    See Also
    --------
    restore_folder : Gives a list of these.
    """

    source: str
    output: str
    status: str
    reason: str
    seconds: float


class Job(NamedTuple):
    """A file to be restored: where it is and where it goes."""

    source: str
    output: str
    std_output: str | None = None


class Options(NamedTuple):
    """How each file is to be restored."""

    n_channels: int | None  # that the estimator takes; None: any
    data_range: tuple
    max_pixels: float | None


def restore_folder(
    estimator,
    X,
    output,
    *,
    std_output=None,
    overwrite=False,
    max_pixels=MAX_PIXELS,
    n_jobs=None,
    verbose=0,
):
    """Restore picture files into a folder.

    A file keeps its name, its format and what is in it beside the colours: bit depth,
    grey or colour, alpha, EXIF, orientation, colour profile and resolution. It appears
    in the folder as a whole or not at all. A file that can't be read does not stop the
    others.

    Parameters
    ----------
    estimator : ColorVAE, degradation, or Pipeline of these
        What is fitted and has a method ``transform`` for lists of images.

    X : str or path-like, list of these, or ImageFolder
        A folder of picture files (PNG, JPEG, BMP, TIFF or WebP, told by their names),
        or the files themselves. Those of an `ImageFolder` keep the folders that they
        are in; those in `output` and `std_output`, if these are within it, are left
        out.

    output : str or path-like
        The folder to write to. It is made if need be.

    std_output : str or path-like, default=None
        A folder for the error bars: for each picture a TIFF file of float32, its name
        that of the picture with ``.tif`` behind it, in the unit of the picture's
        values (grey levels from 0 to 255 where it has 8 bits).

    overwrite : bool, default=False
        Whether files that are in `output` already are replaced. Else they are left
        alone and their pictures are skipped, so that a call that was cut off goes on
        where it stopped. The pictures of X themselves are never replaced.

    max_pixels : float, default=200_000_000
        Larger pictures are refused before they are unpacked, since a small file can
        claim to be large enough to fill the memory (a "decompression bomb"). None: no
        limit.

    n_jobs : int, default=None
        Number of files that are restored at a time, each in a process of its own; -1 is
        one for each core. None: 1, or as `joblib.parallel_config` says; there Dask and
        others may be chosen too, whose machines must see the files under the same
        paths. The files that are written do not depend on it. One picture alone, for
        which torch uses all cores, does not keep them busy all the time: many files
        take less time with -1, and about a gigabyte of memory for each.

    verbose : int, default=0
        1 shows a bar with the time left, where the standard error is a terminal.

    Returns
    -------
    reports : list of FileReport
        One for each file of X, in that order: its ``source`` and ``output``, its
        ``status`` ("restored", "skipped" or "failed"), the ``reason`` ("" if restored)
        and the ``seconds`` that it took. ``pandas.DataFrame(reports)`` is a table.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    FileNotFoundError
        If there is no such file or folder to restore.
    ValueError
        If two files would have the same name in `output`, or if `output` is where they
        are.
    OSError
        If nothing can be written to `output`, or if the disk is full.

    Warns
    -----
    UserWarning
        At the end, if files could not be restored; it says which and why.

    See Also
    --------
    ImageFolder : Pick some of the pictures of a folder, look into folders within.
    load_pretrained : A model that is ready to restore.

    Notes
    -----
    Colours are restored the right way up and stored as the file had them. A grey file
    remains grey: where the estimator takes colours, it gets three equal channels, and
    their mean is written. A palette becomes the colours that it holds. CMYK becomes
    RGB, by the file's profile if it has one, which is then left out. JPEG and lossy
    WebP are written at quality 95: their own might bring the damage back. Several
    pictures in one file are refused, but of a camera's MPO the first is taken.

    Each process receives the estimator once, not with every file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from colorvae_sk import load_photos, load_pretrained, restore_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     damaged = Path(folder) / "cat.png"
    ...     Image.fromarray(load_photos()[1][:64, :64]).save(damaged, dpi=(300, 300))
    ...     reports = restore_folder(load_pretrained(), [damaged], f"{folder}/restored")
    ...     with Image.open(f"{folder}/restored/cat.png") as restored:
    ...         dpi = [round(n) for n in restored.info["dpi"]]
    >>> reports[0].status, dpi
    ('restored', [300, 300])
    """
    check_is_fitted(estimator)
    jobs = plan(X, output, std_output)
    for folder in (output, std_output):
        if folder is not None:
            prepare_folder(folder)
    options = options_for(estimator, max_pixels)
    reports = do_all(estimator, jobs, options, overwrite, n_jobs, verbose)
    warn_of_failures(reports)
    return reports


def warn_of_failures(reports):
    """Say which files failed, and why."""
    failed = [report for report in reports if report.status == "failed"]
    if failed:
        lines = [f"{report.source}: {report.reason}" for report in failed[:SHOWN]]
        if len(failed) > SHOWN:
            lines.append(f"and {len(failed) - SHOWN} more, see what was returned.")
        text = f"{len(failed)} of {len(reports)} files could not be restored:"
        warnings.warn("\n".join([text, *lines]), stacklevel=3)


# ------------------------------------------------------------------ what to do
def plan(X, output, std_output=None, ending=None):
    """What is to be done, checked before any of it begins.

    Parameters
    ----------
    X, output, std_output
        As `restore_folder` takes them.
    ending : str, default=None
        What the names end in that are written. None: as those that are read.

    Returns
    -------
    jobs : list of Job
    """
    paths, home = find_paths(X, {output, std_output} - {None})
    for path in paths:
        if not os.path.isfile(path):
            raise FileNotFoundError(f"There is no file {path!r} to restore.")
    names = [os.path.relpath(p, home) if home else os.path.basename(p) for p in paths]
    if ending is not None:
        names = [os.path.splitext(name)[0] + ending for name in names]
    jobs = [
        Job(path, os.path.join(output, name), std_output and std_path(std_output, name))
        for path, name in zip(paths, names, strict=True)
    ]
    check_outputs(jobs)
    return jobs


def find_paths(X, written):
    """The files as strings, and the folder that their names count from, if any."""
    if isinstance(X, str | os.PathLike):
        if not os.path.exists(X):
            path = os.fspath(X)
            raise FileNotFoundError(f"There is no file or folder {path!r} to restore.")
        X = ImageFolder(X) if os.path.isdir(X) else [X]
    if isinstance(X, ImageFolder):
        return find_sources(X, written), X.folder
    are_paths = isinstance(X, list | tuple) and len(X) > 0
    if are_paths and all(isinstance(path, str | os.PathLike) for path in X):
        return [os.fspath(path) for path in X], None
    raise TypeError(
        f"Expected a folder, a list of paths or an ImageFolder, got {X!r:.200}. What "
        "is no file is restored by estimator.transform(X)."
    )


def find_sources(pictures, written):
    """The files of an `ImageFolder`, apart from those in folders written to."""
    home = Path(pictures.folder).resolve()
    written = {Path(folder).resolve() for folder in written}
    within = {folder for folder in written if home in folder.parents}
    paths = pictures.paths.tolist()
    if within:
        paths = [p for p in paths if within.isdisjoint(Path(p).resolve().parents)]
    if not paths:
        raise ValueError(
            f"The folder {pictures.folder!r} holds no picture to restore, apart from "
            "those in folders that are written to."
        )
    return paths


def std_path(folder, name):
    """Where the error bars of a picture go."""
    return os.path.join(folder, f"{name}.tif")


def check_outputs(jobs):
    """Complain of outputs that would meet each other, or the pictures themselves."""
    outputs = [os.path.realpath(path) for job in jobs for path in job[1:] if path]
    first, count = Counter(outputs).most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"{count} files would be written as {first!r}. Restore them into different "
            "folders, or pass an ImageFolder(..., recursive=True)."
        )
    for path in {os.path.realpath(job.source) for job in jobs} & set(outputs):
        raise ValueError(
            f"The picture {path!r} would be replaced by what is made of it. Choose "
            "another folder to write to."
        )


def prepare_folder(folder):
    """Make a folder, and complain now if nothing can be written to it."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def options_for(estimator, max_pixels):
    """What an estimator, or the last one of a Pipeline, takes."""
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    return Options(
        n_channels=getattr(last, "n_channels_", None),
        data_range=getattr(last, "data_range_", (0.0, 1.0)),
        max_pixels=max_pixels,
    )


# ------------------------------------------------------------------ doing it
def do_all(estimator, jobs, options, overwrite=False, n_jobs=None, verbose=0):
    """Do all jobs, behind a bar with the time left; their reports in their order."""
    reports = {}
    hide = None if verbose else True  # None: where there is no terminal
    with tqdm(total=len(jobs), unit="file", disable=hide) as bar:
        try:
            for report in work(estimator, jobs, options, overwrite, n_jobs):
                reports[report.output] = report
                bar.update()
        except OSError as error:
            counts = Counter(report.status for report in reports.values())
            done = f"when {counts['restored']} of {len(jobs)} files were done"
            error.strerror = f"{error.strerror}, {done}"
            raise
    return [reports[job.output] for job in jobs]


def work(estimator, jobs, options, overwrite=False, n_jobs=None):
    """Yield a report of each job as soon as it is done."""
    waiting = []
    for job in jobs:
        if os.path.lexists(job.output) and not overwrite:
            reason = "it is there already"
            yield FileReport(job.source, job.output, "skipped", reason, 0.0)
        else:
            os.makedirs(os.path.dirname(job.output) or ".", exist_ok=True)
            waiting.append(job)
    if effective_n_jobs(n_jobs) == 1:
        for job in waiting:
            yield restore_file(estimator, job, options)
    elif waiting:
        yield from work_in_parallel(estimator, waiting, options, n_jobs)


def work_in_parallel(estimator, jobs, options, n_jobs):
    """Yield reports of jobs that are done in several processes.

    The estimator travels as an array: that joblib keeps in shared memory, and Dask
    sends to each of its workers once. Ray's backend gives all reports in the end.
    """
    wrapped = wrap_non_picklable_objects(estimator, keep_wrapper=False)
    packed = np.frombuffer(pickle.dumps(wrapped), np.uint8)
    key = uuid.uuid4().hex
    calls = (delayed(restore_file_of)(packed, key, job, options) for job in jobs)
    as_they_come = getattr(get_active_backend()[0], "supports_return_generator", False)
    return_as = "generator_unordered" if as_they_come else "list"
    reports = ()
    try:
        reports = Parallel(n_jobs=n_jobs, return_as=return_as)(calls)
        yield from reports
    except BaseException:
        if hasattr(reports, "close"):
            reports.close()  # ends the processes: what they were writing is left over
        for job in jobs:
            remove_leftovers(job.output)
        raise


class Packed:
    """An array that a cache knows by its key."""

    def __init__(self, array, key):
        self.array, self.key = array, key

    def __hash__(self):
        return hash(self.key)

    def __eq__(self, other):
        return self.key == other.key


@lru_cache(maxsize=1)
def unpacked(packed):
    """The estimator in an array; a process unpacks it once."""
    return pickle.loads(packed.array)


def restore_file_of(packed, key, job, options):
    """Restore a file with a packed estimator."""
    return restore_file(unpacked(Packed(packed, key)), job, options)


def remove_leftovers(path):
    """Remove what a process left that was ended while it wrote a file."""
    path = os.path.realpath(path)
    beginning = unfinished(path)
    for entry in os.scandir(os.path.dirname(path)):
        if entry.name.startswith(beginning) and entry.name.endswith(".tmp"):
            os.unlink(entry.path)


def restore_file(estimator, job, options):
    """Restore one file; what is wrong with it is reported."""
    began, status, reason = time.perf_counter(), "restored", ""
    try:
        with_std = job.std_output is not None
        picture = read_picture(job.source, options.max_pixels)
        restored, std = restored_file(estimator, picture, options, with_std)
        if with_std:
            os.makedirs(os.path.dirname(job.std_output), exist_ok=True)
            replace_file(job.std_output, std)
        replace_file(job.output, restored)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in HOPELESS:
            raise
        status, reason = "failed", str(error) or type(error).__name__
    seconds = time.perf_counter() - began
    return FileReport(job.source, job.output, status, reason, seconds)


def restore_bytes(estimator, data, max_pixels=MAX_PIXELS):
    """Restore a picture file that is in memory, and give back the new one."""
    picture = open_picture(data, max_pixels)
    return restored_file(estimator, picture, options_for(estimator, max_pixels))[0]


def restored_file(estimator, picture, options, with_std=False):
    """The bytes of the restored file, and of its error bars if asked for."""
    colours = picture.colours
    check_values(colours, options)
    is_grey_for_colours = colours.ndim == 2 and options.n_channels == 3
    given = np.stack([colours] * 3, axis=2) if is_grey_for_colours else colours
    if with_std:
        restored, std = (
            part[0] for part in estimator.predict([given], return_std=True)
        )
    else:
        restored, std = estimator.transform([given])[0], None
    if is_grey_for_colours:
        restored = as_grey(restored)
        std = None if std is None else std.mean(axis=2)
    std = None if std is None else _tiff.write(std.astype(np.float32))
    return picture.with_colours(restored), std


def as_grey(image):
    """The mean of three channels, in the dtype of the image."""
    grey = image.mean(axis=2, dtype=np.float64)
    if image.dtype.kind == "b":
        return grey > 0.5
    return (grey if image.dtype.kind == "f" else np.rint(grey)).astype(image.dtype)


def check_values(colours, options):
    """Complain of a picture whose scale the estimator can't know."""
    low, high = find_data_range([colours])
    if options.data_range == (0.0, 1.0) != (low, high):
        raise ValueError(
            f"its values, of dtype {colours.dtype}, reach from {low:g} to {high:g}; "
            "expected floats on [0, 1], or integers of 8 or 16 bits. Convert it."
        )
