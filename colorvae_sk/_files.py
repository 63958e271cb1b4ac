"""A picture file is opened, and written again with other pixels: all else stays.

`open_picture` takes the bytes of a file and gives a `PictureFile`: its colours, the
right way up, and a method that puts other colours in their place. Format, bit depth,
grey or colour, alpha, orientation, EXIF, colour profile and resolution are kept.
"""

from contextlib import contextmanager
from functools import partial
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
OTHER_COLOURS = "CMYK", "LAB"  # their profile is none of RGB
BACK = TURNS | {6: TURNS[8], 8: TURNS[6]}  # the others undo themselves


class PictureFile:
    """What is in a picture file.

    Parameters
    ----------
    pixels : ndarray of shape (H, W) or (H, W, 2 to 4)
        As they are stored; grey or RGB, perhaps with alpha.
    encode : callable
        Takes such pixels and gives the bytes of a file.
    encode_floats : callable
        Takes floats on [0, 1] instead and gives the bytes of a TIFF file.
    orientation : int, default=1
        How the camera was held, as EXIF numbers it.

    Attributes
    ----------
    colours : ndarray of shape (H, W) or (H, W, 3)
        The picture the right way up, without alpha, in the dtype of the file.
    """

    def __init__(self, pixels, encode, encode_floats, orientation=1):
        self._encode, self._encode_floats = encode, encode_floats
        self._orientation, self._alpha = orientation, None
        if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
            pixels, self._alpha = pixels[..., :-1], pixels[..., -1:]
            pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
        self.colours = np.ascontiguousarray(turned(pixels, orientation))

    def with_colours(self, colours):
        """The bytes of a file that has other colours, and is like this one otherwise.

        Parameters
        ----------
        colours : ndarray
            In the shape of `colours`, and in their dtype; or floats on [0, 1], NaN
            where something is missing, of which a TIFF file is made.

        Returns
        -------
        data : bytes
        """
        pixels = turned(colours, self._orientation, BACK)
        encode, alpha = self._encode, self._alpha
        if colours.dtype != self.colours.dtype:
            encode, alpha = self._encode_floats, as_floats(alpha)
        return encode(np.ascontiguousarray(with_alpha(pixels, alpha)))


def as_floats(alpha):
    """Alpha on [0, 1], if there is any."""
    if alpha is None or alpha.dtype.kind == "f":
        return alpha
    return alpha / np.float32(np.iinfo(alpha.dtype).max)


def turned(pixels, orientation, turns=TURNS):
    """Pixels as this orientation would have them turned."""
    turn = turns.get(orientation)
    return turn(pixels) if turn else pixels


def with_alpha(pixels, alpha):
    """Colours (H, W) or (H, W, 3) with alpha (H, W, 1) behind them, if there is any."""
    if alpha is None:
        return pixels
    pixels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
    return np.concatenate([pixels, alpha], axis=2)


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
            header = _tiff.read_header(BytesIO(data))
            check_size(*header.size, max_pixels)
            if not header.is_plain:
                pixels, options = _tiff.read_deep(data)
                encode = partial(_tiff.write, **options)
                encode_floats = partial(encode, predictor=False)
                return PictureFile(pixels, encode, encode_floats, header.orientation)
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
        orientation = picture.getexif().get(ORIENTATION, 1)
        picture.load()  # this turns a TIFF, and forgets how it was
    encode = encoder(picture, data, kind, orientation)
    if kind == "PNG" and _png.bit_depth(data) == 16 and picture.mode != "I;16":
        pixels = _png.read_deep(data)
    else:
        pixels = np.asarray(as_plain(picture))
    if kind == "TIFF":
        pixels = turned(pixels, orientation, BACK)
    encode_floats = partial(_tiff.write, **float_options(picture, orientation))
    return PictureFile(pixels, encode, encode_floats, orientation)


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
    """Inks as the colours that their profile says they have, unless it is broken."""
    from PIL import ImageCms

    screen = ImageCms.createProfile("sRGB")
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(picture.info["icc_profile"]))
        return ImageCms.profileToProfile(picture, profile, screen, outputMode="RGB")
    except (OSError, ImageCms.PyCMSError):
        return picture.convert("RGB")


def encoder(picture, data, kind, orientation):
    """What turns pixels into a file like that of a Pillow picture."""
    options = save_options(picture, data, kind, orientation)

    def encode(pixels):
        from PIL import Image

        if kind == "PNG" and pixels.dtype == np.uint16:
            return _png.carry_over(data, _png.write_deep(pixels))
        file = BytesIO()
        Image.fromarray(pixels).save(file, kind, **options)
        written = file.getvalue()
        return _png.carry_over(data, written) if kind == "PNG" else written

    return encode


def save_options(picture, data, kind, orientation):
    """What Pillow needs to write down beside the pixels."""
    known = {"exif", "icc_profile", "xmp", "dpi", "comment"}
    options = {k: v for k, v in picture.info.items() if k in known and v}
    if picture.mode in OTHER_COLOURS:
        options.pop("icc_profile", None)
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
        return options | {"exif": tiff_exif(picture, orientation)}
    if kind == "PNG":
        return {"compress_level": _png.LEVEL}  # its chunks are carried over
    return {k: v for k, v in options.items() if k == "dpi"}


def float_options(picture, orientation):
    """What `_tiff.write` can keep of a Pillow picture, beside its pixels."""
    options = {}
    if orientation in TURNS:
        options["extratags"] = [_tiff.orientation_tag(orientation)]
    if picture.info.get("icc_profile") and picture.mode not in OTHER_COLOURS:
        options["iccprofile"] = picture.info["icc_profile"]
    if dpi := picture.info.get("dpi"):
        options |= {"resolution": dpi, "resolutionunit": _tiff.INCH}
    return options


def tiff_exif(picture, orientation):
    """The descriptions of a TIFF file, without what tells of how pixels are stored."""
    from PIL import Image

    old, new = picture.getexif(), Image.Exif()
    if orientation != 1:
        new[ORIENTATION] = orientation
    for tag in (*_tiff.DESCRIPTIONS, _tiff.XMP, _tiff.IPTC):
        if tag in old:
            is_text = isinstance(old[tag], str)  # of any encoding, read as Latin-1
            new[tag] = old[tag].encode("latin-1") if is_text else old[tag]
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
