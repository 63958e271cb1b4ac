"""Ways through latent space begin and end where they should."""

import numpy as np
import pytest
from helpers import every_architecture, tiny
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError

from colorvae_sk._latents import between

CODES = np.random.default_rng(0).normal(size=(2, 3, 5))


def test_way_begins_and_ends_at_the_codes():
    assert_allclose(between(*CODES, 0.0), CODES[0])
    assert_allclose(between(*CODES, 1.0), CODES[1])


def test_way_follows_a_great_circle():
    first, second = np.array([[2.0, 0, 0]]), np.array([[0, 4.0, 0]])
    half = 3 * np.sqrt([0.5, 0.5, 0])
    assert_allclose(between(first, second, 0.5), half[None], atol=1e-12)
    angles = [
        np.arctan2(*between(first, second, share)[0, 1::-1]) for share in (0.25, 0.5)
    ]
    assert_allclose(angles, np.pi / 2 * np.array([0.25, 0.5]))


@pytest.mark.parametrize("second", [[0.0, 0.0], [2.0, 4.0], [-1.0, -2.0]])
def test_way_is_straight_where_there_is_no_circle(second):
    first, second = np.array([[1.0, 2.0]]), np.array([second])
    assert_allclose(between(first, second, 0.25), 0.75 * first + 0.25 * second)


@every_architecture
def test_interpolation_is_the_decoded_way(architecture, photos):
    vae = tiny(architecture).fit(photos)
    pictures = vae.interpolate(photos[:2], photos[2:4], n_steps=3)
    assert pictures.shape == (3, 2, 16, 16, 3) and pictures.dtype == np.float32
    first, second = vae.encode(photos[:2]), vae.encode(photos[2:4])
    size = (16, 16)
    assert_allclose(pictures[0], vae.decode(first, size), atol=1e-6)
    middle = vae.decode(between(first, second, 0.5), size)
    assert_allclose(pictures[1], middle, atol=1e-6)
    assert_allclose(pictures[2], vae.decode(second, size), atol=1e-6)


def test_interpolation_gives_rows_for_rows_and_integers_for_integers(photos_uint8):
    rows = photos_uint8.reshape(6, -1)
    vae = tiny("conv", image_shape=(16, 16, 3)).fit(rows)
    pictures = vae.interpolate(rows[:1], rows[1:2], 2)
    assert pictures.shape == (2, 1, 768) and pictures.dtype == np.uint8


def test_ladder_goes_between_pictures_of_any_size(photos):
    vae = tiny("ladder").fit(photos)
    assert vae.interpolate(photos[:1, :11], photos[1:2, :11], 2).shape[2:4] == (11, 16)


def test_ends_must_agree(photos):
    vae = tiny("ladder").fit(photos)
    with pytest.raises(ValueError, match=r"2 image\(s\), but X_second has 3"):
        vae.interpolate(photos[:2], photos[:3])
    with pytest.raises(ValueError, match=r"\(16, 16\), but in X_second \(15, 16\)"):
        vae.interpolate(photos[:2], photos[:2, :15])
    with pytest.raises(ValueError, match="n_steps == 1, must be >= 2"):
        vae.interpolate(photos[:2], photos[:2], 1)
    with pytest.raises(TypeError, match="n_steps must be an instance of int"):
        vae.interpolate(photos[:2], photos[:2], 2.5)
    with pytest.raises(NotFittedError):
        tiny().interpolate(photos, photos)
