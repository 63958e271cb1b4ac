"""A folder is restored file by file: nothing is lost, and one bad file stops none."""

import errno
import itertools
import os
import re
import sys

import numpy as np
import pytest
import tifffile
from helpers import tiny
from joblib import parallel_config, register_parallel_backend
from joblib.parallel import ThreadingBackend
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from colorvae_sk import (
    ColorVAE,
    Desaturate,
    GaussianNoise,
    ImageFolder,
    MissingPixels,
    folders,
    restore_folder,
)
from colorvae_sk._files import read_picture
from colorvae_sk._storage import unfinished


class Negative(TransformerMixin, BaseEstimator):
    """Turns colours over: a restoration that is easily recognised."""

    n_channels_ = 3

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        assert all(image.ndim == 3 for image in X)
        return [np.iinfo(image.dtype).max - image for image in X]

    def predict(self, X, return_std=False):
        restored = self.transform(X)
        return restored, [image.astype(np.float64) / 8 for image in X]

    def __sklearn_is_fitted__(self):
        return True


@pytest.fixture
def pictures(tmp_path, photos_uint8):
    """A folder of four pictures of several kinds."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rgb, grey, alpha, deep = photos_uint8[:4]
    Image.fromarray(rgb).save(folder / "a.png")
    Image.fromarray(grey[..., 0]).save(folder / "b.bmp")
    alpha = Image.fromarray(alpha)
    alpha.putalpha(Image.linear_gradient("L").resize(alpha.size))
    alpha.save(folder / "c.webp", lossless=True, exact=True)
    deep = deep.astype(np.uint16) * 257
    tifffile.imwrite(folder / "d.tif", deep, photometric="rgb")
    return folder


@pytest.fixture
def broken(pictures):
    """The same folder with a truncated file and one that is no picture."""
    content = (pictures / "a.png").read_bytes()
    (pictures / "b_cut.png").write_bytes(content[: len(content) // 2])
    (pictures / "c_text.png").write_text("I am no picture.")
    return pictures


@pytest.fixture
def out(tmp_path):
    """A folder that is not there yet."""
    return tmp_path / "new" / "restored"


def contents(folder):
    """What is in a folder, by name, hidden files too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def colours(path):
    """The colours of a picture file."""
    return read_picture(path).colours


# What is written ----------------------------------------------------------------------


def test_files_keep_name_format_and_alpha(pictures, out):
    reports = restore_folder(Negative(), pictures, out)
    assert sorted(contents(out)) == ["a.png", "b.bmp", "c.webp", "d.tif"]
    for report in reports:
        before, after = read_picture(report.source), read_picture(report.output)
        highest = np.iinfo(before.colours.dtype).max
        assert_array_equal(after.colours, highest - before.colours, strict=True)
        assert_array_equal(after._alpha, before._alpha)


def test_reports_tell_of_each_file_in_order(pictures, out):
    reports = restore_folder(Negative(), pictures, str(out))
    assert [report.source for report in reports] == ImageFolder(pictures).paths.tolist()
    assert [os.path.basename(report.output) for report in reports] == sorted(
        contents(out)
    )
    assert {report.status for report in reports} == {"restored"}
    assert {report.reason for report in reports} == {""}
    assert all(report.seconds > 0 for report in reports)


def test_a_model_gives_what_transform_gives(pictures, out, photos_uint8):
    vae = tiny().fit(photos_uint8)
    restore_folder(vae, pictures, out)
    for name in ("a.png", "c.webp", "d.tif"):
        image = colours(pictures / name)
        assert_array_equal(colours(out / name), vae.transform([image])[0])
    grey = colours(pictures / "b.bmp")
    restored = vae.transform([np.stack([grey] * 3, axis=2)])[0]
    assert_array_equal(colours(out / "b.bmp"), np.rint(restored.mean(axis=2)))


def test_a_model_of_grey_pictures_takes_grey_and_reports_colour(
    pictures, out, photos_uint8
):
    vae = tiny().fit(photos_uint8[..., 0])
    with pytest.warns(UserWarning, match="3 of 4 files"):
        reports = restore_folder(vae, pictures, out)
    grey = colours(pictures / "b.bmp")
    assert_array_equal(colours(out / "b.bmp"), vae.transform([grey])[0])
    assert "X has 3 channel" in reports[0].reason


