"""Behind the page: pictures keep what they are, and what is shown is what is there."""

import io

import numpy as np
import pytest
import tifffile
from helpers import tiny
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from colorvae_sk import _page, _png, folders
from colorvae_sk._files import open_picture
from colorvae_sk._page import Restoration, Table, area_around, blend


@pytest.fixture(scope="module")
def vae(photos_uint8):
    return tiny(max_epochs=1).fit(photos_uint8)


def file_of(pixels, kind="PNG", **options):
    """A picture file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def tiff_of(pixels):
    """A TIFF file of any depth."""
    file = io.BytesIO()
    kind = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(file, pixels, photometric=kind)
    return file.getvalue()


def deep(photo):
    """A photo of 16 bits, with values that 8 bits lack."""
    return photo.astype(np.uint16) * 257 + np.uint16(3) * (photo < 255)


def turned():
    """EXIF of a camera that was held on its side."""
    exif = Image.Exif()
    exif[0x112] = 6
    return exif


@pytest.fixture
def files(photos_uint8):
    """One photo, 16 x 12, in files of many kinds."""
    photo = photos_uint8[0][:, :12]
    floats = (photo / 255).astype(np.float32)
    alpha = np.arange(16 * 12, dtype=np.uint8).reshape(16, 12, 1)
    floats[2, 3] = np.nan
    return {
        "8 bits": file_of(photo),
        "16 bits": _png.write_deep(deep(photo)),
        "TIFF of 16 bits": tiff_of(deep(photo)),
        "TIFF of floats": tiff_of(floats),
        "grey": file_of(photo[..., 0]),
        "grey of 16 bits": tiff_of(deep(photo[..., 0])),
        "alpha": file_of(np.dstack([photo, alpha])),
        "turned JPEG": file_of(photo, "JPEG", quality=95, exif=turned()),
        "black and white": file_of(photo[..., 0] > 90),
    }


KINDS = ["8 bits", "16 bits", "TIFF of 16 bits", "TIFF of floats", "grey"]
KINDS += ["grey of 16 bits", "alpha", "turned JPEG", "black and white"]


def shown(restoration, *args, **options):
    """What the page shows, as an array."""
    return np.asarray(Image.open(io.BytesIO(restoration.shown(*args, **options))))


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_is_what_the_command_line_writes(vae, files, kind):
    restoration = Restoration(vae, files[kind])
    assert restoration.file() == folders.restore_bytes(vae, files[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_size_and_depth_stay_at_any_strength(vae, files, kind):
    before = open_picture(files[kind])
    restoration = Restoration(vae, files[kind])
    for strength in (0, 0.5, 1):
        after = open_picture(restoration.file(0, strength))
        assert after.colours.shape == before.colours.shape
        assert after.colours.dtype == before.colours.dtype
    width, height = (restoration.facts()[side] for side in ("width", "height"))
    assert before.colours.shape[:2] == (height, width)


def test_alpha_stays(vae, files):
    before, after = files["alpha"], Restoration(vae, files["alpha"]).file(0, 0.5)
    alphas = [np.asarray(Image.open(io.BytesIO(f)))[..., 3] for f in (before, after)]
    assert_array_equal(*alphas)


def test_samples_are_those_of_the_model(vae, files):
    restoration = Restoration(vae, files["16 bits"])
    assert [restoration.sample(), restoration.sample()] == [1, 2]
    for number in (1, 2):
        expected = vae.sample_posterior([restoration.damaged], random_state=number)
        written = open_picture(restoration.file(number)).colours
        assert_array_equal(written, expected[0][0])
    assert (restoration.version(1) != restoration.version(2)).any()


def test_samples_are_few(vae, files):
    restoration = Restoration(vae, files["grey"])
    for _ in range(_page.N_SAMPLES):
        restoration.sample()
    with pytest.raises(ValueError, match="No more than 4"):
        restoration.sample()
    with pytest.raises(KeyError, match="no restoration 5"):
        restoration.file(5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_strength_leads_from_the_one_to_the_other(dtype, monkeypatch):
    monkeypatch.setattr(_page, "STRIP", 3)
    rng = np.random.default_rng(0)
    pair = [(200 * rng.random((8, 5, 3))).astype(dtype) for _ in range(2)]
    assert_array_equal(blend(*pair, 0), pair[0])
    assert_array_equal(blend(*pair, 1), pair[1])
    quarter = 0.75 * pair[0].astype(float) + 0.25 * pair[1]
    blended = blend(*pair, 0.25)
    assert blended.dtype == dtype
    atol = 1e-4 if dtype == np.float32 else 0.5
    assert_allclose(blended.astype(float), quarter, rtol=0, atol=atol)


def test_holes_are_filled_at_any_strength():
    damaged = np.array([[0.0, np.nan]], np.float32)
    restored = np.array([[1.0, 1.0]], np.float32)
    assert_allclose(blend(damaged, restored, 0.3), [[0.3, 1.0]])


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_is_a_share(strength):
    with pytest.raises(ValueError, match="strength from 0 to 1"):
        blend(np.zeros((2, 2)), np.zeros((2, 2)), strength)


def test_what_is_shown_of_deep_pictures_has_8_bits(vae, files, photos_uint8):
    photo = photos_uint8[0][:, :12]
    for kind in ("8 bits", "16 bits", "TIFF of 16 bits"):
        assert_array_equal(shown(Restoration(vae, files[kind]), "before"), photo)


def test_what_is_missing_is_transparent(vae, files, photos_uint8):
    before = shown(Restoration(vae, files["TIFF of floats"]), "before")
    expected = np.full((16, 12), 255)
    expected[2, 3] = 0
    assert_array_equal(before[..., 3], expected)
    seen = expected > 0
    assert_array_equal(before[..., :3][seen], photos_uint8[0][:, :12][seen])


def test_a_part_is_shown_pixel_by_pixel(vae, files):
    restoration = Restoration(vae, files["8 bits"])
    area = area_around((16, 12), 1.0, 0.5, 6, 4)
    assert_array_equal(shown(restoration, 0, area), restoration.versions[0][5:11, 8:])


def test_the_whole_is_shrunk(vae, files):
    restoration = Restoration(vae, files["8 bits"])
    for layer in ("before", "error", 0):
        assert shown(restoration, layer, side=8).shape[:2] == (8, 6)


def test_error_bars_are_those_of_the_model(vae, files):
    restoration = Restoration(vae, files["16 bits"])
    _, (std,) = vae.predict([restoration.damaged], return_std=True)
    expected = std.mean(axis=2) / 65535
    assert_allclose(restoration.std, expected, rtol=2e-3)
    below = (restoration.std < restoration.largest).mean()
    assert below - 0.01 < 0.95 < (restoration.std <= restoration.largest).mean() + 0.01
    opacity = shown(restoration, "error")[..., 3].astype(int)
    order = np.argsort(expected.ravel())
    assert np.diff(opacity.ravel()[order]).min() >= -1
    assert opacity.max() == _page.RAMP[-1, 3]


@pytest.mark.parametrize("x", [-1, 0, 0.3, 1, 7])
@pytest.mark.parametrize("sides", [(4, 5), (100, 1), (0, -3)])
def test_a_part_lies_within_the_picture(x, sides):
    rows, columns = area_around((9, 20), x, 0.5, *sides)
    assert 0 <= rows.start < rows.stop <= 9
    assert 0 <= columns.start < columns.stop <= 20


def test_few_pictures_are_kept(vae, files):
    table = Table(vae)
    keys = [table.restore(files["8 bits"]) for _ in range(_page.N_KEPT)]
    table.find(keys[0])  # so that the second is the one unused for longest
    keys.append(table.restore(files["grey"]))
    assert len(table) == _page.N_KEPT
    assert table.find(keys[2]).damaged.ndim == 2
    assert table.find(keys[0]).damaged.ndim == 3
    with pytest.raises(KeyError, match="put away"):
        table.find(keys[1])


def test_no_picture_is_kept_forever(vae, files, monkeypatch):
    table, now = Table(vae), [0.0]
    monkeypatch.setattr(_page.time, "monotonic", lambda: now[0])
    table.restore(files["8 bits"])
    for now[0], n_kept in [(_page.IDLE, 1), (_page.IDLE + 1, 0)]:
        table.forget_idle()
        assert len(table) == n_kept


def test_what_can_not_be_restored_is_refused(vae, files):
    with pytest.raises(ValueError, match="it is no picture"):
        Table(vae).restore(b"hello")
    with pytest.raises(ValueError, match="more than max_pixels=100"):
        Table(vae, max_pixels=100).restore(files["8 bits"])
    with pytest.raises(ValueError, match="values, of dtype float32"):
        Table(vae).restore(
            tiff_of(np.linspace(0, 900, 768).reshape(16, 16, 3).astype("f4"))
        )


def test_progress_is_told_and_ends_with_the_whole(vae):
    large = np.zeros((1600, 500, 3), np.uint8)
    shares = []
    restoration = Restoration(vae, file_of(large), watch=shares.append)
    assert len(shares) > 2 and shares == sorted(shares)
    assert shares[-1] == 1
    shares.clear()
    restoration.sample()
    assert len(shares) > 2 and shares[-1] == 1
