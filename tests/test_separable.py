"""Products of matrices do to small images what is done to large ones in another way."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from colorvae_sk import Downsample, GaussianBlur, _blur, _resolution
from colorvae_sk._separable import apply_along_axes


def test_matrices_act_on_columns_and_rows_of_their_image():
    rng = np.random.default_rng(0)
    images, down, across = (
        rng.random(shape) for shape in [(2, 3, 4, 5), (2, 6, 4), (2, 7, 5)]
    )
    expected = np.einsum("nah,nchw,nbw->ncab", down, images, across)
    mapped = apply_along_axes(*map(torch.tensor, (images, down, across)))
    assert_allclose(mapped, expected)


@pytest.mark.parametrize(
    "degradation",
    [
        GaussianBlur((0, 3), random_state=0),
        GaussianBlur(9.0),
        *(
            Downsample((1, 4), filter=name, random_state=0)
            for name in ("nearest", "bilinear", "bicubic", "area")
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [(16, 16), (5, 13), (1, 9)])
def test_size_at_which_the_way_changes_does_not_show(degradation, size, monkeypatch):
    images = np.random.default_rng(0).random((4, *size, 3)).astype(np.float32)
    as_matrices = degradation.transform(images)
    for module in (_blur, _resolution):
        monkeypatch.setattr(module, "LONGEST", 0)
    assert_allclose(degradation.transform(images), as_matrices, atol=2e-6)
