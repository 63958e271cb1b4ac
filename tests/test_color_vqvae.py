"""ColorVQVAE: codes that live, an exact price, and all that ColorVAE can do."""

import math

import numpy as np
import pytest
import torch
from helpers import tiny
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from torch.nn import functional as F

from colorvae_sk import ColorVQVAE, GaussianNoise, load, save
from colorvae_sk._blocks import initialise
from colorvae_sk._quantised import Code, Codebook, QuantisedLayer, chosen_by
from colorvae_sk.networks import QuantisedLadderVAE


@pytest.fixture(scope="module")
def fitted(photos):
    return tiny("quantised", max_epochs=20, n_embeddings=8).fit(photos)


@pytest.fixture
def layer(generator):
    """A layer of eight codes that are chosen with unequal probabilities, in float64."""
    layer = initialise(QuantisedLayer(6, 4, 3, n_embeddings=8), generator).double()
    layer.codebook.shares.fill_(1 / 8)
    layer.codebook.sums.copy_(torch.randn((8, 3), generator=generator) / 8)
    layer.prior[-1].weight.data *= 20
    return layer.eval()


@pytest.fixture
def features(generator):
    """Features and evidence of three images."""
    return tuple(
        torch.randn((3, n, 5, 7), generator=generator).double() for n in (6, 4)
    )


# ------------------------------------------------------------------- the layer
def test_posterior_is_the_nearest_code_and_costs_its_surprise(layer, features):
    above, evidence = features
    _, code, cost = layer(above, evidence)
    encoded = layer.posterior(torch.cat(features, dim=1)).movedim(1, -1)
    distances = torch.cdist(encoded, layer.codebook.vectors[None, None])
    nearest = distances.argmin(-1)
    assert len(nearest.unique()) > 1
    assert torch.equal(code.indices[:, 0], nearest)
    surprise = -code.prior.log().gather(1, code.indices)
    assert_allclose(cost.detach(), surprise.flatten(2).sum(2).detach())
    assert_allclose(code.prior.sum(1).detach(), 1)


def test_latents_are_centred_wherever_they_are(layer, features):
    above, _ = features
    mean = 0.0
    for k in range(8):
        index = torch.full((3, 1, 5, 7), k)
        added, code, _ = layer(above, noise=index)
        assert (added - above).abs().max() > 0.01
        mean = mean + code.prior[:, k : k + 1] * (added - above)
    assert_allclose(mean.detach(), 0, atol=1e-12)


def test_without_noise_and_evidence_nothing_is_added(layer, features):
    added, code, cost = layer(features[0])
    assert added is features[0] and code is None and (cost == 0).all()


def test_codes_are_drawn_as_often_as_the_prior_says(layer, features, generator):
    prior = layer(features[0], noise=torch.zeros(3, 1, 5, 7))[1].prior.detach()
    draws = torch.randn((4000, 1, 5, 7), generator=generator)
    drawn = chosen_by(draws, prior[:1])
    shares = F.one_hot(drawn[:, 0], 8).double().mean(0)  # (h, w, n_embeddings)
    assert_allclose(shares, prior[0].movedim(0, -1), atol=0.04)
    assert prior.std(1).max() > 0.1


@pytest.mark.parametrize("n_embeddings", [2, 64, 1024])
def test_normal_numbers_of_codes_choose_the_same_codes(n_embeddings, generator):
    logits = 8 * torch.randn((1, n_embeddings, 40, 40), generator=generator)
    prior = logits.softmax(1).lerp(torch.tensor(1 / n_embeddings), 1e-3)
    indices = torch.arange(1600).reshape(1, 1, 40, 40) % n_embeddings
    normal = Code(indices, prior).as_normal()
    assert normal.isfinite().all()
    assert torch.equal(chosen_by(normal, prior), indices)


def test_gradients_pass_straight_through_and_draw_towards_the_codes(layer, features):
    above, evidence = features
    _, _, cost = layer(above, evidence)
    cost.sum().backward()  # the nearest code has no gradient: what is left is the pull
    assert layer.posterior[-1].weight.grad.abs().max() > 0
    assert layer.prior[-1].weight.grad.abs().max() > 0
    layer.zero_grad()
    added, _, _ = layer(above, evidence)
    (added - above).square().sum().backward()
    assert layer.posterior[-1].weight.grad.abs().max() > 0
    assert layer.project.weight.grad.abs().max() > 0
    assert layer.prior[-1].weight.grad is None  # learned by the cost alone


# ----------------------------------------------------------------- the codebook
def clusters(generator, centres, n=400):
    """Vectors (1, n_latent, 1, n) around the centres, in turn."""
    centres = centres[torch.arange(n) % len(centres)]
    noise = 0.01 * torch.randn(centres.shape, generator=generator)
    return (centres + noise).T[None, :, None]


