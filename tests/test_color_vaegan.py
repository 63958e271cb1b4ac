"""ColorVAEGAN: a critic for the samples, and nothing else changes."""

import numpy as np
import pytest
import torch
from helpers import tiny, weights
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from colorvae_sk import GaussianNoise, save
from colorvae_sk._adversary import Adversary, excess
from colorvae_sk._blocks import initialise
from colorvae_sk._critic import PatchCritic, SpectralConv
from colorvae_sk._parallel import ALONE
from colorvae_sk.networks import AdversarialLadderVAE, LadderVAE

OPTIONS = {"max_epochs": 8, "degradation": GaussianNoise(0.1, random_state=0)}


@pytest.fixture(scope="module")
def pair(photos):
    """A ColorVAE and a ColorVAEGAN that have learned for equally long."""
    return [tiny(name, **OPTIONS).fit(photos) for name in ("ladder", "adversarial")]


def ladder_of(vae):
    """The weights of the ladder, by name."""
    state = vae.net_.module_.state_dict()
    return {name: part for name, part in state.items() if "critic" not in name}


# ------------------------------------------------------------------- the critic
def test_kernels_have_the_norm_one_after_a_while(generator):
    layer = initialise(SpectralConv(5, 8), generator).train()
    images = torch.randn((2, 5, 9, 9), generator=generator)
    for _ in range(50):
        answer = layer(images)
    kernel = layer.weight / torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
    expected = nn.functional.conv2d(images, kernel, layer.bias, padding=1)
    assert_allclose(answer.detach(), expected.detach(), rtol=1e-3, atol=1e-5)


def test_critic_marks_patches_of_images_of_any_size(generator):
    critic = initialise(PatchCritic(6, 4), generator)
    for size, expected in (((1, 7), (1, 2)), ((16, 16), (4, 4)), ((13, 1), (4, 1))):
        assert critic(torch.ones(2, 6, *size)).shape == (2, 1, *expected)


def test_critic_sees_standard_deviations_and_no_holes():
    mean, target = torch.full((1, 3, 4, 4), 0.5), torch.full((1, 3, 4, 4), 0.7)
    target[0, 0, 1, 2] = torch.nan
    log_sigma = torch.full_like(mean, np.log(0.1))
    view = AdversarialLadderVAE.view(target, mean, log_sigma, target)
    assert torch.equal(view[:, :3], mean)
    assert view[0, 3, 1, 2] == 0
    assert_allclose(view[0, 4], np.arcsinh(2), rtol=1e-5)
    other = AdversarialLadderVAE.view(mean + 9, mean, log_sigma, target)
    assert other[0, 3, 1, 2] == 0 and other.max() == pytest.approx(np.arcsinh(90))


def test_ladder_beside_a_critic_begins_as_the_ladder_does():
    networks = [
        initialise(kind(3, (8, 8), 1, 2), torch.Generator().manual_seed(0))
        for kind in (LadderVAE, AdversarialLadderVAE)
    ]
    state = networks[1].state_dict()
    for name, tensor in networks[0].state_dict().items():
        assert torch.equal(tensor, state[name])


# ----------------------------------------------------------- what the critic adds
class Half:
    """A schedule half way through."""

    @staticmethod
    def progress():
        return 0.5


class Net:
    """As much of a net as the critic looks at: one weight moves the samples."""

    team = ALONE

    def __init__(self):
        self.module_ = nn.Module()
        self.module_.critic = nn.Conv2d(2, 1, 1).requires_grad_(False)
        self.module_.scale = nn.Parameter(torch.ones(3))
        self.module_.other = nn.Parameter(torch.ones(1))
        self.module_.scale.grad = torch.tensor([3.0, 0.0, 4.0])
        self.module_.other.grad = torch.tensor([7.0])
        self.lr = 0.01


def please(net, share=0.5):
    """What the critic adds to the gradients."""
    adversary = Adversary(Half, share)
    adversary.on_train_begin(net)
    before = net.module_.scale.grad.clone()
    sample = torch.stack([torch.ones(3), net.module_.scale * torch.arange(3.0)], dim=1)
    sample = sample[..., None, None]
    factor = adversary._please(sample, torch.full((3, 2, 1, 1), 9.0))
    return net.module_.scale.grad - before, factor


def test_critic_adds_its_share_of_the_gradient_and_no_more():
    net = Net()
    added, factor = please(net)
    assert factor > 0
    assert added.norm() == pytest.approx(0.5 * 5)  # of what both move
    assert_array_equal(net.module_.other.grad, [7.0])
    sign = -net.module_.critic.weight.sign()[0, 1, 0, 0]
    assert_allclose(
        added / added.norm(), sign * torch.tensor([0, 1, 2]) / 5**0.5, rtol=1e-5
    )


@pytest.mark.parametrize("weight", [0.0, np.nan, np.inf])
def test_opinion_that_is_not_sound_adds_nothing(weight):
    net = Net()
    net.module_.critic.weight.fill_(weight)
    added, factor = please(net)
    assert factor == 0 or weight == 0
    assert_array_equal(added, [0, 0, 0])


