"""The colour difference CIEDE2000 for torch, with gradients that stay finite.

Hues are kept as directions, not as angles, so that neither grey nor the jump from 360
to 0 degrees is a special case.
"""

import math

import torch

TO_XYZ = (  # of linear sRGB, IEC 61966-2-1
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
WHITE = (0.95047, 1.0, 1.08883)  # D65, 2 degree observer
GREY = 1e-4  # added to squared chroma, whose root is steep at 0


def lab_of(images):
    """sRGB (n, 3, H, W), on [0, 1] or a little outside, as CIELAB."""
    is_dark = images <= 0.04045
    bright = ((images.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    linear = torch.where(is_dark, images / 12.92, bright)
    matrix = linear.new_tensor(TO_XYZ) / linear.new_tensor(WHITE)[:, None]
    xyz = torch.einsum("ij,njhw->nihw", matrix, linear)
    edge = (6 / 29) ** 3
    root = xyz.clamp_min(edge) ** (1 / 3)
    x, y, z = torch.where(xyz > edge, root, xyz * (29 / 6) ** 2 / 3 + 4 / 29).unbind(1)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def squared_difference(first, second):
    """CIEDE2000, squared, of each pixel of sRGB images: (n, 3, H, W) -> (n, H, W)."""
    return squared_lab_difference(lab_of(first), lab_of(second))


def squared_lab_difference(first, second):
    """CIEDE2000, squared, between colours (L, a, b), each a tensor of one shape.

    Formulas and constants are those of Sharma et al. [1]_; colours whose chroma is
    below 0.01 count as grey.

    References
    ----------
    .. [1] G. Sharma, W. Wu and E. N. Dalal, "The CIEDE2000 color-difference formula:
       implementation notes, supplementary test data, and mathematical observations",
       Color Research and Application 30(1), 21-30, 2005.
    """
    (l_1, a_1, b_1), (l_2, a_2, b_2) = first, second
    stretch = 1 + greyness(0.5 * (chroma(a_1, b_1) + chroma(a_2, b_2))) / 2
    a_1, a_2 = stretch * a_1, stretch * a_2
    c_1, c_2 = chroma(a_1, b_1), chroma(a_2, b_2)
    mean_l, mean_c = 0.5 * (l_1 + l_2), 0.5 * (c_1 + c_2)
    cosine, sine = direction(a_1 / c_1 + a_2 / c_2, b_1 / c_1 + b_2 / c_2)

    offset = (mean_l - 50).square()
    lightness = (l_2 - l_1) / (1 + 0.015 * offset / torch.sqrt(20 + offset))
    saturation = (c_2 - c_1) / (1 + 0.045 * mean_c)
    hue = hue_difference(a_1, b_1, a_2, b_2, c_1 * c_2)
    hue = hue / (1 + 0.015 * mean_c * hue_weight(cosine, sine))
    rotation = -2 * (1 - greyness(mean_c)) * torch.sin(blueness(cosine, sine))
    terms = lightness.square() + saturation.square() + hue.square()
    return terms + rotation * saturation * hue


def chroma(a, b):
    """The distance from grey."""
    return torch.sqrt(a.square() + b.square() + GREY)


def greyness(c):
    """1 for greys, 0 for vivid colours."""
    return 1 - c**3.5 / torch.sqrt(c**7 + 25.0**7)


def direction(x, y):
    """Cosine and sine of the angle of a vector."""
    length = torch.sqrt(x.square() + y.square() + 1e-6)
    return x / length, y / length


def hue_difference(a_1, b_1, a_2, b_2, product):
    """The signed difference of hue, as long as one of chroma: 2 sqrt(c c) sin(h/2)."""
    dot, cross = a_1 * a_2 + b_1 * b_2, a_1 * b_2 - a_2 * b_1
    near = cross / torch.sqrt(0.5 * (product + dot.clamp_min(0)))
    far = torch.sqrt(2 * (product - dot.clamp_max(0)))
    far = torch.where(cross < 0, -far, far)
    return torch.where(dot > 0, near, far)  # each loses no digits where it is used


def hue_weight(cosine, sine):
    """The factor T, of a direction."""

    def turned(n, degrees):
        """cos(n h - degrees)."""
        power = torch.complex(cosine, sine) ** n
        angle = math.radians(degrees)
        return power.real * math.cos(angle) + power.imag * math.sin(angle)

    fine = 0.32 * turned(3, -6) - 0.20 * turned(4, 63)
    return 1 - 0.17 * turned(1, 30) + 0.24 * turned(2, 0) + fine


def blueness(cosine, sine):
    """Twice the angle by which differences of blue colours are turned, in radians."""
    blue = math.radians(275)
    x = cosine * math.cos(blue) + sine * math.sin(blue)
    y = sine * math.cos(blue) - cosine * math.sin(blue)
    is_no_hue = x.abs() + y.abs() < 1e-6
    angle = torch.atan2(y, torch.where(is_no_hue, -1.0, x))
    return math.radians(60) * torch.exp(-((torch.rad2deg(angle) / 25) ** 2))
