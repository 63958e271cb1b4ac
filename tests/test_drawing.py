"""What displays draw with."""

import numpy as np
from numpy.testing import assert_array_equal

from colorvae_sk._drawing import fill_with_means


def test_holes_are_filled_with_the_mean_of_their_channel(photos):
    holes = photos[0].copy()
    holes[:8, :, 1] = np.nan
    holes[:, :, 2] = np.nan
    filled = fill_with_means(holes)
    assert_array_equal(filled[8:, :, :2], photos[0][8:, :, :2])
    np.testing.assert_allclose(filled[:8, :, 1], photos[0][8:, :, 1].mean(), rtol=1e-6)
    assert np.all(filled[:, :, 2] == 0.5)
