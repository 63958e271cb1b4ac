"""A file that is written again with other colours keeps all else."""

import io

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, ImageCms, features

from colorvae_sk import _files, _png, _tiff
from colorvae_sk._files import open_picture
from colorvae_sk._pictures import read_image, read_image_size

LOSSLESS = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}}
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(picture, kind, **options):
    """The bytes of a file that Pillow writes."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def tiff(array, **options):
    """The bytes of a file that tifffile writes."""
    file = io.BytesIO()
    tifffile.imwrite(file, array, metadata=None, **options)
    return file.getvalue()


def opened(data):
    """A Pillow picture, loaded."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def rewritten(data):
    """A file whose colours were replaced by themselves."""
    picture = open_picture(data)
    return picture.with_colours(picture.colours)


def exif(orientation):
    """EXIF with an orientation, a maker and a date."""
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = orientation, "A camera"
    tags.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    tags[0x8769] = tags.get_ifd(0x8769)
    return tags


@pytest.fixture
def photo(photos_uint8):
    """A photograph of 12 x 16 pixels."""
    return Image.fromarray(photos_uint8[0, :12])


@pytest.fixture
def deep():
    """A function that makes values of 16 bits."""
    rng = np.random.default_rng(0)
    return lambda *shape: rng.integers(0, 65536, shape).astype(np.uint16)


# Modes and depth ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *[("PNG", mode) for mode in ("1", "L", "LA", "RGB", "RGBA")],
        *[("TIFF", mode) for mode in ("1", "L", "LA", "RGB", "RGBA")],
        *[("BMP", mode) for mode in ("1", "L", "RGB")],
    ],
)
def test_what_loses_nothing_comes_back_the_same(photo, kind, mode):
    picture = photo.copy()
    if mode.endswith("A"):
        picture.putalpha(Image.linear_gradient("L").resize(photo.size))
    picture = picture.convert(mode)
    again = opened(rewritten(saved(picture, kind)))
    assert (again.format, again.mode) == (kind, mode)
    assert_array_equal(np.asarray(again), np.asarray(picture))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_stays_jpeg_at_high_quality(photo, mode):
    data = saved(photo.convert(mode), "JPEG", quality=30, progressive=True)
    again = opened(rewritten(data))
    assert (again.format, again.mode) == ("JPEG", mode)
    assert again.info["progressive"]
    change = np.asarray(again, int) - np.asarray(opened(data), int)
    assert np.abs(change).mean() < 2


@pytest.mark.skipif(not features.check("webp"), reason="Pillow without WebP")
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("lossless", [True, False])
def test_webp_stays_webp_and_lossless_if_it_was(photo, mode, lossless):
    picture = photo.copy()
    if mode == "RGBA":
        picture.putalpha(Image.linear_gradient("L").resize(photo.size))
    data = saved(picture, "WEBP", lossless=lossless, exact=True, exif=exif(1))
    assert _files.is_lossless(data) == lossless
    again = rewritten(data)
    assert _files.is_lossless(again) == lossless
    assert opened(again).mode == mode
    if lossless:
        assert_array_equal(np.asarray(opened(again)), np.asarray(picture))


@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)])
def test_png_of_16_bits_keeps_them(deep, channels):
    pixels = deep(7, 9, *channels)
    picture = open_picture(_png.write_deep(pixels))
    assert picture.colours.dtype == np.uint16
    n_colours = 1 if channels in ((), (2,)) else 3
    expected = pixels.reshape(7, 9, -1)[..., :n_colours]
    assert_array_equal(picture.colours.reshape(7, 9, -1), expected)
    again = picture.with_colours(picture.colours)
    assert _png.bit_depth(again) == 16
    assert_array_equal(open_picture(again).colours, picture.colours)
    assert_array_equal(open_picture(again)._alpha, picture._alpha)


