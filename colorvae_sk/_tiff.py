"""TIFF files that Pillow would spoil, and what stands beside their pixels.

They have more than 8 bits per channel, signed values, or channels that are not colours.
"""

import math
from io import BytesIO
from typing import NamedTuple

import numpy as np

# Who made the picture, how and when; its orientation, profile and other descriptions.
DESCRIPTIONS = (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432)
ORIENTATION, XMP, IPTC, PROFILE, EXIF, GPS = 274, 700, 33723, 34675, 34665, 34853
RESOLUTION = 282, 283, 296  # across, down, and its unit
MINISBLACK, RGB, INCH = 1, 2, 2
ASCII, SHORT, UNSIGNED = 2, 3, 1  # kinds of tags and of samples
NO_ALPHA, ASSOCIATED, UNASSOCIATED = (), (1,), (2,)  # the samples beside the colours


class Header(NamedTuple):
    """What the header of a TIFF file tells of its first page."""

    size: tuple  # height and width in pixels, as they are stored
    orientation: int
    is_plain: bool  # whether Pillow reads all that is in its pixels
    n_pixels: int  # of all pages


def read_header(file):
    """The header of a TIFF file: a path, or the file itself."""
    from tifffile import TiffFile

    with TiffFile(file) as tiff:
        page = tiff.pages.first
        size = page.imagelength, page.imagewidth
        is_plain = (
            page.bitspersample <= 8
            and page.sampleformat == UNSIGNED
            and page.extrasamples in (NO_ALPHA, ASSOCIATED, UNASSOCIATED)
        )
        n_pixels = math.prod(size) * page.imagedepth * len(tiff.pages)
        return Header(size, page.tags.valueof(ORIENTATION), is_plain, n_pixels)


def read_deep(data):
    """Read a TIFF file of grey or RGB, perhaps with alpha, that Pillow would spoil.

    Parameters
    ----------
    data : bytes
        The file, with a single page.

    Returns
    -------
    pixels : ndarray of shape (H, W) or (H, W, 2 to 4)
        In the dtype of the file.
    options : dict
        What `write` takes beside the pixels.
    """
    from tifffile import TiffFile

    with TiffFile(BytesIO(data)) as tiff:
        page = tiff.pages.first
        check_page(tiff, page)
        pixels = page.asarray()
        if page.axes == "SYX":
            pixels = np.moveaxis(pixels, 0, 2)
        options = {"photometric": page.photometric, "bigtiff": tiff.is_bigtiff}
        options["extratags"] = descriptions(page, data)
        if page.compression != 1:  # 1: none
            options["compression"] = "zlib"
            options["predictor"] = pixels.dtype.kind in "ui"
        if page.extrasamples:
            options["extrasamples"] = page.extrasamples
        across, down, unit = (page.tags.valueof(code) for code in RESOLUTION)
        if across and down:
            options["resolution"] = across, down
            options["resolutionunit"] = unit
        return pixels, options


def check_page(tiff, page):
    """Complain of what is not one picture of grey or RGB, perhaps with alpha."""
    if len(tiff.pages) > 1:
        raise ValueError(
            f"it holds {len(tiff.pages)} pages. Save each as a file of its own."
        )
    if page.photometric not in (MINISBLACK, RGB) or page.axes not in (
        "YX",
        "YXS",
        "SYX",
    ):
        raise ValueError(
            f"it is a TIFF of kind {page.photometric.name} with axes {page.axes}; "
            "expected grey or RGB. Convert it."
        )


def descriptions(page, data):
    """The tags to be written again, as tifffile takes them; texts byte by byte."""
    wanted = (*DESCRIPTIONS, ORIENTATION, XMP, IPTC, PROFILE)
    tags = [page.tags[code] for code in wanted if code in page.tags]
    return [
        (tag.code, tag.dtype, tag.count, text_of(tag, data) or tag.value, True)
        for tag in tags
    ]


def orientation_tag(orientation):
    """How the camera was held, as tifffile takes it."""
    return ORIENTATION, SHORT, 1, orientation, True


def text_of(tag, data):
    """The bytes of a text, which may be in any encoding; none of other tags."""
    start = tag.valueoffset
    return data[start : start + tag.valuebytecount] if tag.dtype == ASCII else b""


def write(pixels, photometric=None, **options):
    """Write a TIFF file of a single page.

    Parameters
    ----------
    pixels : ndarray of shape (H, W) or (H, W, C)
        Of any dtype.
    photometric : int, default=None
        As tifffile has it. None: by the number of channels.
    **options : dict
        As `read_deep` gives them.

    Returns
    -------
    data : bytes
        The file.
    """
    from tifffile import imwrite

    n_channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if photometric is None:
        photometric = RGB if n_channels > 2 else MINISBLACK
    if n_channels in (2, 4):
        options = {"extrasamples": UNASSOCIATED, **options}
    file = BytesIO()
    options = {"metadata": None, "software": False, **options}
    imwrite(file, pixels, photometric=photometric, **options)
    return file.getvalue()
