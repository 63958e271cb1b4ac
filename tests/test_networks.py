"""The contract that every network keeps, and the blocks that they are made of."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from helpers import noise_images
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from colorvae_sk import _blocks
from colorvae_sk._blocks import (
    LOG_SIGMA_RANGE,
    ChannelNorm,
    GatedBlock,
    LatentLayer,
    PointwiseConv,
    Pyramid,
    fill_from_around,
    fill_missing,
    gate,
    initialise,
    pad_to_multiple,
    standard_kl,
    strips_of,
)
from colorvae_sk._colour_stage import (
    N_PIECES,
    ColourStage,
    apply_curves,
    miscoloured,
)
from colorvae_sk._summary import block_means, summarise_colours
from colorvae_sk.losses import NegativeELBO
from colorvae_sk.networks import ConvVAE, DenseVAE, LadderVAE

KINDS = ["ladder", "conv", "dense"]
SIZES = [(1, 1), (1, 9), (7, 1), (11, 13), (16, 16)]
every_kind = pytest.mark.parametrize("kind", KINDS)


def build(kind, size, n_channels=3):
    """A small network of this kind for images of this size, as it starts."""
    if kind == "ladder":
        network = LadderVAE(n_channels, widths=(8, 8), n_blocks=1, n_latent=2)
    elif kind == "conv":
        network = ConvVAE(n_channels, size, widths=(8, 8), n_latent=5)
    else:
        network = DenseVAE(n_channels, size, n_latent=4)
    return initialise(network, torch.Generator().manual_seed(0))


def stir(module, generator):
    """Move every parameter away from zero, in float64: nothing is dead any more."""
    with torch.no_grad():
        for parameter in module.double().parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter += noise / (2 * math.sqrt(parameter[0].numel()))
    return module


def stirred(kind, size, n_channels=3):
    """A network that looks as if it had learned something."""
    generator = torch.Generator().manual_seed(1)
    return stir(build(kind, size, n_channels), generator)


def draw_noise(network, images, seed=0):
    """Codes for a batch, in float64."""
    generator = torch.Generator().manual_seed(seed)
    noise = network.draw_noise(len(images), images.shape[-2:], generator)
    return [part.double() for part in noise]


def with_holes(images):
    """Images with a missing pixel, a missing channel and one that is all missing."""
    images = images.clone()
    images[0, :, 0, 0] = torch.nan
    images[1, 1] = torch.nan
    images[2] = torch.nan
    return images


# ------------------------------------------------------------- the common contract
@every_kind
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("n_channels", [1, 3, 5])
def test_answer_has_the_shape_of_the_images(kind, size, n_channels):
    network = stirred(kind, size, n_channels)
    images = noise_images(size, n_channels=n_channels)
    noise = draw_noise(network, images)
    for target in (None, images):
        for draws in (None, noise):
            restored, log_sigma, cost = network(images, target, draws)
            assert restored.shape == log_sigma.shape == images.shape
            assert cost.shape == (3, sum(network.units))
            assert network.units == tuple(part.shape[1] for part in noise)
            assert restored.isfinite().all() and cost.isfinite().all()
            low, high = LOG_SIGMA_RANGE
            assert low <= log_sigma.min() and log_sigma.max() <= high


def test_error_bars_of_images_are_at_most_half_of_their_range():
    network, images = stirred("ladder", (11, 13)), noise_images((11, 13))
    with torch.no_grad():
        network.sigma.head.bias += 10
    _, log_sigma, _ = network(images)
    assert_allclose(log_sigma.detach(), np.log(0.5))


@every_kind
def test_mean_way_is_the_way_of_zero_noise(kind):
    network, images = stirred(kind, (11, 13)), noise_images((11, 13))
    silence = [0 * part for part in draw_noise(network, images)]
    for target in (None, images):
        mean, calm = (network(images, target, noise) for noise in (None, silence))
        assert_allclose(mean[0].detach(), calm[0].detach(), atol=1e-12)


@every_kind
def test_noise_changes_what_is_drawn(kind):
    network, images = stirred(kind, (11, 13)), noise_images((11, 13))
    for target in (None, images):
        draws = [
            network(images, target, draw_noise(network, images, s))[0] for s in (0, 1)
        ]
        assert (draws[0] - draws[1]).abs().amax(dim=(1, 2, 3)).min() > 1e-3


def test_mean_way_of_the_ladder_is_the_network_without_latents():
    network, images = stirred("ladder", None), noise_images((11, 13))
    before = network(images)
    noise = draw_noise(network, images)
    sampled = network(images, noise=noise)[0]
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "latents" in network.stages_of(name):
                parameter.fill_(torch.nan)  # whatever looks at it is NaN
    for part, now in zip(before, network(images), strict=True):
        assert torch.equal(part, now)
    assert not sampled.isnan().any()
    assert network(images, noise=noise)[0].isnan().all()


def posteriors_of(network, images, target, noise):
    """The cost of each layer, and mu and log sigma of each layer's posterior."""
    if isinstance(network, LadderVAE):
        layers = [network.colour.latent, *reversed(network.latents)]
        outputs = [layer.posterior for layer in layers]
    else:
        outputs = [network.encoder]
    seen = []
    hooks = [
        module.register_forward_hook(lambda *args: seen.append(args[-1]))
        for module in outputs
    ]
    costs = network(images, target, noise)[2]
    for hook in hooks:
        hook.remove()
    return costs, [output.chunk(2, dim=1) for output in seen]


