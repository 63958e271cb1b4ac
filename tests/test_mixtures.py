"""Mixtures of damage, the damage of users' own, and what was drawn."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import Never, dataset, tiny
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy import stats
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from colorvae_sk import (
    BaseDegradation,
    ColorCast,
    ColorVAE,
    GaussianBlur,
    GaussianNoise,
    ImageFolder,
    MissingPixels,
    Quantize,
    RandomDegradation,
)
from colorvae_sk._batches import Batches, one_ahead
from colorvae_sk._images import as_images
from colorvae_sk.degradations import as_degrader, blind_degradation, runs_on_cpu


class Add(BaseDegradation):
    """Shift the decimal point, then add a digit: the digits tell what befell."""

    def __init__(self, digit=1, random_state=None):
        self.digit = digit
        self.random_state = random_state

    def _degrade(self, images, generator):
        return 10 * images + self.digit


DIGITS = [Add(1), Add(2), Add(3)]


def stories(mixture, n=3000):
    """What befell each of n images: "21" for Add(2) and then Add(1)."""
    nothing = torch.zeros(n, 1, 1, 1)
    numbers = as_degrader(mixture)(nothing, torch.Generator().manual_seed(0))
    return pd.Series(numbers.flatten().int().tolist()).astype(str)


# ----------------------------------------------------------------------- mixtures
def test_weights_say_how_likely_each_is_drawn():
    mixture = RandomDegradation(DIGITS, n=1, weights=[1, 0, 3])
    counts = stories(mixture).value_counts()
    assert set(counts.index) == {"1", "3"}
    assert stats.binomtest(int(counts["1"]), 3000, 0.25).pvalue > 1e-4


def test_second_draw_is_weighted_among_those_that_are_left():
    mixture = RandomDegradation(DIGITS, n=2, weights=[1, 2, 5], order="given")
    counts = stories(mixture).value_counts(normalize=True)
    share = np.array([1, 2, 5]) / 8
    odds = share / (1 - share)  # of a and then b: share[b] * odds[a]
    expected = {
        f"{a + 1}{b + 1}": share[b] * odds[a] + share[a] * odds[b]
        for a, b in [(0, 1), (0, 2), (1, 2)]
    }
    for story, chance in expected.items():
        assert counts[story] == pytest.approx(chance, abs=0.04)


@pytest.mark.parametrize("weights", [None, [1, 1, 1], [5, 1, 1]])
def test_random_order_favours_none(weights):
    mixture = RandomDegradation(DIGITS, n=3, weights=weights)
    counts = stories(mixture).value_counts()
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-4


def test_given_order_is_that_of_the_list():
    told = stories(RandomDegradation(DIGITS, n=(0, 3), order="given"))
    assert all(list(story) == sorted(story) for story in told)
    assert set(told) == {"0", "1", "2", "3", "12", "13", "23", "123"}


def test_no_more_is_drawn_than_has_a_weight():
    told = stories(RandomDegradation(DIGITS, n=3, weights=[1, 0, 1]))
    assert set(told) == {"13", "31"}


@pytest.mark.parametrize(
    "weights",
    [[1, 2], [1, -1, 1], [1, np.nan, 1], [[1, 1, 1]], ["a", "b", "c"], [0, 0, 0]],
)
def test_wrong_weights_are_refused(weights):
    with pytest.raises(ValueError, match=r"expected 3 weights|are all 0"):
        RandomDegradation(DIGITS, weights=weights).transform(np.zeros((1, 2, 2, 3)))


def test_steps_are_told_apart_though_their_hashes_are_equal():
    assert hash(-1) == hash(-2)
    told = stories(RandomDegradation([Add(-1), Add(-2)], n=1), n=50)
    assert set(told) == {"-1", "-2"}


def test_clone_of_a_mixture_draws_the_same_though_its_parts_are_shared_no_more():
    inner = RandomDegradation(DIGITS, n=(0, 3))
    mixture = RandomDegradation([inner, make_pipeline(inner, Add(4))], n=1)
    told = stories(mixture, n=200)
    assert told.tolist() == stories(clone(mixture), n=200).tolist()
    assert told.nunique() > 20


def test_images_that_meet_the_same_damage_meet_it_together():
    met = {1: [], 2: [], 3: []}

    class Note(Add):
        def _degrade(self, images, generator):
            met[self.digit].append(len(images))
            return super()._degrade(images, generator)

    notes = [Note(1), make_pipeline(Note(2), Note(3)), Note(3)]
    told = stories(RandomDegradation(notes, n=1), n=300)
    assert set(told) == {"1", "23", "3"}
    assert {digit: len(groups) for digit, groups in met.items()} == {1: 1, 2: 1, 3: 1}
    assert sum(met[3]) == told.isin(["23", "3"]).sum()


def test_mixture_leaves_its_images_as_they_are(photos):
    images = torch.tensor(photos)
    before = images.clone()
    degrade = as_degrader(RandomDegradation([Add(1), Add(2)], n=(0, 1)))
    damaged = degrade(images, torch.Generator().manual_seed(0))
    damaged += 1  # nor is what comes back a view of them
    assert torch.equal(images, before)


# -------------------------------------------------------------------- what was drawn
def test_draws_tell_each_parameter_of_each_image(photos):
    noise = GaussianNoise((0.0, 0.3), clip=False, random_state=0)
    noisy, drawn = noise.transform_with_draws(photos)
    assert_array_equal(noisy, noise.transform(photos))
    sigma = pd.DataFrame(drawn)["GaussianNoise__sigma"]
    assert_allclose(sigma, (noisy - photos).std(axis=(1, 2, 3)), rtol=0.1)
    assert sigma.nunique() == 6


def test_draws_of_the_same_image_are_the_same_in_any_order(photos):
    cast = ColorCast(random_state=0)
    drawn = cast.transform_with_draws(photos)[1]
    assert cast.transform_with_draws(photos[::-1])[1] == drawn[::-1]
    assert cast.transform_with_draws(photos[2:3])[1] == drawn[2:3]
    gain = np.array([draw["ColorCast__gain"] for draw in drawn])
    assert gain.shape == (6, 3) and 0.6 <= gain.min() < gain.max() <= 1.4


def test_draws_of_a_mixture_tell_what_befell_and_in_which_order():
    twice = make_pipeline(GaussianNoise(0.0), GaussianNoise(0.5))
    mixture = RandomDegradation([GaussianBlur((1, 2)), twice], n=(1, 2))
    images = np.random.default_rng(0).random((60, 4, 4, 3))
    _, drawn = mixture.transform_with_draws(images)
    blur, noises = (
        "GaussianBlur__sigma",
        ("GaussianNoise__sigma", "GaussianNoise_2__sigma"),
    )
    stories = {(blur,), noises, (blur, *noises), (*noises, blur)}
    assert {tuple(draw) for draw in drawn} == stories
    for draw in drawn:
        assert 1 <= draw.get(blur, 1) <= 2
        assert [draw.get(name) for name in noises] in ([0.0, 0.5], [None, None])


def test_counts_are_drawn_as_integers(photos):
    drawn = Quantize((2, 9), random_state=0).transform_with_draws(photos)[1]
    levels = [draw["Quantize__n_levels"] for draw in drawn]
    assert all(isinstance(n, int) and 2 <= n <= 9 for n in levels)


# ------------------------------------------------------------------- users' own
def darken(images):
    """Halve a float32 array (n, H, W, C)."""
    assert images.dtype == np.float32 and images.ndim == 4
    images *= 0.5
    return images


transformer = FunctionTransformer(darken)
OWN = {
    "function": darken,
    "transformer": transformer,
    "pipeline": make_pipeline(transformer, Quantize(1025)),
    "mixture": RandomDegradation([darken], n=1),
    "nested": RandomDegradation([RandomDegradation([transformer], n=1)], n=1),
}


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
def test_functions_and_transformers_of_arrays_are_damage_too(own):
    images = torch.rand((3, 3, 5, 7), generator=torch.Generator().manual_seed(0))
    before = images.clone()
    damaged = as_degrader(own)(images, torch.Generator())
    assert_allclose(damaged, images / 2, atol=1e-3)
    assert torch.equal(images, before)
    assert runs_on_cpu(own)


@pytest.mark.parametrize(
    "degradation",
    ["blind", blind_degradation(), GaussianNoise(), make_pipeline(ColorCast())],
    ids=str,
)
def test_our_own_damage_stays_on_the_device(degradation):
    assert not runs_on_cpu(degradation)


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
def test_estimator_learns_to_undo_damage_of_the_users_own(own, photos):
    vae = tiny(degradation=own, max_epochs=20, patch_size=8)
    clone(vae).fit(photos)
    vae.fit(photos)
    plain = tiny(degradation=None, max_epochs=20, patch_size=8).fit(photos)
    dark = (0.5 * photos).astype(np.float32)
    assert vae.score(dark, photos) > plain.score(dark, photos) + 1


def test_damage_of_rows_is_given_rows():
    shapes = []

    def note(rows):
        shapes.append(rows.shape)
        return rows

    X = np.random.default_rng(0).random((9, 7))
    tiny(degradation=note, batch_size=9).fit(X)
    assert set(shapes) == {(9, 7)}


def test_damage_must_keep_the_shape(photos):
    vae = tiny(degradation=lambda images: images[:, ::2])
    with pytest.raises(ValueError, match="must keep the shape of the images"):
        vae.fit(photos)


def test_error_in_the_users_damage_comes_out(photos):
    def fail(images):
        raise RuntimeError("no film in the camera")

    with pytest.raises(RuntimeError, match="no film"):
        tiny(degradation=fail).fit(photos)


@pytest.fixture
def any_device(monkeypatch):
    """Devices are taken as they are named: "meta" is another that is always there."""
    monkeypatch.setattr(ColorVAE, "_device", property(lambda vae: vae.device))


@pytest.mark.usefixtures("any_device")
def test_beside_another_device_damage_on_the_cpu_is_done_ahead(photos, capsys):
    def source_of(degradation, device, verbose=1):
        vae = tiny(degradation=degradation, verbose=verbose, device="cpu").fit(photos)
        capsys.readouterr()
        vae.device = device
        return vae._batch_source(vae.net_.module_, is_clean=True)

    assert source_of(darken, "meta").ahead
    assert capsys.readouterr().out.count("on the CPU, in the background") == 1
    assert source_of(darken, "meta", verbose=0).ahead
    assert not source_of(darken, "cpu").ahead
    assert not source_of(GaussianNoise(), "meta").ahead
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("any_device")
def test_beside_another_device_files_are_decoded_ahead(photos_uint8, tmp_path):
    Image.fromarray(photos_uint8[0]).save(tmp_path / "a.png")
    vae = tiny(degradation=GaussianNoise(), device="cpu").fit(photos_uint8)
    for X, device in product((ImageFolder(tmp_path), photos_uint8), ("cpu", "meta")):
        images, vae.device = as_images(X), device
        source = vae._batch_source(vae.net_.module_, True, images.is_lazy)
        assert source.ahead == (images.is_lazy and device == "meta")


def test_batches_that_are_made_ahead_are_the_same(photos):
    runs = []
    for ahead in (False, True):
        vae = tiny(degradation=darken, patch_size=8)
        vae.fit(photos)
        source = vae._batch_source(vae.net_.module_, is_clean=True)
        source.ahead = ahead
        source.begin("restoration", Never())
        data = dataset(photos, patch_size=(8, 8), with_pictures=True)
        runs.append([target for _, target in Batches(data, 4, source)])
    assert len(runs[0]) == 6
    assert all(map(torch.equal, *runs))


def test_next_item_is_made_while_this_one_is_used():
    made = []

    def make():
        for i in range(4):
            made.append(i)
            yield i

    items, seen = one_ahead(make()), []
    for item in items:
        while len(made) < min(item + 2, 4):
            pass  # the background is at work
        seen.append(item)
    assert seen == [0, 1, 2, 3]


def test_holes_in_training_are_all_it_takes_to_fill_holes(photos):
    degrade = MissingPixels(0.5, random_state=0)
    vae = tiny(degradation=MissingPixels(0.5), max_epochs=60).fit(photos)
    restored = vae.transform(degrade.transform(photos))
    assert np.isfinite(restored).all()
    filled = np.abs(restored - photos).mean()
    grey = np.abs(np.nan_to_num(degrade.transform(photos), nan=0.5) - photos).mean()
    assert filled < grey
