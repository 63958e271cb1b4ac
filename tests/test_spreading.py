"""The last step of ColorVAEGAN: samples spread as the truth does."""

import numpy as np
import pytest
import torch
from helpers import tiny
from numpy.testing import assert_allclose

from colorvae_sk import GaussianBlur
from colorvae_sk._spreading import Batch, Spreading, root_of

OPTIONS = {"max_epochs": 20, "degradation": GaussianBlur(1.0)}


@pytest.fixture
def measured(monkeypatch):
    """The logarithms of how far samples spread, before and after, once it is fitted."""
    found = []

    def spread(spreading, net, X, **kwargs):
        network = net.module_.eval()
        batches = Batch.some_of(net, X)
        for act in (lambda: None, lambda: original(spreading, net, X)):
            act()
            with torch.no_grad():
                sums = torch.stack([each.spreads(network) for each in batches]).sum(0)
            found.append(float(torch.log(sums[0] / sums[1])))

    original = Spreading.on_train_end
    monkeypatch.setattr(Spreading, "on_train_end", spread)
    return found


def test_root_is_found_or_the_nearer_end():
    assert root_of(lambda x: np.expm1(x - 0.3), -2, 2) == pytest.approx(0.3, abs=0.02)
    assert root_of(lambda x: x + 5, -2, 2) == -2
    assert root_of(lambda x: x - 5, -2, 2) == 2


@pytest.mark.parametrize("known", ["all", "some"])
def test_samples_spread_as_the_truth_does(known, photos, measured):
    clean = photos.copy()
    if known == "some":
        clean[:, ::3, ::2] = np.nan
    tiny("adversarial", **OPTIONS).fit(clean)
    before, after = measured
    assert abs(before) > 0.2
    assert after == pytest.approx(0, abs=0.05)


def test_without_a_critic_nothing_is_scaled(photos, measured):
    tiny("adversarial", adversarial_weight=0, **OPTIONS).fit(photos)
    tiny("ladder", **OPTIONS).fit(photos)
    assert not measured


def test_scale_does_not_move_the_restoration(photos):
    gan = tiny("adversarial", **OPTIONS).fit(photos)
    restored = gan.transform(photos)
    wide = np.std(gan.sample_posterior(photos, n_samples=4, random_state=0), axis=0)
    with torch.no_grad():
        for layer in gan.net_.module_.latents:
            layer.log_sigma.bias -= 1
    assert_allclose(gan.transform(photos), restored)
    narrow = np.std(gan.sample_posterior(photos, n_samples=4, random_state=0), axis=0)
    assert narrow.mean() < 0.7 * wide.mean()