@every_kind
def test_cost_is_the_divergence_from_a_standard_normal(kind):
    network, images = stirred(kind, (11, 13)), noise_images((11, 13))
    target = noise_images((11, 13), seed=5)
    noise = draw_noise(network, images)
    costs, posteriors = posteriors_of(network, images, target, noise)
    assert costs.min() > 0
    costs = costs.split(network.units, dim=1)
    for cost, (mu, log_sigma) in zip(costs, posteriors, strict=True):
        both = torch.cat([mu, log_sigma]).abs()
        assert both.max() < (8 if kind == "ladder" else 16)  # nothing was clipped
        kl = kl_divergence(Normal(mu, log_sigma.exp()), Normal(0.0, 1.0))
        per_unit = kl.reshape(*cost.shape, -1).sum(2)
        assert_allclose(cost.detach(), per_unit.detach())


def test_ladder_that_sees_no_target_pays_nothing():
    network, images = stirred("ladder", None), noise_images((11, 13))
    for noise in (None, draw_noise(network, images)):
        assert (network(images, noise=noise)[2] == 0).all()


def test_ladder_starts_with_a_posterior_that_is_the_prior_and_changes_nothing():
    network, images = build("ladder", None).double(), noise_images((11, 13))
    restored, log_sigma, cost = network(images, images, draw_noise(network, images))
    assert_allclose(restored.detach(), images, atol=1e-12)
    assert (cost == 0).all()
    assert (log_sigma == log_sigma[0, 0, 0, 0]).all()


def test_posterior_of_the_ladder_sees_the_target():
    network, images = stirred("ladder", None), noise_images((11, 13))
    answers = [network(images, noise_images((11, 13), seed=s))[0] for s in (1, 2)]
    assert (answers[0] - answers[1]).abs().max() > 1e-3


@every_kind
def test_whatever_stands_where_a_pixel_is_missing_does_not_matter(kind):
    network, images = stirred(kind, (11, 13)), with_holes(noise_images((11, 13)))
    noise = draw_noise(network, images)
    expected = network(images, images, noise)
    other = images.nan_to_num(math.inf)
    for part, answer in zip(expected, network(other, other, noise), strict=True):
        assert part.isfinite().all()
        assert torch.equal(part, answer)


def test_holes_are_filled_from_around_with_colours_set_right():
    network, images = build("ladder", None), with_holes(noise_images((11, 13)))
    stir(network.double().colour, torch.Generator().manual_seed(0))
    restored = network(images)[0]  # the head starts at zero
    curves = network.colour(summarise_colours(images))[0]
    curved = apply_curves(images.nan_to_num(0.5), curves)
    assert_allclose(restored[1, 0].detach(), curved[1, 0].detach())
    around = [curved[0, :, 0, 1], curved[0, :, 1, 0], curved[0, :, 1, 1]]
    mean = torch.stack(around).mean(0)
    assert (restored[0, :, 0, 0] - mean).abs().max() < 0.2
    assert (restored[1, 1] == 0.5).all() and (restored[2] == 0.5).all()


