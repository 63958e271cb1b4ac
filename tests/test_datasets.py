"""A folder behaves like a list of its pictures, but reads none before its time."""

import pickle
import re
import socket
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, KFold, train_test_split
from sklearn.utils import shuffle

from colorvae_sk import datasets
from colorvae_sk._images import as_images
from colorvae_sk.datasets import ImageFolder, load_photos

NAMES = ["a.png", "b.PNG", "c.bmp", "d.tif", "e.tiff", "f.webp"]


@pytest.fixture
def pictures(tmp_path, photos_uint8):
    """A folder of six pictures of 16 x 16 pixels and a file that is none."""
    for name, photo in zip(reversed(NAMES), photos_uint8[::-1], strict=True):
        options = {"lossless": True} if name.endswith("webp") else {}
        Image.fromarray(photo).save(tmp_path / name, **options)
    (tmp_path / "notes.txt").write_text("These are our photographs.")
    return tmp_path


@pytest.fixture
def reads(monkeypatch):
    """The names of the files that have been read so far."""
    names = []

    def read(path):
        names.append(Path(path).name)
        return np.zeros((1, 1, 3), np.uint8)

    monkeypatch.setattr(datasets, "read_colour_image", read)
    return names


def names_in(folder):
    """The file names in an `ImageFolder`."""
    return [Path(path).name for path in folder.paths]


# Reading ------------------------------------------------------------------------------


def test_folder_is_the_sequence_of_its_pictures_in_alphabetical_order(
    pictures, photos_uint8
):
    folder = ImageFolder(pictures)
    assert names_in(folder) == NAMES
    assert len(folder) == 6
    assert_array_equal(np.stack(list(folder)), photos_uint8)
    assert_array_equal(folder[-1], photos_uint8[-1])
    assert_array_equal(folder[np.int64(2)], photos_uint8[2])
    assert_array_equal(ImageFolder(str(pictures))[0], photos_uint8[0])


def test_an_index_past_the_end_is_an_index_error(pictures):
    with pytest.raises(IndexError, match="out of bounds"):
        ImageFolder(pictures)[6]


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "JPG"])
def test_jpeg_is_a_picture(tmp_path, suffix):
    Image.new("RGB", (7, 5)).save(tmp_path / f"a.{suffix}")
    assert_array_equal(ImageFolder(tmp_path)[0], np.zeros((5, 7, 3), np.uint8))


@pytest.mark.parametrize(
    ("mode", "n_channels"),
    [("L", 3), ("1", 3), ("P", 3), ("RGB", 3), ("RGBA", 4), ("LA", 4)],
)
def test_images_are_always_colour_and_keep_their_alpha(tmp_path, mode, n_channels):
    Image.new(mode, (7, 5)).save(tmp_path / "a.png")
    assert ImageFolder(tmp_path)[0].shape == (5, 7, n_channels)


def test_folders_within_are_read_when_asked_for(pictures):
    (pictures / "b" / "c").mkdir(parents=True)
    (pictures / "z.png").mkdir()
    for parent in ("b", "b/c"):
        Image.new("RGB", (7, 5)).save(pictures / parent / "x.png")
    assert len(ImageFolder(pictures)) == 6
    folder = ImageFolder(pictures, recursive=True)
    assert len(folder) == 8
    assert list(folder.paths) == sorted(folder.paths)


@pytest.mark.parametrize("folder", ["nowhere", "notes.txt"])
def test_a_folder_that_is_none_is_refused(pictures, folder):
    path = pictures / folder
    message = re.escape(f"There is no folder {str(path)!r}. Pass the folder that holds")
    with pytest.raises(NotADirectoryError, match=message):
        ImageFolder(path)


def test_a_folder_without_pictures_is_refused(tmp_path, pictures):
    (tmp_path / "within").mkdir()
    with pytest.raises(ValueError, match=r"holds no picture .*recursive=True to look"):
        ImageFolder(tmp_path / "within")


def test_a_broken_file_is_named_when_it_is_asked_for(pictures):
    (pictures / "b.PNG").write_bytes(b"broken")
    folder = ImageFolder(pictures)
    assert folder[0].shape == (16, 16, 3)
    with pytest.raises(ValueError, match=r"b\.PNG' could not be read as a picture"):
        folder[1]