def test_degradations_and_pipelines_serve_too(pictures, out):
    noise = GaussianNoise(0.1, random_state=0)
    restore_folder(noise, pictures, out)
    for name in ("a.png", "b.bmp"):  # grey is not three channels here
        image = colours(pictures / name)
        assert_array_equal(colours(out / name), noise.transform([image])[0])
    both = make_pipeline(Desaturate(1.0), Negative())
    restore_folder(both, pictures, out, overwrite=True)
    image = colours(out / "a.png")
    assert_array_equal(image[..., 0], image[..., 2])


def test_error_bars_go_to_a_folder_of_their_own(pictures, out):
    restore_folder(Negative(), pictures, out, std_output=out / "std")
    for name in ("a.png", "b.bmp", "d.tif"):
        std = tifffile.imread(out / "std" / f"{name}.tif")
        assert std.dtype == np.float32
        assert_allclose(std, colours(pictures / name) / np.float32(8))


def test_missing_pixels_make_a_tiff_of_floats(tmp_path, out, photos_uint8):
    picture = tmp_path / "a.tif"
    tifffile.imwrite(picture, photos_uint8[0], photometric="rgb")
    restore_folder(MissingPixels(0.5, random_state=0), [picture], out)
    image = colours(out / "a.tif")
    assert image.dtype == np.float32
    assert 0.2 < np.isnan(image).mean() < 0.8
    seen = np.isfinite(image)
    assert_allclose(image[seen], (photos_uint8[0] / 255)[seen], atol=1e-6)


def test_folders_within_stay_folders(pictures, out):
    (pictures / "in" / "ner").mkdir(parents=True)
    (pictures / "a.png").rename(pictures / "in" / "ner" / "a.png")
    restore_folder(Negative(), ImageFolder(pictures, recursive=True), out)
    assert (out / "in" / "ner" / "a.png").is_file()
    assert (out / "b.bmp").is_file()


def test_what_was_restored_into_a_folder_within_is_not_restored_again(pictures):
    out, std = pictures / "restored", pictures / "std"
    for status in ("restored", "skipped"):
        X = ImageFolder(pictures, recursive=True)
        reports = restore_folder(Negative(), X, out, std_output=std)
        assert [report.status for report in reports] == [status] * 4
    with pytest.raises(ValueError, match="would be replaced"):
        restore_folder(Negative(), ImageFolder(pictures, recursive=True), pictures)
    with pytest.raises(ValueError, match=r"holds no picture .* apart from those in"):
        restore_folder(Negative(), X[[len(X) - 1]], out, std_output=std)


