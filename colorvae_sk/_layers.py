"""Layers that may round, and whose results don't hang on what is computed beside them.

On a CPU a pixel comes out the same to the last bit in an image of any size, among any
others and on any number of threads. So rounding, which would make much of a last bit,
does no harm there.
"""

from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import nn
from torch.nn import functional as F

ROUNDS = ContextVar("rounds", default=False)  # see `rounding`


# ------------------------------------------------------------------ rounding
@contextmanager
def rounding(enabled):
    """Compute what gated blocks add in bfloat16, if enabled, but for a few blocks."""
    token = ROUNDS.set(enabled)
    try:
        yield
    finally:
        ROUNDS.reset(token)


def rounds():
    """Whether that is asked for here, in this thread."""
    return not torch.compiler.is_compiling() and ROUNDS.get()


def has_fast_bfloat16(device):
    """Whether a device computes in bfloat16 faster than in float32."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported()
    in_hardware = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return torch.device(device).type == "cpu" and in_hardware()


def can_round(device):
    """Whether rounding there is known to save time, and to do no harm."""
    on_cpu = torch.device(device).type == "cpu"
    return on_cpu and torch.backends.mkldnn.is_available() and has_fast_bfloat16(device)


# ------------------------------------------------------------------ layers
class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each pixel: no statistics over an image."""

    def __init__(self, width, may_round=False):
        super().__init__(width)
        self.may_round = may_round

    def forward(self, features):
        normed = super().forward(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return normed.to(torch.bfloat16) if self.may_round and rounds() else normed


def convolve(features, weight, bias, stride=(1, 1), padding=(0, 0), groups=1):
    """A convolution.

    On a CPU torch computes small ones, and those of 1 x 1 on one thread, in plain
    loops, unless told to use oneDNN. That takes a fifth of the time, and gives a pixel
    the same to the last bit whatever the size of the image.
    """
    if not takes_onednn(features, weight):
        return F.conv2d(features, weight, bias, stride, padding, groups=groups)
    if bias is not None:
        bias = bias.to(features.dtype)
    weight = weight.to(features.dtype)  # which may be rounded
    return torch.mkldnn_convolution(
        features, weight, bias, padding, stride, (1, 1), groups
    )


def takes_onednn(features, weight):
    """Whether oneDNN can be told to compute a convolution with this float32 weight."""
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return False
    is_single = features.device.type == "cpu" and weight.dtype == torch.float32
    return is_single and torch.backends.mkldnn.is_available()


class Conv(nn.Conv2d):
    """A convolution whose input may be rounded; zeros lie around it."""

    def forward(self, features):
        sides = self.stride, self.padding, self.groups
        return convolve(features, self.weight, self.bias, *sides)


class Linear(nn.Linear):
    """A fully connected layer.

    Without gradients, on a CPU, each row goes alone, as in company the last bit may
    differ.
    """

    def forward(self, rows):
        if torch.is_grad_enabled() or rows.device.type != "cpu":
            return super().forward(rows)
        return torch.cat([super(Linear, self).forward(row) for row in rows.split(1)])


class PointwiseConv(Conv):
    """A convolution that looks at each pixel alone."""

    def __init__(self, n_inputs, n_outputs, bias=True):
        super().__init__(n_inputs, n_outputs, 1, bias=bias)


class ScaledConv(PointwiseConv):
    """A 1x1 convolution whose output is scaled by a small learned factor."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)
        self.scale = nn.Parameter(torch.empty(n_outputs))

    def forward(self, features):
        weight = self.weight * self.scale[:, None, None, None]
        return convolve(features, weight, self.bias * self.scale)