@pytest.fixture
def broken(pictures):
    """The folder with two files that are broken: no picture, and only half of one."""
    (pictures / "b.PNG").write_bytes(b"broken")
    rng = np.random.default_rng(0)
    noise = rng.integers(256, size=(64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(pictures / "g.jpg")
    whole = (pictures / "g.jpg").read_bytes()
    (pictures / "g.jpg").write_bytes(whole[: len(whole) // 2])
    return pictures


def test_broken_files_are_refused_at_once_if_asked_for(broken):
    message = r"2 of 7 files in .* are broken:\n.*b\.PNG.*\n.*g\.jpg.*\n.*'skip'"
    with pytest.raises(ValueError, match=message):
        ImageFolder(broken, on_broken="raise")


def test_broken_files_are_left_out_if_asked_for(broken, photos_uint8):
    with pytest.warns(UserWarning, match=r"(?s)2 of 7 files.*b\.PNG.*g\.jpg.*left out"):
        folder = ImageFolder(broken, on_broken="skip")
    assert names_in(folder) == [name for name in NAMES if name != "b.PNG"]
    assert [Path(path).name for path in folder.broken] == ["b.PNG", "g.jpg"]
    assert_array_equal(folder[1], photos_uint8[2])
    assert len(folder[:2]) == 2


@pytest.mark.parametrize("on_broken", ["raise", "skip"])
def test_a_folder_without_broken_files_is_complete(pictures, on_broken):
    folder = ImageFolder(pictures, on_broken=on_broken)
    assert names_in(folder) == NAMES and folder.broken == []


def test_a_folder_of_broken_files_alone_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"1 of 1 files in .* are broken"):
        ImageFolder(tmp_path, on_broken="skip")


def test_an_unknown_way_with_broken_files_is_refused(pictures):
    with pytest.raises(ValueError, match="on_broken to be 'wait', 'raise' or 'skip'"):
        ImageFolder(pictures, on_broken="ignore")


def test_folder_tells_sizes_and_reads_nothing(pictures, reads):
    Image.new("RGB", (7, 5)).save(pictures / "c.bmp")
    folder = ImageFolder(pictures)
    sizes = [(16, 16), (16, 16), (5, 7), (16, 16), (16, 16), (16, 16)]
    assert [folder.image_size(i) for i in range(6)] == sizes
    assert folder[1:].image_size(np.int64(1)) == (5, 7)
    assert reads == []
    images = as_images(folder)
    n_reads = len(reads)
    assert [images.shape(i) for i in range(6)] == sizes
    assert len(reads) == n_reads


# Picking ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        slice(1, 4),
        slice(None, None, -2),
        [3, 0, 3],
        np.array([5, 1]),
        np.array([True, False, False, True, False, False]),
        [False, True, False, False, False, True],
        slice(0, 0),
        np.array([], int),
    ],
    ids=str,
)
def test_picking_gives_a_smaller_folder_and_reads_nothing(pictures, reads, key):
    folder = ImageFolder(pictures)
    picked = folder[key]
    assert isinstance(picked, ImageFolder)
    assert names_in(picked) == list(np.array(NAMES)[key])
    assert len(picked) == picked.shape[0] == len(np.array(NAMES)[key])
    assert names_in(folder) == NAMES
    assert reads == []


def test_folder_shows_what_it_holds_and_reads_nothing(pictures, reads):
    folder = ImageFolder(pictures)
    assert repr(folder) == f"<ImageFolder of 6 image(s) in {str(pictures)!r}>"
    assert repr(folder[:2]) == f"<ImageFolder of 2 image(s) in {str(pictures)!r}>"
    assert reads == []


def test_folder_survives_pickling(pictures, photos_uint8):
    folder = pickle.loads(pickle.dumps(ImageFolder(pictures)[2:]))
    assert_array_equal(np.stack(list(folder)), photos_uint8[2:])


# With scikit-learn --------------------------------------------------------------------


def test_splitters_pick_folders_and_read_nothing(pictures, reads):
    folder = ImageFolder(pictures)
    parts = train_test_split(folder, list(range(6)), test_size=2, random_state=0)
    for images, numbers in (parts[0::2], parts[1::2]):
        assert isinstance(images, ImageFolder)
        assert names_in(images) == [NAMES[i] for i in numbers]
    for train, test in KFold(3).split(folder):
        assert sorted(names_in(folder[train]) + names_in(folder[test])) == NAMES
    assert sorted(names_in(shuffle(folder, random_state=0))) == NAMES
    assert reads == []


class Counter(BaseEstimator):
    """An estimator that notes what it is fitted on and scores what it is shown."""

    def __init__(self, factor=1):
        self.factor = factor

    def fit(self, X, y=None):
        assert isinstance(X, ImageFolder)
        assert names_in(X) == names_in(y)
        self.names_ = names_in(X)
        return self

    def score(self, X, y=None):
        assert set(names_in(X)).isdisjoint(self.names_)
        return self.factor * len(as_images(X))


def test_a_grid_search_hands_on_folders(pictures):
    folder = ImageFolder(pictures)
    search = GridSearchCV(Counter(), {"factor": [1, 2]}, cv=3, error_score="raise")
    search.fit(folder, folder)
    assert search.best_score_ == 2 * 2
    assert search.best_estimator_.names_ == NAMES


def test_folder_and_list_of_paths_are_the_same_images(pictures, photos_uint8):
    folder = ImageFolder(pictures)
    images, listed = as_images(folder), as_images(list(folder.paths))
    assert images.n_channels == listed.n_channels == 3
    for i in range(6):
        assert images.shape(i) == (16, 16)
        assert_array_equal(images[i], listed[i])
    back = images.give_back(images)
    assert isinstance(back, list)
    assert_array_equal(np.stack(back), photos_uint8)


def test_an_empty_pick_is_no_input(pictures):
    with pytest.raises(ValueError, match="X is empty"):
        as_images(ImageFolder(pictures)[:0])


# Photographs --------------------------------------------------------------------------


def test_photos_are_colour_and_need_no_network(monkeypatch):
    def no_network(*args, **kwargs):
        raise AssertionError("The network was asked.")

    monkeypatch.setattr(socket, "socket", no_network)
    photos = load_photos()
    table = re.findall(r"^ +(\w+) +(\d+) x (\d+)", load_photos.__doc__, re.MULTILINE)
    assert [photo.shape for photo in photos] == [
        (int(height), int(width), 3) for _, height, width in table
    ]
    assert {photo.dtype for photo in photos} == {np.dtype(np.uint8)}
    assert min(photo.std() for photo in photos) > 30  # pictures, not blanks