def test_png_of_16_bits_is_read_by_others(deep):
    pixels = deep(7, 9, 3)
    high = np.asarray(opened(_png.write_deep(pixels)))  # Pillow takes the high byte
    assert_array_equal(high, pixels >> 8)
    grey = np.asarray(opened(_png.write_deep(pixels[..., 0])))
    assert_array_equal(grey, pixels[..., 0])


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_deep_tiff_keeps_its_depth(deep, dtype, channels, compression):
    pixels = deep(7, 9, *channels).astype(dtype)
    options = {"photometric": "rgb" if channels in ((3,), (4,)) else "minisblack"}
    if channels in ((2,), (4,)):
        options["extrasamples"] = ["unassalpha"]
    again = rewritten(tiff(pixels, compression=compression, **options))
    with tifffile.TiffFile(io.BytesIO(again)) as file:
        page = file.pages.first
        assert_array_equal(page.asarray(), pixels, strict=True)
        assert (page.compression == 1) == (compression is None)
        assert len(page.extrasamples) == (channels in ((2,), (4,)))


def test_planes_of_a_deep_tiff_become_channels(deep):
    planes = deep(3, 7, 9)
    data = tiff(planes, photometric="rgb", planarconfig="separate")
    assert_array_equal(open_picture(data).colours, np.moveaxis(planes, 0, 2))


@pytest.mark.parametrize(
    ("dtype", "n_channels", "n_extra"),
    [(np.int8, 1, 0), (np.int8, 3, 0), (np.uint8, 4, 1), (np.uint8, 5, 2)],
)
def test_a_tiff_of_8_bits_that_pillow_would_spoil_is_not(
    deep, tmp_path, dtype, n_channels, n_extra
):
    pixels = deep(7, 9, n_channels).astype(dtype).squeeze()
    options = {"photometric": "rgb" if n_channels > 1 else "minisblack"}
    data = tiff(pixels, **options, extrasamples=["unspecified"] * n_extra)
    (tmp_path / "a.tif").write_bytes(data)
    for array in (rewritten(data), data):
        assert_array_equal(tifffile.imread(io.BytesIO(array)), pixels, strict=True)
    assert_array_equal(read_image(tmp_path / "a.tif"), pixels, strict=True)


def test_a_palette_becomes_the_colours_that_it_holds(photo):
    palette = photo.quantize(8)
    again = opened(rewritten(saved(palette, "PNG")))
    assert again.mode == "RGB"
    assert_array_equal(np.asarray(again), np.asarray(palette.convert("RGB")))


def test_a_transparent_colour_becomes_alpha(photo):
    data = saved(photo.quantize(8), "PNG", transparency=0)
    again = opened(rewritten(data))
    assert again.mode == "RGBA"
    assert_array_equal(np.asarray(again), np.asarray(opened(data).convert("RGBA")))


def test_cmyk_becomes_rgb(photo):
    red = Image.new("RGB", (16, 16), (250, 20, 30)).convert("CMYK")
    again = opened(rewritten(saved(red, "JPEG")))
    assert again.mode == "RGB"
    assert_allclose(np.asarray(again)[8, 8], (250, 20, 30), atol=4)


# Orientation --------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(10))  # 1 to 8 have a meaning
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_colours_stand_upright_and_the_file_as_before(photo, tmp_path, kind, number):
    data = saved(photo, kind, exif=exif(number), **LOSSLESS.get(kind, {}))
    (tmp_path / "a").write_bytes(data)
    picture = open_picture(data)
    assert_array_equal(picture.colours, read_image(tmp_path / "a"))
    again = opened(picture.with_colours(picture.colours))
    assert again.getexif()[0x0112] == number
    stored = np.asarray(opened(data), int)
    assert_allclose(np.asarray(again, int), stored, atol=30 if kind == "JPEG" else 0)


@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_stands_upright_and_keeps_its_rows(deep, tmp_path, dtype, number):
    pixels, tag = deep(7, 9, 3) >> 8, [(274, 3, 1, number, True)]
    data = tiff(pixels.astype(dtype), photometric="rgb", extratags=tag)
    (tmp_path / "a.tif").write_bytes(data)
    picture = open_picture(data)
    turned = opened(tiff(pixels.astype(np.uint8), photometric="rgb", extratags=tag))
    for upright in (picture.colours, read_image(tmp_path / "a.tif")):
        assert_array_equal(upright, turned)
    assert read_image_size(tmp_path / "a.tif") == picture.colours.shape[:2]
    again = picture.with_colours(picture.colours)
    with tifffile.TiffFile(io.BytesIO(again)) as file:
        assert_array_equal(file.pages.first.asarray(), pixels)
        assert file.pages.first.tags.valueof(274, 1) == number


