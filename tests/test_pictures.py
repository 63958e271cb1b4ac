"""Pictures are read as saved, the right way up, and their size without their pixels."""

import os
import pickle
import re

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, ImageFile

from colorvae_sk import _png
from colorvae_sk._images import as_images
from colorvae_sk._pictures import read_colour_image, read_image, read_image_size


def orientation(number):
    """EXIF that says how the camera was held: from 5 on, on its side."""
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


@pytest.fixture
def save(tmp_path):
    """A function that saves a Pillow picture and returns its path."""

    def save(picture, name, **options):
        picture.save(tmp_path / name, **options)
        return tmp_path / name

    return save


@pytest.fixture
def picture(photos_uint8):
    """A photograph of 5 x 7 pixels, as a Pillow picture."""
    return Image.fromarray(photos_uint8[0, :5, :7])


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.TIF", "a.tiff", "a.webp"])
def test_colours_are_read_as_saved(save, picture, name):
    options = {"lossless": True} if name.endswith("webp") else {}
    assert_array_equal(read_image(save(picture, name, **options)), picture)


@pytest.mark.parametrize("mode", ["L", "1"])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_grey_is_read_as_grey_and_repeated_for_colour(save, picture, mode, name):
    grey = picture.convert(mode)
    path = save(grey, name)
    image = read_image(path)
    assert image.dtype == (np.uint8 if mode == "L" else bool)
    assert_array_equal(image, grey)
    assert_array_equal(read_colour_image(path), np.stack([grey] * 3, axis=2))


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif"])
def test_palettes_become_colours(save, picture, name):
    palette = picture.convert("P")
    assert_array_equal(read_image(save(palette, name)), palette.convert("RGB"))


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk_becomes_colours_and_not_alpha(save, name):
    red = Image.new("RGB", (16, 16), (250, 20, 30))
    image = read_image(save(red.convert("CMYK"), name))
    assert_allclose(image, np.asarray(red), atol=3)  # JPEG rounds


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_becomes_alpha(save, picture, mode):
    picture.putalpha(Image.new("L", picture.size, 128))
    picture = picture.convert(mode)
    image = read_image(save(picture, "a.png"))
    assert image.shape == (5, 7, 4)
    assert_array_equal(image, picture.convert("RGBA"))


def test_photographs_stand_as_the_camera_was_held(save, picture):
    path = save(picture, "a.png", exif=orientation(6))
    assert_array_equal(read_image(path), np.rot90(picture, k=-1))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_deep_tiff_is_read_in_full_depth(tmp_path, dtype, channels):
    array = (60000 * np.random.default_rng(0).random((5, 7, *channels))).astype(dtype)
    photometric = "rgb" if channels else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", array, photometric=photometric)
    image = read_image(tmp_path / "a.tif")
    assert image.dtype == dtype
    assert_array_equal(image, array)


def test_16_bit_grey_png_is_read_in_full_depth(save):
    array = np.array([[0, 300], [40000, 65535]], np.uint16)
    image = read_image(save(Image.fromarray(array), "a.png"))
    assert image.dtype == np.uint16
    assert_array_equal(image, array)


@pytest.mark.parametrize("orientation", [None, 3, 6])
@pytest.mark.parametrize("n_channels", [2, 3, 4])
def test_16_bit_colour_png_is_read_in_full_depth(tmp_path, n_channels, orientation):
    pixels = np.random.default_rng(0).integers(65536, size=(5, 7, n_channels))
    data = _png.write_deep(pixels.astype(np.uint16))
    if orientation:
        exif = Image.Exif()
        exif[0x0112] = orientation
        chunk = _png.as_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
        data = data[:33] + chunk + data[33:]  # after the header
    (tmp_path / "a.png").write_bytes(data)
    image = read_image(tmp_path / "a.png")
    colours = pixels[..., [0, 0, 0, 1]] if n_channels == 2 else pixels
    turns = {None: 0, 3: 2, 6: 3}[orientation]
    assert image.dtype == np.uint16
    assert_array_equal(image, np.rot90(colours, turns))
    assert read_image_size(tmp_path / "a.png") == image.shape[:2]


