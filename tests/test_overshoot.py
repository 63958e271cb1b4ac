"""What lies far outside of [0, 1] neither breaks a restoration nor is lost."""

import numpy as np
import pytest
import torch
from helpers import flat, noise_images, tiny
from numpy.testing import assert_allclose, assert_array_equal

from colorvae_sk import GaussianNoise, load_photos, load_pretrained, psnr_score
from colorvae_sk._overshoot import NOISE, ROOM, join_overshoot, split_overshoot


@pytest.fixture(scope="module")
def natural():
    return load_pretrained(device="cpu")


@pytest.fixture(scope="module")
def crops():
    """Crops of photographs, float32 (n, 64, 64, 3)."""
    photos = [photo[100:164, 100:164] for photo in load_photos()]
    return np.float32(np.stack(photos) / 255)


def only_channel(crops, c):
    return crops * np.eye(3, dtype=np.float32)[c]


# ------------------------------------------------------------------ taking apart
def test_images_near_the_range_are_left_as_they_are():
    images = 1.4 * noise_images((20, 13)) - ROOM
    assert split_overshoot(images) == (images, None)


def test_noise_may_reach_far_out():
    noise = 0.5 * torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert noise.abs().max() > 1.5
    assert split_overshoot(1 + 0.4 * noise)[1] is None


@pytest.mark.parametrize("sign", [1, -1])
def test_high_lights_are_cut_off_in_whole_blocks(sign):
    images = flat(0.5, channels=3, size=21)
    images[:, 1, 3:21, 16:] += sign * 4.0
    inside, beyond = split_overshoot(images)
    assert_allclose(inside + beyond, images, rtol=1e-6)
    assert inside.min() >= -ROOM and inside.max() <= 1 + ROOM
    expected = images - images.clamp(-ROOM, 1 + ROOM)
    assert_allclose(beyond, expected, rtol=1e-6)


def test_a_hot_pixel_is_cut_off():
    images = flat(0.5, channels=3, size=16)
    images[0, 0, 3, 3] = 1 + NOISE + 2
    inside, beyond = split_overshoot(images)
    assert inside.max() <= 1 + NOISE
    assert np.count_nonzero(beyond) == 1


def test_what_is_missing_stays_missing_inside():
    images = flat(3.0, channels=3, size=16)
    images[..., :8, :8] = torch.nan
    images[..., 9, 9] = torch.nan
    inside, beyond = split_overshoot(images)
    assert_array_equal(inside.isnan(), images.isnan())
    assert not beyond[images.isnan()].any()


def test_what_was_cut_off_is_put_back():
    restored = torch.tensor([-9.0, 0.5, 9.0])
    assert join_overshoot(restored, None).tolist() == [-1, 0.5, 2]
    assert join_overshoot(restored, torch.tensor([0, 3.0, 0])).tolist() == [-1, 3.5, 2]


# ------------------------------------------------------------------ whole models
@pytest.mark.parametrize("scale", [2, -3, 9])
def test_pictures_far_outside_of_the_range_are_the_same_in_tiles(photos, scale):
    vae = tiny(degradation=GaussianNoise(0.1)).fit(photos)
    X = np.tile(scale * photos[:1], (1, 6, 7, 1))
    whole = vae.transform(X)
    in_tiles = vae.set_params(tile_size=8).transform(X)
    assert np.isfinite(whole).all()
    assert_allclose(in_tiles, whole, atol=1e-4)


@pytest.mark.parametrize("scale", [1.5, 2, 5])
def test_high_dynamic_range_comes_back(natural, crops, scale):
    restored = natural.transform(scale * crops)
    error = np.sqrt(np.mean((restored / scale - crops) ** 2, axis=(1, 2, 3)))
    assert np.median(error) < 0.02
    assert error.max() < 0.2


@pytest.mark.parametrize(
    "change",
    [
        *(lambda x, k=k: (k * x).clip(0, 1) for k in (1.5, 2, 3)),
        *(lambda x, c=c: only_channel(x, c) for c in range(3)),
        lambda x: 1 - x,
    ],
    ids=["1.5 x", "2 x", "3 x", "red", "green", "blue", "negative"],
)
def test_unusual_pictures_are_no_worse_for_it(natural, crops, change):
    clean = change(crops)
    noisy = GaussianNoise(0.1, random_state=0).transform(clean)
    assert psnr_score(clean, natural.transform(clean)) > 30
    assert psnr_score(clean, natural.transform(noisy)) > psnr_score(clean, noisy) + 3


def test_pictures_of_one_colour_are_left_alone(natural):
    tones = np.linspace(0, 1, 4, dtype=np.float32)
    colours = np.stack(np.meshgrid(tones, tones, tones), axis=-1).reshape(-1, 1, 1, 3)
    X = np.broadcast_to(colours, (64, 32, 32, 3))
    error = np.abs(natural.transform(X) - X).max((1, 2, 3))
    assert np.median(error) < 0.02
    assert error.max() < 0.3