@pytest.mark.parametrize("n_scales", [1, 2, 3])
def test_filling_keeps_what_is_there_and_reaches_as_far_as_its_scales(n_scales):
    images = torch.full((1, 1, 16, 16), 0.2, dtype=torch.float64)
    images[..., 8:] = 0.8
    observed = torch.zeros_like(images)
    observed[..., 0, 0] = observed[..., 15, 15] = 1
    filled = fill_from_around(images, observed, n_scales)
    assert filled[0, 0, 0, 0] == 0.2 and filled[0, 0, 15, 15] == 0.8
    side = 2**n_scales  # of the cells in which the two pixels are alone
    assert 0.2 <= filled[0, 0, side // 2 - 1, side // 2 - 1] < 0.35
    assert 0.65 < filled[0, 0, -side // 2, -side // 2] <= 0.8
    assert filled[0, 0, 0, 15] == pytest.approx(0.5, abs=1e-9)


def test_filling_of_one_tone_is_that_tone():
    images = torch.full((1, 2, 8, 8), 0.3)
    observed = (torch.rand((1, 2, 8, 8), generator=torch.Generator()) < 0.5).float()
    assert_allclose(fill_from_around(images, observed, 3), 0.3, rtol=1e-6)


@every_kind
def test_missing_pixel_is_not_the_same_as_a_grey_one(kind):
    network, images = stirred(kind, (11, 13)), noise_images((11, 13))
    grey, missing = images.clone(), images.clone()
    grey[:, :, 5, 5], missing[:, :, 5, 5] = 0.5, torch.nan
    assert (network(grey)[0] - network(missing)[0]).abs().max() > 1e-4


@every_kind
def test_gradients_are_finite_whatever_is_missing(kind):
    network, images = stirred(kind, (11, 13)), with_holes(noise_images((11, 13)))
    noise = draw_noise(network, images)
    NegativeELBO()(network(images, images, noise), images).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name


@every_kind
def test_every_parameter_learns_in_its_stage(kind):
    network, images = stirred(kind, (11, 13)), noise_images((11, 13))
    target = noise_images((11, 13), seed=5)
    for stage in network.stages:
        arguments, wanted = lesson(network, stage, images, target)
        network.zero_grad()
        NegativeELBO()(network(**arguments), wanted).backward()
        for name, parameter in network.named_parameters():
            if stage in network.stages_of(name):
                assert parameter.grad.abs().max() > 0, name


def lesson(network, stage, images, target, pictures=None):
    """What is learned from these, in float64."""
    arguments, wanted = network.lesson(
        stage, images, target, pictures or (images, target), torch.Generator()
    )
    if "noise" in arguments:
        arguments["noise"] = [part.double() for part in arguments["noise"]]
    return arguments, wanted


@every_kind
def test_every_parameter_has_a_stage_and_every_stage_parameters(kind):
    network = build(kind, (8, 8))
    names = [name for name, _ in network.named_parameters()]
    stages = {stage for name in names for stage in network.stages_of(name)}
    assert stages == set(network.stages)
    assert set(network.global_stages) <= stages
    assert stages.issuperset(network.stages_of("sigma"))


def test_colours_are_learned_from_pictures_and_nothing_else_is_looked_at():
    network = stirred("ladder", None)
    pictures = noise_images((16, 12)), noise_images((16, 12), seed=3)
    arguments, wanted = lesson(network, "colours", None, None, pictures)
    assert_allclose(wanted, block_means(pictures[1], (4, 4)))
    restored, log_sigma, cost = network(**arguments)
    curves = network.colour(summarise_colours(pictures[0]))[0]
    expected = apply_curves(block_means(pictures[0], (4, 4)), curves)
    assert_allclose(restored.detach(), expected.detach())
    assert (cost == 0).all() and (log_sigma == 0).all()


def test_crops_are_learned_with_the_colours_of_their_pictures():
    network, target = stirred("ladder", None), noise_images((11, 13), seed=5)
    images, seen = noise_images((11, 13)), []
    pictures = noise_images((20, 20), seed=6), noise_images((20, 20), seed=7)
    network.colour.register_forward_pre_hook(lambda module, args: seen.append(args))
    for stage in ("restoration", "error bars", "latents"):
        arguments, wanted = lesson(network, stage, images, target, pictures)
        network(**arguments)
        assert arguments["damaged"] is images
        assert (wanted is target) == (stage != "restoration")
        assert torch.equal(seen[-1][0], summarise_colours(pictures[0]))
    assert torch.equal(seen[-2][1], summarise_colours(pictures[1]))
    assert arguments["target"] is target


def test_restoration_is_not_asked_for_a_cast_that_the_colours_leave():
    network = LadderVAE(3, widths=(8, 8), n_blocks=1)
    initialise(network, torch.Generator()).double()
    target, mixing = noise_images((16, 16)), torch.rand(3, 3).double()
    clean = F.interpolate(noise_images((8, 8), seed=1), scale_factor=4)
    cast = torch.einsum("dc,nchw->ndhw", mixing, clean) + 0.1
    arguments = [target, target, (cast, clean), torch.Generator()]
    wanted = network.lesson("restoration", *arguments)[1]
    expected = torch.einsum("dc,nchw->ndhw", mixing, target) + 0.1
    assert (wanted - expected).abs().mean() < 0.3 * (wanted - target).abs().mean()


def test_small_errors_of_the_colours_are_asked_for_when_judged_strictly():
    network = initialise(LadderVAE(3, widths=(8, 8), n_blocks=1), torch.Generator())
    target, clean = noise_images((16, 16)), noise_images((32, 32), seed=1)
    arguments = [target, target, (clean + 0.03, clean), torch.Generator()]
    first, last = (
        network.double().lesson("restoration", *arguments, share)[1]
        for share in (0.0, 1.0)
    )
    assert_allclose((first - target).mean(), 0.03, rtol=0.1)
    assert torch.equal(last, target)


def test_target_keeps_its_colours_where_none_is_wrong_or_nothing_is_known():
    target = noise_images((8, 8))
    clean = F.interpolate(noise_images((8, 8), seed=1), scale_factor=4)
    stage = initialise(ColourStage(3, 16, 4), torch.Generator()).double()
    noisy = clean + 0.2 * torch.randn(clean.shape, generator=torch.Generator())
    unknown = torch.full_like(clean, math.nan)
    holed = torch.where(torch.rand(3, 1, 32, 32) < 0.5, unknown, clean)
    for damaged, error in ((clean, 1e-6), (noisy, 0.1), (holed, 0.1), (unknown, 1e-9)):
        curves = stage(summarise_colours(damaged))[0]
        wanted = miscoloured(target, curves, (damaged, clean))
        assert_allclose(wanted.detach(), target, atol=error)


@every_kind
def test_sigma_head_gives_no_gradient_to_the_trunk(kind):
    network, images = stirred(kind, (11, 13)), noise_images((11, 13))
    network(images, images, draw_noise(network, images))[1].sum().backward()
    learning = {n for n, p in network.named_parameters() if p.grad is not None}
    assert learning == {
        n
        for n, _ in network.named_parameters()
        if "sigma." in n and "log_sigma" not in n
    }


def test_error_bars_are_told_of_the_damage_to_the_whole_picture():
    network, images = stirred("ladder", None), noise_images((40, 48)) / 2
    about = partial(network.about, colours=torch.zeros(3, 2))
    told = about(summarise_colours(images))
    brighter = about(summarise_colours(images + 0.25))
    assert_allclose(brighter, told, atol=1e-9)
    rough, holed = images.clone(), images.clone()
    rough[0, 1, ::4] += 0.25
    holed[2, :, :20] = torch.nan
    for other, i in ((rough, 0), (holed, 2)):
        difference = about(summarise_colours(other)) - told
        changed = difference.abs().amax(1) > 1e-3
        assert changed.tolist() == [k == i for k in range(3)]


@pytest.mark.parametrize("value", [torch.nan, 0.0, 1.0, 0.001])
def test_error_bars_are_told_what_is_missing_and_what_may_be_clipped(value):
    network, images = stirred("ladder", None), noise_images((12, 16))
    images = images.clamp(0.1, 0.9)
    with torch.no_grad():
        network.sigma.bounded.weight[:, : network.widths[0]] = 0  # marks alone
    seen, changed = summarise_colours(images), images.clone()
    changed[1, 2, 5, 6] = value
    before, after = (network(x, seen=seen)[1] for x in (images, changed))
    cell = torch.zeros_like(images, dtype=bool)
    cell[1, :, 4:6, 6:8] = value != 0.001
    assert torch.equal(before != after, cell)


@every_kind
@pytest.mark.parametrize("size", SIZES)
def test_codes_have_the_shape_of_the_noise_and_give_images_back(kind, size):
    network, images = stirred(kind, size), noise_images(size)
    noise = draw_noise(network, images)
    assert [part.shape[1:] for part in noise] == network.noise_shapes(size)
    codes = network.encode(images)
    assert codes.shape == (3, sum(math.prod(s) for s in network.noise_shapes(size)))
    assert network.decode(codes, size).shape == images.shape


@every_kind
def test_decoder_reads_codes_in_the_order_in_which_the_encoder_writes_them(kind):
    network, images = stirred(kind, (11, 13)), noise_images((11, 13))
    codes = network.encode(images)
    source, target = images, None
    if kind == "ladder":  # it encodes what is to be imagined from nothing
        source, target = torch.full_like(images, torch.nan), images
    expected = network(source, target)[0]
    assert_allclose(
        network.decode(codes, (11, 13)).detach(), expected.detach(), atol=1e-12
    )


@every_kind
def test_noise_comes_from_the_generator_and_is_standard_normal(kind):
    network = build(kind, (8, 8))
    state = torch.get_rng_state()
    one, same, other = (
        network.draw_noise(500, (8, 8), torch.Generator().manual_seed(seed))
        for seed in (3, 3, 4)
    )
    for a, b, c in zip(one, same, other, strict=True):
        assert torch.equal(a, b) and not torch.equal(a, c)
        assert abs(a.mean()) < 0.1 and abs(a.std() - 1) < 0.1
    assert torch.equal(torch.get_rng_state(), state)


@every_kind
def test_initialise_sets_every_parameter_from_the_generator_alone(kind):
    state = torch.get_rng_state()
    networks = []
    for seed in (0, 0, 1):
        with torch.device("meta"):
            network = build_bare(kind)
        network = network.to_empty(device="cpu")
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.fill_(torch.nan)
        networks.append(initialise(network, torch.Generator().manual_seed(seed)))
    one, same, other = (n.state_dict() for n in networks)
    assert all(value.isfinite().all() for value in one.values())
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(torch.get_rng_state(), state)


def build_bare(kind):
    """A network whose parameters have no values yet."""
    if kind == "ladder":
        return LadderVAE(3, widths=(8, 8), n_blocks=1)
    return {"conv": ConvVAE, "dense": DenseVAE}[kind](3, (8, 8))


def test_initial_weights_have_the_variance_of_torchs_own_rule():
    layer = initialise(nn.Linear(300, 200), torch.Generator().manual_seed(0))
    assert layer.weight.var().item() == pytest.approx(1 / (3 * 300), rel=0.03)
    assert (layer.bias == 0).all()


def test_tile_of_the_ladder_reads_its_own_part_of_the_noise():
    network, images = build("ladder", None), noise_images((24, 32))
    noise = draw_noise(network, images)
    parts = network.noise_of_tile(noise, slice(8, 20), slice(12, 29))
    shapes = [tuple(part.shape[1:]) for part in parts]
    assert shapes == network.noise_shapes((12, 17))
    coarse, fine = noise[1:]
    assert_array_equal(parts[0], noise[0])
    assert_array_equal(parts[1], coarse[:, :, 2:5, 3:8])
    assert_array_equal(parts[2], fine[:, :, 4:10, 6:16])
    assert network.noise_of_tile(None, slice(0, 8), slice(0, 8)) is None


@pytest.mark.parametrize(
    ("depth", "n_blocks"),
    [
        *[(2, 1), (2, 2), (3, 1), (3, 2), (4, 1), (3, (2, 1, 3)), (3, (1, 2, 1))],
        *[(2, ((1, 3), (2, 1))), (2, ((2, 1), (1, 3)))],
    ],
)
def test_ladder_sees_as_far_as_half_of_what_tiles_share(depth, n_blocks):
    network = LadderVAE(3, widths=(4,) * depth, n_blocks=n_blocks, n_latent=2)
    stir(initialise(network, torch.Generator()), torch.Generator())
    images = noise_images((1, 512), n=1)
    seen, reach = summarise_colours(images), 0
    for centre in range(256, 256 + network.multiple):
        images.requires_grad_().grad = None
        network(images, seen=seen)[0][..., centre].sum().backward()
        columns = images.grad.abs().sum(dim=(0, 1, 2)).nonzero()
        assert columns.min() < centre < columns.max()
        reach = max(reach, (columns - centre).abs().max().item())
    assert reach <= network.overlap // 2 < reach + network.multiple


# ------------------------------------------------------------------------ blocks
def test_gate_is_a_product_and_knows_its_gradient():
    features = noise_images((3, 3), n_channels=6).requires_grad_()
    assert torch.equal(gate(features), features[:, :3] * features[:, 3:])
    assert torch.autograd.gradcheck(gate, features)


def test_pointwise_convolution_is_a_1x1_convolution_in_any_precision():
    layer = initialise(PointwiseConv(6, 4), torch.Generator())
    features = noise_images((3, 5), n_channels=6)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(features.float()).dtype == torch.bfloat16
    for kind in (torch.float32, torch.float64):
        wanted = F.conv2d(features.to(kind), layer.to(kind).weight, layer.bias)
        torch.testing.assert_close(layer(features.to(kind)), wanted)


def test_pointwise_convolution_knows_its_gradient():
    layer = initialise(PointwiseConv(6, 4, bias=False), torch.Generator())
    features = noise_images((3, 5), n_channels=6).float().requires_grad_()
    ours = torch.autograd.grad(layer(features).square().sum(), layer.weight)
    theirs = F.conv2d(features, layer.weight).square().sum()
    torch.testing.assert_close(ours[0], torch.autograd.grad(theirs, layer.weight)[0])


def test_norm_looks_at_each_pixel_by_itself():
    norm = ChannelNorm(4).double()
    images = noise_images((5, 5), n_channels=4)
    normed = norm(images).detach()
    spread = (images.var(1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    assert_allclose(normed, (images - images.mean(1, keepdim=True)) / spread)
    changed = images.clone()
    changed[:, :, 0, 0] = 9.0
    others = torch.ones(5, 5, dtype=bool)
    others[0, 0] = False
    assert torch.equal(norm(changed)[:, :, others], norm(images)[:, :, others])


@pytest.mark.parametrize("size", [(1, 5), (8, 1), (9, 5), (16, 4), (33, 6)])
def test_strips_of_a_block_join_without_seams(size, monkeypatch):
    generator = torch.Generator().manual_seed(1)
    block = stir(initialise(GatedBlock(4), generator), generator)
    features = noise_images(size, n_channels=4)
    whole = block(features)
    monkeypatch.setattr(_blocks, "STRIP", 1)
    with torch.no_grad():
        joined = block(features.clone())
    assert_allclose(joined, whole.detach(), rtol=0, atol=1e-12)


def test_nothing_is_written_over_that_the_ladder_still_needs(monkeypatch):
    network, images = stirred("ladder", None), noise_images((90, 14))
    damaged = with_holes(images)  # of several strips at each scale
    noise = draw_noise(network, images)
    ways = [{}, {"noise": noise}, {"target": images, "noise": noise}]
    wholes = [network(damaged, **way) for way in ways]
    monkeypatch.setattr(_blocks, "STRIP", 1)
    for way, whole in zip(ways, wholes, strict=True):
        with torch.no_grad():
            by_strips = network(damaged, **way)
        for ours, theirs in zip(by_strips, whole, strict=True):
            assert_allclose(ours, theirs.detach(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("strip", [1, 2**21])
def test_area_of_a_block_is_a_part_of_the_whole(strip, monkeypatch):
    generator = torch.Generator().manual_seed(1)
    block = stir(initialise(GatedBlock(4), generator), generator)
    features = noise_images((33, 7), n_channels=4)
    area = slice(1, 32), slice(2, 6)
    with torch.no_grad():
        whole = block(features)
        monkeypatch.setattr(_blocks, "STRIP", strip)
        part = block(features.clone(), area)
    assert_allclose(part, whole[..., *area], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (1, 8), (0, 9), (3, 100)])
def test_strips_are_all_the_rows_one_after_the_other(start, stop, monkeypatch):
    height = 101
    images = noise_images((height, 4), n_channels=2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(_blocks, "STRIP", 5 * 2 * images[..., 0, :].numel() * 8)
    strips = strips_of(images, slice(start, stop))
    assert [i for k in strips for i in range(height)[k]] == list(range(start, stop))
    assert max(k.stop - k.start for k in strips) == min(stop - start, 15)


def test_pyramid_halves_from_scale_to_scale():
    pyramid = Pyramid(3, (4, 6, 8), (1, 2, 1))
    shapes = [tuple(f.shape) for f in pyramid(torch.rand(2, 3, 16, 24))]
    assert shapes == [(2, 4, 8, 12), (2, 6, 4, 6), (2, 8, 2, 3)]


def test_fill_missing_marks_what_it_filled():
    images = torch.tensor([[[[0.2, torch.nan]]]])
    filled, observed = fill_missing(images, 0.7)
    assert_allclose(filled.flatten(), [0.2, 0.7])
    assert observed.flatten().tolist() == [1.0, 0.0]


@pytest.mark.parametrize("size", SIZES)
def test_padding_keeps_the_image_and_reaches_a_multiple(size):
    images = noise_images(size)
    padded = pad_to_multiple(images, 8)
    assert all(
        side % 8 == 0 and 0 <= side - old < 8
        for side, old in zip(padded.shape[2:], size, strict=True)
    )
    assert torch.equal(padded[..., : size[0], : size[1]], images)
    assert torch.isin(padded, images).all()


def test_divergence_in_nats_adds_up_over_the_places_of_a_unit():
    mu, log_sigma = noise_images((2, 5)), noise_images((2, 5), seed=1) - 0.5
    expected = kl_divergence(Normal(mu, log_sigma.exp()), Normal(0.0, 1.0))
    assert_allclose(standard_kl(mu, log_sigma), expected.sum(dim=(2, 3)))
    flat = standard_kl(mu[..., 0, 0], log_sigma[..., 0, 0])
    assert_allclose(flat, expected[..., 0, 0])


def test_divergence_is_not_lost_in_half_precision():
    layer = initialise(LatentLayer(8, 6, 2), torch.Generator().manual_seed(0))
    nn.init.uniform_(layer.posterior[-1].weight, -0.01, 0.01, torch.Generator())
    above = noise_images((9, 9), n_channels=8).float()
    evidence, seen = noise_images((9, 9), n_channels=6).float(), []
    layer.posterior.register_forward_hook(lambda *args: seen.append(args[-1]))
    with torch.autocast("cpu", torch.bfloat16):
        _, _, cost = layer(above, evidence)
    assert seen[0].dtype == torch.bfloat16 and cost.dtype == torch.float32
    expected = standard_kl(*seen[0].double().chunk(2, dim=1))
    assert_allclose(cost.detach(), expected.detach(), rtol=1e-3)


def test_divergence_of_the_code_is_that_of_the_latent():
    generator = torch.Generator().manual_seed(0)
    layer = stir(LatentLayer(8, 6, 2), generator)
    above = noise_images((3, 4), n_channels=8)
    evidence = noise_images((3, 4), n_channels=6, seed=1)
    noise = torch.randn((3, 2, 3, 4), generator=generator).double()
    features, code, cost = layer(above, evidence, noise)

    sigma_p = layer.log_sigma(above).exp()
    mu, log_sigma = layer.posterior(torch.cat([above, evidence], 1)).chunk(2, dim=1)
    posterior = Normal(sigma_p * mu, sigma_p * log_sigma.exp())
    divergence = kl_divergence(posterior, Normal(0.0, sigma_p)).flatten(2).sum(2)
    assert_allclose(cost.detach(), divergence.detach())
    latent = posterior.loc + posterior.scale * noise
    assert_allclose((sigma_p * code).detach(), latent.detach())
    assert_allclose(features.detach(), (above + layer.project(latent)).detach())


# ------------------------------------------------------------------------ colour
def test_colours_are_judged_exactly_in_mixed_precision():
    stage = stir(ColourStage(3, 16, 4), torch.Generator().manual_seed(0)).float()
    seen = summarise_colours(noise_images((9, 7)).float())
    exact = stage(seen)[0]
    with torch.autocast("cpu", torch.bfloat16):
        mixed = stage(seen)[0]
    assert all(map(torch.equal, exact, mixed))


def curves_of(n_channels=3, seed=0):
    """Random curves and a random mixing for two images, as ColourStage gives them."""
    rng = np.random.default_rng(seed)
    offsets = rng.normal(0, 0.2, (2, n_channels, 1))
    slopes = np.exp(rng.normal(0, 0.5, (2, n_channels, N_PIECES)))
    mixing = np.eye(n_channels) + rng.normal(0, 0.1, (2, n_channels, n_channels))
    return [torch.tensor(array) for array in (offsets, slopes, mixing)]


def test_curves_are_the_identity_at_the_start():
    stage = ColourStage(3, 16, 4)
    initialise(stage, torch.Generator().manual_seed(0))
    images = 3 * noise_images((9, 7)).float() - 1  # beyond [0, 1] too
    curves, *_ = stage(summarise_colours(images))
    assert_allclose(apply_curves(images, curves).detach(), images, atol=1e-6)


def test_curves_are_straight_pieces_that_go_on_beyond_the_range():
    offsets, slopes, _ = curves_of()
    mixing = torch.eye(3).double().expand(2, 3, 3)
    values = np.linspace(-0.5, 1.5, 401)
    images = torch.tensor(values).expand(2, 3, 1, 401)
    curved = apply_curves(images, (offsets, slopes, mixing))[:, :, 0].numpy()
    knots = np.arange(N_PIECES + 1) / N_PIECES
    for i in range(2):
        for c in range(3):
            steps = np.r_[0, np.cumsum(slopes[i, c].numpy())] / N_PIECES
            inner = np.interp(values, knots, steps)
            below = np.minimum(values, 0) * slopes[i, c, 0].item()
            above = np.maximum(values - 1, 0) * slopes[i, c, -1].item()
            expected = offsets[i, c, 0].item() + inner + below + above
            assert_allclose(curved[i, c], expected, atol=1e-12)
    assert (np.diff(curved) > 0).all()


def test_mixing_is_a_matrix_on_the_channels_of_each_image():
    images = noise_images((4, 5), n=2)
    offsets, slopes, mixing = curves_of()
    identity = torch.eye(3).double().expand(2, 3, 3)
    curved = apply_curves(images, (offsets, slopes, identity))
    expected = (mixing @ curved.flatten(2)).unflatten(2, (4, 5))
    assert_allclose(apply_curves(images, (offsets, slopes, mixing)), expected)


def test_colours_of_a_tile_are_judged_from_the_picture_it_is_part_of():
    network, images = stirred("ladder", None), noise_images((32, 32))
    images[..., 16:] *= 0.2
    tile = images[..., :16]
    seen = summarise_colours(images)
    curves = network.colour(seen)[0]
    alone = network.colour(summarise_colours(tile))[0]
    assert (curves[1] - alone[1]).abs().max() > 1e-3
    assert not torch.equal(network(tile, seen=seen)[0], network(tile)[0])
    assert torch.equal(network(images, seen=seen)[0], network(images)[0])
