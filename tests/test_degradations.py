"""Degradations: what all have in common, and mixtures of several."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import flat, holed, tensor
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from skimage import data
from sklearn import config_context
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline

from colorvae_sk.degradations import (
    BaseDegradation,
    ColorCast,
    DefocusBlur,
    Desaturate,
    Downsample,
    Fade,
    GaussianBlur,
    GaussianNoise,
    JPEGCompression,
    MissingChannels,
    MissingPixels,
    MissingScratches,
    MotionBlur,
    PoissonNoise,
    Quantize,
    RandomDegradation,
    SaltPepperNoise,
    as_degrader,
    blind_degradation,
)

DEGRADATIONS = [
    GaussianNoise(sigma=(0.05, 0.2), random_state=0),
    GaussianNoise(sigma=0.1, clip=False, random_state=0),
    PoissonNoise(peak=(5, 200), random_state=0),
    PoissonNoise(peak=50, clip=False, random_state=0),
    SaltPepperNoise(fraction=(0.05, 0.3), salt=(0.2, 0.8), random_state=0),
    GaussianBlur(sigma=(0.5, 3), random_state=0),
    MotionBlur(length=(2, 9), random_state=0),
    DefocusBlur(radius=(1, 4), random_state=0),
    Downsample(factor=(1.5, 4), random_state=0),
    Downsample(3, ["nearest", "bilinear", "bicubic", "area"], random_state=0),
    JPEGCompression(quality=(5, 95), random_state=0),
    JPEGCompression(quality=20, subsampling="4:4:4", random_state=0),
    ColorCast(random_state=0),
    Fade(random_state=0),
    Desaturate(strength=(0.3, 1), random_state=0),
    Quantize(n_levels=(2, 16), random_state=0),
    MissingPixels(fraction=(0.1, 0.5), random_state=0),
    MissingPixels(fraction=0.3, size=(2, 5), random_state=0),
    MissingScratches(n=(1, 4), width=(1, 3), random_state=0),
    MissingChannels(n=(1, 2), random_state=0),
    RandomDegradation(random_state=0),
    RandomDegradation([GaussianNoise(), GaussianBlur()], random_state=0),
    blind_degradation().set_params(random_state=0),
]
every_degradation = pytest.mark.parametrize(
    "degradation", DEGRADATIONS, ids=lambda degradation: type(degradation).__name__
)


# ------------------------------------------------------------- what holds for all


@every_degradation
def test_shape_and_input_are_kept_and_something_is_damaged(degradation, photos):
    before = photos.copy()
    degraded = degradation.fit_transform(photos)
    assert degraded.shape == photos.shape
    assert degraded.dtype == np.float32
    assert not np.array_equal(degraded, photos)
    assert_array_equal(photos, before)


@every_degradation
def test_tensor_handed_to_degrade_is_left_as_it_is(degradation, photos, generator):
    images = tensor(holed(photos))
    before = images.clone()
    degraded = degradation._degrade(images, generator)
    assert degraded.shape == images.shape and degraded.dtype == torch.float32
    assert_array_equal(images, before)


@every_degradation
def test_image_meets_the_same_damage_in_any_order_batch_and_dtype(
    degradation, photos_uint8
):
    photos = photos_uint8 / 255
    whole = degradation.transform(photos)
    order = [4, 0, 5, 2]
    assert_array_equal(degradation.transform(photos[order]), whole[order])
    assert_array_equal(degradation.transform(photos[3:4])[0], whole[3])
    assert_array_equal(degradation.transform(list(photos)), whole)
    assert_allclose(degradation.transform(photos.astype(np.float32)), whole, atol=1e-6)
    stored = degradation.transform(photos_uint8)
    scale = 1 if degradation._writes_nan else 255
    assert_allclose(stored, np.clip(whole, 0, 1) * scale, atol=0.5001)


def test_image_meets_the_same_damage_in_another_process(photos):
    code = (
        "import pickle, sys; degradations, photos = pickle.load(sys.stdin.buffer);"
        "degraded = [d.transform(photos) for d in degradations];"
        "sys.stdout.buffer.write(pickle.dumps(degraded))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps((DEGRADATIONS, photos)),
        capture_output=True,
        check=True,
    )
    for degradation, there in zip(DEGRADATIONS, pickle.loads(done.stdout), strict=True):
        assert_array_equal(degradation.transform(photos), there)


def test_equal_images_meet_equal_damage_and_others_another():
    tones = np.array([0.4, 0.4, 0.5]).reshape(3, 1, 1, 1) * np.ones((1, 8, 8, 3))
    noise = GaussianNoise(0.01, random_state=0).transform(tones) - tones
    assert_array_equal(noise[0], noise[1])
    assert abs(np.corrcoef(noise[0].ravel(), noise[2].ravel())[0, 1]) < 0.3


def test_seed_of_another_number_makes_another_damage(photos):
    one, other = (GaussianNoise(random_state=seed).transform(photos) for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_range_of_a_batch_holds_after_a_fit_alone(photos):
    levels = 255 * photos
    noise = GaussianNoise(0.1, clip=False, random_state=0)
    alone = noise.transform(levels[:1])
    assert np.abs(alone - noise.transform(levels)[:1]).max() > 1
    noise.fit(levels)
    assert_array_equal(noise.transform(levels[:1]), noise.transform(levels)[:1])


@pytest.mark.parametrize("as_container", [np.asarray, lambda X: X[..., 0], list])
def test_images_stay_arrays_whatever_set_output_says(as_container, photos):
    X, noise = as_container(photos), GaussianNoise(0.1, random_state=0)
    with config_context(transform_output="pandas"):
        degraded = noise.transform(X)
    assert type(degraded) is type(X)
    assert_array_equal(degraded, noise.transform(X))


def test_without_a_seed_each_call_draws_anew(photos):
    noise = GaussianNoise().fit(photos)
    assert not np.array_equal(noise.transform(photos), noise.transform(photos))


def test_random_state_instance_moves_on_and_can_be_replayed(photos):
    noise = GaussianNoise(random_state=np.random.RandomState(3))
    first, second = noise.transform(photos), noise.transform(photos)
    again = GaussianNoise(random_state=np.random.RandomState(3))
    assert not np.array_equal(first, second)
    assert_array_equal(again.transform(photos), first)
    assert_array_equal(again.transform(photos), second)


@every_degradation
def test_global_random_states_are_left_alone(degradation, photos, generator):
    of_numpy, of_torch = np.random.get_state()[1:3], torch.get_rng_state()
    degradation.fit_transform(photos)
    degradation._degrade(tensor(photos), generator)
    assert_array_equal(np.random.get_state()[1], of_numpy[0])
    assert np.random.get_state()[2] == of_numpy[1]
    assert torch.equal(torch.get_rng_state(), of_torch)


@every_degradation
def test_generator_alone_decides_in_training(degradation, photos, generator):
    images = tensor(photos)
    state = generator.get_state()
    once = as_degrader(degradation)(images, generator)
    other = as_degrader(clone(degradation).set_params(random_state=99))
    assert_array_equal(other(images, generator.set_state(state)), once)


@every_degradation
def test_what_is_missing_stays_missing_and_does_not_spread(degradation, photos):
    photos = holed(photos)
    missing = np.isnan(photos)
    degraded = np.isnan(degradation.transform(photos))
    assert degraded[missing].all()
    if not degradation._writes_nan:
        assert_array_equal(degraded, missing)


@every_degradation
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 3), (13, 17), (31, 8)])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 5])
def test_any_size_and_number_of_channels(degradation, size, n_channels, generator):
    images = torch.rand((3, n_channels, *size), generator=generator)
    degraded = degradation._degrade(images, generator)
    assert degraded.shape == images.shape
    assert not degraded.isinf().any()


@every_degradation
def test_memory_layout_does_not_matter(degradation, photos, generator):
    images = tensor(photos)
    state = generator.get_state()
    expected = degradation._degrade(images, generator)
    images = images.contiguous(memory_format=torch.channels_last)
    actual = degradation._degrade(images, generator.set_state(state))
    assert_allclose(actual, expected, atol=1e-6)


@every_degradation
def test_images_of_different_sizes_come_back_as_a_list(degradation, photos):
    images = [photos[0], photos[1][:5, :11].astype(np.float64), photos[2][:1, :1]]
    degraded = degradation.transform(images)
    assert isinstance(degraded, list)
    assert [d.shape for d in degraded] == [image.shape for image in images]
    assert [d.dtype for d in degraded] == [image.dtype for image in images]


@every_degradation
def test_integers_come_back_as_such_unless_pixels_go_missing(degradation, photos_uint8):
    for images in (photos_uint8, photos_uint8.astype(np.uint16) * 257):
        degraded = degradation.transform(images)
        expected = np.float32 if degradation._writes_nan else images.dtype
        assert degraded.dtype == expected
        assert degraded.shape == images.shape


@every_degradation
def test_grey_images_and_rows_keep_their_shape(degradation, photos):
    grey = photos[..., 1]
    assert degradation.fit_transform(grey).shape == grey.shape
    rows = grey.reshape(6, -1)
    assert degradation.fit_transform(rows).shape == rows.shape


@every_degradation
def test_alpha_passes_through(degradation, photos_uint8):
    alpha = np.arange(6 * 16 * 16, dtype=np.uint8).reshape(6, 16, 16, 1)
    images = np.concatenate([photos_uint8, alpha], axis=3)
    degraded = degradation.transform(images)
    scale = 255 if degradation._writes_nan else 1
    assert_allclose(degraded[..., 3:] * scale, alpha, atol=1e-4)
    assert_array_equal(degraded[..., :3], degradation.transform(photos_uint8))


@every_degradation
def test_copies_by_clone_and_pickle_do_the_same(degradation, photos):
    expected = degradation.transform(photos)
    assert_array_equal(clone(degradation).transform(photos), expected)
    copy = pickle.loads(pickle.dumps(degradation))
    assert_array_equal(copy.transform(photos), expected)


def test_table_that_is_not_on_the_unit_interval_is_damaged_on_its_own_scale():
    table = np.linspace(0, 16, 8 * 64).reshape(8, 64)
    noise = GaussianNoise(0.1, clip=False, random_state=0).fit(table)
    assert np.std(noise.transform(table) - table) == pytest.approx(1.6, rel=0.1)


@pytest.mark.parametrize(
    ("degradation", "message"),
    [
        (GaussianNoise(-0.1), "'sigma' parameter of GaussianNoise must be"),
        (GaussianNoise((0.2, 0.1)), r"with low <= high. Got \(0.2, 0.1\) instead"),
        (GaussianNoise((-1, 0.1)), "or a pair"),
        (GaussianNoise((0, 0.1, 0.2)), "'sigma'"),
        (GaussianNoise(("a", "b")), "'sigma'"),
        (GaussianNoise((0, np.inf)), "'sigma'"),
        (GaussianNoise(np.nan), "'sigma'"),
        (GaussianNoise(None), "'sigma'"),
        (GaussianNoise(clip=2), "'clip'"),
        (GaussianNoise(random_state="x"), "'random_state'"),
        (PoissonNoise(0), "'peak' parameter of PoissonNoise"),
        (PoissonNoise((10, 2**25)), "'peak'"),
        (PoissonNoise(clip="no"), "'clip'"),
        (SaltPepperNoise(1.1), "'fraction'"),
        (SaltPepperNoise(salt=(-0.1, 0.5)), "'salt'"),
        (GaussianBlur(-1), "'sigma' parameter of GaussianBlur"),
        (MotionBlur(-1), "'length'"),
        (MotionBlur(angle=np.inf), "'angle'"),
        (MotionBlur(angle=(90, 0)), "with low <= high"),
        (DefocusBlur((3, 1)), "'radius'"),
        (Downsample(0.5), "'factor'"),
        (Downsample(filter="lanczos"), "'filter'.*'bicubic'.* or a list of some of"),
        (Downsample(filter=["area", "box"]), "'filter'"),
        (Downsample(filter=[]), "'filter'"),
        (JPEGCompression(0), r"int in the range \[1, 100\]"),
        (JPEGCompression(101), "'quality'"),
        (JPEGCompression((10, 30.5)), "'quality'"),
        (JPEGCompression(subsampling="4:1:1"), "'subsampling'.*'4:2:0'"),
        (ColorCast(gain=-1), "'gain'"),
        (ColorCast(gamma=0), "'gamma'"),
        (Fade(contrast=1.1), "'contrast'"),
        (Fade(saturation=(0, 2)), "'saturation'"),
        (Fade(pivot=-0.1), "'pivot'"),
        (Desaturate(1.2), "'strength'"),
        (Quantize(1), "'n_levels'"),
        (MissingPixels(1.5), "'fraction'"),
        (MissingPixels(size=0), "'size'"),
        (MissingPixels(size=2.0), "'size'"),
        (MissingScratches(-1), "'n' parameter of MissingScratches"),
        (MissingScratches(1.5), "'n'"),
        (MissingScratches(width=(0.5, 2)), "'width'"),
        (MissingChannels((2, 1)), "'n' parameter of MissingChannels"),
        (RandomDegradation(n=-1), "'n'"),
        (RandomDegradation([]), "empty list"),
        (RandomDegradation(GaussianNoise()), "'degradations'"),
        (RandomDegradation([GaussianNoise(), GaussianBlur(-1)]), "of GaussianBlur"),
        (RandomDegradation([make_pipeline(Quantize(1))]), "'n_levels'"),
    ],
)
def test_parameter_out_of_range_is_refused(degradation, message, photos):
    for method in (degradation.fit, degradation.transform):
        with pytest.raises(ValueError, match=message):
            method(photos)
    with pytest.raises(ValueError, match=message):
        as_degrader(degradation)


@pytest.mark.parametrize("stranger", ["blur", None, 3])
def test_what_is_no_degradation_is_refused(stranger, photos):
    with pytest.raises(TypeError, match="Expected a degradation of colorvae_sk"):
        RandomDegradation([stranger]).fit(photos)
    with pytest.raises(TypeError, match="a function or a transformer of images"):
        as_degrader(stranger)


def test_subclass_without_physics_says_what_it_lacks(photos):
    class Unfinished(BaseDegradation):
        random_state = None

    with pytest.raises(NotImplementedError, match="Unfinished must define _degrade"):
        Unfinished().transform(photos)


# -------------------------------------------------------------------- parameters


def test_pair_is_drawn_from_uniformly(generator):
    drawn = Fade(pivot=(0.4, 0.7))._draw("pivot", flat(0, 4000, size=1), generator)
    assert drawn.shape == (4000, 1, 1, 1)
    assert (
        stats.kstest(drawn.flatten().numpy(), stats.uniform(0.4, 0.3).cdf).pvalue > 0.01
    )


def test_both_ends_of_a_pair_of_integers_are_drawn(generator):
    images = flat(0, 4000, size=1)
    drawn = JPEGCompression((5, 9))._draw_integer("quality", images, generator)
    values, counts = drawn.unique(return_counts=True)
    assert values.tolist() == [5, 6, 7, 8, 9]
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


# ------------------------------------------------------------------ the physics


# -------------------------------------------------------------- several of them


class Append(BaseDegradation):
    """Append a digit to each pixel's number, so that it tells its story."""

    def __init__(self, digit=1, random_state=None):
        self.digit = digit
        self.random_state = random_state

    def _degrade(self, images, generator):
        return 10 * images + self.digit


