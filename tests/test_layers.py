"""Layers that may round, and whose results don't hang on what is computed beside."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from helpers import tiny
from numpy.testing import assert_allclose, assert_array_equal
from skimage import data
from torch import nn
from torch.nn import functional as F

from colorvae_sk import _base, load_pretrained
from colorvae_sk._blocks import GatedBlock, double_size
from colorvae_sk._layers import ChannelNorm, Conv, Linear, can_round, rounding, rounds

where_it_rounds = pytest.mark.skipif(
    not can_round("cpu"), reason="needs a CPU that computes in bfloat16"
)


@pytest.fixture(scope="module")
def natural():
    """What ships."""
    return load_pretrained(device="cpu")


def damaged_crops(n, height, width):
    """Crops (n, height, width, 3) of a photograph with noise and missing pixels."""
    rng, photo = np.random.default_rng(0), np.float32(data.astronaut() / 255)
    tops, lefts = (rng.integers(0, 512 - side, n) for side in (height, width))
    crops = [
        photo[top : top + height, left : left + width]
        for top, left in zip(tops, lefts, strict=True)
    ]
    damaged = np.stack(crops) + 0.1 * rng.standard_normal((n, height, width, 3))
    damaged[rng.random(damaged.shape[:3]) < 0.2] = np.nan
    return np.float32(damaged)


@contextmanager
def threads(n):
    """So many of them in torch."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# ------------------------------------------------------------------ the same bits
# What differed in the last bit would differ in the third digit once it is rounded.
def test_image_is_restored_alike_alone_and_among_others(natural):
    images = damaged_crops(5, 48, 40)
    together, spread = natural.predict(images, return_std=True)
    for i, image in enumerate(images):
        alone, own = natural.predict([image], return_std=True)
        assert_allclose(together[i], alone[0], atol=1e-6)
        assert_allclose(spread[i], own[0], atol=1e-6)


def test_image_is_restored_alike_on_any_number_of_threads(natural):
    images = damaged_crops(1, 96, 112)
    restored = []
    for n in (1, 2, 3):
        with threads(n):
            restored.append(natural.transform(images))
    for other in restored[1:]:
        assert_allclose(other, restored[0], atol=1e-6)


def test_image_is_restored_alike_whole_and_in_tiles(natural):
    images = damaged_crops(1, 400, 368)
    whole, spread = natural.predict(images, return_std=True)
    in_tiles = load_pretrained(device="cpu").set_params(tile_size=304)
    tiled, own = in_tiles.predict(images, return_std=True)
    assert_allclose(tiled, whole, atol=1e-6)
    assert_allclose(own, spread, atol=1e-6)


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        (1, {}),
        (3, {"padding": 1}),
        (2, {"stride": 2}),
        (3, {"padding": 1, "groups": 8}),
    ],
)
def test_convolution_and_its_gradients_are_those_of_torch(kernel, options, generator):
    features = torch.randn((2, 8, 10, 12), generator=generator, requires_grad=True)
    layer = Conv(8, 16, kernel, **options)
    wanted = F.conv2d(features, layer.weight, layer.bias, **options)
    found = layer(features)
    assert_allclose(found.detach(), wanted.detach(), atol=1e-5)
    inputs = features, layer.weight, layer.bias
    gradients = [torch.autograd.grad(y.square().sum(), inputs) for y in (found, wanted)]
    for ours, theirs in zip(*gradients, strict=True):
        assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_row_is_the_same_in_company(generator):
    layer, rows = Linear(99, 192), torch.randn((7, 99), generator=generator)
    with torch.no_grad():
        together = layer(rows)
        for i in range(len(rows)):
            assert torch.equal(together[i : i + 1], layer(rows[i : i + 1]))
    assert_allclose(layer(rows).detach(), together, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 4)])
def test_double_size_is_bilinear(size, generator):
    images = torch.rand((2, 3, *size), generator=generator)
    wanted = F.interpolate(images, scale_factor=2, mode="bilinear")
    assert_allclose(double_size(images), wanted, atol=1e-6)


# ------------------------------------------------------------------ rounding
@where_it_rounds
def test_restoring_rounds_a_little_unless_it_is_told_not_to(natural):
    images = damaged_crops(2, 48, 40)
    exact = load_pretrained(device="cpu").set_params(mixed_precision=False)
    difference = np.abs(natural.transform(images) - exact.transform(images))
    assert 1e-6 < difference.mean() < 1e-3 and difference.max() < 0.02


@where_it_rounds
def test_only_what_blocks_add_is_rounded(natural):
    network, kinds = natural.net_.module_, {}

    def note(name):
        return lambda module, inputs, output: kinds.update({name: output.dtype})

    handles = [
        module.register_forward_hook(note(name))
        for name, module in network.named_modules()
        if isinstance(module, ChannelNorm | GatedBlock | nn.PixelShuffle)
    ]
    natural.transform(damaged_crops(1, 32, 32))
    for handle in handles:
        handle.remove()
    rounded = {name for name, kind in kinds.items() if kind == torch.bfloat16}
    norms = {name for name in kinds if name.endswith(("look.0", "mix.0"))}
    finest_down = {name for name in norms if name.startswith("blocks.0.")}
    assert finest_down and rounded == norms - finest_down


@where_it_rounds
def test_codes_and_bounds_are_exact(photos):
    vae = tiny("ladder", mixed_precision=False).fit(photos)
    codes, bounds = vae.encode(photos), vae.score_samples(photos)
    vae.set_params(mixed_precision=True)
    assert_array_equal(vae.encode(photos), codes)
    assert_array_equal(vae.score_samples(photos), bounds)


@pytest.mark.parametrize(
    ("mixed_precision", "able", "expected"),
    [
        ("auto", True, True),
        (True, True, True),
        (False, True, False),
        (True, False, False),
    ],
)
def test_rounds_where_asked_and_able(mixed_precision, able, expected, monkeypatch):
    monkeypatch.setattr(_base, "can_round", lambda device: able)
    vae = load_pretrained(device="cpu").set_params(mixed_precision=mixed_precision)
    assert vae._restorer().mixed_precision is expected


def test_only_a_cpu_rounds():
    assert not can_round("cuda:0") and not can_round("mps")


def test_rounding_ends_with_its_block_and_is_of_one_thread():
    with pytest.raises(KeyError), rounding(True):
        assert rounds()
        with ThreadPoolExecutor(1) as others:
            assert not others.submit(rounds).result()
        with rounding(False):
            assert not rounds()
        assert rounds()
        raise KeyError
    assert not rounds()
