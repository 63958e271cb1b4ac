"""Whatever a public call is given: what it promises comes back, or a clear error.

``COLORVAE_FUZZ=1000 pytest tests/test_fuzz.py`` tries 1000 examples of each call.
"""

import os
import traceback
import warnings
from functools import cache

import numpy as np
import pytest
import torch
from helpers import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags

import colorvae_sk
from colorvae_sk import BaseDegradation, metrics

N_EXAMPLES = int(os.environ.get("COLORVAE_FUZZ", 6))
fuzz = settings(
    max_examples=N_EXAMPLES,
    derandomize=N_EXAMPLES < 100,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
ERRORS = (ValueError, TypeError, NotFittedError)
OURS = ("colorvae_sk", "sklearn")
DTYPES = [
    "?",
    "u1",
    "u2",
    "i1",
    "i4",
    "i8",
    "u8",
    "f2",
    "f4",
    "f8",
    ">u2",
    ">f4",
    ">i4",
]
ODD_DTYPES = ["c8", "O", "U3", "M8[s]", "V4", "g"]
KINDS = {
    name: getattr(colorvae_sk, name)
    for name in colorvae_sk.__all__
    if isinstance(getattr(colorvae_sk, name), type)
}
DEGRADATIONS = [
    kind
    for kind in KINDS.values()
    if issubclass(kind, BaseDegradation) and kind is not BaseDegradation
]
MEASURES = [
    metrics.psnr_score,
    metrics.ssim_score,
    metrics.ms_ssim_score,
    metrics.ciede2000_error,
]
ODD = st.sampled_from(
    [
        *(None, True, -1, 0, 1, 2, 3, 10**12, 0.5, 2.0, -0.5, 1e30, float("nan")),
        *(float("inf"), "", "auto", "blind", "x", b"x", 1j, (), [], {}, (1, 2), [0.1]),
        *((0.2, 0.1), (0, 1), (1, 1, 1), ("a", "b"), (None,), [3, 3, 3], object, len),
        *(np.float32(0.3), np.int64(2), np.array([0.1, 0.2]), np.array(1), {1}, "cpu"),
    ]
)


# ------------------------------------------------------------------ what is given
SOME_AXES = st.integers(1, 5)


@st.composite
def arrays(draw, axes=SOME_AXES):
    """An array of any kind of values, shape and layout in memory."""
    n_axes = draw(axes)
    least = 0 if draw(st.integers(0, 9)) == 0 else 1
    shape = [draw(st.integers(least, 9)) for _ in range(n_axes)]
    if n_axes > 2 and draw(st.booleans()):
        shape[-1] = draw(st.sampled_from([1, 3, 3, 3, 4]))
    return in_memory(draw, values(draw, shape))


def values(draw, shape):
    """Numbers of one dtype, some of them missing, infinite or huge."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = draw(st.sampled_from([0, 1, 1, 1, 3, 255, 1e9]))
    array = scale * (rng.random(shape) - draw(st.sampled_from([0, 0, 0, 0.5])))
    special = draw(st.sampled_from([0, 0, 0, np.nan, np.nan, np.inf, 1e25, 1e300]))
    if special:
        array[rng.random(shape) < draw(st.sampled_from([0.1, 0.5, 1]))] = special
    odd = draw(st.integers(0, 9)) == 0
    dtype = np.dtype(draw(st.sampled_from(ODD_DTYPES if odd else DTYPES)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dtype.kind in "ui":
            array = np.nan_to_num(array, posinf=9, neginf=0).clip(-(2**30), 2**30)
        if dtype.kind in "MV":
            array = np.nan_to_num(array, posinf=9, neginf=0).clip(0, 9).astype(int)
        return array.astype(dtype)


def in_memory(draw, array):
    """The same values, laid out otherwise."""
    layout = draw(st.sampled_from(["C", "F", "reversed", "strided", "read-only"]))
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "reversed":
        return np.flip(np.flip(array).copy())
    if layout == "strided":
        return np.repeat(array, 2, axis=0)[::2]
    if layout == "read-only":
        array.flags.writeable = False
    return array


@st.composite
def containers(draw):
    """Images in something that a user may put them into."""
    kind = draw(st.sampled_from(["array"] * 6 + ["list"] * 3 + ["other"]))
    if kind == "array":
        return draw(arrays())
    if kind == "list":
        images = draw(st.lists(arrays(st.integers(2, 3)), max_size=3))
        return tuple(images) if draw(st.booleans()) else images
    other = draw(arrays(st.integers(1, 4)))
    choice = draw(st.sampled_from(["masked", "nested", "torch", "set", "scalar"]))
    if choice == "masked":
        return np.ma.masked_array(other, draw(st.booleans()))
    if choice == "nested":
        return other.tolist()
    if choice == "torch":
        return torch.zeros(2, 3, 4, 4)
    return {1, 2} if choice == "set" else draw(ODD)


@st.composite
def sound(draw, channels=3):
    """Images that a network fitted on photographs must restore."""
    shape = [draw(st.integers(1, 3)), *(draw(st.integers(1, 40)) for _ in range(2))]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    array = rng.random([*shape, channels])
    dtype = np.dtype(
        draw(st.sampled_from(["u1", "u2", "f2", "f4", "f8", ">f8", ">u2"]))
    )
    if dtype.kind == "u":
        array = (array * np.iinfo(dtype).max).astype(dtype)
    else:
        array[rng.random(shape) < draw(st.sampled_from([0, 0.2, 1]))] = np.nan
    array = in_memory(draw, array.astype(dtype))
    return list(array) if draw(st.booleans()) else array


# ------------------------------------------------------------------ what is asked
def photos(channels=3, size=8):
    return np.random.default_rng(0).random((6, size, size, channels)).astype("f4")


@cache
def fitted(name):
    """A ColorVAE for colours, for grey or for rows, calibrated."""
    if name == "rows":
        X = np.random.default_rng(0).random((20, 6))
        return tiny(max_epochs=1).fit(X).calibrate(X, X)
    architecture, _, channels = name.partition(" ")
    X = photos(3 if channels == "3" else 1)
    X = X if channels == "3" else X[..., 0]
    return tiny(architecture, max_epochs=1).fit(X).calibrate(X, X)


NAMES = ["ladder 3", "ladder 1", "conv 3", "dense 3", "rows"]
fitted_ones = st.sampled_from(NAMES).map(fitted)


def snapshot(X):
    """A copy of what is given, to see whether it was written to."""
    if isinstance(X, (list, tuple)):
        return [snapshot(x) for x in X]
    return np.asarray(X).tobytes() if isinstance(X, np.ndarray) else X


def unchanged(X, before):
    if isinstance(X, (list, tuple)):
        return all(map(unchanged, X, before))
    return not isinstance(X, np.ndarray) or np.asarray(X).tobytes() == before


def ask(call, *given, **options):
    """The result, or None after a refusal; whatever else happens is an error."""
    before = snapshot(given)
    try:
        result = call(*given, **options)
    except FileNotFoundError:
        result = None  # strings are paths
    except ERRORS as error:
        frames = traceback.extract_tb(error.__traceback__)
        home = frames[-1].filename
        assert any(f"/{name}/" in home for name in OURS), f"{home}: {error!r}"
        assert str(error).strip()
        result = None
    assert unchanged(given, before)
    return result


def assert_like(result, X, finite=True):
    """Restored images are like those that were given."""
    if isinstance(X, (list, tuple)) and all(np.ndim(x) in (2, 3) for x in X):
        assert isinstance(result, list)
        pairs = zip(result, X, strict=True)
    else:
        pairs = [(result, np.asarray(X))]
    for one, other in pairs:
        other = np.asarray(other)
        assert one.shape == other.shape
        if other.dtype.kind in "buif":
            assert one.dtype == other.dtype or other.dtype.kind in "bui"
        has_alpha = one.ndim > 2 and one.shape[-1] == 4  # which passes untouched
        colours = one[..., :3] if has_alpha else one
        assert not finite or np.isfinite(colours.astype(float)).all()


# ------------------------------------------------------------------ calls
@fuzz
@given(fitted_ones, containers())
def test_what_is_restored_is_like_what_is_given(vae, X):
    result = ask(vae.transform, X)
    if result is not None:
        assert_like(result, X)


@fuzz
@given(st.sampled_from(["ladder", "conv", "dense"]), sound())
def test_sound_images_are_restored(architecture, X):
    assert_like(fitted(f"{architecture} 3").transform(X), X)


METHODS = ["predict", "score_samples", "encode", "sample_posterior", "predict_interval"]


@fuzz
@given(fitted_ones, st.sampled_from(METHODS), containers() | sound())
def test_other_methods_answer_or_refuse(vae, method, X):
    options = {"return_std": True} if method == "predict" else {}
    ask(getattr(vae, method), X, **options)


@fuzz
@given(fitted_ones, st.sampled_from(["score", "calibrate"]), sound(), containers())
def test_pairs_are_compared_or_refused(vae, method, X, y):
    before = vae.calibration_
    ask(getattr(vae, method), X, y)
    vae.calibration_ = before


@fuzz
@given(fitted_ones, ODD, ODD, ODD)
def test_odd_arguments_are_refused(vae, one, other, third):
    if any(isinstance(value, int) and value > 10**9 for value in (one, other)):
        return  # so many samples are a matter of memory
    ask(vae.sample, one, other, random_state=third)
    ask(vae.decode, one, size=other)
    ask(vae.sample_posterior, np.zeros((1, 8, 8, 3)), one, random_state=third)
    ask(vae.predict_interval, np.zeros((1, 8, 8, 3)), coverage=one)


@fuzz
@given(fitted_ones, arrays(st.just(2)))
def test_codes_are_decoded_or_refused(vae, Z):
    result = ask(vae.decode, Z)
    assert result is None or len(result) == len(Z)


@fuzz
@given(st.sampled_from(DEGRADATIONS), containers())
def test_what_is_degraded_is_like_what_is_given(kind, X):
    result = ask(kind(random_state=0).transform, X)
    if result is not None:
        assert_like(result, X, finite=False)
    ask(kind().fit, X)


@fuzz
@given(st.sampled_from(DEGRADATIONS), st.data())
def test_parameters_of_degradations_are_used_or_refused(kind, data):
    names = kind._get_param_names()
    chosen = data.draw(st.dictionaries(st.sampled_from(names), ODD, max_size=2))
    X = photos()[:1]
    result = ask(kind(**chosen).transform, X)
    if result is not None:
        assert result.shape == X.shape


@fuzz
@given(st.sampled_from(MEASURES), containers(), containers(), ODD, ODD)
def test_measures_are_numbers_or_refused(measure, one, other, shape, data_range):
    for given_pair in ((one, other), (one, one)):
        score = ask(measure, *given_pair)
        assert score is None or isinstance(score, float)
        ask(measure, *given_pair, image_shape=shape, data_range=data_range)
        ask(measure, *given_pair, sample_weight=shape)


@fuzz
@given(containers(), containers(), containers(), ODD)
def test_coverage_is_a_share_or_refused(truth, estimate, spread, coverage):
    for call in (colorvae_sk.coverage_score, colorvae_sk.interval_coverage_score):
        share = ask(
            call,
            truth,
            *(
                [estimate, spread]
                if call is colorvae_sk.coverage_score
                else [(estimate, spread)]
            ),
        )
        assert share is None or 0 <= share <= 1
    ask(colorvae_sk.coverage_score, photos(), photos(), photos(), coverage=coverage)


@fuzz
@given(containers() | sound())
def test_what_is_fitted_restores(X):
    vae = tiny(max_epochs=1, widths=(4,), batch_size=2, patch_size=8)
    result = ask(vae.fit, X)
    assert (result is vae) == vae.__sklearn_is_fitted__()
    if result is not None:
        assert_like(vae.transform(X), X)


@fuzz
@given(sound(), containers() | sound())
def test_pairs_are_fitted_or_refused(X, y):
    vae = tiny(max_epochs=1, widths=(4,), batch_size=2, patch_size=8)
    result = ask(vae.fit, X, y)
    assert (result is vae) == vae.__sklearn_is_fitted__()


SAFE = {"checkpoint", "max_epochs", "max_seconds", "n_blocks", "n_latent", "verbose"}


@fuzz
@given(st.data())
def test_parameters_of_color_vae_are_used_or_refused(data):
    names = sorted(set(colorvae_sk.ColorVAE._get_param_names()) - SAFE)
    chosen = data.draw(st.dictionaries(st.sampled_from(names), ODD, max_size=2))
    if chosen.get("degradation") is len:
        return  # a function of one's own raises what it raises
    vae = tiny(**{"max_epochs": 1, "widths": (4,), "patch_size": 8, **chosen})
    try:
        result = ask(vae.fit, photos())
    except FloatingPointError as error:
        result = None
        assert "lower lr or beta" in str(error)
    if result is not None:
        assert get_tags(vae).requires_fit
        assert_like(vae.transform(photos()), photos())


@fuzz
@given(ODD, ODD, ODD)
def test_paths_and_names_are_refused(one, other, third):
    if isinstance(one, (str, int, bytes)):
        return  # files of these names, and open files of these numbers, may be there
    for call in (
        colorvae_sk.load,
        colorvae_sk.ImageFolder,
        colorvae_sk.load_pretrained,
    ):
        with pytest.raises((*ERRORS, OSError)):
            call(one)
    with pytest.raises((*ERRORS, OSError)):
        colorvae_sk.save(other, third)
