"""Colour and tone: each follows its formula, and agrees with scikit-image."""

import numpy as np
import pytest
import torch
from helpers import tensor
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from skimage import color, exposure

from colorvae_sk import ColorCast, Desaturate, Fade, Quantize
from colorvae_sk.degradations import luma


def test_cast_follows_its_formula(photos):
    cast = ColorCast(gain=1.3, gamma=0.8).transform(photos)
    expected = np.round((1.3 * photos.astype(float) ** 0.8).clip(0, 1) * 255) / 255
    assert_allclose(cast, expected, atol=1e-6)


def test_cast_has_a_gain_per_channel_and_one_gamma_per_image(generator):
    tones = torch.tensor([0.3, 0.6]).reshape(1, 1, 1, 2).expand(400, 3, 1, 2)
    low, high = ColorCast()._degrade(tones, generator).unbind(dim=3)
    gamma = (torch.log(high / low) / np.log(2))[..., 0]
    gain = low[..., 0] / 0.3**gamma
    clear = (high[..., 0] < 1).all(dim=1)  # no channel was clipped
    assert clear.sum() > 200
    # 8 bits leave the exponents of the channels equal to a few hundredths
    assert gamma[clear].std(dim=1).max() < 0.05
    assert gain[clear].std(dim=1).mean() > 0.1
    assert 0.65 < gamma[clear].min() < 0.8 and 1.3 < gamma[clear].max() < 1.45
    assert 0.55 < gain[clear].min() < 0.65 and gain[clear].max() < 1.5


def test_cast_takes_values_below_zero_for_black():
    values = np.array([[[[-0.2, 0.0, 0.5]]]])
    assert_allclose(ColorCast(1, 0.5).transform(values)[0, 0, 0, :2], 0)


def test_fade_follows_its_formula(photos):
    faded = Fade(contrast=0.6, saturation=0.3, pivot=0.55).transform(photos)
    photos = photos.astype(float)
    grey = photos @ [0.299, 0.587, 0.114]
    pale = grey[..., None] + 0.3 * (photos - grey[..., None])
    expected = np.round((0.55 + 0.6 * (pale - 0.55)) * 255) / 255
    rounded_elsewhere = np.abs(faded - expected) > 1e-6  # halves, in float32
    assert rounded_elsewhere.mean() < 0.01
    assert_allclose(faded, expected, atol=1.01 / 255)


def test_fade_without_saturation_leaves_grey(photos):
    faded = Fade(saturation=0).transform(photos)
    assert_allclose(faded, faded[..., :1].repeat(3, axis=3), atol=1.01 / 255)


def test_luma_leaves_out_the_channel_that_is_missing():
    pixel = torch.tensor([0.4, torch.nan, 0.8]).reshape(1, 3, 1, 1)
    expected = (0.299 * 0.4 + 0.114 * 0.8) / (0.299 + 0.114)
    assert luma(pixel).item() == pytest.approx(expected)
    assert luma(pixel[:, [0, 2]]).item() == pytest.approx(0.6)
    assert luma(pixel[:, 1:2]).isnan()


@pytest.mark.parametrize("n_levels", [2, 5, 256])
def test_quantize_leaves_so_many_levels(n_levels):
    ramp = np.linspace(-0.2, 1.2, 5000).reshape(1, 50, 100)
    rounded = Quantize(n_levels).transform(ramp)
    levels = np.linspace(0, 1, n_levels)
    assert_allclose(np.unique(rounded), levels, atol=1e-7)
    nearest = np.abs(ramp[..., None] - levels).min(axis=-1)
    assert_allclose(np.abs(ramp - rounded), nearest, atol=1e-6)


# ---------------------------------------------------------- against scikit-image


def stored(images):
    """What 8 bits keep of images."""
    return np.round(images.clip(0, 1) * 255) / 255


def luma_of_skimage(photos):
    """Luma on the [0, 1] scale, out of studio levels, which run from 16 to 235."""
    return (color.rgb2ycbcr(photos)[..., :1] - 16) / 219


@pytest.mark.parametrize("gain", [0.6, 1.0, 1.4])
@pytest.mark.parametrize("gamma", [0.7, 1.0, 2.2])
def test_cast_is_scikit_images_gamma_curve(gain, gamma, photos):
    cast = ColorCast(gain, gamma).transform(photos)
    expected = exposure.adjust_gamma(photos.astype(np.float64), gamma, gain)
    assert_allclose(cast, stored(expected), atol=1e-6)


@pytest.mark.parametrize("saturation", [0, 0.3, 1])
@pytest.mark.parametrize("contrast", [0.4, 1])
def test_fading_is_less_chroma_and_then_less_contrast(saturation, contrast, photos):
    faded = Fade(contrast, saturation, pivot=0.6).transform(photos)
    levels = color.rgb2ycbcr(photos.astype(np.float64))
    levels[..., 1:] = 128 + saturation * (levels[..., 1:] - 128)
    pale = color.ycbcr2rgb(levels)
    expected = stored(0.6 + contrast * (pale - 0.6))
    assert (np.abs(faded - expected) > 1e-5).mean() < 0.01  # halves, in float32
    assert_allclose(faded, expected, atol=1.01 / 255)


@pytest.mark.parametrize("strength", [0, 0.25, 0.5, 0.9, 1])
def test_desaturation_scales_chroma_and_keeps_luma(strength, photos):
    pale = Desaturate(strength).transform(photos)
    before, after = color.rgb2ycbcr(photos), color.rgb2ycbcr(pale)
    chroma = 128 + (1 - strength) * (before[..., 1:] - 128)
    assert_allclose(after[..., :1], before[..., :1], atol=1e-3)  # of 219 levels
    assert_allclose(after[..., 1:], chroma, atol=1e-3)


def test_desaturation_at_full_strength_leaves_the_same_luma_in_all_channels(photos):
    grey = Desaturate(1).transform(photos)
    assert_array_equal(grey[..., 1:], grey[..., :2])
    assert_allclose(grey[..., :1], luma_of_skimage(photos), atol=1e-6)


def test_desaturation_of_no_strength_or_of_grey_changes_nothing(photos):
    assert_array_equal(Desaturate(0).transform(photos), photos)
    grey = photos[..., 0]
    assert_array_equal(Desaturate(0.7).transform(grey), grey)


def test_each_image_draws_its_own_desaturation(generator):
    red = torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1).expand(1000, 3, 2, 2)
    pale = Desaturate((0.2, 0.9))._degrade(red, generator)
    assert torch.equal(pale, pale[..., :1, :1].expand_as(pale))
    strengths = pale[:, 1, 0, 0] / 0.299
    assert stats.kstest(strengths.numpy(), stats.uniform(0.2, 0.7).cdf).pvalue > 0.01


def test_desaturation_leaves_out_the_channel_that_is_missing():
    pixel = torch.tensor([0.4, torch.nan, 0.8]).reshape(1, 3, 1, 1)
    grey = Desaturate(1)._degrade(pixel, torch.Generator()).flatten()
    expected = (0.299 * 0.4 + 0.114 * 0.8) / (0.299 + 0.114)
    assert_allclose(grey, [expected, np.nan, expected], atol=1e-6)


def test_desaturation_keeps_values_that_are_not_on_the_unit_interval(generator):
    images = 3 * tensor(np.random.default_rng(0).normal(size=(2, 5, 5, 3)))
    pale = Desaturate(0.5)._degrade(images, generator)
    assert_allclose(luma(pale), luma(images), atol=1e-5)
    assert pale.min() < 0 and pale.max() > 1
