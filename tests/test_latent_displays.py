"""Codes are drawn where they are, and pictures as they are decoded."""

import numpy as np
import pytest
from helpers import tiny
from matplotlib import pyplot
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

from colorvae_sk import GaussianNoise, LatentDisplay, TraversalDisplay

pytestmark = pytest.mark.usefixtures("no_window")


@pytest.fixture(scope="module")
def vae(photos):
    return tiny("dense", n_latent=3, degradation=None).fit(photos)


def drawn(axes):
    """The values that one of the axes shows."""
    return np.asarray(axes.images[0].get_array())


# ------------------------------------------------------------------ the plane
def test_codes_are_drawn_where_they_lie(vae, photos):
    display = LatentDisplay.from_estimator(vae, photos, units=(2, 0))
    Z = vae.encode(photos)
    assert_allclose(display.scatter_.get_offsets(), Z[:, [2, 0]])
    assert display.axes_[0].get_xlabel() == "code 2"
    assert display.axes_[0].get_ylabel() == "code 0"
    assert display.figure_ is display.axes_[0].figure


def test_codes_that_differ_most_are_drawn_if_none_are_named(vae, photos):
    display = LatentDisplay.from_estimator(vae, photos)
    variances = vae.encode(photos).var(axis=0)
    assert list(display.units) == list(np.argsort(-variances)[:2])


def test_plane_shows_what_its_codes_decode_to(vae, photos):
    display = LatentDisplay.from_estimator(vae, photos, units=(0, 1), n_steps=3)
    Z = vae.encode(photos)
    corner = Z.mean(axis=0)
    corner[:2] = Z[:, 0].max(), Z[:, 1].min()  # to the right, at the bottom
    expected = vae.decode(corner[None])[0]
    assert_allclose(display.plane[2][2], expected, atol=1e-5)
    mosaic = drawn(display.axes_[1])
    assert mosaic.shape == (3 * 17, 3 * 17, 3)  # each with a line
    assert_allclose(mosaic[34:50, 34:50], expected.clip(0, 1), atol=1e-5)
    left, right, bottom, top = display.extent
    assert_allclose((right - left) / 3, np.ptp(Z[:, 0]) / 2, rtol=1e-5)
    assert display.axes_[0].get_xlim() == display.axes_[1].get_xlim() == (left, right)
    assert display.axes_[0].get_ylim() == display.axes_[1].get_ylim() == (bottom, top)


def test_classes_get_a_legend_and_numbers_a_bar(vae, photos):
    y = ["dog", "cat", "cat", "owl", "dog", "owl"]
    display = LatentDisplay.from_estimator(vae, photos, y)
    names = [text.get_text() for text in display.axes_[0].get_legend().get_texts()]
    assert names == ["cat", "dog", "owl"]
    assert_array_equal(display.scatter_.get_array(), [1, 0, 0, 2, 1, 2])
    y = np.linspace(0, 1, 6) + 0.01
    display = LatentDisplay.from_estimator(vae, photos, y)
    assert display.axes_[0].get_legend() is None
    assert_array_equal(display.scatter_.get_array(), y)
    assert len(display.figure_.axes) == 3


def test_rows_are_folded_only_if_it_is_known_how(photos):
    rows = photos.reshape(6, -1)
    vae = tiny("dense", n_latent=2).fit(rows)
    assert LatentDisplay.from_estimator(vae, rows).plane is None
    shape = (16, 16, 3)
    display = LatentDisplay.from_estimator(vae, rows, image_shape=shape, n_steps=2)
    assert display.plane[0][0].shape == shape
    folding = tiny("dense", n_latent=2, image_shape=shape).fit(rows)
    assert LatentDisplay.from_estimator(folding, rows).plane[0][0].shape == shape


def test_plane_of_a_ladder_has_the_size_of_its_pictures(photos):
    vae = tiny("ladder").fit(photos)
    display = LatentDisplay.from_estimator(vae, photos[:, :11], n_steps=2)
    assert display.plane[0][0].shape == (11, 16, 3)


def test_pipelines_and_axes_of_the_user(vae, photos):
    pipe = Pipeline([("damage", GaussianNoise(0.1, random_state=0)), ("restore", vae)])
    axes = pyplot.subplots(1, 2)[1]
    display = LatentDisplay.from_estimator(pipe, photos, ax=axes, units=(0, 1))
    assert display.axes_[0] is axes[0] and display.axes_[1] is axes[1]
    noisy = GaussianNoise(0.1, random_state=0).transform(photos)
    assert_allclose(display.scatter_.get_offsets(), vae.encode(noisy)[:, :2])


def test_units_must_be_there(vae, photos):
    for units in ((0, 3), (-1, 0)):
        with pytest.raises(ValueError, match="among the 3 codes"):
            LatentDisplay.from_estimator(vae, photos, units=units)
    with pytest.raises(ValueError, match="Expected 2 units"):
        LatentDisplay.from_estimator(vae, photos, units=(0, 1, 2))
    single = tiny("dense", n_latent=1).fit(photos)
    with pytest.raises(ValueError, match="among the 1 codes"):
        LatentDisplay.from_estimator(single, photos)
    for display in (LatentDisplay, TraversalDisplay):
        with pytest.raises(NotFittedError):
            display.from_estimator(tiny(), photos)


# ------------------------------------------------------------------ ways
def test_traversal_changes_one_code_of_the_first_picture(vae, photos):
    display = TraversalDisplay.from_estimator(vae, photos, units=[1], values=[-1, 3])
    code = vae.encode(photos[:1])
    for axes, value in zip(display.axes_[0], (-1, 3), strict=True):
        code[0, 1] = value
        assert_allclose(drawn(axes), vae.decode(code)[0].clip(0, 1), atol=1e-5)
    assert [axes.get_title() for axes in display.axes_[0]] == ["-1", "+3"]
    assert display.axes_[0, 0].get_ylabel() == "code 1"


def test_traversal_takes_codes_that_differ_most_first(vae, photos):
    display = TraversalDisplay.from_estimator(vae, photos)
    assert display.axes_.shape == (3, 7)
    variances = vae.encode(photos).var(axis=0)
    names = [row[0].get_ylabel() for row in display.axes_]
    assert names == [f"code {unit}" for unit in np.argsort(-variances)]


def test_ways_between_pictures_are_those_of_interpolate(vae, photos):
    ends = photos[:2], photos[2:4]
    display = TraversalDisplay.from_interpolation(vae, *ends, n_steps=3)
    assert display.axes_.shape == (2, 3)
    expected = vae.interpolate(*ends, 3)
    for i, row in enumerate(display.axes_):
        for axes, image in zip(row, expected[:, i], strict=True):
            assert_allclose(drawn(axes), image.clip(0, 1))
    assert [axes.get_title() for axes in display.axes_[0]] == ["0%", "50%", "100%"]


def test_ways_of_rows_are_folded(photos):
    rows = photos.reshape(6, -1)
    vae = tiny("dense", n_latent=2).fit(rows)
    shape = (16, 16, 3)
    display = TraversalDisplay.from_estimator(vae, rows, image_shape=shape)
    assert drawn(display.axes_[0, 0]).shape == shape
    display = TraversalDisplay.from_interpolation(
        vae, rows[:1], rows[1:2], image_shape=shape
    )
    assert drawn(display.axes_[0, 0]).shape == shape
