"""The optimiser: Muon for matrices, AdamW for everything else."""

import copy

import pytest
import torch
from torch import nn

from colorvae_sk import _muon
from colorvae_sk._muon import MuonAdamW, is_matrix, matrix_shape, orthogonalise


def network(seed=0):
    """Every kind of parameter: matrices, convolutions, depthwise ones, vectors."""
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(16, 32, 1),
        nn.Conv2d(32, 32, 3, padding=1, groups=32),
        nn.Conv2d(32, 16, 2),
        nn.Conv2d(16, 4, 3),
        nn.Flatten(),
        nn.Linear(4, 24),
        nn.Linear(24, 16),
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=0.1, generator=generator)
    return net


def learn(net, optimizer, n_steps=3, seed=1):
    """Take some steps with one batch each."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_steps):
        images = torch.randn(5, 16, 4, 4, generator=generator)

        def closure(images=images):
            optimizer.zero_grad()
            loss = net(images).square().mean()
            loss.backward()
            return loss

        optimizer.step(closure)


def changes(net, before):
    """What has been added to each parameter."""
    pairs = zip(net.parameters(), before.parameters(), strict=True)
    return [(new - old).detach() for new, old in pairs]


@pytest.mark.parametrize("shape", [(3, 16, 48), (2, 48, 16), (1, 24, 24)])
def test_singular_values_become_about_one(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    singular = torch.linalg.svdvals(orthogonalise(matrices))
    assert singular.min() > 0.5 and singular.max() < 1.3
    assert orthogonalise(torch.zeros(shape)).abs().max() == 0


def test_matrices_take_steps_like_those_of_torchs_muon(monkeypatch):
    torchs = pytest.importorskip("torch", minversion="2.9").optim.Muon
    monkeypatch.setattr(_muon, "has_fast_bfloat16", lambda device: True)
    net, lr = network(), 0.01
    twin = copy.deepcopy(net)
    learn(net, MuonAdamW(net.parameters(), lr, weight_decay=0.1))
    assert [is_matrix(p) for p in net.parameters() if p.ndim > 1] == [
        *(True, False, True, False, False, True)
    ]
    before, matrix = copy.deepcopy(twin), twin[-1].weight
    rest = [p for p in twin.parameters() if p is not matrix]
    theirs = torchs([matrix], lr, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    ours = MuonAdamW(rest, lr, weight_decay=0.1)

    class Both:
        """Two optimisers that act as one."""

        zero_grad = staticmethod(twin.zero_grad)

        @staticmethod
        def step(closure):
            ours.step(closure)
            theirs.step()

    learn(twin, Both)
    expected, got = changes(twin, before)[-2], changes(net, before)[-2]
    assert (got - expected).norm() < 0.05 * expected.norm()


def test_all_else_takes_the_steps_of_adamw():
    net, lr, betas = network(), 0.01, (0.9, 0.99)
    rest = [p for p in net.parameters() if not is_matrix(p)]
    optimizer = MuonAdamW([{"params": list(net.parameters())}], lr, weight_decay=0.1)
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    twins = [nn.Parameter(p.detach().clone()) for p in rest]
    for twin in twins:
        twin.grad = torch.ones_like(twin)
    torch.optim.AdamW(twins, lr, betas=betas, weight_decay=0.1).step()
    optimizer.step()
    for p, twin in zip(rest, twins, strict=True):
        torch.testing.assert_close(p, twin)


def test_first_step_of_a_matrix_has_the_size_of_one_of_adamw():
    net, lr = network(), 0.01
    before = copy.deepcopy(net)
    learn(net, MuonAdamW(net.parameters(), lr, weight_decay=0.0), n_steps=1)
    for p, change in zip(net.parameters(), changes(net, before), strict=True):
        if is_matrix(p):
            directions = torch.linalg.svdvals(change.reshape(matrix_shape(p)))
            n_learned = (directions > 0.3 * directions.max()).sum()
            full = 0.2 * lr * (n_learned * max(matrix_shape(p)) / p.numel()) ** 0.5
            size = change.square().mean().sqrt()
            assert float(size) == pytest.approx(float(full), rel=0.4)


def test_learning_rate_is_that_of_the_groups():
    net = network()
    optimizer = MuonAdamW(net.parameters(), 0.01, weight_decay=0.1)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = copy.deepcopy(net)
    learn(net, optimizer)
    assert all(change.abs().max() == 0 for change in changes(net, before))


def test_it_goes_on_from_its_state():
    whole, parts = network(), network()
    learn(whole, optimizer := MuonAdamW(whole.parameters(), 0.01))
    learn(whole, optimizer, seed=2)
    learn(parts, first := MuonAdamW(parts.parameters(), 0.01))
    then = MuonAdamW(parts.parameters(), 0.01)
    then.load_state_dict(copy.deepcopy(first.state_dict()))
    learn(parts, then, seed=2)
    assert all(change.abs().max() == 0 for change in changes(parts, whole))


def test_a_step_without_gradients_changes_nothing():
    net = network()
    before = copy.deepcopy(net)
    MuonAdamW(net.parameters(), 0.01).step()
    assert all(change.abs().max() == 0 for change in changes(net, before))


# ---------------------------------------------------------------- guarded steps
def guarded_step(net, optimizer, spoil=False):
    """A step with the gradient of one batch, as on CUDA."""
    images = torch.randn(5, 16, 4, 4, generator=torch.Generator().manual_seed(1))
    net.zero_grad()
    net(images).square().mean().backward()
    learned = list(net.parameters())
    if spoil:
        learned[3].grad.view(-1)[0] = torch.nan
    optimizer._step_if_sound(learned, optimizer.param_groups[0]["lr"])


def test_step_that_is_not_finite_changes_nothing():
    net = network()
    optimizer = MuonAdamW(net.parameters(), lr=0.01, weight_decay=0)
    optimizer.max_norm = 1.0
    before = copy.deepcopy(net)
    guarded_step(net, optimizer, spoil=True)
    assert optimizer.found_inf == 1
    assert all(change.abs().max() == 0 for change in changes(net, before))
    guarded_step(net, optimizer)
    assert optimizer.found_inf == 0
    for change in changes(net, before):
        assert change.isfinite().all() and change.abs().max() > 0


def test_guarded_step_is_one_with_a_shorter_gradient():
    one, other = network(), network()
    optimizers = [MuonAdamW(net.parameters(), lr=0.01) for net in (one, other)]
    optimizers[0].max_norm = 1e-3
    for _ in range(3):
        guarded_step(one, optimizers[0])
        images = torch.randn(5, 16, 4, 4, generator=torch.Generator().manual_seed(1))
        other.zero_grad()
        other(images).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(other.parameters(), 1e-3)
        assert optimizers[0].max_norm == 1e-3
        optimizers[1].step()
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_recorded_steps_are_those_on_the_cpu():
    one, other = network().cuda(), network()
    for net in (one, other):
        optimizer = MuonAdamW(net.parameters(), lr=0.01)
        optimizer.max_norm = 1e9 if net is one else None
        for k in range(8):
            optimizer.param_groups[0]["lr"] = 0.01 / (k + 1)
            images = torch.ones(5, 16, 4, 4, device=next(net.parameters()).device)
            net.zero_grad()
            net(images * (k + 1)).square().mean().backward()
            optimizer.step()
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=0.05, atol=2e-3)