def test_deep_tiff_of_several_pages_is_refused(tmp_path):
    pages = np.zeros((2, 5, 7), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    with pytest.raises(ValueError, match=r"a\.tif' .*\(2, 5, 7\).* Save each page"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("read", [read_image, read_image_size])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
@pytest.mark.parametrize("n_bytes", [0, 40])
def test_a_broken_file_is_named(save, picture, name, n_bytes, read):
    path = save(picture, name)
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(ValueError, match=f"'{re.escape(str(path))}' could not be read"):
        read(path)


@pytest.mark.parametrize("read", [read_image, read_image_size])
def test_a_missing_file_is_a_file_not_found(tmp_path, read):
    with pytest.raises(FileNotFoundError, match=r"cat\.png"):
        read(tmp_path / "cat.png")


# Their size ---------------------------------------------------------------------------


@pytest.fixture
def no_decoding(monkeypatch):
    """Whoever asks for pixels gets an error."""

    def decode(*args, **kwargs):
        raise AssertionError("Pixels were asked for.")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    monkeypatch.setattr(tifffile.TiffFile, "asarray", decode)


def assert_not_decoded(path, size):
    """The size is found, though reading the picture would be an error."""
    assert read_image_size(path) == size
    with pytest.raises(ValueError, match="Pixels were asked for"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.TIF", "a.webp"])
def test_size_needs_no_pixels(no_decoding, save, picture, name):
    assert_not_decoded(save(picture, name), (5, 7))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_orientation_needs_no_pixels(no_decoding, save, picture, name):
    assert_not_decoded(save(picture, name, exif=orientation(8)), (7, 5))


@pytest.mark.parametrize(
    ("channels", "options"),
    [
        ((), {"photometric": "minisblack"}),
        ((3,), {"photometric": "rgb"}),
        ((4,), {"photometric": "rgb", "compression": "zlib"}),
    ],
    ids=str,
)
def test_size_of_deep_tiff_needs_no_pixels(no_decoding, tmp_path, channels, options):
    array = np.zeros((5, 7, *channels), np.uint16)
    tifffile.imwrite(tmp_path / "a.tiff", array, **options)
    assert_not_decoded(tmp_path / "a.tiff", (5, 7))


@pytest.mark.parametrize("number", range(10))  # 1 to 8 have a meaning
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_size_is_that_of_the_photograph_as_it_stands(save, picture, name, number):
    path = save(picture, name, exif=orientation(number))
    size = (7, 5) if number in (5, 6, 7, 8) else (5, 7)
    assert read_image_size(path) == size
    assert read_image(path).shape == (*size, 3)


def test_orientation_may_stand_behind_the_pixels_of_a_png(save, picture):
    path = save(picture, "a.png", exif=orientation(6))
    content = path.read_bytes()
    start, stop = content.index(b"eXIf") - 4, content.index(b"IDAT") - 4
    end = content.index(b"IEND") - 4
    moved = content[:start], content[stop:end], content[start:stop], content[end:]
    path.write_bytes(b"".join(moved))
    assert read_image_size(path) == (7, 5)
    assert read_image(path).shape == (7, 5, 3)


def test_size_of_deep_tiff_is_that_of_its_planes(tmp_path):
    planes = np.arange(105, dtype=np.uint16).reshape(3, 5, 7)
    options = {"photometric": "rgb", "planarconfig": "separate"}
    tifffile.imwrite(tmp_path / "a.tif", planes, **options)
    assert read_image_size(tmp_path / "a.tif") == (5, 7)
    assert_array_equal(read_image(tmp_path / "a.tif"), np.moveaxis(planes, 0, 2))


# As images --------------------------------------------------------------------------


def test_a_list_of_paths_gives_a_list_of_colour_arrays(save, picture):
    deep = np.full((2, 3), 40000, np.uint16)
    paths = [
        str(save(picture, "a.png")),
        save(picture.convert("L"), "b.png"),
        save(picture.convert("RGBA"), "c.png"),
        save(Image.fromarray(deep), "d.png"),
    ]
    images = as_images(paths)
    assert len(images) == 4
    assert images.n_channels == 3
    assert images.data_range == (0, 1)
    assert images[3].shape == (3, 2, 3)
    assert [images.shape(i) for i in range(4)] == [(5, 7)] * 3 + [(2, 3)]
    back = images.give_back(images)
    assert isinstance(back, list)
    for image, path in zip(back, paths, strict=True):
        assert_array_equal(image, read_colour_image(path), strict=True)


def test_shapes_of_paths_need_no_pixels(save, picture):
    paths = [save(picture, "a.bmp"), save(picture, "b.bmp")]
    paths[1].write_bytes(paths[1].read_bytes()[:54])  # the headers alone
    images = as_images(paths)
    assert images.shape(1) == (5, 7)
    with pytest.raises(ValueError, match=r"b\.bmp' could not be read"):
        images[1]


def test_lazy_images_survive_pickling(save, picture):
    images = as_images([save(picture, "a.png")])
    assert_array_equal(pickle.loads(pickle.dumps(images))[0], images[0])


def test_paths_may_be_path_like(save, picture):
    class Entry(os.PathLike):
        def __fspath__(self):
            return str(path)

    path = save(picture, "a.png")
    assert_array_equal(as_images([Entry()]).raw(0), picture)


# Arrays -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4), (5, 7, 1)])
def test_an_array_in_a_file_is_mapped_and_not_read(tmp_path, shape):
    pixels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    np.save(tmp_path / "a.npy", pixels)
    image = read_image(tmp_path / "a.npy")
    assert isinstance(image, np.memmap) and not image.flags.writeable
    assert_array_equal(image, pixels)
    assert read_image_size(tmp_path / "a.npy") == (5, 7)
    colours = read_colour_image(tmp_path / "a.npy")
    expected = np.stack([pixels] * 3, axis=2) if len(shape) == 2 else pixels
    assert_array_equal(colours, expected, strict=True)


def test_arrays_are_images_in_a_list_of_paths(tmp_path, save, picture):
    np.save(tmp_path / "a.npy", np.asarray(picture))
    images = as_images([tmp_path / "a.npy", save(picture, "b.png")])
    assert_array_equal(images.raw(0), images.raw(1))


def test_an_array_that_is_no_image_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 5, 7, 3)))
    with pytest.raises(ValueError, match=r"a\.npy' could not be .* mmap_mode='r'"):
        read_image(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"b\.npy' could not be read as a picture"):
        read_image_size(tmp_path / "b.npy")
