"""Noise obeys the laws of probability that its formula says."""

import numpy as np
import pytest
import torch
from helpers import flat, tensor
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from colorvae_sk import GaussianNoise, PoissonNoise, SaltPepperNoise


def test_noise_has_the_variance_asked_for_and_is_white(generator):
    noise = GaussianNoise(0.1, clip=False)._degrade(flat(0.5, 4, 3), generator) - 0.5
    channels = noise.movedim(1, 0).reshape(3, -1).numpy()
    assert stats.kstest(channels.ravel(), stats.norm(0, 0.1).cdf).pvalue > 0.01
    assert_allclose(np.cov(channels), 0.01 * np.eye(3), atol=4e-4)
    neighbours = np.corrcoef(noise[..., 1:].flatten(), noise[..., :-1].flatten())
    assert abs(neighbours[0, 1]) < 0.02


def test_each_image_draws_its_own_noise_level(generator):
    noisy = GaussianNoise((0, 0.2), clip=False)._degrade(flat(0.5, 500), generator)
    sigmas = noisy.std(dim=(1, 2, 3))
    assert stats.kstest(sigmas.numpy(), stats.uniform(0, 0.2).cdf).pvalue > 0.01


def test_clipped_noise_is_unclipped_noise_clipped(photos):
    clipped = GaussianNoise(0.5, random_state=0).transform(photos)
    unclipped = GaussianNoise(0.5, clip=False, random_state=0).transform(photos)
    assert unclipped.min() < 0 and unclipped.max() > 1
    assert_array_equal(clipped, unclipped.clip(0, 1))


# ------------------------------------------------------------------ shot noise


def test_photons_are_counted_by_the_law_of_poisson(generator):
    noisy = PoissonNoise(12, clip=False)._degrade(flat(0.4, size=200), generator)
    counts = (noisy * 12).flatten().numpy()
    assert_allclose(counts, counts.round(), atol=1e-5)
    observed = np.bincount(counts.round().astype(int), minlength=12)[:12]
    expected = stats.poisson(0.4 * 12).pmf(np.arange(12)) * len(counts)
    observed = [*observed, len(counts) - observed.sum()]
    expected = [*expected, len(counts) - expected.sum()]
    assert stats.chisquare(observed, expected).pvalue > 0.01


@pytest.mark.parametrize("peak", [1, 30, 1000, 2**24])
@pytest.mark.parametrize("tone", [0.02, 0.3, 1.0])
def test_variance_of_shot_noise_is_the_tone_over_the_peak(tone, peak, generator):
    noisy = PoissonNoise(peak, clip=False)._degrade(flat(tone, size=200), generator)
    noise, variance = noisy.double() - tone, tone / peak
    n = noise.numel()
    assert abs(noise.mean()) < 4 * np.sqrt(variance / n) + 1e-7
    # Var(s**2) = (m4 - var**2) / n, and m4 = 3 var**2 + var / peak**2 for counts.
    error = np.sqrt((2 * variance**2 + variance / peak**2) / n)
    assert abs(noise.var() - variance) < 4 * error


def test_shot_noise_is_white(generator):
    noise = PoissonNoise(20, clip=False)._degrade(flat(0.5, 4, 3), generator) - 0.5
    between_channels = np.corrcoef(noise.movedim(1, 0).reshape(3, -1))
    assert_allclose(between_channels, np.eye(3), atol=0.04)
    neighbours = np.corrcoef(noise[..., 1:].flatten(), noise[..., :-1].flatten())
    assert abs(neighbours[0, 1]) < 0.02


def test_each_image_draws_its_own_peak(generator):
    noisy = PoissonNoise((10, 100), clip=False)._degrade(flat(0.5, 500), generator)
    peaks = 0.5 / noisy.var(dim=(1, 2, 3))
    # Of 4096 pixels, the variance is known to about 2 %.
    assert 9 < peaks.min() < 12 and 90 < peaks.max() < 110
    assert stats.kstest(peaks.numpy(), stats.uniform(10, 90).cdf).pvalue > 0.01


def test_clipped_shot_noise_is_unclipped_shot_noise_clipped(photos):
    clipped = PoissonNoise(5, random_state=0).transform(photos)
    unclipped = PoissonNoise(5, clip=False, random_state=0).transform(photos)
    assert unclipped.max() > 1
    assert_array_equal(clipped, unclipped.clip(max=1))


def test_no_light_makes_no_noise(generator):
    dark = torch.tensor([-0.3, 0.0, -0.0]).reshape(1, 1, 1, 3)
    assert_array_equal(PoissonNoise(3)._degrade(dark, generator), 0 * dark)


# ------------------------------------------------------------- salt and pepper


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.9])
@pytest.mark.parametrize("salt", [0.1, 0.5, 0.8])
def test_shares_of_white_and_black_pixels_are_those_asked_for(
    fraction, salt, generator
):
    noise = SaltPepperNoise(fraction, salt)
    struck = noise._degrade(flat(0.5, n=10), generator)
    white, black = (struck == 1).sum().item(), (struck == 0).sum().item()
    assert stats.binomtest(white + black, struck.numel(), fraction).pvalue > 0.001
    assert stats.binomtest(white, white + black, salt).pvalue > 0.001


def test_struck_pixels_are_so_in_all_channels_and_others_are_as_before(
    photos, generator
):
    images = tensor(photos)
    struck = SaltPepperNoise(0.4)._degrade(images, generator)
    changed = (struck != images).any(dim=1)
    whole = (struck == struck[:, :1]).all(dim=1) & ((struck == 0) | (struck == 1))[:, 0]
    assert 0.3 < changed.float().mean() < 0.5
    assert whole[changed].all()


@pytest.mark.parametrize(("salt", "colours"), [(0.0, [0]), (1, [1]), (0.5, [0, 1])])
def test_everything_can_be_struck_by_either_alone(salt, colours, generator):
    struck = SaltPepperNoise(1, salt)._degrade(flat(0.5), generator)
    assert struck.unique().tolist() == colours


def test_nothing_is_struck_at_fraction_zero(photos):
    assert_array_equal(SaltPepperNoise(0).transform(photos), photos)


def test_each_image_draws_its_own_share_of_salt_and_pepper(generator):
    noise = SaltPepperNoise((0.2, 0.6), (0, 1))
    struck = noise._degrade(flat(0.5, 500), generator)
    fraction = (struck != 0.5).float().mean(dim=(1, 2, 3))
    salt = (struck == 1).float().mean(dim=(1, 2, 3)) / fraction
    assert stats.kstest(fraction.numpy(), stats.uniform(0.2, 0.4).cdf).pvalue > 0.01
    assert stats.kstest(salt.numpy(), stats.uniform(0, 1).cdf).pvalue > 0.01


def test_struck_pixels_lie_anywhere(generator):
    struck = SaltPepperNoise(0.3)._degrade(flat(0.5, 2000, size=5), generator)
    counts = (struck != 0.5).sum(dim=(0, 1)).flatten().numpy()
    bounds = stats.binom(2000, 0.3).ppf([1e-4, 1 - 1e-4])
    assert (counts > bounds[0]).all() and (counts < bounds[1]).all()


def test_missing_channel_stays_missing_where_a_pixel_is_struck(generator):
    images = torch.tensor([0.5, torch.nan, 0.5]).reshape(1, 3, 1, 1)
    struck = SaltPepperNoise(1, salt=1)._degrade(images, generator).flatten()
    assert_array_equal(struck, [1, np.nan, 1])
