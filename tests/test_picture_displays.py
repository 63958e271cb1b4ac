"""Pictures stand beside each other as they are, with the scores of the measures."""

import numpy as np
import pytest
from helpers import tiny
from matplotlib import pyplot
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import ndtri
from skimage.io import imsave
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

from colorvae_sk import (
    GaussianNoise,
    ImageFolder,
    PosteriorDisplay,
    RestorationDisplay,
    ciede2000_error,
    psnr_score,
    ssim_score,
)

pytestmark = pytest.mark.usefixtures("no_window")
PANELS = ["damaged", "restored", "clean", "error bars", "error"]


@pytest.fixture
def states(photos):
    """Two photographs clean, restored, with error bars, and damaged."""
    clean = photos[:2]
    restored = clean + np.float32([-0.02, 0.02])[np.arange(16) % 2, None]
    return clean, restored, np.full_like(clean, 0.02), clean / 2


@pytest.fixture(scope="module")
def vae(photos):
    return tiny(degradation=GaussianNoise(0.1)).fit(photos)


def draw(clean, restored, std, damaged, **options):
    """The display of all states."""
    return RestorationDisplay.from_predictions(
        clean, restored, std, X=damaged, **options
    )


def captions(display):
    """The last line above each picture, row by row."""
    return [[ax.get_title().split("\n")[-1] for ax in row] for row in display.axes_]


def drawn(axes):
    """The values that one of the axes shows."""
    return np.asarray(axes.images[0].get_array())


# ------------------------------------------------------------------ restorations
def test_pictures_stand_beside_each_other_in_their_order(states):
    display = draw(*states, names=["one", "two"])
    titles = [axes.get_title().split("\n")[0] for axes in display.axes_[0]]
    assert titles == PANELS
    assert [row[0].get_ylabel() for row in display.axes_] == ["one", "two"]
    assert display.figure_ is display.axes_[0, 0].figure
    for i, axes in enumerate(display.axes_):
        clean, restored, std, damaged = (state[i] for state in states)
        assert_allclose(drawn(axes[0]), damaged)
        assert_allclose(drawn(axes[1]), restored.clip(0, 1))
        assert_allclose(drawn(axes[2]), clean)
        assert_allclose(drawn(axes[3]), std.mean(axis=2))
        error = np.abs(restored.clip(0, 1) - clean).mean(axis=2)
        assert_allclose(drawn(axes[4]), error, atol=1e-7)


def test_scores_are_those_of_the_measures(states):
    clean, restored, _, damaged = states
    for i, caption in enumerate(captions(draw(*states))):
        for column, image in enumerate((damaged, restored)):
            pair = clean[i : i + 1], image[i : i + 1]
            assert caption[column] == (
                f"PSNR {psnr_score(*pair):.1f} dB   SSIM {ssim_score(*pair):.3f}   "
                f"CIEDE2000 {ciede2000_error(*pair):.1f}"
            )


def test_what_is_not_known_has_no_panel_and_no_score(states):
    clean, restored, std, damaged = states
    display = RestorationDisplay.from_predictions(None, restored, std, X=damaged)
    assert [ax.get_title() for ax in display.axes_[0][:2]] == ["damaged", "restored"]
    assert [ax.get_title().split("\n")[0] for ax in display.axes_[0]] == [
        *PANELS[:2],
        "error bars",
    ]
    assert "holds" not in display.axes_[0, 2].get_title()
    display = RestorationDisplay.from_predictions(clean, restored)
    assert [ax.get_title().split("\n")[0] for ax in display.axes_[0]] == [
        "restored",
        "clean",
        "error",
    ]


@pytest.mark.parametrize(("ratio", "share"), [(0.99, "0 %"), (1.01, "100 %")])
def test_coverage_is_that_of_the_90_percent_interval(states, ratio, share):
    clean, *_, damaged = states
    restored = clean * 0.9
    std = np.abs(restored - clean) / ndtri(0.95) * ratio
    display = draw(clean, restored, std, damaged)
    assert captions(display)[0][3].endswith(f"90 % interval holds {share}")


def test_error_bars_and_errors_share_one_scale(states):
    clean, restored, std, damaged = states
    for row in draw(clean, restored, 0.3 * std, damaged).axes_:
        bars, errors = (axes.images[0].get_clim() for axes in row[3:])
        assert bars == errors and bars[0] == 0
        assert bars[1] == pytest.approx(0.02, abs=2e-3)  # the larger: errors


def test_integers_are_drawn_and_scored_as_their_floats_are(states):
    whole = [np.rint(255 * state.clip(0, 1)).astype(np.uint8) for state in states]
    whole[2] = 255 * states[2]  # error bars in grey levels
    floats = [state / np.float32(255) for state in whole]
    assert captions(draw(*whole)) == captions(draw(*floats))


def test_rows_are_folded_and_scaled(states):
    rows = [100 * state.reshape(2, -1) for state in states]
    display = draw(*rows, image_shape=(16, 16, 3), data_range=(0, 100))
    assert captions(display) == captions(draw(*states))


def test_grey_pictures_of_different_sizes_have_no_colour_error(photos):
    clean = [photo.mean(axis=2)[: 8 + 4 * i] for i, photo in enumerate(photos[:3])]
    noisy = [image + np.float32(0.1) for image in clean]
    std = [np.full_like(image, 0.1) for image in clean]
    display = draw(clean, noisy, std, noisy)
    assert [drawn(row[0]).shape[0] for row in display.axes_] == [8, 12, 16]
    assert all("CIEDE2000" not in row[0] for row in captions(display))
    assert all(row[0].startswith("PSNR 20.0 dB") for row in captions(display))


