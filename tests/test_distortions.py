"""The losses to choose from: against formulas, metrics and finite differences."""

import math

import numpy as np
import pytest
import torch
from helpers import tensor, tiny
from numpy.testing import assert_allclose
from skimage.color import deltaE_ciede2000, rgb2lab
from test_metrics import SHARMA
from torch.autograd import gradcheck

from colorvae_sk import ms_ssim_score, ssim_score
from colorvae_sk._ciede2000 import squared_difference, squared_lab_difference
from colorvae_sk._distortions import LOSSES, ms_ssim
from colorvae_sk.losses import LENIENT, STRICT

every_loss = pytest.mark.parametrize("loss", LOSSES)


@pytest.fixture
def pair(photos):
    """Restored and clean photos (3, 3, 16, 16), float64, with a hole in the last."""
    clean = tensor(photos[:3]).double()
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    restored = clean + 0.05 * noise.double()
    clean[2, 1, 4:9, 3:7] = torch.nan
    return restored, clean


def with_margin(images, n):
    """Missing pixels around images (n, C, H, W), as metrics see them."""
    images = np.moveaxis(images.numpy(), 1, -1)
    sides = [(0, 0), (n, n), (n, n), (0, 0)]
    return np.pad(images, sides, constant_values=np.nan)


def test_gaussian_is_that_of_the_best_variance(pair):
    restored, clean = pair
    mse = np.nanmean((restored - clean).numpy() ** 2, axis=(1, 2, 3))
    assert_allclose(LOSSES["gaussian"](*pair, STRICT), 0.5 * np.log(mse + STRICT))


def test_laplace_is_that_of_the_best_scale(pair):
    restored, clean = pair
    size = np.sqrt((restored - clean).numpy() ** 2 + STRICT)
    expected = np.log(np.nanmean(size, axis=(1, 2, 3)))
    assert_allclose(LOSSES["laplace"](*pair, STRICT), expected)


def test_one_scale_is_ssim_whose_windows_miss_what_is_outside(pair):
    score, seen = ms_ssim(*pair)
    images = [with_margin(x, 5) for x in pair]
    expected = [
        ssim_score(c[None], r[None], clip=False) for r, c in zip(*images, strict=True)
    ]
    assert seen.all()
    assert_allclose(score.mean(1), expected, atol=1e-9)


def test_two_scales_are_ms_ssim(generator):
    clean = torch.rand(2, 3, 22, 22, generator=generator, dtype=torch.float64)
    restored = clean + 0.1 * torch.rand(clean.shape, generator=generator)
    clean[1, :, 3:8, 5] = torch.nan
    images = [with_margin(x, 10) for x in (restored, clean)]  # 42 pixels: two scales
    expected = [
        ms_ssim_score(c[None], r[None], clip=False)
        for r, c in zip(*images, strict=True)
    ]
    assert_allclose(ms_ssim(restored, clean)[0].mean(1), expected, atol=1e-9)


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 45), (90, 176)])
def test_equal_images_of_any_size_have_full_structure(size, generator):
    images = torch.rand(1, 3, *size, generator=generator)
    assert_allclose(ms_ssim(images, images)[0], 1, atol=1e-5)


