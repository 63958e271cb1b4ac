"""The figure in one call is that of the display."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from colorvae_sk import RestorationDisplay
from colorvae_sk.plotting import fill_with_means, plot_restoration

pytestmark = pytest.mark.usefixtures("no_window")


def test_figure_is_that_of_the_display(photos):
    clean = photos[:2]
    states = clean / 2, clean, np.full_like(clean, 0.1), clean
    figure = plot_restoration(*states, titles=["one", "two"])
    expected = RestorationDisplay.from_predictions(
        clean, clean, states[2], X=clean / 2, names=["one", "two"]
    )
    for axes, other in zip(figure.axes, expected.figure_.axes, strict=True):
        assert axes.get_title() == other.get_title()
        assert axes.get_ylabel() == other.get_ylabel()
        assert_array_equal(axes.images[0].get_array(), other.images[0].get_array())


def test_holes_are_filled_with_the_mean_of_their_channel(photos):
    holes = photos[0].copy()
    holes[:8, :, 1] = np.nan
    holes[:, :, 2] = np.nan
    filled = fill_with_means(holes)
    assert_array_equal(filled[8:, :, :2], photos[0][8:, :, :2])
    np.testing.assert_allclose(filled[:8, :, 1], photos[0][8:, :, 1].mean(), rtol=1e-6)
    assert np.all(filled[:, :, 2] == 0.5)