def test_missing_pixels_are_white_and_scored_as_the_mean(states):
    clean, restored, std, _ = states
    holes = clean.copy()
    holes[:, :8] = np.nan
    display = draw(clean, restored, std, holes)
    assert np.all(drawn(display.axes_[0, 0])[:8] == 1)
    filled = clean[:1].copy()
    filled[:, :8] = clean[0, 8:].mean(axis=(0, 1))
    assert f"{psnr_score(clean[:1], filled):.1f} dB" in captions(display)[0][0]


def test_what_is_not_known_of_the_truth_is_left_out_of_errors(states):
    clean, restored, std, damaged = states
    partly = clean.copy()
    partly[:, :8] = np.nan
    error = drawn(draw(partly, restored, std, damaged).axes_[0, 4])
    assert np.all(np.isnan(np.ma.filled(error[:8], np.nan)))
    assert np.all(np.isfinite(error[8:]))


def test_a_picture_without_any_pixel_can_be_drawn(states):
    clean, restored, std, damaged = states
    display = draw(clean, restored, std, np.full_like(damaged, np.nan))
    grey = np.full_like(clean[:1], 0.5)
    assert f"{psnr_score(clean[:1], grey):.1f} dB" in captions(display)[0][0]


def test_states_must_agree_in_number_and_shape(states):
    clean, restored, std, damaged = states
    with pytest.raises(ValueError, match="2 restored, 1 clean"):
        draw(clean[:1], restored, std, damaged)
    with pytest.raises(ValueError, match=r"1 error bars"):
        draw(clean, restored, std[:1], damaged)
    with pytest.raises(ValueError, match=r"Picture 0 .*clean \(8, 16, 3\)"):
        draw(clean[:, :8], restored, std, damaged)


def test_estimator_is_drawn_as_what_it_predicts(vae, photos):
    noisy = GaussianNoise(0.1, random_state=0).transform(photos[:2])
    restored, std = vae.predict(noisy, return_std=True)
    expected = draw(photos[:2], restored, std, noisy)
    got = RestorationDisplay.from_estimator(vae, noisy, photos[:2])
    assert captions(got) == captions(expected)
    pipe = Pipeline([("damage", GaussianNoise(0.1, random_state=0)), ("restore", vae)])
    got = RestorationDisplay.from_estimator(pipe, photos[:2], photos[:2])
    assert captions(got) == captions(expected)
    assert len(RestorationDisplay.from_estimator(vae, noisy).axes_[0]) == 3


def test_pictures_in_files_are_drawn(vae, photos_uint8, tmp_path):
    for i, photo in enumerate(photos_uint8[:2]):
        imsave(tmp_path / f"{i}.png", photo, check_contrast=False)
    folder, files = ImageFolder(tmp_path), sorted(map(str, tmp_path.glob("*.png")))
    display = RestorationDisplay.from_estimator(vae, folder, files)
    assert_allclose(drawn(display.axes_[1, 0]), photos_uint8[1] / 255, atol=1e-6)
    assert captions(display)[0][0].startswith("PSNR inf dB")
    assert PosteriorDisplay.from_estimator(vae, files).axes_.shape == (2, 7)


def test_axes_of_the_user_are_drawn_into(states):
    figure, axes = pyplot.subplots(2, 5)
    display = draw(*states, ax=axes)
    assert display.figure_ is figure and display.axes_[1, 4] is axes[1, 4]
    assert display.plot().figure_ is not figure
    with pytest.raises(ValueError, match="2 x 5 axes"):
        draw(*states, ax=axes[:, :4])


# ------------------------------------------------------------------ posteriors
def test_samples_stand_beside_each_other(vae, photos):
    display = PosteriorDisplay.from_estimator(
        vae, photos[:2], n_samples=3, random_state=0, names=["one", "two"]
    )
    titles = [axes.get_title().split("\n")[0] for axes in display.axes_[0]]
    samples = ["sample 1", "sample 2", "sample 3"]
    assert titles == ["damaged", "restored", *samples, "spread of the samples"]
    expected = vae.sample_posterior(photos[:2], 3, random_state=0).clip(0, 1)
    for i, row in enumerate(display.axes_):
        assert_array_equal(drawn(row[0]), photos[i])
        for axes, sample in zip(row[2:5], expected[:, i], strict=True):
            assert_allclose(drawn(axes), sample)
        spread = expected[:, i].std(axis=0, ddof=1).mean(axis=2)
        assert_allclose(drawn(row[5]), spread, atol=1e-6)
    assert display.axes_[1, 0].get_ylabel() == "two"


def test_lists_of_samples_in_pipelines_and_a_single_one(vae, photos):
    pipe = Pipeline([("damage", GaussianNoise(0.1, random_state=0)), ("restore", vae)])
    pictures = [photos[0], photos[1, :12]]
    display = PosteriorDisplay.from_estimator(pipe, pictures, n_samples=1)
    assert display.axes_.shape == (2, 3)  # one sample has no spread
    noisy = GaussianNoise(0.1, random_state=0).transform(pictures)
    assert_allclose(drawn(display.axes_[1, 0]), noisy[1].clip(0, 1))
    samples = [pictures, pictures]
    display = PosteriorDisplay.from_predictions(None, samples)
    assert display.axes_.shape == (2, 3)
    assert np.all(drawn(display.axes_[0, 2]) == 0)


def test_samples_must_agree_in_number(photos):
    with pytest.raises(ValueError, match="1 restored, 2 sample 1"):
        PosteriorDisplay.from_predictions(photos[:1], [photos[:2]])


@pytest.mark.parametrize("display", [PosteriorDisplay, RestorationDisplay])
def test_unfitted_estimator_is_refused(display, photos):
    with pytest.raises(NotFittedError):
        display.from_estimator(tiny(), photos)
