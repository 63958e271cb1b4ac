"""JPEG compression is that of libjpeg."""

import io
import itertools

import numpy as np
import pytest
import torch
from helpers import tensor
from numpy.testing import assert_allclose
from PIL import Image
from skimage import data

from colorvae_sk import JPEGCompression, psnr_score

PICTURES = {
    "even astronaut": data.astronaut()[30:158, 150:284],
    "odd cat": data.chelsea()[50:151, 100:213],
    "odd coffee": data.coffee()[100:197, 250:383],
    "narrow": data.astronaut()[100:117, 200:203],
    "flat": data.chelsea()[60:63, 100:205],
    "corners of the colour cube": np.kron(
        np.array(list(itertools.product((0, 255), repeat=3)), np.uint8)[None],
        np.ones((20, 21, 1), np.uint8),
    ),
    "pixel": data.astronaut()[100:101, 200:201],
}


def by_pillow(picture, quality, subsampling="4:2:0"):
    """Write a JPEG file with libjpeg and read it."""
    file = io.BytesIO()
    options = {"quality": quality, "subsampling": subsampling}
    Image.fromarray(picture).save(file, "JPEG", **options)
    return np.asarray(Image.open(file)).astype(float)


@pytest.mark.parametrize("quality", [1, 5, 10, 30, 50, 80, 95, 100])
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4"])
@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_jpeg_is_that_of_pillow(picture, quality, subsampling):
    compressed = JPEGCompression(quality, subsampling).transform([picture])[0]
    difference = np.abs(compressed - by_pillow(picture, quality, subsampling))
    assert difference.mean() < 0.4  # grey levels; measured: 0.19, 0.33 if narrow


@pytest.mark.parametrize("quality", [5, 10, 30, 50, 80, 95])
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
@pytest.mark.parametrize("name", ["even astronaut", "odd cat"])
def test_jpeg_is_as_far_from_the_picture_as_that_of_pillow(name, subsampling, quality):
    picture = PICTURES[name]
    ours = JPEGCompression(quality, subsampling).transform([picture])[0]
    theirs = by_pillow(picture, quality, subsampling)
    scores = [psnr_score([picture], [jpeg.astype(np.uint8)]) for jpeg in (ours, theirs)]
    assert abs(scores[0] - scores[1]) < 0.1  # dB


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2"])
def test_jpeg_ends_where_that_of_pillow_does(subsampling):
    picture = PICTURES["even astronaut"]
    compressed = JPEGCompression(30, subsampling).transform([picture])[0]
    difference = np.abs(compressed - by_pillow(picture, 30, subsampling))
    assert max(difference[:, -1].mean(), difference[-1].mean()) < 0.05


@pytest.mark.parametrize("quality", [5, 30, 80])
def test_jpeg_of_a_grey_picture_is_that_of_pillow(quality):
    picture = np.ascontiguousarray(PICTURES["odd cat"][..., 1])
    compressed = JPEGCompression(quality).transform([picture])[0]
    assert np.abs(compressed - by_pillow(picture, quality)).mean() < 0.2


def test_each_image_of_a_batch_is_compressed_by_its_own_quality(photos):
    jpeg, qualities = JPEGCompression((1, 100)), [1, 8, 30, 50, 77, 100]
    jpeg._draw_integer = lambda *_: torch.tensor(qualities).reshape(-1, 1, 1, 1)
    batch = jpeg._degrade(tensor(photos), None)
    for i, quality in enumerate(qualities):
        alone = JPEGCompression(quality).transform(photos[i : i + 1])
        assert_allclose(batch[i : i + 1], np.moveaxis(alone, -1, 1), atol=1e-6)


def test_jpeg_of_floats_clips_and_rounds_them_first(photos_uint8):
    values = photos_uint8 / 255
    values[0, :4], values[1, :4] = 1.7, -0.4
    stored = np.round(values.clip(0, 1) * 255).astype(np.uint8)
    jpeg = JPEGCompression(60)
    assert_allclose(jpeg.transform(values) * 255, jpeg.transform(stored), atol=1e-4)
