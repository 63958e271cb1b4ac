"""A picture file is opened, and written again with other pixels: all else stays.

`open_picture` takes the bytes of a file and gives a `PictureFile`: its colours, the
right way up, and a method that puts other colours in their place. Format, bit depth,
grey or colour, alpha, orientation, EXIF, colour profile and resolution are kept.
"""

from contextlib import contextmanager
from io import BytesIO
from threading import Lock

import numpy as np

from . import _png, _tiff
from ._pictures import ORIENTATION, TURNS

MAX_PIXELS = 200_000_000
LIMIT_LOCK = Lock()
QUALITY = 95  # of JPEG and WebP, which lose something whenever they are written
BEGINNINGS = {  # of a file, and the format that it tells
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"RIFF": "WEBP",
}
PLAIN = {"1", "L", "LA", "RGB", "RGBA", "I;16"}  # Pillow's modes that arrays have too
BACK = TURNS | {6: TURNS[8], 8: TURNS[6]}  # the others undo themselves


class PictureFile:
    """What is in a picture file.

    Parameters
    ----------
    pixels : ndarray of shape (H, W) or (H, W, 2 to 4)
        As they are stored; grey or RGB, perhaps with alpha.
    encode : callable
        Takes such pixels and gives the bytes of a file.
    orientation : int, default=1
        How the camera was held, as EXIF numbers it.

    Attributes
    ----------
    colours : ndarray of shape (H, W) or (H, W, 3)
        The picture the right way up, without alpha, in the dtype of the file.
    """

    def __init__(self, pixels, encode, orientation=1):
        self._encode, self._orientation = encode, orientation
        self._alpha = None
        if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
            pixels, self._alpha = pixels[..., :-1], pixels[..., -1:]
            pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
        turn = TURNS.get(orientation)
        self.colours = np.ascontiguousarray(turn(pixels) if turn else pixels)

    def with_colours(self, colours):
        """The bytes of a file that has other colours, and is like this one otherwise.

        Parameters
        ----------
        colours : ndarray
            In the shape and dtype of `colours`.

        Returns
        -------
        data : bytes
        """
        turn = BACK.get(self._orientation)
        pixels = turn(colours) if turn else colours
        if self._alpha is not None:
            pixels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
            pixels = np.concatenate([pixels, self._alpha], axis=2)
        return self._encode(np.ascontiguousarray(pixels))


def read_picture(path, max_pixels=MAX_PIXELS):
    """Open a file of this path; see `open_picture`."""
    with open(path, "rb") as file:
        beginning = file.read(16)
        format_of(beginning)  # before all of what may be anything is read
        return open_picture(beginning + file.read(), max_pixels)


def open_picture(data, max_pixels=MAX_PIXELS):
    """Open a picture file.

    Parameters
    ----------
    data : bytes
        The file: PNG, JPEG, BMP, TIFF or WebP.
    max_pixels : float, default=200_000_000
        Larger pictures are refused before their pixels are unpacked.

    Returns
    -------
    picture : PictureFile

    Raises
    ------
    ValueError
        If it is no picture, is damaged or too large, or holds several pictures.
    """
    kind = format_of(data)
    try:
        if kind == "TIFF":
            check_size(*_tiff.size(data), max_pixels)
            if _tiff.depth(data) > 8:
                pixels, options = _tiff.read_deep(data)
                return PictureFile(pixels, lambda new: _tiff.write(new, **options))
        return open_by_pillow(data, kind, max_pixels)
    except TooLargeError:
        raise
    except Exception as error:  # Pillow and tifffile raise many kinds
        reason = error.args[0] if error.args else type(error).__name__
        raise ValueError(f"it can't be read as a picture: {reason}") from error


class TooLargeError(ValueError):
    """A picture has more pixels than allowed."""


def format_of(data):
    """The format that a file tells by its beginning."""
    for beginning, kind in BEGINNINGS.items():
        if data.startswith(beginning) and (kind != "WEBP" or data[8:12] == b"WEBP"):
            return kind
    what = "is empty" if not data else "is no picture"
    formats = ", ".join(dict.fromkeys(BEGINNINGS.values()))
    raise ValueError(f"it {what}: expected one of {formats}, whatever its name.")


def check_size(height, width, max_pixels):
    """Complain of a picture that is too large to be unpacked unasked."""
    if max_pixels is not None and height * width > max_pixels:
        raise TooLargeError(
            f"it has {width} x {height} pixels, more than max_pixels={max_pixels:,.0f}."
            " Small files can claim that to fill the memory. If you trust it, allow "
            "more: max_pixels=1e9, or --max-pixels 1e9 on the command line."
        )