def stories(degradation, n, generator):
    """What befell n images, as numbers, and how often."""
    images = degradation._degrade(torch.zeros(n, 1, 2, 2), generator)
    assert (images == images[..., :1, :1]).all()
    numbers, counts = images[:, 0, 0, 0].unique(return_counts=True)
    return dict(zip(numbers.int().tolist(), counts.tolist(), strict=True))


def test_every_selection_and_order_is_equally_likely(generator):
    three = [Append(1), Append(2), Append(3)]
    told = stories(RandomDegradation(three, n=2), 3000, generator)
    assert sorted(told) == [12, 13, 21, 23, 31, 32]
    assert stats.chisquare(list(told.values())).pvalue > 0.01


def test_number_of_degradations_is_drawn_and_never_more_than_there_are(generator):
    told = stories(RandomDegradation([Append(1), Append(2)], (0, 5)), 3000, generator)
    assert sorted(told) == [0, 1, 2, 12, 21]
    by_number = [told[0], told[1] + told[2], told[12] + told[21]]
    assert stats.chisquare(by_number).pvalue > 0.01


def test_pipeline_counts_as_one_degradation(generator):
    choices = [make_pipeline(Append(1), Append(2)), Append(3)]
    told = stories(RandomDegradation(choices, n=2), 100, generator)
    assert sorted(told) == [123, 312]