@pytest.mark.parametrize("letter", ["n", "\N{CJK UNIFIED IDEOGRAPH-65E5}"])
def test_a_name_may_be_as_long_as_is_allowed(pictures, out, letter):
    name = letter * (251 // len(letter.encode())) + ".png"  # 255 bytes or little less
    (pictures / "a.png").rename(pictures / name)
    restore_folder(Negative(), pictures / name, out)
    assert list(contents(out)) == [name]


@pytest.mark.parametrize("kind", [str, os.fspath, lambda path: path])
def test_a_single_file_and_lists_of_paths(pictures, out, kind):
    path = kind(pictures / "a.png")
    assert len(restore_folder(Negative(), path, out)) == 1
    assert len(restore_folder(Negative(), [path], out, overwrite=True)) == 1
    assert list(contents(out)) == ["a.png"]


def test_floats_that_are_not_on_0_1_are_reported(tmp_path, out, photos_uint8):
    vae = tiny().fit(photos_uint8)
    for name, scale in (("a.tif", 1), ("b.tif", 255)):
        image = (photos_uint8[0] / 255 * scale).astype(np.float32)
        tifffile.imwrite(tmp_path / name, image, photometric="rgb")
    with pytest.warns(UserWarning, match=r"reach from 0 to 209; expected floats on"):
        reports = restore_folder(vae, tmp_path, out)
    assert [report.status for report in reports] == ["restored", "failed"]


# What is there already ----------------------------------------------------------------


def test_nothing_is_overwritten_unasked(pictures, out):
    out.mkdir(parents=True)
    (out / "a.png").write_bytes(b"precious")
    reports = restore_folder(Negative(), pictures, out)
    assert (out / "a.png").read_bytes() == b"precious"
    assert [report.status for report in reports] == ["skipped", *["restored"] * 3]
    assert reports[0].reason == "it is there already"
    restore_folder(Negative(), pictures, out, overwrite=True)
    assert_array_equal(colours(out / "a.png"), 255 - colours(pictures / "a.png"))


@pytest.mark.parametrize("overwrite", [True, False])
def test_the_pictures_themselves_are_never_replaced(pictures, overwrite):
    before = contents(pictures)
    with pytest.raises(ValueError, match=r"would be replaced by what is made of it"):
        restore_folder(Negative(), pictures, pictures, overwrite=overwrite)
    link = pictures.parent / "link"
    link.symlink_to(pictures)
    with pytest.raises(ValueError, match=r"would be replaced"):
        restore_folder(Negative(), pictures, link, overwrite=overwrite)
    assert contents(pictures) == before


def test_two_files_of_one_name_are_refused(pictures, out):
    (pictures / "in").mkdir()
    Image.new("RGB", (8, 8)).save(pictures / "in" / "a.png")
    paths = [pictures / "a.png", pictures / "in" / "a.png"]
    with pytest.raises(ValueError, match=r"2 files would be written as '.*a\.png'"):
        restore_folder(Negative(), paths, out)
    assert not out.exists()


# What goes wrong ----------------------------------------------------------------------


def test_a_broken_file_stops_no_other_and_is_named_at_the_end(broken, out):
    with pytest.warns(UserWarning) as caught:
        reports = restore_folder(Negative(), broken, out)
    text = str(caught[0].message)
    assert text.startswith("2 of 6 files could not be restored:")
    assert re.search(r"b_cut\.png: it can't be read as a picture: .*truncated", text)
    assert re.search(r"c_text\.png: it is no picture: expected one of PNG", text)
    assert caught[0].filename == __file__
    assert sorted(contents(out)) == ["a.png", "b.bmp", "c.webp", "d.tif"]
    assert [r.status for r in reports].count("failed") == 2


def test_many_failures_are_counted(tmp_path, out):
    for i in range(9):
        (tmp_path / f"{i}.png").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"9 of 9 (.|\n)*and 4 more, see what was"):
        restore_folder(Negative(), tmp_path, out)
    assert not contents(out)


def test_a_bomb_is_refused_with_a_way_out(pictures, out):
    with pytest.warns(UserWarning, match=r"16 x 16 pixels, more than max_pixels=255"):
        restore_folder(Negative(), pictures, out, max_pixels=255)
    for limit in (256, None):
        reports = restore_folder(
            Negative(), pictures, out, max_pixels=limit, overwrite=True
        )
        assert {report.status for report in reports} == {"restored"}


def test_an_unfitted_estimator_is_refused_before_anything_is_written(pictures, out):
    with pytest.raises(NotFittedError):
        restore_folder(ColorVAE(), pictures, out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ("nowhere", FileNotFoundError, "There is no file or folder 'nowhere'"),
        (["nowhere.png"], FileNotFoundError, r"There is no file 'nowhere\.png'"),
        ([], TypeError, "Expected a folder, a list of paths"),
        (np.zeros((2, 8, 8, 3)), TypeError, "Expected a folder, a list of paths"),
    ],
    ids=["folder", "file", "nothing", "array"],
)
def test_what_is_not_there_is_refused_before_anything_is_written(
    X, error, message, out
):
    with pytest.raises(error, match=message):
        restore_folder(Negative(), X, out)
    assert not out.exists()