def learn(codebook, generator, centres, n_steps):
    for _ in range(n_steps):
        vectors = clusters(generator, centres)
        codebook.follow(vectors, codebook.nearest(vectors))


def new_codebook(n_embeddings):
    codebook = Codebook(n_embeddings, 2)
    codebook.reset_buffers()
    return codebook


def test_codes_find_the_clusters_and_follow_them(generator):
    centres = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0], [3.0, 3.0]])
    codebook = new_codebook(8)
    for shift in (0.0, 0.3):
        learn(codebook, generator, centres + shift, 500)
        vectors = clusters(generator, centres + shift)
        codes = F.embedding(codebook.nearest(vectors), codebook.vectors)
        assert (codes.movedim(-1, 1) - vectors).abs().max() < 0.1


def test_dead_codes_begin_anew_where_the_vectors_are(generator):
    codebook, origin = new_codebook(4), torch.zeros((1, 2))
    learn(codebook, generator, origin, 20)
    elsewhere = torch.tensor([[9.0, 9.0], [9.0, 5.0], [5.0, 9.0], [5.0, 5.0]])
    learn(codebook, generator, elsewhere, 20)
    assert codebook.vectors.min() < 1  # not at once
    learn(codebook, generator, elsewhere, 1000)
    assert codebook.vectors.min() > 4
    codebook.forget()
    learn(codebook, generator, elsewhere, 1)
    assert codebook.perplexity() > 2


def test_few_vectors_revive_few_codes_at_a_time():
    codebook = new_codebook(64)
    vectors = torch.arange(6.0).reshape(1, 2, 1, 3)
    codebook.follow(vectors, codebook.nearest(vectors))
    assert len(codebook.vectors.unique(dim=0)) <= 5  # mean, three vectors, and zero


def test_what_is_not_finite_is_not_followed(generator):
    codebook = new_codebook(4)
    learn(codebook, generator, torch.tensor([[0.0, 0.0], [1.0, 0.0]]), 3)
    before = {name: buffer.clone() for name, buffer in codebook.named_buffers()}
    vectors = torch.full((1, 2, 1, 5), math.nan)
    codebook.follow(vectors, torch.zeros((1, 1, 5), dtype=torch.long))
    for name, buffer in codebook.named_buffers():
        assert torch.equal(buffer, before[name])


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([0, 0, 0, 0], 1), ([7, 0, 0, 0], 1), ([5, 5, 5, 5], 4), ([9, 9, 0, 0], 2)],
)
def test_perplexity_is_the_number_of_codes_in_equal_use(counts, expected):
    codebook = new_codebook(4)
    codebook.n_chosen.copy_(torch.tensor(counts))
    assert codebook.perplexity() == pytest.approx(expected)


def test_codes_rest_while_nothing_is_learned(layer, features):
    before = layer.codebook.sums.clone()
    layer(*features)
    with torch.no_grad():
        layer.train()(*features)
    assert torch.equal(layer.codebook.sums, before)
    layer(*features)
    assert not torch.equal(layer.codebook.sums, before)


# ------------------------------------------------------------------- the network
def test_mean_way_is_the_network_without_latents(photos):
    network = QuantisedLadderVAE(3, (8, 8), n_blocks=1, n_embeddings=4)
    initialise(network, torch.Generator().manual_seed(0))
    images = torch.tensor(photos.transpose(0, 3, 1, 2))
    before = network(images)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if "latents" in network.stages_of(name) and tensor.is_floating_point():
                tensor.fill_(torch.nan)  # whatever looks at it is NaN
    for part, now in zip(before, network(images), strict=True):
        assert torch.equal(part, now)


# ----------------------------------------------------------------- the estimator
def test_codes_are_alive_and_their_use_is_in_the_history(fitted):
    *_, last = fitted.history_
    assert len(last["perplexity"]) == len(last["train_kl"]) == 3
    assert all(1 < p <= 8 for p in last["perplexity"][1:])
    assert all("perplexity" in row for row in fitted.history_ if is_of_latents(row))
    assert not any("perplexity" in r for r in fitted.history_ if not is_of_latents(r))
    shares = fitted.net_.module_.latents[0].codebook.shares
    assert shares.min() > 0 and shares.sum() == pytest.approx(1, abs=0.05)


def is_of_latents(row):
    return row["stage"] == "latents"


