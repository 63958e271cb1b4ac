"""The optimiser: Muon for matrices, AdamW for everything else."""

import torch

from ._layers import has_fast_bfloat16

SMALLEST = 16  # rows and columns of a matrix worth orthogonalising
NEWTON_SCHULZ = 3.4445, -4.7750, 2.0315  # coefficients of the quintic iteration [1]
N_ITERATIONS = 5
FIRST_STEPS = 3  # before a step is recorded
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

    Attributes
    ----------
    max_norm : float or None
        On CUDA, longer gradients are shortened to this, and no step is taken where they
        are not finite. All of a step is recorded then, and repeated by a single launch.
    found_inf : tensor or None
        Whether the last step was not taken, 1 or 0, as `torch.amp.GradScaler` has it.

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
        self.adamw._warned_capturable_if_run_uncaptured = True  # the first steps are
        self._make_capturable()
        self.max_norm = self.found_inf = self._record = None

    def step(self, closure=None):
        """Take a step, after the closure, if there is one, has found the gradients."""
        loss = None if closure is None else closure()
        if self.max_norm is None:
            self._step(self.param_groups[0]["lr"])
        else:
            learned = [p for p in self._parameters if p.grad is not None]
            if self._record is None or not self._record.is_of(learned):
                self._record = Recording(self, learned)
            self._record.step(self.param_groups[0]["lr"])
        return loss

    @property
    def _parameters(self):
        return [p for group in self.param_groups for p in group["params"]]

    def _step(self, lr):
        for group in self.param_groups:
            self._step_matrices(**group | {"lr": lr})
        for group in self.adamw.param_groups:
            group["lr"] = lr
        self.adamw.found_inf = self.found_inf
        self.adamw.step()

    def _step_if_sound(self, learned, lr):
        """Shorten the gradients of some parameters and take a step, if it is one."""
        norm = torch.nn.utils.get_total_norm([p.grad for p in learned])
        torch.nn.utils.clip_grads_with_norm_(learned, self.max_norm, norm)
        self.found_inf = norm.isfinite().logical_not().float()
        self._step(lr)

    def state_dict(self):
        """The averages, AdamW's too."""
        return super().state_dict() | {"adamw": self.adamw.state_dict()}

    def load_state_dict(self, state_dict):
        """Go on from there."""
        ours = {k: v for k, v in state_dict.items() if k != "adamw"}
        super().load_state_dict(ours)
        self._record = None
        self.adamw.load_state_dict(state_dict["adamw"])
        self._make_capturable()

    def _make_capturable(self):
        """Let AdamW's steps on CUDA be recorded."""
        for group in self.adamw.param_groups:
            group["capturable"] = group["params"][0].is_cuda

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
        if self.found_inf is not None:
            gradients = torch.where(self.found_inf > 0, 0.0, gradients)
        averages = [self._average(p) for p in params]
        torch._foreach_lerp_(averages, list(gradients), 1 - momentum)
        ahead = gradients.lerp_(torch.stack(averages), momentum)  # Nesterov's
        updates = orthogonalise(ahead) * (-lr * RMS * max(shape) ** 0.5)
        if self.found_inf is not None:
            updates *= 1 - self.found_inf
        torch._foreach_mul_(params, 1 - lr * weight_decay)
        parts = [u.reshape(p.shape) for u, p in zip(updates, params, strict=True)]
        torch._foreach_add_(params, parts)

    def _average(self, parameter):
        state = self.state[parameter]
        if not state:
            shape = matrix_shape(parameter)
            state["average"] = parameter.new_zeros(shape)
        return state["average"]


class Recording:
    """Steps of an optimiser on CUDA: the first as they are, then one that is repeated.

    Parameters
    ----------
    optimizer : MuonAdamW
        Whose steps.
    learned : list of tensors
        Parameters with a gradient.
    """

    def __init__(self, optimizer, learned):
        self.optimizer, self.learned = optimizer, learned
        self.lr = torch.zeros((), device=learned[0].device)
        self.n_steps, self.graph = 0, None

    def is_of(self, learned):
        """Whether these are the parameters."""
        return list(map(id, learned)) == list(map(id, self.learned))

    def step(self, lr):
        """Take a step with the gradients as they are."""
        self.lr.fill_(lr)
        self.n_steps += 1
        if self.n_steps <= FIRST_STEPS:  # averages are made in these
            self.optimizer._step_if_sound(self.learned, self.lr)
            return
        gradients = [p.grad for p in self.learned]
        if self.graph is None:
            self._capture(gradients)
        torch._foreach_copy_(self.gradients, gradients)
        self.graph.replay()

    def _capture(self, gradients):
        """Record a step with gradients that always lie in the same place."""
        self.gradients = list(map(torch.clone, gradients))
        self._give(self.gradients)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.optimizer._step_if_sound(self.learned, self.lr)
        self._give(gradients)

    def _give(self, gradients):
        for parameter, gradient in zip(self.learned, gradients, strict=True):
            parameter.grad = gradient


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
