"""The critic, which tells samples from photographs patch by patch."""

import torch
from torch import nn
from torch.nn import functional as F

SLOPE = 0.2  # of the rectifiers below zero


class SpectralConv(nn.Conv2d):
    """A 3x3 convolution whose kernel, as a matrix, has the norm 1.

    The norm is followed by one step of power iteration in each call in training.

    References
    ----------
    T. Miyato, T. Kataoka, M. Koyama, Y. Yoshida: Spectral Normalization for Generative
    Adversarial Networks, ICLR 2018.
    """

    def __init__(self, n_inputs, n_outputs, stride=1):
        super().__init__(n_inputs, n_outputs, 3, stride, padding=1)
        self.register_buffer("direction", torch.empty(n_outputs))

    def reset_buffers(self):
        """Begin with the same share of each output."""
        self.direction.fill_(len(self.direction) ** -0.5)

    def forward(self, images):
        matrix = self.weight.flatten(1)
        with torch.no_grad():
            right = F.normalize(matrix.T @ self.direction, dim=0)
            left = F.normalize(matrix @ right, dim=0)
            if self.training:
                self.direction.copy_(left)
        norm = left @ (matrix @ right)
        return self._conv_forward(images, self.weight / norm, self.bias)


class PatchCritic(nn.Sequential):
    """Marks for the patches of images, high where they look true.

    Each mark is of about 20 x 20 pixels, four pixels from the next [1]_.

    Parameters
    ----------
    n_inputs : int
        Channels of what it looks at.
    width : int
        Features of its first layer.

    References
    ----------
    .. [1] P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros: Image-to-Image Translation with
       Conditional Adversarial Networks, CVPR 2017.
    """

    def __init__(self, n_inputs, width):
        super().__init__(
            SpectralConv(n_inputs, width),
            nn.LeakyReLU(SLOPE),
            SpectralConv(width, 2 * width, stride=2),
            nn.LeakyReLU(SLOPE),
            SpectralConv(2 * width, 2 * width, stride=2),
            nn.LeakyReLU(SLOPE),
            SpectralConv(2 * width, 1),
        )
