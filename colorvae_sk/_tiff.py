"""TIFF files of more than 8 bits per channel, with what stands beside their pixels."""

from io import BytesIO

import numpy as np

# Who made the picture, how and when; its orientation, profile and other descriptions.
DESCRIPTIONS = (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432)
ORIENTATION, XMP, IPTC, PROFILE, EXIF, GPS = 274, 700, 33723, 34675, 34665, 34853
RESOLUTION = 282, 283, 296  # across, down, and its unit
MINISBLACK, RGB = 1, 2


def depth(data):
    """Bits per channel of a TIFF file."""
    from tifffile import TiffFile

    with TiffFile(BytesIO(data)) as tiff:
        return tiff.pages.first.bitspersample


def size(data):
    """Height and width of a TIFF file, in pixels."""
    from tifffile import TiffFile

    with TiffFile(BytesIO(data)) as tiff:
        page = tiff.pages.first
        return page.imagelength, page.imagewidth


def read_deep(data):
    """Read a TIFF file of grey or RGB, perhaps with alpha.

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
        options = {"photometric": page.photometric, "extratags": descriptions(page)}
        options["bigtiff"] = tiff.is_bigtiff
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


def descriptions(page):
    """The tags to be written again, as tifffile takes them."""
    wanted = (*DESCRIPTIONS, ORIENTATION, XMP, IPTC, PROFILE)
    tags = [page.tags[code] for code in wanted if code in page.tags]
    return [(tag.code, tag.dtype, tag.count, tag.value, True) for tag in tags]


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

    if photometric is None:
        photometric = RGB if pixels.ndim == 3 else MINISBLACK
    file = BytesIO()
    options = {"metadata": None, "software": False, **options}
    imwrite(file, pixels, photometric=photometric, **options)
    return file.getvalue()
