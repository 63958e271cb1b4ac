"""The figure shows each picture in four states, with the scores of two of them."""

import matplotlib
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import ndtri

from colorvae_sk import ciede2000_error, psnr_score
from colorvae_sk.plotting import plot_restoration


@pytest.fixture(autouse=True)
def no_window():
    """Draw into memory; close what was drawn."""
    matplotlib.use("agg")
    yield
    matplotlib.pyplot.close("all")


@pytest.fixture
def states(photos):
    """Two photographs damaged, restored, with error bars, and clean."""
    clean = photos[:2]
    restored = clean + np.float32([-0.02, 0.02])[np.arange(16) % 2, None]
    return clean / 2, restored, np.full_like(clean, 0.02), clean


def captions(figure):
    """What stands below each picture, row by row."""
    return np.reshape([axes.get_xlabel() for axes in figure.axes], (-1, 4))


def drawn(axes):
    """The values that one of the axes shows."""
    return np.asarray(axes.images[0].get_array())


def test_pictures_stand_beside_each_other_in_their_order(states):
    figure = plot_restoration(*states, titles=["one", "two"])
    titles = [axes.get_title() for axes in figure.axes[:4]]
    assert titles == ["damaged", "restored", "error bars", "clean"]
    assert [axes.get_ylabel() for axes in figure.axes[::4]] == ["one", "two"]
    for i, axes in enumerate(np.reshape(figure.axes, (2, 4))):
        damaged, restored, std, clean = (state[i] for state in states)
        assert_allclose(drawn(axes[0]), damaged)
        assert_allclose(drawn(axes[1]), restored.clip(0, 1))
        assert_allclose(drawn(axes[2]), std.mean(axis=2))
        assert_allclose(drawn(axes[3]), clean)


def test_scores_are_those_of_the_metrics(states):
    damaged, restored, _, clean = states
    for i, caption in enumerate(captions(plot_restoration(*states))):
        for column, image in enumerate((damaged, restored)):
            psnr = psnr_score(clean[i : i + 1], image[i : i + 1])
            error = ciede2000_error(clean[i : i + 1], image[i : i + 1])
            assert caption[column] == f"PSNR {psnr:.1f} dB   CIEDE2000 {error:.1f}"
        assert caption[3] == ""


@pytest.mark.parametrize(("ratio", "share"), [(0.99, "0 %"), (1.01, "100 %")])
def test_coverage_is_that_of_the_90_percent_interval(states, ratio, share):
    damaged, _, std, clean = states
    restored = clean * 0.9
    std = np.abs(restored - clean) / ndtri(0.95) * ratio
    figure = plot_restoration(damaged, restored, std, clean)
    assert captions(figure)[0, 2].endswith(f"90 % interval holds {share}")


def test_integers_are_drawn_and_scored_as_their_floats_are(states):
    whole = [np.rint(255 * state.clip(0, 1)).astype(np.uint8) for state in states]
    whole[2] = 255 * states[2]  # error bars in grey levels
    floats = [state / np.float32(255) for state in whole]
    expected = captions(plot_restoration(*floats))
    np.testing.assert_array_equal(captions(plot_restoration(*whole)), expected)


def test_grey_pictures_of_different_sizes_have_no_colour_error(photos):
    clean = [photo.mean(axis=2)[: 8 + 4 * i] for i, photo in enumerate(photos[:3])]
    noisy = [image + np.float32(0.1) for image in clean]
    std = [np.full_like(image, 0.1) for image in clean]
    figure = plot_restoration(noisy, noisy, std, clean)
    assert [drawn(axes).shape[0] for axes in figure.axes[::4]] == [8, 12, 16]
    assert set(captions(figure)[:, 0]) == {"PSNR 20.0 dB"}


def test_missing_pixels_are_white_and_scored_as_the_mean(states):
    _, restored, std, clean = states
    holes = clean.copy()
    holes[:, :8] = np.nan
    figure = plot_restoration(holes, restored, std, clean)
    assert np.all(drawn(figure.axes[0])[:8] == 1)
    filled = clean[:1].copy()
    filled[:, :8] = clean[0, 8:].mean(axis=(0, 1))
    assert f"{psnr_score(clean[:1], filled):.1f} dB" in captions(figure)[0, 0]


def test_a_picture_without_any_pixel_can_be_drawn(states):
    damaged, restored, std, clean = states
    figure = plot_restoration(np.full_like(damaged, np.nan), restored, std, clean)
    grey = np.full_like(clean[:1], 0.5)
    assert f"{psnr_score(clean[:1], grey):.1f} dB" in captions(figure)[0, 0]


def test_states_must_agree_in_number(states):
    damaged, restored, std, clean = states
    with pytest.raises(ValueError, match="2 error bars, 1 clean"):
        plot_restoration(damaged, restored, std, clean[:1])
