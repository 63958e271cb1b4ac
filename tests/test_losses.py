"""The objective, against formulas in numpy; what is missing drops out."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.stats import norm

from colorvae_sk._distortions import squared_error
from colorvae_sk.losses import STRICT, NegativeELBO, gaussian_nll, interval_error


@pytest.fixture
def images():
    """restored, log_sigma and target (4, 3, 5, 7), with holes in the last two."""
    rng = np.random.default_rng(0)
    restored = rng.random((4, 3, 5, 7))
    log_sigma = rng.normal(-1, 0.5, restored.shape)
    target = rng.random(restored.shape)
    target[2, :, 1:3] = np.nan
    target[3, 1, 2, 2] = np.nan
    return restored, log_sigma, target


@pytest.fixture
def cost():
    """KL of two latent layers for four images, in nats."""
    return np.array([[3.0, 40.0], [0.0, 7.0], [12.0, 1.0], [50.0, 0.5]])


def as_tensors(*arrays):
    return [torch.tensor(array, dtype=torch.float64) for array in arrays]


def mean_of_observed(values, target):
    """Mean of each image over what its target has."""
    values = np.where(np.isnan(target), np.nan, values)
    return np.nanmean(values, axis=(1, 2, 3))


def elbo(images, cost, beta=1.0, free_bits=0.0):
    """The loss by its formula, for each image."""
    restored, log_sigma, target = images
    error = mean_of_observed((restored - target) ** 2, target)
    n_values = np.isfinite(target).sum(axis=(1, 2, 3))
    price = np.maximum(cost / n_values[:, None] - free_bits, 0).sum(1)
    excess = np.log(np.abs(restored - target) / norm.ppf(0.95)) - log_sigma
    error_bars = mean_of_observed(np.where(excess > 0, 0.9, -0.1) * excess, target)
    return 0.5 * np.log(error + STRICT) + beta * price + error_bars


def test_squared_error_is_the_mean_over_what_was_observed(images):
    restored, _, target = images
    error, n_values = squared_error(*as_tensors(restored, target))
    assert_allclose(error, mean_of_observed((restored - target) ** 2, target))
    assert n_values.tolist() == [105, 105, 105 - 42, 104]


def test_squared_error_of_complete_images_is_no_other(images):
    restored, _, target = images
    among_others = squared_error(*as_tensors(restored, target))
    complete = squared_error(*as_tensors(restored[:2], target[:2]))
    for part, whole in zip(complete, among_others, strict=True):
        assert part.dtype == whole.dtype
        assert_allclose(part, whole[:2])


def test_likelihood_is_that_of_a_gaussian(images):
    restored, log_sigma, target = images
    expected = -norm.logpdf(target, restored, np.exp(log_sigma))
    nll = gaussian_nll(*as_tensors(*images))
    assert_allclose(nll, mean_of_observed(expected, target))


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("free_bits", [0.0, 0.1])
def test_loss_follows_its_formula(images, cost, beta, free_bits):
    restored, log_sigma, target, kl = as_tensors(*images, cost)
    loss = NegativeELBO(beta, free_bits)((restored, log_sigma, kl), target)
    assert_allclose(loss, elbo(images, cost, beta, free_bits).mean())


def test_free_bits_are_those_of_a_layer_with_all_its_units(images, cost):
    restored, log_sigma, target, kl = as_tensors(*images, cost)
    units = torch.cat([0.25 * kl, 0.75 * kl], dim=1)[:, [0, 2, 1, 3]]
    loss = NegativeELBO(1.0, 0.1, units=(2, 2))((restored, log_sigma, units), target)
    assert_allclose(loss, elbo(images, cost, 1.0, 0.1).mean())


def test_below_the_tolerance_little_is_gained():
    target = torch.zeros(1, 1, 4, 4)
    answer = (target + 0.01, target, target[:, :1, 0, 0])
    criterion = NegativeELBO(with_error_bars=False, tolerance=1e-4)
    assert float(criterion(answer, target)) == pytest.approx(0.5 * math.log(2e-4))
    criterion.leniency = 99
    assert float(criterion(answer, target)) == pytest.approx(0.5 * math.log(1e-2))
    assert float(criterion.eval()(answer, target)) == pytest.approx(
        0.5 * math.log(2e-4)
    )


def test_warmup_is_a_factor_on_beta(images, cost):
    restored, log_sigma, target, kl = as_tensors(*images, cost)
    criterion = NegativeELBO(beta=2.0)
    criterion.warmup = 0.25
    loss = criterion((restored, log_sigma, kl), target)
    assert_allclose(loss, elbo(images, cost, beta=0.5).mean())


def test_error_bars_can_be_left_out(images, cost):
    restored, log_sigma, target, kl = as_tensors(*images, cost)
    loss = NegativeELBO(with_error_bars=False)((restored, log_sigma, kl), target)
    bars = interval_error(restored, log_sigma, target).mean()
    assert_allclose(loss, elbo(images, cost).mean() - bars)


def test_distortion_is_psnr_up_to_a_factor():
    target = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    answers = [(target + offset, target, target[:, :1, 0, 0]) for offset in (1.0, 0.1)]
    losses = [NegativeELBO()(answer, target) for answer in answers]
    bars = [interval_error(*answer[:2], target).mean() for answer in answers]
    gained = (losses[0] - bars[0]) - (losses[1] - bars[1])
    assert float(gained) == pytest.approx(math.log(10), rel=1e-3)  # 20 dB


def test_values_where_the_target_is_missing_do_not_matter(images, cost):
    restored, log_sigma, target, kl = as_tensors(*images, cost)
    loss = NegativeELBO()((restored, log_sigma, kl), target)
    restored[target.isnan()], log_sigma[target.isnan()] = 7.0, -3.0
    assert NegativeELBO()((restored, log_sigma, kl), target) == loss


def test_image_whose_target_is_all_missing_drops_out(images, cost):
    restored, log_sigma, target, kl = as_tensors(*images, cost)
    target[1] = torch.nan
    rest = [0, 2, 3]
    loss = NegativeELBO()((restored, log_sigma, kl), target)
    alone = NegativeELBO()((restored[rest], log_sigma[rest], kl[rest]), target[rest])
    assert_allclose(loss, alone)


def test_nothing_observed_at_all_costs_nothing(images, cost):
    restored, log_sigma, target, kl = as_tensors(*images, cost)
    assert NegativeELBO()((restored, log_sigma, kl), target * torch.nan) == 0


@pytest.mark.parametrize("missing", ["some", "an image", "everything", "nothing"])
@pytest.mark.parametrize("exact", [True, False])
def test_gradient_is_finite(images, cost, missing, exact):
    restored, log_sigma, target, kl = as_tensors(*images, cost)
    if missing == "nothing":
        target = target.nan_to_num(0.5)
    elif missing != "some":
        target[0 if missing == "an image" else slice(None)] = torch.nan
    if exact:  # log(0) would be infinite
        restored = target.nan_to_num(0.3)
    answer = [part.clone().requires_grad_() for part in (restored, log_sigma, kl)]
    NegativeELBO()(answer, target).backward()
    assert all(part.grad.isfinite().all() for part in answer)


def test_error_bars_do_not_move_what_is_restored(images, cost):
    restored, log_sigma, target, kl = as_tensors(*images, cost)
    gradients = []
    for shift in (0.0, 1.0):
        answer = restored.clone().requires_grad_()
        NegativeELBO()((answer, log_sigma + shift, kl), target).backward()
        gradients.append(answer.grad)
    assert gradients[0].abs().max() > 0
    assert_allclose(gradients[0], gradients[1])


def test_best_error_bars_hold_90_percent_of_the_values(images):
    restored, _, target = images
    log_error = np.log(np.abs(restored - target)).reshape(4, -1)
    best = np.nanquantile(log_error, 0.9, axis=1) - np.log(norm.ppf(0.95))
    guesses = torch.linspace(-4, 1, 501, dtype=torch.float64)
    answer = as_tensors(restored, target)
    errors = torch.stack(
        [interval_error(answer[0], guess, answer[1]) for guess in guesses]
    )
    assert_allclose(guesses[errors.argmin(0)], best, atol=0.06)