def test_alpha_is_not_turned_twice(photo):
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    data = saved(photo, "PNG", exif=exif(6))
    assert_array_equal(np.asarray(opened(rewritten(data))), np.asarray(photo))


# What stands beside the pixels --------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_profile_and_resolution_stay(photo, kind):
    extra = {"exif": exif(1), "icc_profile": PROFILE, "dpi": (300, 300)}
    before = opened(saved(photo, kind, **extra))
    after = opened(rewritten(saved(photo, kind, **extra)))
    assert after.info["icc_profile"] == PROFILE
    assert after.info.get("dpi") == before.info.get("dpi")
    assert after.getexif()[0x010F] == "A camera"
    inside = after.getexif().get_ifd(0x8769)
    assert inside == before.getexif().get_ifd(0x8769)
    assert inside[0x9003] == "2026:01:01 00:00:00"


def test_texts_and_gamma_of_a_png_stay(photo):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Author", "me")
    info.add(b"gAMA", (45455).to_bytes(4, "big"))
    again = opened(rewritten(saved(photo, "PNG", pnginfo=info)))
    assert again.text == {"Author": "me"}
    assert again.info["gamma"] == pytest.approx(0.45455)


def test_what_stands_beside_16_bits_stays(deep):
    data = _png.write_deep(deep(7, 9, 3))
    extra = _png.as_chunk(b"pHYs", b"\0\0\x2e\x23\0\0\x2e\x23\1")
    data = data[:33] + extra + data[33:]  # behind the header
    assert opened(rewritten(data)).info["dpi"] == pytest.approx((300, 300), abs=0.01)


def test_descriptions_of_a_deep_tiff_stay(deep):
    data = tiff(
        deep(7, 9, 3),
        photometric="rgb",
        description="A cat",
        software="A scanner",
        resolution=(600, 600),
        resolutionunit=2,
        iccprofile=PROFILE,
        extratags=[(274, 3, 1, 6, True), (315, 2, 0, "me", True)],
    )
    with tifffile.TiffFile(io.BytesIO(rewritten(data))) as file:
        tags = file.pages.first.tags
        values = {code: tags[code].value for code in (270, 274, 282, 305, 315, 34675)}
    expected = ["A cat", 6, (600, 1), "A scanner", "me", PROFILE]
    assert list(values.values()) == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_texts_of_a_tiff_stay_byte_by_byte(deep, dtype, encoding):
    text = "5 µm, Müller".encode(encoding) + b"\0"
    tags = [(code, 2, 0, text, True) for code in (270, 315)]
    data = tiff(deep(7, 9, 3).astype(dtype), photometric="rgb", extratags=tags)
    again = rewritten(data)
    with tifffile.TiffFile(io.BytesIO(again)) as file:
        tags = file.pages.first.tags
        assert [_tiff.text_of(tags[code], again) for code in (270, 315)] == [text] * 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("n_channels", [2, 4])
def test_a_tiff_of_floats_keeps_what_it_can_hold(deep, kind, dtype, n_channels):
    pixels = deep(7, 9, n_channels).astype(dtype)
    if kind == "TIFF":
        options = {"resolution": (300, 300), "resolutionunit": 2, "compression": "zlib"}
        options["photometric"] = "rgb" if n_channels == 4 else "minisblack"
        options |= {"extrasamples": ["unassalpha"], "iccprofile": PROFILE}
        data = tiff(pixels, **options, extratags=[(274, 3, 1, 6, True)])
    else:
        extra = {"exif": exif(6), "icc_profile": PROFILE, "dpi": (300, 300)}
        original = saved(Image.new("L", (9, 7)), "PNG", **extra)
        if dtype == np.uint16:
            plain = _png.write_deep(pixels)
        else:
            plain = saved(Image.fromarray(pixels), "PNG")
        data = _png.carry_over(original, plain)
    picture = open_picture(data)
    full = np.float32(np.iinfo(pixels.dtype).max)
    colours = picture.colours / full
    colours[1, 2] = np.nan
    again = picture.with_colours(colours)
    assert_array_equal(open_picture(again).colours, colours, strict=True)
    with tifffile.TiffFile(io.BytesIO(again)) as file:
        page = file.pages.first
        assert_array_equal(page.asarray()[..., -1], pixels[..., -1] / full)
        assert page.extrasamples == (2,)
        assert page.tags[34675].value == PROFILE
        assert page.tags[274].value == 6
        assert page.get_resolution(2) == pytest.approx((300, 300), abs=0.01)