def test_indices_and_codes_decode_to_the_same_images(fitted, photos):
    indices = fitted.encode_indices(photos)
    assert indices.dtype == np.int64 and indices.shape == (6, 1 + 4 * 4 + 8 * 8)
    assert indices.min() >= 0 and indices.max() <= 7
    assert len(np.unique(indices)) > 2
    codes = fitted.encode(photos)
    assert codes.shape == indices.shape and codes.dtype == np.float32
    images = fitted.decode_indices(indices)
    assert images.shape == photos.shape
    assert_allclose(images, fitted.decode(codes), atol=1e-6)
    others = fitted.decode_indices((indices + 1) % 8)
    assert np.abs(others - images).max() > 1e-4


def test_code_of_an_image_does_not_hang_on_its_neighbours(fitted, photos):
    alone = [fitted.encode_indices(photos[i : i + 1])[0] for i in range(6)]
    assert np.mean(alone == fitted.encode_indices(photos)) > 0.99  # but for ties


@pytest.mark.parametrize(
    ("indices", "error", "words"),
    [
        (np.zeros((2, 81)), TypeError, "integers, got float64"),
        (np.full((2, 81), 8), ValueError, "from 0 to 7, got 8 to 8"),
        (np.full((2, 81), -1), ValueError, "from 0 to 7"),
        (np.zeros((2, 80), int), ValueError, "80 codes per image, expected 81"),
    ],
)
def test_what_are_no_indices_is_refused(fitted, indices, error, words):
    with pytest.raises(error, match=words):
        fitted.decode_indices(indices)


def test_samples_differ_and_scatter_around_the_restoration(fitted, photos):
    samples = fitted.sample_posterior(photos, 30, random_state=0)
    again = fitted.sample_posterior(photos, 30, random_state=0)
    assert_array_equal(samples, again)
    spread = samples.std(axis=0).mean()
    assert spread > 2e-4
    distance = np.abs(samples.mean(axis=0) - fitted.transform(photos)).mean()
    assert distance < 0.5 * spread


def test_posterior_samples_of_tiles_equal_those_of_the_whole_image(fitted):
    picture = np.random.default_rng(0).random((1, 150, 130, 3)).astype(np.float32)
    tiled = clone(fitted).set_params(tile_size=64)
    vars(tiled).update({k: v for k, v in vars(fitted).items() if k.endswith("_")})
    assert tiled._restorer().tile == (64, 64)
    part, whole = (v.sample_posterior(picture, random_state=3) for v in (tiled, fitted))
    assert np.mean(np.abs(part - whole) < 1e-4) > 0.99  # but for ties


def test_new_images_are_drawn(fitted):
    images = fitted.sample(3, size=(12, 20), random_state=0)
    assert images.shape == (3, 12, 20, 3) and images.std(axis=0).max() > 1e-4


def test_learning_leaves_the_restoration_as_it_was(photos, tmp_path):
    """From the weights of a ColorVAE, too small a step for anything but the codes."""
    damage = GaussianNoise(0.1, random_state=0)
    vae = tiny(degradation=damage, max_epochs=10).fit(photos)
    save(vae, tmp_path / "vae.safetensors")
    start = {"weights": str(tmp_path / "vae.safetensors"), "lr": 1e-12}
    relative = tiny("quantised", degradation=damage, **start).fit(photos)
    assert_allclose(relative.transform(photos), vae.transform(photos), atol=1e-6)
    assert relative._blueprint[1]["n_embeddings"] == 64
    save(relative, tmp_path / "vq.safetensors")
    start["weights"] = str(tmp_path / "vq.safetensors")
    again = ColorVQVAE(n_embeddings=3, random_state=0, **start).fit(photos)
    assert again._blueprint == relative._blueprint
    with pytest.raises(ValueError, match="no fitted ColorVAE: there is a ColorVQVAE"):
        tiny(weights=str(tmp_path / "vq.safetensors")).fit(photos)


def test_weights_of_another_network_are_refused(photos, tmp_path):
    save(tiny("conv").fit(photos), tmp_path / "conv.safetensors")
    with pytest.raises(ValueError, match="of a 'conv' network, but ColorVQVAE has"):
        tiny("quantised", weights=str(tmp_path / "conv.safetensors")).fit(photos)


def test_codes_are_saved(fitted, photos, tmp_path):
    save(fitted, tmp_path / "vq.safetensors")
    loaded = load(tmp_path / "vq.safetensors")
    assert_array_equal(loaded.encode_indices(photos), fitted.encode_indices(photos))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_learns_on_a_gpu(photos):
    vae = tiny("quantised", device="cuda", max_epochs=10).fit(photos)
    assert all(1 <= p <= 64 for p in vae.history_[-1]["perplexity"])
    indices = vae.encode_indices(photos)
    vae.net_.module_.cpu()
    on_cpu = vae.set_params(device="cpu").encode_indices(photos)
    assert np.mean(indices == on_cpu) > 0.95
