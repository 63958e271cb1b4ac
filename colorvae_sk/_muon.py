"""The optimiser: Muon for matrices, AdamW for everything else."""

import torch

from ._net import has_fast_bfloat16

SMALLEST = 16  # rows and columns of a matrix worth orthogonalising
NEWTON_SCHULZ = 3.4445, -4.7750, 2.0315  # coefficients of the quintic iteration [1]
N_ITERATIONS = 5
RMS = 0.2  # of an update of AdamW, which the learning rate is made for [2]


class MuonAdamW(torch.optim.Optimizer):
    """Take steps of equal length along all singular directions of a matrix.

    The update of a matrix is its averaged gradient G = U S V^T with the singular values
    made about 1: U V^T, by a Newton-Schulz iteration [1]_, brought to the root mean
    square of an update of AdamW [2]_. Convolutions are matrices of their outputs by all
    else. Depthwise convolutions, small matrices and vectors are left to AdamW.
    Matrices of one shape go through the iteration together, which takes half of the
    time of `torch.optim.Muon` here.

    Parameters
    ----------
    params : iterable of tensors, or of dicts with them as "params"
        What to learn.
    lr : float, default=1e-3
        Learning rate of both.
    momentum : float, default=0.95
        Decay of the average of the matrices' gradients.
    betas : pair of floats, default=(0.9, 0.99)
        Decays of AdamW's averages.
    weight_decay : float, default=1e-4
        Decoupled, times the learning rate.

    References
    ----------
    .. [1] K. Jordan et al.: Muon: An optimizer for hidden layers in neural networks,
       2024.
    .. [2] J. Liu et al.: Muon is Scalable for LLM Training, 2025.
    """

    def __init__(
        self, params, lr=1e-3, momentum=0.95, betas=(0.9, 0.99), weight_decay=1e-4
    ):
        options = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, options)
        rest = [p for group in self.param_groups for p in group["params"]]
        rest = [p for p in rest if not is_matrix(p)]
        is_fused = rest[0].device.type in ("cpu", "cuda")
        options = {"betas": betas, "weight_decay": weight_decay, "fused": is_fused}
        self.adamw = torch.optim.AdamW(rest, lr, **options)

    def step(self, closure=None):
        """Take a step, after the closure, if there is one, has found the gradients."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            self._step_matrices(**group)
        for group in self.adamw.param_groups:
            group["lr"] = self.param_groups[0]["lr"]
        self.adamw.step()
        return loss

    def state_dict(self):
        """The averages, AdamW's too."""
        return super().state_dict() | {"adamw": self.adamw.state_dict()}

    def load_state_dict(self, state_dict):
        """Go on from there."""
        ours = {k: v for k, v in state_dict.items() if k != "adamw"}
        super().load_state_dict(ours)
        self.adamw.load_state_dict(state_dict["adamw"])

    @torch.no_grad()
    def _step_matrices(self, params, **options):
        """Take a step with the matrices among some parameters."""
        by_shape = {}
        for p in params:
            if p.grad is not None and is_matrix(p):
                by_shape.setdefault((p.device, *matrix_shape(p)), []).append(p)
        for alike in by_shape.values():
            self._step_together(alike, **options)

    def _step_together(self, params, lr, momentum, weight_decay):
        """Take a step with parameters of one shape."""
        shape = matrix_shape(params[0])
        gradients = torch.stack([p.grad.reshape(shape) for p in params])
        averages = [self._average(p) for p in params]
        torch._foreach_lerp_(averages, list(gradients), 1 - momentum)
        ahead = gradients.lerp_(torch.stack(averages), momentum)  # Nesterov's
        updates = orthogonalise(ahead) * (-lr * RMS * max(shape) ** 0.5)
        torch._foreach_mul_(params, 1 - lr * weight_decay)
        parts = [u.reshape(p.shape) for u, p in zip(updates, params, strict=True)]
        torch._foreach_add_(params, parts)

    def _average(self, parameter):
        state = self.state[parameter]
        if not state:
            shape = matrix_shape(parameter)
            state["average"] = parameter.new_zeros(shape)
        return state["average"]


def matrix_shape(parameter):
    """Rows and columns: outputs by all else."""
    return len(parameter), parameter.numel() // max(1, len(parameter))


def is_matrix(parameter):
    """Whether Muon learns it."""
    is_depthwise = parameter.ndim == 4 and parameter.shape[1] == 1
    if parameter.ndim < 2 or is_depthwise:
        return False
    return min(matrix_shape(parameter)) >= SMALLEST


def orthogonalise(matrices):
    """The nearest matrices with orthonormal rows or columns, roughly: (n, h, w)."""
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if is_tall else matrices
    fast = has_fast_bfloat16(x.device)
    x = x.to(torch.bfloat16 if fast else x.dtype, copy=True).contiguous()
    x /= x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(N_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(
            x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a
        )
    return (x.mT if is_tall else x).to(matrices.dtype)