def test_frequency_hears_strengths_and_not_phases(pair):
    _, clean = pair
    clean = clean[:2]
    shifted = clean.roll(3, dims=-1)
    flattened = 0.5 * (clean + clean.roll(1, dims=-1))
    gaussian, frequency = LOSSES["gaussian"], LOSSES["frequency"]

    def term(restored):
        both = 2 * frequency(restored, clean, STRICT)
        return both - gaussian(restored, clean, STRICT)

    assert_allclose(term(shifted), 0.5 * math.log(STRICT), atol=1e-3)
    assert (term(flattened) > term(shifted) + 1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_colour_difference_is_ciede2000(dtype):
    rng = np.random.default_rng(1)  # without opposite hues, between which it jumps
    first, second = rng.random((2, 300, 1, 3))
    second[:100] = (first + rng.normal(0, 0.01, first.shape))[:100].clip(0, 1)
    expected = deltaE_ciede2000(rgb2lab(first), rgb2lab(second))
    tensors = (
        torch.tensor(x.T.reshape(1, 3, 300, 1), dtype=dtype) for x in (first, second)
    )
    result = squared_difference(*tensors).sqrt()[0]
    assert_allclose(result.numpy(), expected, atol=0.02, rtol=2e-3)


def test_colour_difference_is_that_of_the_published_table():
    near = np.isin(np.abs(SHARMA[:, [1, 2, 4, 5]]), [0.0009, 0.001, 0.0011, 0.0012])
    away = ~near.any(1)  # from opposite hues, where it jumps
    *labs, expected = torch.tensor(SHARMA[away]).T
    result = squared_lab_difference(labs[:3], labs[3:]).sqrt()
    assert len(expected) >= 25
    assert_allclose(result, expected, atol=0.011)  # that is grey


@every_loss
def test_errors_that_shrink_cost_less_by_about_their_logarithm(loss, pair):
    restored, clean = pair
    clean = clean[:2]
    closer = clean + (restored[:2] - clean) / math.e
    gained = LOSSES[loss](restored[:2], clean, 1e-12)
    gained = gained - LOSSES[loss](closer, clean, 1e-12)
    assert ((gained > 0.6) & (gained < 1.1)).all()


@every_loss
def test_missing_values_do_not_matter(loss, pair):
    restored, clean = pair
    before = LOSSES[loss](restored, clean, STRICT)
    restored = torch.where(clean.isnan(), 7.0, restored)
    after = LOSSES[loss](restored, clean, STRICT)
    assert_allclose(after, before)


@every_loss
def test_gradient_is_that_of_the_values(loss, pair):
    restored, clean = (x[1:, :, 2:10, 1:9].clone() for x in pair)
    restored.requires_grad_()
    assert gradcheck(lambda x: LOSSES[loss](x, clean, STRICT), restored)


@every_loss
@pytest.mark.parametrize("tolerance", [STRICT, LENIENT])
@pytest.mark.parametrize("tone", ["equal", "grey", "black", "outside", "missing"])
def test_gradient_is_finite_in_single_precision(loss, pair, tolerance, tone):
    clean = pair[1].float()
    restored = clean.nan_to_num(0.5)
    if tone == "grey":
        restored, clean = torch.full_like(clean, 0.5), torch.full_like(clean, 0.5)
    elif tone == "black":
        restored, clean = torch.zeros_like(clean), restored
    elif tone == "outside":
        restored = 3 * restored - 1
    elif tone == "missing":
        clean[0] = torch.nan
    restored = restored.clone().requires_grad_()
    value = LOSSES[loss](restored, clean, tolerance)
    value.sum().backward()
    assert value.isfinite().all() and restored.grad.isfinite().all()
    assert restored.grad.abs().max() < 1e3


@every_loss
@pytest.mark.parametrize("architecture", ["ladder", "conv", "dense"])
def test_every_network_learns_by_it(loss, architecture, photos):
    vae = tiny(architecture, loss=loss).fit(photos)
    assert vae.transform(photos).shape == photos.shape
    assert all(np.isfinite(row["train_loss"]) for row in vae.history_)
    other = "laplace" if loss == "gaussian" else "gaussian"
    again = tiny(architecture, loss=other).fit(photos)
    assert not np.array_equal(again.transform(photos), vae.transform(photos))


def test_colours_are_learned_without_structure(photos):
    vae = tiny(loss="ms_ssim").fit(photos)
    network = vae.net_.module_
    assert vae._loss_of("colours", network) == "gaussian"
    assert vae._loss_of("restoration", network) == "ms_ssim"
    assert vae.set_params(loss="ciede2000")._loss_of("colours", network) == "ciede2000"


@every_loss
def test_rows_know_losses_of_single_values(loss, photos):
    rows = photos.reshape(len(photos), -1)[:, :12]
    if loss in ("gaussian", "laplace"):
        tiny(loss=loss).fit(rows)
    else:
        with pytest.raises(ValueError, match="rows without image_shape"):
            tiny(loss=loss).fit(rows)
        tiny("dense", loss=loss, image_shape=(2, 2, 3)).fit(rows)


def test_colour_difference_needs_colours(photos):
    with pytest.raises(ValueError, match="3 channels, but X has 1"):
        tiny(loss="ciede2000").fit(photos[..., 0])


def test_unknown_loss_is_refused(photos):
    with pytest.raises(ValueError, match="'loss' parameter of ColorVAE"):
        tiny(loss="l1").fit(photos)