def test_inks_with_a_broken_profile_are_read_without_it(photo):
    inks = photo.convert("CMYK")
    expected = open_picture(saved(inks, "JPEG")).colours
    for profile in (b"junk" * 40, PROFILE):  # the second is one of RGB
        data = saved(inks, "JPEG", icc_profile=profile)
        assert_array_equal(open_picture(data).colours, expected)


def test_the_profile_of_inks_is_used_and_left_out(photo, monkeypatch):
    calls = []

    def convert(picture, profile, screen, outputMode):
        calls.append(picture.mode)
        return picture.convert(outputMode)

    monkeypatch.setattr(ImageCms, "profileToProfile", convert)
    data = saved(photo.convert("CMYK"), "JPEG", icc_profile=PROFILE)
    assert "icc_profile" not in opened(rewritten(data)).info
    assert calls == ["CMYK"]


# What is refused ----------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"I am no picture.", b"RIFF....WAVE"])
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(ValueError, match=r"it is (empty|no picture): expected one"):
        open_picture(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_truncated_file_is_refused(photo, kind, share):
    data = saved(photo.resize((64, 64)), kind)
    with pytest.raises(ValueError, match="it can't be read as a picture: "):
        open_picture(data[: int(share * len(data))])


@pytest.mark.parametrize(
    "data",
    [
        saved(Image.new("RGB", (30, 40)), "PNG"),
        saved(Image.new("RGB", (30, 40)), "JPEG"),
        tiff(np.zeros((40, 30, 3), np.uint16), photometric="rgb"),
    ],
    ids=["PNG", "JPEG", "deep TIFF"],
)
def test_a_bomb_is_refused_before_it_is_unpacked(data, monkeypatch):
    from PIL import ImageFile

    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    monkeypatch.setattr(_tiff, "read_deep", None)
    with pytest.raises(ValueError, match=r"30 x 40 pixels, more than max_pixels=1,199"):
        open_picture(data, max_pixels=1199)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP"])
def test_the_limit_can_be_lifted_beyond_that_of_pillow(monkeypatch, kind):
    data = saved(Image.new("RGB", (30, 40)), kind)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # it would raise at twice that
    assert open_picture(data, max_pixels=1200).colours.shape == (40, 30, 3)
    assert open_picture(data, max_pixels=None).colours.shape == (40, 30, 3)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_several_pictures_in_a_file_are_refused(photo):
    for kind in ("TIFF", "WEBP", "PNG"):
        data = saved(photo, kind, save_all=True, append_images=[photo.rotate(90)])
        with pytest.raises(ValueError, match="it holds 2 pictures"):
            open_picture(data)
    data = tiff(np.zeros((2, 5, 7), np.uint16), photometric="minisblack")
    with pytest.raises(ValueError, match="it holds 2 pages"):
        open_picture(data)


def test_of_a_cameras_mpo_the_first_picture_is_taken(photo):
    data = saved(photo, "MPO", save_all=True, append_images=[photo.rotate(90)])
    again = opened(rewritten(data))
    assert again.format == "JPEG"
    assert_allclose(np.asarray(again, int), np.asarray(opened(data), int), atol=12)


def test_tiffs_of_inks_in_16_bits_are_refused(deep):
    data = tiff(deep(7, 9, 4), photometric="separated")
    with pytest.raises(ValueError, match=r"TIFF of kind SEPARATED .* expected grey"):
        open_picture(data)
