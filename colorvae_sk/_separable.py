"""Linear maps along the two axes of images, for small ones as products of matrices."""

import torch

LONGEST = 512  # pixels; for longer sides a matrix costs more than what it replaces


def apply_along_axes(images, down, across):
    """Map the columns and the rows of each image by its own matrices.

    Parameters
    ----------
    images : float32 tensor of shape (n, C, H, W)
        Without NaN.
    down : float32 tensor of shape (n, H_new, H)
        What makes new columns of old ones.
    across : float32 tensor of shape (n, W_new, W)
        What makes new rows of old ones.

    Returns
    -------
    mapped : float32 tensor of shape (n, C, H_new, W_new)
        ``down @ image @ across.T`` of each image and channel.
    """
    n_images, n_channels, height, width = images.shape
    rows = torch.bmm(images.reshape(n_images, -1, width), across.mT)
    rows = rows.reshape(n_images, n_channels, height, -1)
    return down.unsqueeze(1) @ rows
