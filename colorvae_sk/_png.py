"""PNG files chunk by chunk: 16 bits per channel, and what stands beside the pixels."""

import struct
import zlib
from io import BytesIO

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 3: 2, 2: 4, 4: 6}  # by the number of channels
# What tells of the whole picture, and stays true when its pixels change.
KEPT = {b"cHRM", b"cICP", b"eXIf", b"gAMA", b"iCCP", b"pHYs", b"sRGB", b"tIME"}
KEPT |= {b"tEXt", b"iTXt", b"zTXt"}
LEVEL = 3  # of compression: 6 makes files 6 % smaller, and takes three times as long
SUB = 1  # the filter that notes how a pixel differs from the one to its left


def chunks(data):
    """Kind and content of each chunk of a PNG file."""
    start = len(SIGNATURE)
    while start + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        yield kind, data[start + 8 : start + 8 + length]
        start += length + 12


def as_chunk(kind, content):
    """A chunk as it stands in the file."""
    checksum = zlib.crc32(kind + content)
    return (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
    )


def carry_over(original, data):
    """Give a PNG file what stands beside the pixels of the original, word for word.

    Parameters
    ----------
    original, data : bytes
        The contents of two PNG files.

    Returns
    -------
    data : bytes
        The second, with colour profile, EXIF, resolution and texts of the first.
    """
    kept = [as_chunk(*chunk) for chunk in chunks(original) if chunk[0] in KEPT]
    own = [as_chunk(*chunk) for chunk in chunks(data) if chunk[0] not in KEPT]
    return b"".join([SIGNATURE, own[0], *kept, *own[1:]])  # the header comes first


def bit_depth(data):
    """Bits per channel of a PNG file."""
    return data[24]


def is_deep_colour(picture):
    """Whether a PNG that Pillow has opened has 16 bits in each of several channels."""
    return picture.mode != "I;16" and any("16" in str(tile[3]) for tile in picture.tile)


def read_deep(data):
    """Read a PNG file of 16 bits per channel, which Pillow would cut to 8.

    Pillow takes either the high or the low byte of each value: so it is asked twice.

    Parameters
    ----------
    data : bytes
        The file, of two, three or four channels.

    Returns
    -------
    pixels : uint16 ndarray of shape (H, W, 2), (H, W, 3) or (H, W, 4)
    """
    if data[25] == COLOUR_TYPES[2]:  # four bytes make a pixel: as in 8-bit RGBA
        both = read_bytes(data, "RGBA")
        return both.view(">u2").astype(np.uint16)
    colours = "RGBA" if data[25] == COLOUR_TYPES[4] else "RGB"
    high = read_bytes(data, f"{colours};16B").astype(np.uint16)
    return (high << 8) | read_bytes(data, f"{colours};16L")


def read_bytes(data, layout):
    """The bytes that Pillow finds if it takes the pixels to be laid out like this."""
    from PIL import PngImagePlugin

    picture = PngImagePlugin.PngImageFile(BytesIO(data))
    picture.tile = [(*tile[:3], layout) for tile in picture.tile]
    return np.array(picture)


def write_deep(pixels):
    """Write a PNG file of 16 bits per channel.

    Parameters
    ----------
    pixels : uint16 ndarray of shape (H, W) or (H, W, C)
        One to four channels.

    Returns
    -------
    data : bytes
        The file.
    """
    height, width = pixels.shape[:2]
    n_channels = pixels.size // (height * width)
    rows = np.ascontiguousarray(pixels, dtype=">u2").view(np.uint8).reshape(height, -1)
    filtered = np.full((height, 1 + rows.shape[1]), SUB, np.uint8)
    filtered[:, 1:] = rows
    filtered[:, 1 + 2 * n_channels :] -= rows[:, : -2 * n_channels]
    kind = COLOUR_TYPES[n_channels]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(filtered, LEVEL)), (b"IEND", b"")
    return SIGNATURE + b"".join(as_chunk(*part) for part in parts)