# ------------------------------------------------------------------ Pillow
def open_by_pillow(data, kind, max_pixels):
    """Open a file of 8 bits per channel, or a PNG of 16."""
    with own_limit(kind):
        picture = opener(kind)(BytesIO(data))
        check_size(picture.height, picture.width, max_pixels)
        if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":
            raise ValueError(
                f"it holds {picture.n_frames} pictures. Save each as a file of its own."
            )
        picture.load()
    turned = kind == "TIFF"  # Pillow has turned it already
    orientation = 1 if turned else picture.getexif().get(ORIENTATION, 1)
    encode = encoder(picture, data, kind)
    if kind == "PNG" and _png.bit_depth(data) == 16 and picture.mode != "I;16":
        return PictureFile(_png.read_deep(data), encode, orientation)
    return PictureFile(np.asarray(as_plain(picture)), encode, orientation)


@contextmanager
def own_limit(kind):
    """Lift Pillow's limit to the size where a format's own code asks for it."""
    from PIL import Image

    if kind not in ("TIFF", "WEBP"):
        yield
        return
    with LIMIT_LOCK:  # it is the same for all threads
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def opener(kind):
    """The class that reads a format; unlike ``Image.open`` it looks at no limit."""
    from PIL import (
        BmpImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    return {
        "BMP": BmpImagePlugin.BmpImageFile,
        "JPEG": JpegImagePlugin.jpeg_factory,
        "PNG": PngImagePlugin.PngImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
        "WEBP": WebPImagePlugin.WebPImageFile,
    }[kind]


def as_plain(picture):
    """A Pillow picture in a mode that arrays have too."""
    if picture.mode == "I;16" and "transparency" in picture.info:
        raise ValueError("it is 16-bit grey with a transparent tone. Convert it.")
    if picture.has_transparency_data:
        return picture.convert("LA" if picture.mode in ("1", "L", "LA") else "RGBA")
    if picture.mode == "CMYK" and picture.info.get("icc_profile"):
        return cmyk_as_rgb(picture)
    return picture if picture.mode in PLAIN else picture.convert("RGB")


def cmyk_as_rgb(picture):
    """Inks as the colours that their profile says they have."""
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(BytesIO(picture.info["icc_profile"]))
    screen = ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(picture, profile, screen, outputMode="RGB")


def encoder(picture, data, kind):
    """What turns pixels into a file like that of a Pillow picture."""
    options = save_options(picture, data, kind)

    def encode(pixels):
        from PIL import Image

        if kind == "PNG" and pixels.dtype == np.uint16:
            return _png.carry_over(data, _png.write_deep(pixels))
        file = BytesIO()
        Image.fromarray(pixels).save(file, kind, **options)
        written = file.getvalue()
        return _png.carry_over(data, written) if kind == "PNG" else written

    return encode


def save_options(picture, data, kind):
    """What Pillow needs to write down beside the pixels."""
    known = {"exif", "icc_profile", "xmp", "dpi", "comment"}
    options = {k: v for k, v in picture.info.items() if k in known and v}
    if picture.mode in ("CMYK", "LAB"):
        options.pop("icc_profile", None)  # it is of other colours than RGB
    if kind == "JPEG":
        progressive = bool(picture.info.get("progressive"))
        return options | {
            "quality": QUALITY,
            "subsampling": 0,
            "progressive": progressive,
        }
    if kind == "WEBP":
        return options | {
            "quality": QUALITY,
            "lossless": is_lossless(data),
            "exact": True,
        }
    if kind == "TIFF":
        compression = picture.info.get("compression", "raw")
        keep = compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "raw")
        options["compression"] = compression if keep else "tiff_adobe_deflate"
        return options | {"exif": tiff_exif(picture)}
    if kind == "PNG":
        return {"compress_level": _png.LEVEL}  # its chunks are carried over
    return {k: v for k, v in options.items() if k == "dpi"}


def tiff_exif(picture):
    """The descriptions of a TIFF file, without what tells of how pixels are stored."""
    from PIL import Image

    old, new = picture.getexif(), Image.Exif()
    for tag in (*_tiff.DESCRIPTIONS, _tiff.XMP, _tiff.IPTC):
        if tag in old:
            new[tag] = old[tag]
    for tag in (_tiff.EXIF, _tiff.GPS):
        if inside := old.get_ifd(tag):
            new.get_ifd(tag).update(inside)
            new[tag] = inside
    return new


def is_lossless(data):
    """Whether a WebP file holds its pixels as they are."""
    start = 12
    while start + 8 <= len(data):
        if data[start : start + 4] in (b"VP8L", b"VP8 "):
            return data[start : start + 4] == b"VP8L"
        length = int.from_bytes(data[start + 4 : start + 8], "little")
        start += 8 + length + length % 2
    return False
