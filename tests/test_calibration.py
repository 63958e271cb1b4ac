"""Error bars are set right, and intervals hold what they promise."""

import copy
import pickle

import joblib
import numpy as np
import pytest
from helpers import every_architecture, holed, tiny, weights
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import ndtri
from skimage.io import imsave
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

from colorvae_sk import GaussianNoise, _calibration, interval_coverage_score
from colorvae_sk._calibration import (
    SMALLEST,
    Calibration,
    find_losses,
    fit_curve,
    follow,
)

UNIT = np.log([1.0]), np.log([1.0])  # the curve that changes nothing


# ------------------------------------------------------------------ known laws
def images_of_law(law, n=40, size=3000, seed=0, spread=1.0):
    """Gaussian residuals whose standard deviation is a law of the predicted one."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        sigma = np.exp(rng.uniform(np.log(0.01), np.log(0.01 + 0.09 * spread), size))
        yield rng.normal(0, law(sigma)), sigma


@pytest.mark.parametrize(
    "law",
    [
        lambda s: s,
        lambda s: 0.3 * s,
        lambda s: 7 * s,
        lambda s: 10 * s**2,
        lambda s: 0.1 * np.sqrt(s),
        lambda s: np.full_like(s, 0.02),
        lambda s: np.where(s < 0.03, 0.01, 0.05),
    ],
    ids=["honest", "long", "short", "square", "root", "flat", "step"],
)
def test_curve_finds_how_wrong_standard_deviations_are(law):
    sigma = np.geomspace(0.011, 0.09, 60)
    sigma = sigma[abs(sigma - 0.03) > 0.002]  # but for the edge of the step
    corrected = follow(fit_curve(images_of_law(law)), sigma)
    assert_allclose(corrected, law(sigma), rtol=0.12)
    assert np.mean(np.abs(np.log(corrected / law(sigma)))) < 0.03


def test_curve_does_not_fall_where_residuals_do():
    curve = fit_curve(images_of_law(lambda s: 0.001 / s))
    assert np.all(np.diff(curve[0]) > 0) and np.all(np.diff(curve[1]) >= 0)
    assert np.ptp(curve[1]) < 0.1


def test_curve_goes_on_by_a_constant_factor():
    curve = fit_curve(images_of_law(lambda s: 3 * s))
    for end in (np.float64([1e-4, 1e-3]), np.float64([1, 100])):
        factors = follow(curve, end) / end
        assert_allclose(factors, factors[0])
        assert_allclose(factors, 3, rtol=0.15)


def test_single_level_is_set_right_by_a_factor():
    rng = np.random.default_rng(0)
    curve = fit_curve([(rng.normal(0, 0.06, 9999), np.full(9999, 0.02))])
    assert curve[0].shape == (1,)
    assert_allclose(
        follow(curve, np.array([0.01, 0.02, 1])), [0.03, 0.06, 3], rtol=0.05
    )


def test_few_values_make_few_knots():
    for size, n_knots in ((10, 1), (600, 2), (10**5, 100)):
        assert len(fit_curve(images_of_law(np.abs, n=1, size=size))[0]) == n_knots


def test_every_image_weighs_the_same():
    sigma = [np.full(size, 0.1) for size in (10, 1000)]
    curve = fit_curve([(1.0 + 0 * sigma[0], sigma[0]), (0 * sigma[1], sigma[1])])
    assert_allclose(follow(curve, np.array([0.1])), np.sqrt(0.5))


def test_what_is_missing_has_no_say():
    residual, sigma = next(images_of_law(np.abs))
    gaps = np.where(sigma < 0.03, np.nan, residual)
    seen = ~np.isnan(gaps)
    pairs = [(gaps, sigma), (np.full(5, np.nan), np.ones(5))]
    alone = [(residual[seen], sigma[seen])]
    assert_array_equal(fit_curve(pairs), fit_curve(alone))
    for one, other in zip(
        find_losses(pairs, UNIT), find_losses(alone, UNIT), strict=True
    ):
        assert_array_equal(one, other)


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e4])
def test_extreme_values_stay_finite_and_positive(value):
    pairs = [(np.full(9, value), np.full(9, sigma)) for sigma in (0.0, 1e-12, 0.1, 1e6)]
    curve = fit_curve(pairs)
    sigma = np.array([0, 1e-12, 1e-3, 1e6], np.float32)
    corrected = follow(curve, sigma)
    assert np.all(np.isfinite(corrected)) and np.all(corrected >= 0.99 * SMALLEST)
    reaches, losses, n = find_losses(pairs, curve)
    assert n == 4 and losses[-1] == 0 and np.all(np.diff(reaches) > 0)


def test_shape_and_dtype_are_kept():
    curve = fit_curve(images_of_law(lambda s: 2 * s))
    for dtype in (np.float32, np.float64):
        sigma = np.full((3, 4, 5), 0.03, dtype)
        corrected = follow(curve, sigma)
        assert corrected.shape == sigma.shape and corrected.dtype == dtype
        assert_array_equal(sigma, dtype(0.03))


# ------------------------------------------------------------------ what intervals hold
def calibration_of(scores):
    """Calibration on images with these residuals, in standard deviations."""
    pairs = ((s, np.ones_like(s)) for s in scores)
    return Calibration(UNIT, *find_losses(pairs, UNIT))


def gaussian(rng, n):
    """Images that are about as easy."""
    return rng.standard_normal((n, 400))


def heavy(rng, n):
    """Student residuals of 2.2 degrees of freedom; some images are far worse."""
    return rng.standard_t(2.2, (n, 400)) * rng.choice([0.5, 3], (n, 1), p=[0.8, 0.2])


@pytest.mark.parametrize("draw", [gaussian, heavy])
@pytest.mark.parametrize(("n", "coverage"), [(20, 0.8), (60, 0.9), (200, 0.95)])
def test_intervals_hold_their_coverage_over_many_calibrations(draw, n, coverage):
    rng = np.random.default_rng(0)
    held = []
    for _ in range(60):
        reach = calibration_of(draw(rng, n)).reach(coverage)
        held.append(np.mean(np.abs(draw(rng, 200)) <= reach))
    error = 3 * np.std(held) / np.sqrt(len(held))  # three standard errors
    assert coverage - error < np.mean(held) < coverage + 2 / (n + 1) + error


def test_gaussian_intervals_fail_where_tails_are_heavy():
    scores = heavy(np.random.default_rng(1), 300)
    scores /= np.sqrt(np.mean(scores**2))  # standard deviations are right
    nominal = (0.5, 0.99)
    reaches = [calibration_of(scores).reach(c) for c in nominal]
    shares = [np.mean(np.abs(scores) <= q) for q in reaches]
    gaussian_shares = [np.mean(np.abs(scores) <= ndtri((1 + c) / 2)) for c in nominal]
    assert gaussian_shares[0] > 0.75 and gaussian_shares[1] < 0.985
    assert_allclose(shares, nominal, atol=0.01)


def test_reach_is_the_smallest_that_the_bound_allows():
    scores = np.random.default_rng(0).uniform(0, 1, (30, 50))
    calibration = calibration_of(scores)
    for coverage in (0.1, 0.5, 0.9, 30 / 31):

        def bound(q):
            return (np.mean(scores > q) * 30 + 1) / 31

        q, limit = calibration.reach(coverage), 1 - coverage + 1e-9
        assert bound(q) <= limit and bound(q / 1.006) > limit


@pytest.mark.parametrize(
    ("n", "coverage", "n_needed"), [(8, 0.9, 17), (18, 0.95, 37), (9, 0.99, 197)]
)
def test_too_few_images_are_told_how_many_are_needed(n, coverage, n_needed):
    calibration = calibration_of(np.ones((n, 5)))
    highest = 1000 * n // (n + 1) / 1000
    message = f"on at least {n_needed} images .* or ask for {highest}"
    with pytest.raises(ValueError, match=message):
        calibration.reach(coverage)
    assert calibration.reach(highest) >= 1
    n_enough = (n_needed + 1) // 2
    assert 1 <= calibration_of(np.ones((n_enough, 5))).reach(coverage) < 1.006


def test_intervals_grow_with_coverage():
    calibration = calibration_of(heavy(np.random.default_rng(0), 99))
    reaches = [calibration.reach(c) for c in np.linspace(0.01, 0.99, 50)]
    assert np.all(np.diff(reaches) > 0)


# ------------------------------------------------------------------------ the estimator
def pairs_of(photos, n=24, sigma=0.1):
    """Noisy and clean images."""
    rng = np.random.default_rng(0)
    clean = np.concatenate([photos] * (n // len(photos)))
    return (clean + rng.normal(0, sigma, clean.shape)).astype(clean.dtype), clean


@pytest.fixture(scope="module")
def pair(photos):
    return pairs_of(photos)


@pytest.fixture(scope="module")
def fitted(photos):
    return tiny(degradation=GaussianNoise(0.1)).fit(photos)


@pytest.fixture
def vae(fitted):
    """A copy that a test may change."""
    return copy.copy(fitted)


@every_architecture
def test_calibration_sets_the_error_bars_right(architecture, photos, pair):
    vae = tiny(architecture, degradation=GaussianNoise(0.1)).fit(photos)
    X, y = pair
    restored, before = vae.predict(X, return_std=True)
    learned = weights(vae)
    assert vae.calibrate(X, y) is vae
    again, std = vae.predict(X, return_std=True)
    assert_array_equal(again, restored)
    assert_array_equal(weights(vae), learned)
    rms = np.sqrt(np.mean((y - restored) ** 2))
    assert_allclose(np.sqrt(np.mean(std**2)), rms, rtol=0.2)
    miss = abs(np.log(np.sqrt(np.mean(before**2)) / rms))
    assert abs(np.log(np.sqrt(np.mean(std**2)) / rms)) < miss
    share = interval_coverage_score(y, vae.predict_interval(X, 0.8))
    assert 0.8 < share < 0.95


def test_calibration_is_the_same_each_time(vae, pair):
    one = vae.calibrate(*pair).predict(pair[0], return_std=True)[1]
    assert_array_equal(vae.calibrate(*pair).predict(pair[0], return_std=True)[1], one)


def test_curve_and_scores_come_from_different_images(vae, pair):
    X, y = pair
    vae.calibrate(X, y)
    assert vae.calibration_.n_images == 12
    with_odd = vae.calibrate(X[:5], y[:5]).calibration_
    assert with_odd.n_images == 3
    other = copy.copy(vae).calibrate(X[:5], y[:5])
    order = np.random.default_rng(vae.seed_).permutation(5)
    y = y[:5].copy()
    y[order[2:]] += 0.3  # the scores' half
    assert_array_equal(other.calibrate(X[:5], y).calibration_.curve, with_odd.curve)
    assert other.calibration_.reach(0.5) > 2 * with_odd.reach(0.5)


def test_without_calibration_intervals_are_those_of_a_gaussian(fitted, pair):
    restored, std = fitted.predict(pair[0], return_std=True)
    lower, upper = fitted.predict_interval(pair[0], coverage=0.9545)
    assert_allclose(lower, restored - 2 * std, atol=1e-4)
    assert_allclose(upper, restored + 2 * std, atol=1e-4)


def test_intervals_are_centred_on_what_is_restored(vae, pair):
    restored, std = vae.calibrate(*pair).predict(pair[0], return_std=True)
    lower, upper = vae.predict_interval(pair[0])
    assert_allclose((lower + upper) / 2, restored, atol=1e-6)
    half = (upper - lower) / 2
    assert_allclose(half / std, vae.calibration_.reach(0.9), rtol=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_intervals_are_floats_in_the_unit_of_the_images(dtype, vae, pair):
    X, y = pair
    top = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    X = np.clip(X, 0, 1)
    expected = vae.calibrate(X, y).predict_interval(X)
    stored = (X * top).astype(dtype)
    lower, upper = vae.predict_interval(stored)
    assert lower.dtype == upper.dtype == (np.float32 if top > 1 else dtype)
    assert lower.shape == X.shape
    for got, wanted in zip((lower, upper), expected, strict=True):
        assert_allclose(got / top, wanted, atol=0.02)
    assert lower.min() < 0 and upper.max() > top  # not clipped
    if top > 1:
        assert np.any(lower % 1)  # not rounded


def test_integers_are_calibrated_like_floats(vae, pair):
    X, y = (np.rint(255 * np.clip(images, 0, 1)) for images in pair)
    vae.calibrate(X / 255, y / 255)
    expected = vae.calibration_.reach(0.9), vae.predict_interval(X / 255)
    vae.calibrate(X.astype(np.uint8), y.astype(np.uint8))
    assert_allclose(vae.calibration_.reach(0.9), expected[0], rtol=0.006)
    got = vae.predict_interval(X.astype(np.uint8))
    assert_allclose(np.divide(got, 255), expected[1], atol=0.01)
    assert interval_coverage_score(y.astype(np.uint8), got) > 0.9


def test_lists_of_different_sizes(vae, photos):
    X, y = pairs_of(photos)
    cut = [np.s_[: 9 + i % 5, : 8 + i % 7] for i in range(len(X))]
    X, y = (
        [image[c] for image, c in zip(images, cut, strict=True)] for images in (X, y)
    )
    ends = vae.calibrate(X, y).predict_interval(X, 0.8)
    assert all(isinstance(end, list) for end in ends)
    for lower, upper, image in zip(*ends, X, strict=True):
        assert lower.shape == upper.shape == image.shape
        assert np.all(lower < upper)
    assert 0.8 < interval_coverage_score(y, ends) <= 1


def test_picture_files(vae, pair, tmp_path):
    stored = [np.rint(255 * x.clip(0, 1)).astype(np.uint8) for x in pair]
    paths = [[], []]
    for side, name, images in zip(paths, "Xy", stored, strict=True):
        for i, image in enumerate(images):
            side.append(tmp_path / f"{name}{i}.png")
            imsave(side[-1], image, check_contrast=False)
    expected = vae.calibrate(*stored).predict_interval(stored[0])
    got = vae.calibrate(*paths).predict_interval(paths[0])
    assert all(isinstance(end, list) for end in got)
    assert_array_equal(got, expected)


def test_grey_images_and_rows(photos):
    X, y = (images[..., 0] for images in pairs_of(photos))
    vae = tiny(degradation=GaussianNoise(0.1)).fit(photos[..., 0]).calibrate(X, y)
    ends = vae.predict_interval(X)
    assert ends[0].shape == X.shape
    rows, clean = X.reshape(len(X), -1), y.reshape(len(X), -1)
    vae = tiny("ladder", image_shape=(16, 16), degradation=GaussianNoise(0.1))
    vae.fit(photos[..., 0].reshape(6, -1)).calibrate(rows, clean)
    assert_allclose(vae.predict_interval(rows)[0].reshape(X.shape), ends[0], atol=1e-4)
    plain = tiny(degradation=GaussianNoise(0.1)).fit(clean).calibrate(rows, clean)
    ends = plain.predict_interval(rows, 0.8)
    assert ends[0].shape == rows.shape and interval_coverage_score(clean, ends) > 0.8


def test_alpha_passes_through_the_intervals(vae, pair):
    X, y = (np.concatenate([x, np.full((*x.shape[:3], 1), 0.7)], -1) for x in pair)
    for end in vae.calibrate(X, y).predict_interval(X):
        assert_array_equal(end[..., 3], X[..., 3])


def test_values_outside_of_0_and_1_keep_their_unit(photos):
    X, y = (200 * images - 100 for images in pairs_of(photos))
    vae = tiny(degradation=GaussianNoise(0.1)).fit(y)
    ends = vae.calibrate(X, y).predict_interval(X)
    assert 0.9 <= interval_coverage_score(y, ends) <= 1
    assert_allclose((ends[0] + ends[1]) / 2, vae.predict(X), rtol=1e-3, atol=1e-2)


def test_missing_values_on_either_side(vae, photos):
    X, y = pairs_of(photos)
    expected = vae.calibrate(X, y).calibration_
    y[:, :3] = np.nan
    partly = vae.calibrate(X, y).calibration_
    assert partly.n_images == expected.n_images
    assert partly.reach(0.9) != expected.reach(0.9)
    X = X.copy()
    X[:6] = holed(X[:6])
    ends = vae.calibrate(X, y).predict_interval(X)
    assert all(np.all(np.isfinite(end)) for end in ends)
    y[:20] = np.nan
    assert vae.calibrate(X, y).calibration_.n_images < 5  # only what is known counts


def test_learning_anew_forgets_the_calibration(vae, photos, pair):
    for way in ("fit", "partial_fit", "warm_start"):
        vae.set_params(warm_start=way == "warm_start").calibrate(*pair)
        learn = vae.partial_fit if way == "partial_fit" else vae.fit
        with pytest.raises(ValueError, match="infinity"):
            learn(np.full_like(photos, np.inf))
        assert hasattr(vae, "calibration_")
        learn(photos)
        assert not hasattr(vae, "calibration_")


def test_copies_keep_the_calibration_and_clones_do_not(vae, pair, tmp_path):
    expected = vae.calibrate(*pair).predict_interval(pair[0])
    path = joblib.dump(vae, tmp_path / "vae.joblib")[0]
    copies = pickle.loads(pickle.dumps(vae)), copy.deepcopy(vae), joblib.load(path)
    for other in copies:
        assert_array_equal(other.predict_interval(pair[0]), expected)
    assert not hasattr(clone(vae), "calibration_")
    assert b"torch" not in pickle.dumps(vae.calibration_)
    assert len(pickle.dumps(vae.calibration_)) < 50_000


def test_pipeline_is_calibrated_by_its_last_step(vae, photos):
    _, y = pairs_of(photos)
    pipe = Pipeline([("damage", GaussianNoise(0.1, random_state=0)), ("restore", vae)])
    pipe[-1].calibrate(pipe[:-1].transform(y), y)
    _, std = pipe.predict(y, return_std=True)
    noisy = pipe[:-1].transform(y)
    assert_array_equal(std, vae.predict(noisy, return_std=True)[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X, None), "y holds none"),
        (lambda X, y: (X, np.arange(len(X))), "y holds none"),
        (lambda X, y: (X, y[:3]), "but y has 3"),
        (lambda X, y: (X, y[:, :5]), "in X but"),
        (lambda X, y: (X[..., :1], y[..., :1]), "fitted on images of 3"),
        (lambda X, y: (X[:1], y[:1]), "at least 2 images"),
        (lambda X, y: (X, y * np.nan), "nothing of y is observed"),
        (lambda X, y: (X, [y[0], *(y[1:] * np.nan)]), "nothing of y is observed"),
        (lambda X, y: (X + np.inf, y), "infinity"),
    ],
)
def test_refused_pairs_leave_the_calibration_as_it_was(change, message, vae, pair):
    for state in (vars(vae).copy(), vars(vae.calibrate(*pair)).copy()):
        vars(vae).clear()
        vars(vae).update(state)
        with pytest.raises(ValueError, match=message):
            vae.calibrate(*change(*pair))
        assert vars(vae) == state


@pytest.mark.parametrize("step", ["fit_curve", "find_losses"])
def test_interrupted_calibration_leaves_no_trace(step, vae, pair, monkeypatch):
    def interrupt(residuals, *curve):
        next(iter(residuals))
        raise KeyboardInterrupt

    monkeypatch.setattr(_calibration, step, interrupt)
    state, learned = vars(vae).copy(), weights(vae)
    with pytest.raises(KeyboardInterrupt):
        vae.calibrate(*pair)
    assert vars(vae) == state
    assert_array_equal(weights(vae), learned)


@pytest.mark.parametrize("coverage", [0, 1, 90, -0.1, np.nan, "0.9", None])
def test_coverage_that_is_no_share_is_refused(coverage, fitted, photos):
    with pytest.raises(ValueError, match="coverage to be a number between 0 and 1"):
        fitted.predict_interval(photos, coverage)


def test_too_high_a_coverage_is_refused_before_any_work(vae, pair, monkeypatch):
    vae.calibrate(*pair)
    monkeypatch.setattr(type(vae), "_restorer", None)
    with pytest.raises(ValueError, match=r"needs 19 .* had 12: .* at least 37 images"):
        vae.predict_interval(pair[0], 0.95)


def test_before_the_fit_nothing_is_calibrated(photos):
    with pytest.raises(NotFittedError):
        tiny().calibrate(photos, photos)
    with pytest.raises(NotFittedError):
        tiny().predict_interval(photos)
