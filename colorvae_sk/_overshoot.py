"""Values that lie so far outside of [0, 1] that no network has learned of them."""

import torch
from torch.nn import functional as F

from ._blocks import may_miss
from ._summary import BLOCK, block_means

ROOM = 0.2  # outside of [0, 1], for the means of blocks of 8 x 8 pixels
NOISE = 3.0  # for single pixels
LEAST, MOST = -1.0, 2.0  # what is restored


def split_overshoot(images):
    """Images (n, C, H, W), with NaN, as a part near [0, 1] and what lies beyond it.

    Noise may reach far out, and is left. But where the mean of a block is out of the
    range by more than `ROOM`, as that of high lights is in a picture with a high
    dynamic range, its values are cut off there. What is cut off is None, if nothing.
    """
    if lies_within(images, ROOM):
        return images, None
    size = [-(-side // BLOCK) for side in images.shape[-2:]]
    padded = F.pad(images, padding(images, size), value=torch.nan)
    means = block_means(padded, size)
    if lies_within(means, ROOM) and lies_within(images, NOISE):
        return images, None
    is_beyond = (means < -ROOM) | (means > 1 + ROOM)
    is_beyond = F.interpolate(is_beyond.to(images.dtype), scale_factor=BLOCK)
    is_beyond = is_beyond[..., : images.shape[2], : images.shape[3]] > 0
    inside = torch.where(is_beyond, limit(images, ROOM), limit(images, NOISE))
    return inside, (images - inside).nan_to_num(0.0)


def join_overshoot(restored, beyond):
    """What was restored of the part near [0, 1], with the rest put back."""
    restored = restored.clamp(LEAST, MOST)
    return restored if beyond is None else restored + beyond


def padding(images, size):
    """What is missing of whole blocks, on the right and below."""
    below, right = (
        n * BLOCK - side for side, n in zip(images.shape[-2:], size, strict=True)
    )
    return 0, right, 0, below


def limit(values, room):
    """No further from [0, 1] than that; NaN stays."""
    return values.clamp(-room, 1 + room)


def lies_within(values, room):
    """Whether all that was observed is that near to [0, 1]."""
    if may_miss(values):
        values = values.nan_to_num(0.5)
    least, most = values.aminmax()
    return bool(least >= -room) and bool(most <= 1 + room)