def test_mixture_writes_nan_if_one_of_its_parts_does(photos_uint8):
    harmless = RandomDegradation([GaussianNoise(), make_pipeline(Quantize())])
    assert harmless.transform(photos_uint8).dtype == np.uint8
    harmful = RandomDegradation([GaussianNoise(), make_pipeline(MissingPixels(0.0))])
    assert harmful.transform(photos_uint8).dtype == np.float32


def test_pipeline_is_the_sequence_of_its_steps(photos):
    steps = [GaussianBlur(1.0), GaussianNoise(random_state=0), JPEGCompression(40)]
    expected = photos
    for step in steps:
        expected = step.fit(expected).transform(expected)
    assert_array_equal(make_pipeline(*steps).fit_transform(photos), expected)


def test_degrader_of_a_pipeline_is_the_sequence_of_its_steps(photos, generator):
    images, state = tensor(photos), generator.get_state()
    steps = [GaussianBlur((0, 2)), GaussianNoise((0, 0.1)), JPEGCompression((5, 40))]
    degraded = as_degrader(make_pipeline(*steps))(images, generator)
    expected = images
    generator.set_state(state)
    for step in steps:
        expected = step._degrade(expected, generator)
    assert_array_equal(degraded, expected)


def test_degrader_of_nested_pipelines_skips_what_passes_through(generator):
    inner = Pipeline([("one", Append(1)), ("none", "passthrough")])
    degrade = as_degrader(Pipeline([("inner", inner), ("two", Append(2))]))
    assert degrade(torch.zeros(1, 1, 1, 1), generator).item() == 12


