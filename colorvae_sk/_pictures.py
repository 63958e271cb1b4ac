"""A picture file becomes an array, the right way up; its header tells the size."""

import math
import os
from contextlib import contextmanager

import numpy as np

from . import _png, _tiff

# Of Pillow's formats those that are pixels alone: EPS, for one, is a program that
# Pillow would have Ghostscript run.
FORMATS = "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP"
ORIENTATION = 0x0112  # in EXIF: how the camera was held
ON_ITS_SIDE = 5, 6, 7, 8
TURNS = {  # an array as it is stored -> the right way up
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}


def read_image(path):
    """Read a picture file, the right way up.

    Parameters
    ----------
    path : str or path-like
        A PNG, JPEG, JPEG 2000, BMP, GIF, PPM, TGA or WebP file, a TIFF file of any
        depth, or one image as an array (H, W[, C]) of `numpy.save`, which is mapped
        into memory and not read. What it is, its content tells.

    Returns
    -------
    image : ndarray of shape (H, W), (H, W, 3) or (H, W, 4)
        Grey, colours, or colours and alpha, in the dtype of the file. Palettes and
        CMYK become colours. An array may have any number of channels.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file can't be read as a picture, or claims to have more than twice
        ``PIL.Image.MAX_IMAGE_PIXELS`` pixels.
    """
    with _naming(path):
        if _is_array(path):
            return _map_array(path)
        size = _deep_tiff_size(path)
        return _read_picture(path) if size is None else _read_deep_tiff(path, size)


def read_colour_image(path):
    """Read a picture file as (H, W, 3), or (H, W, 4) with alpha; see `read_image`."""
    image = read_image(path)
    if image.ndim == 3:
        return image
    if _is_array(path):  # without reading it
        return np.broadcast_to(image[..., np.newaxis], (*image.shape, 3))
    return np.stack([image] * 3, axis=2)


def read_image_size(path):
    """Find the height and width of what `read_image` gives, without its pixels.

    Parameters
    ----------
    path : str or path-like
        As for `read_image`.

    Returns
    -------
    height, width : int
        In pixels.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file's header can't be read.
    """
    with _naming(path):
        if _is_array(path):
            return _map_array(path).shape[:2]
        return _deep_tiff_size(path) or _picture_size(path)


class PictureFiles:
    """Picture files as a sequence of colour images, each read when it is asked for."""

    _is_image_sequence = True  # see `colorvae_sk._images.as_images`

    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        return read_colour_image(self.paths[i])

    def image_size(self, i):
        """Height and width of image i, from the header of its file."""
        return read_image_size(self.paths[i])


@contextmanager
def _naming(path):
    """Name the file in whatever error it causes."""
    try:
        yield
    except (FileNotFoundError, MemoryError):
        raise
    except Exception as error:  # Pillow and tifffile raise many kinds
        raise ValueError(
            f"The file {os.fspath(path)!r} could not be read as a picture: {error}"
        ) from error


def _is_array(path):
    """Whether a file is one of `numpy.save`, by its name."""
    return os.fspath(path).lower().endswith(".npy")


def _map_array(path):
    """An image of `numpy.save`, of which only what is looked at will be read."""
    image = np.load(path, mmap_mode="r", allow_pickle=False)
    if image.ndim not in (2, 3):
        raise ValueError(
            f"its array has shape {image.shape}, expected (height, width[, channels]). "
            "Pass an array of several images itself: np.load(path, mmap_mode='r')."
        )
    return image


def _read_picture(path):
    """Read a picture file by Pillow."""
    from PIL import Image, ImageOps

    with Image.open(os.fspath(path), formats=FORMATS) as picture:
        if picture.format == "PNG" and _png.is_deep_colour(picture):
            return _read_deep_png(picture)
        picture = ImageOps.exif_transpose(picture)  # as its camera was held
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
        elif len(picture.getbands()) > 1 or picture.mode == "P":
            picture = picture.convert("RGB")  # else CMYK would pass for RGBA
        return np.asarray(picture)


def _read_deep_png(picture):
    """Read a PNG file of 16 bits per channel that Pillow has opened and not loaded."""
    with open(picture.filename, "rb") as file:
        pixels = _png.read_deep(file.read())
    turn = TURNS.get(picture.getexif().get(ORIENTATION))
    pixels = turn(pixels) if turn else pixels
    if pixels.shape[2] == 2:  # grey and alpha
        pixels = pixels[..., [0, 0, 0, 1]]
    return np.ascontiguousarray(pixels)


def _picture_size(path):
    """Height and width of what `_read_picture` gives."""
    from PIL import Image

    with Image.open(os.fspath(path), formats=FORMATS) as picture:
        width, height = picture.size
        return (width, height) if _will_turn(picture) else (height, width)


def _will_turn(picture):
    """Whether a Pillow picture, not loaded yet, will swap its height and width."""
    from PIL import Image

    if picture.format == "TIFF":
        return False  # Pillow has swapped them already
    if picture.format == "PNG" and not _ends_with_pixels(picture.filename):
        picture.load()  # its EXIF may come last
    exif = Image.Image.getexif(picture)  # PNG's own getexif always loads
    return exif.get(ORIENTATION) in ON_ITS_SIDE


def _ends_with_pixels(path):
    """Whether nothing comes after the pixels of a PNG file."""
    kinds = []
    with open(path, "rb") as file:
        file.seek(8)  # the signature
        while len(head := file.read(8)) == 8:
            kinds.append(head[4:])
            file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)  # a checksum
    return kinds[-2:] == [b"IDAT", b"IEND"]


def _deep_tiff_size(path):
    """Height and width of a TIFF that Pillow would spoil; None of others."""
    if not os.fspath(path).lower().endswith((".tif", ".tiff")):
        return None
    header = _tiff.read_header(path)
    if header.is_plain:
        return None
    _check_n_pixels(header.n_pixels)
    return header.size[::-1] if header.orientation in ON_ITS_SIDE else header.size


def _check_n_pixels(n_pixels):
    """Refuse what may be small on disk and huge in memory, as Pillow does."""
    from PIL import Image

    limit = 2 * (Image.MAX_IMAGE_PIXELS or math.inf)
    if n_pixels > limit:
        raise ValueError(
            f"it claims to have {n_pixels} pixels, more than {limit}. If it is no "
            "attack, raise PIL.Image.MAX_IMAGE_PIXELS."
        )


def _read_deep_tiff(path, size):
    """Read a TIFF that Pillow would spoil."""
    from skimage.io import imread

    image = imread(path)
    turn = TURNS.get(_tiff.read_header(path).orientation)
    image = turn(image) if turn else image
    if image.shape[:2] != size:
        raise ValueError(
            f"its pages have shape {image.shape}, expected (height, width[, channels])."
            " Save each page as a file of its own."
        )
    return np.ascontiguousarray(image)
