"""A compiled network: where it pays, and that it is the same network."""

from types import SimpleNamespace

import pytest
import torch
from helpers import noise_images
from numpy.testing import assert_allclose

from colorvae_sk import _blocks, _compiled, networks
from colorvae_sk._blocks import initialise
from colorvae_sk._compiled import CompiledNetwork, can_compile, pays_to_compile
from colorvae_sk._summary import summarise_colours
from colorvae_sk.networks import LadderVAE


def ladder():
    generator = torch.Generator().manual_seed(0)
    network = initialise(LadderVAE(3, (8, 16, 16), (1, 2, 1)), generator)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    return network


def gradients(network):
    return [p.grad for p in network.parameters() if p.grad is not None]


def test_steps_on_a_gpu_can_be_traced_as_one(monkeypatch):
    for module in (
        _blocks,
        networks,
    ):  # a GPU isn't asked
        monkeypatch.setattr(module, "may_miss", lambda images: True)
    plain, traced = ladder(), ladder()
    forward = torch.compile(traced.forward, backend="aot_eager", fullgraph=True)
    images = noise_images((32, 32), n=2).float()
    images[0, :, 3, 5] = torch.nan
    seen = summarise_colours(images)
    noise = plain.draw_noise(2, (32, 32), torch.Generator().manual_seed(1))
    posterior = {"target": images.nan_to_num(0.5), "noise": noise, "target_seen": seen}
    for given in ({}, posterior | {"with_sigma": False}):
        ways = [f(images, seen=seen, **given) for f in (plain, forward)]
        for one, other in zip(*ways, strict=True):
            assert_allclose(one.detach(), other.detach(), atol=1e-5)
        for way in ways:
            sum(part.square().sum() for part in way).backward()
    for one, other in zip(*map(gradients, (plain, traced)), strict=True):
        assert_allclose(one, other, rtol=1e-3, atol=1e-4 * one.abs().max().item())


def test_it_pays_on_cuda_in_long_stages(monkeypatch):
    monkeypatch.setattr(_compiled, "can_compile", lambda: True)
    long = SimpleNamespace(n_steps=10**5, seconds=None)
    assert pays_to_compile("cuda:0", long)
    assert pays_to_compile("cuda", SimpleNamespace(n_steps=10**5, seconds=600))
    assert not pays_to_compile("cpu", long)
    assert not pays_to_compile("cuda", SimpleNamespace(n_steps=100, seconds=None))
    assert not pays_to_compile("cuda", SimpleNamespace(n_steps=10**5, seconds=30))


def test_a_compiler_is_needed(monkeypatch):
    monkeypatch.setattr(_compiled, "find_spec", lambda name: name)
    assert can_compile()
    monkeypatch.setattr(_compiled.shutil, "which", lambda name: None)
    assert not can_compile()


class Same(torch.nn.Module):
    """Give back what is given."""

    def forward(self, damaged):
        return damaged


@pytest.fixture
def sizes(monkeypatch):
    """Sizes of the batches that a stand-in for a compiled network is given."""
    sizes = []

    def compile_(forward, **options):
        def compiled(damaged, **given):
            sizes.append(len(damaged))
            if len(damaged) == 3:
                raise RuntimeError("no such kernel")
            return forward(damaged, **given)

        return compiled

    monkeypatch.setattr(torch, "compile", compile_)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: None)
    return sizes


def test_batches_of_another_size_run_as_they_are(sizes):
    network = CompiledNetwork(Same(), batch_size=2)
    for n in (2, 1, 2):
        assert network(torch.zeros(n)).shape == (n,)
    assert sizes == [2, 2]


def test_what_can_not_be_compiled_runs_as_it_is(sizes):
    network = CompiledNetwork(Same(), batch_size=3)
    with pytest.warns(RuntimeWarning, match="learns more slowly: no such kernel"):
        assert network(torch.zeros(3)).shape == (3,)
    assert network(torch.zeros(3)).shape == (3,)
    assert sizes == [3]