def test_degrader_does_not_follow_later_changes(generator):
    append = Append(1)
    degrade = as_degrader(append)
    append.set_params(digit=2)
    assert degrade(torch.zeros(1, 1, 1, 1), generator).item() == 1


def test_degrader_can_be_pickled(photos, generator):
    images, state = tensor(photos), generator.get_state()
    degrade = as_degrader("blind")
    copy = pickle.loads(pickle.dumps(degrade))
    expected = degrade(images, generator)
    assert_array_equal(copy(images, generator.set_state(state)), expected)


def test_degrader_needs_no_gradient(photos, generator):
    images = tensor(photos).requires_grad_()
    assert not as_degrader("blind")(images, generator).requires_grad


@pytest.fixture(scope="module")
def blind_pairs():
    """3000 patches (3, 16, 16) of a portrait, and what blind damage makes of them."""
    picture = np.moveaxis(data.astronaut(), -1, 0)[:, :448, :] / 255
    patches = torch.tensor(picture, dtype=torch.float32)
    patches = patches.unfold(1, 16, 8).unfold(2, 16, 8).movedim(0, 2).flatten(0, 1)
    patches = patches[:3000]
    generator = torch.Generator().manual_seed(0)
    return patches, as_degrader("blind")(patches, generator)


def test_blind_damage_reaches_from_nothing_to_everything(blind_pairs):
    clean, damaged = blind_pairs
    intact = (clean == damaged).flatten(1).all(dim=1).float().mean()
    lost = damaged.isnan().flatten(1).all(dim=1).float().mean()
    holes = damaged.isnan().flatten(1).any(dim=1).float().mean()
    assert 0.02 < intact < 0.06
    assert 0.015 < lost < 0.05
    assert 0.15 < holes < 0.35


def test_blind_damage_is_stored_in_8_bits_in_a_good_half(blind_pairs):
    damaged = blind_pairs[1]
    levels = damaged.nan_to_num() * 255
    stored = ((levels - levels.round()).abs() < 1e-3).flatten(1).all(dim=1)
    assert 0.6 < stored.float().mean() < 0.85
    unclipped = (damaged < 0).flatten(1).any(dim=1).float().mean()
    assert 0.04 < unclipped < 0.1


def test_blind_damage_is_of_every_strength(blind_pairs):
    clean, damaged = blind_pairs
    mse = ((clean - damaged) ** 2).flatten(1).nanmean(dim=1)
    psnr = -10 * torch.log10(mse[mse > 0])
    shares = torch.histc(psnr, bins=3, min=10, max=40) / len(psnr)
    assert (shares > 0.1).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_degradation
def test_it_works_on_a_gpu(degradation, photos):
    generator = torch.Generator("cuda").manual_seed(0)
    images = tensor(holed(photos)).cuda()
    degraded = degradation._degrade(images, generator)
    assert degraded.is_cuda and degraded.shape == images.shape
    assert degraded[images.isnan()].isnan().all()