def test_samples_that_go_astray_are_called_back():
    truth = torch.linspace(1, 2, 16).reshape(1, 1, 4, 4).expand(2, 2, 4, 4)
    assert excess(0.5 * truth, truth) == 0
    sample = truth.clone()
    sample[0, 1] += 9.0  # no grainier, one of two images
    expected = 0.5 * torch.log(sample[0, 1].square().mean() / truth.square().mean())
    assert excess(sample, truth) == pytest.approx(expected.item(), rel=1e-4)


def test_samples_that_are_grainier_are_called_back():
    truth = torch.linspace(1, 2, 16).reshape(1, 1, 4, 4).expand(2, 2, 4, 4)
    order = np.random.default_rng(0).permutation(16)
    grainy = truth.flatten(2)[..., order].reshape(truth.shape)
    assert excess(grainy, truth) > 1
    assert excess(truth, grainy) == 0


def test_critic_has_no_say_at_first():
    adversary = Adversary(Half, 0.5)
    says = []
    for progress in (0.0, 0.2, 0.35, 0.5, 1.0):
        adversary.schedule = type("At", (), {"progress": lambda p=progress: p})
        says.append(adversary._say)
    assert_allclose(says, [0, 0, 0.25, 0.5, 0.5])


# ----------------------------------------------------------------- the estimator
def test_restoration_and_error_bars_are_those_of_colorvae(pair, photos):
    vae = pair[0]
    answers = zip(*(m.predict(photos, return_std=True) for m in pair), strict=True)
    for mine, yours in answers:
        assert_array_equal(mine, yours)
    mine, yours = map(ladder_of, pair)
    moved = {name for name, part in mine.items() if not torch.equal(part, yours[name])}
    network = vae.net_.module_
    assert moved and all(network.stages_of(name) == ("latents",) for name in moved)
    samples = [m.sample_posterior(photos, random_state=0) for m in pair]
    assert np.abs(samples[0] - samples[1]).max() > 1e-4


def test_without_weight_it_is_colorvae(pair, photos):
    gan = tiny("adversarial", adversarial_weight=0, **OPTIONS).fit(photos)
    for name, part in ladder_of(pair[0]).items():
        assert torch.equal(part, ladder_of(gan)[name]), name


def test_critic_learns_to_tell_samples_from_photographs(photos):
    gan = tiny("adversarial", **OPTIONS | {"max_epochs": 40}).fit(photos)
    rows = [row for row in gan.history_ if row["stage"] == "latents"]
    assert rows[-1]["critic_gap"] > rows[0]["critic_gap"]
    assert rows[-1]["critic_gap"] > 0.05
    assert rows[0]["critic_weight"] == 0 < rows[-1]["critic_weight"]
    assert not any("critic_gap" in row for row in gan.history_ if row not in rows)


def test_broken_critic_breaks_nothing(pair, photos, monkeypatch):
    def spoil(adversary, net, **kwargs):
        begin(adversary, net, **kwargs)
        with torch.no_grad():
            adversary.critic_[0].weight.fill_(torch.nan)

    begin = Adversary.on_train_begin
    monkeypatch.setattr(Adversary, "on_train_begin", spoil)
    gan = tiny("adversarial", **OPTIONS).fit(photos)
    moved = {
        name
        for name, part in ladder_of(pair[0]).items()
        if not torch.equal(part, ladder_of(gan)[name])
    }
    assert moved == {f"latents.{i}.log_sigma.bias" for i in range(2)}  # by the scaling
    assert gan.history_[-1]["critic_gap"] == gan.history_[-1]["critic_weight"] == 0


def test_partial_fit_goes_on_with_the_critic(photos):
    gan = tiny("adversarial", **OPTIONS).fit(photos)
    before = gan.net_.module_.critic[0].weight.detach().clone()
    gan.partial_fit(photos)
    after = gan.net_.module_.critic[0].weight.detach()
    assert 0 < (after - before).abs().max() < 0.1


def test_missing_pixels_are_no_matter_of_the_critic(photos):
    target = photos.copy()
    target[:, 4:9] = np.nan
    gan = tiny("adversarial", max_epochs=8).fit(photos, target)
    assert np.isfinite(weights(gan)).all()
    assert gan.history_[-1]["n_skipped"] == 0


def test_it_starts_from_the_weights_of_a_colorvae(pair, photos, tmp_path):
    save(pair[0], tmp_path / "vae.safetensors")
    start = {"weights": str(tmp_path / "vae.safetensors"), "lr": 1e-12}
    start["adversarial_weight"] = 0  # or the latents would be scaled
    gan = tiny("adversarial", **OPTIONS | start).fit(photos)
    assert_allclose(gan.transform(photos), pair[0].transform(photos), atol=1e-6)
    draws = [m.sample_posterior(photos, random_state=0) for m in (gan, pair[0])]
    assert_allclose(*draws, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_learns_on_a_gpu(photos):
    gan = tiny("adversarial", device="cuda", **OPTIONS).fit(photos)
    assert np.isfinite(gan.history_[-1]["critic_gap"])
    assert np.isfinite(gan.sample_posterior(photos, random_state=0)).all()