@pytest.fixture
def nobody():
    """Be a user who may not write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no such modes there")
def test_a_folder_that_cannot_be_written_to_is_refused_at_once(
    pictures, out, request, monkeypatch
):
    out.mkdir(parents=True)
    out.chmod(0o555)
    monkeypatch.setattr(folders, "restore_file", None)  # it never comes to that
    paths = ImageFolder(pictures)
    monkeypatch.setattr(os.path, "isfile", lambda path: True)  # nobody may not look
    request.getfixturevalue("nobody")
    with pytest.raises(PermissionError):
        restore_folder(Negative(), paths, out)


def test_an_output_that_is_a_file_is_refused(pictures, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        restore_folder(Negative(), pictures, tmp_path / "file")


def test_a_full_disk_ends_the_work(pictures, out, monkeypatch):
    n_written = itertools.count()

    def fill(file):
        if next(n_written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill)
    complaint = r"No space left on device, when 2 of 4 files were done: '.*c\.webp'"
    with pytest.raises(OSError, match=complaint):
        restore_folder(Negative(), pictures, out)
    assert sorted(contents(out)) == ["a.png", "b.bmp"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("broken pipe")])
def test_what_ends_the_writing_leaves_no_half_of_a_file(
    pictures, out, monkeypatch, error
):
    rename = os.replace

    def fail(source, target):
        if str(target).endswith("b.bmp"):
            raise error
        rename(source, target)

    monkeypatch.setattr(os, "replace", fail)
    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            restore_folder(Negative(), pictures, out)
        assert list(contents(out)) == ["a.png"]
    else:
        with pytest.warns(UserWarning, match="broken pipe"):
            restore_folder(Negative(), pictures, out)
        assert sorted(contents(out)) == ["a.png", "c.webp", "d.tif"]


# At work in parallel ------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_results_do_not_depend_on_the_number_of_jobs(
    broken, tmp_path, photos_uint8, backend
):
    vae = tiny().fit(photos_uint8)
    with pytest.warns(UserWarning, match="2 of 6"):
        serial = restore_folder(vae, broken, tmp_path / "1")
    with parallel_config(backend), pytest.warns(UserWarning, match="2 of 6"):
        parallel = restore_folder(vae, broken, tmp_path / "2", n_jobs=2)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    for one, other in zip(serial, parallel, strict=True):
        assert one[0::2][:2] == other[0::2][:2]  # source and status


class AllAtOnce(ThreadingBackend):
    """Gives no result before all are there, as the backends of Ray and of pools."""

    supports_return_generator = False


def test_backends_that_give_all_results_at_once_serve_too(pictures, out):
    register_parallel_backend("all at once", AllAtOnce)
    with parallel_config("all at once"):
        reports = restore_folder(Negative(), pictures, out, n_jobs=2)
    assert {report.status for report in reports} == {"restored"}
    assert len(contents(out)) == len(reports) > 1


class Counted(Negative):
    """Counts how often it is unpacked."""

    n_unpacked = 0

    def __setstate__(self, state):
        type(self).n_unpacked += 1
        super().__setstate__(state)


def test_a_worker_unpacks_the_estimator_once(pictures, out):
    Counted.n_unpacked = 0
    with parallel_config("threading"):
        for i in range(2):
            restore_folder(Counted(), pictures, out / str(i), n_jobs=2)
    assert 2 <= Counted.n_unpacked <= 4  # two threads may begin at once


def test_leftovers_of_ended_workers_are_removed(pictures, out, monkeypatch):
    out.mkdir(parents=True)
    (out / f"{unfinished(out / 'a.png')}0f.tmp").write_bytes(b"half")
    (out / ".other.tmp").write_bytes(b"precious")

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(folders, "restore_file", interrupt)
    with parallel_config("threading"), pytest.raises(KeyboardInterrupt):
        restore_folder(Negative(), pictures, out, n_jobs=2)
    assert contents(out) == {".other.tmp": b"precious"}


@pytest.mark.slow
def test_dask_restores_the_same(broken, tmp_path, photos_uint8):
    distributed = pytest.importorskip("distributed")
    vae = tiny().fit(photos_uint8)
    with pytest.warns(UserWarning, match="2 of 6"):
        restore_folder(vae, broken, tmp_path / "serial")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster),
        parallel_config("dask"),
        pytest.warns(UserWarning, match="2 of 6"),
    ):
        restore_folder(vae, broken, tmp_path / "dask")
    assert contents(tmp_path / "serial") == contents(tmp_path / "dask")
