"""ColorVAE goes where scikit-learn's own estimators go: searches, folds, scripts."""

import subprocess
import sys

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn import config_context
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.metrics import make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    cross_val_predict,
    cross_validate,
    train_test_split,
)
from sklearn.pipeline import Pipeline

from colorvae_sk import (
    ColorVAE,
    ColorVAEGAN,
    ColorVQVAE,
    GaussianNoise,
    ImageFolder,
    ciede2000_scorer,
    psnr_score,
    psnr_scorer,
)

OPTIONS = {"widths": (8, 8), "n_blocks": 1, "device": "cpu", "random_state": 0}


def tiny(architecture="auto", **options):
    """A ColorVAE that learns in the blink of an eye."""
    return ColorVAE(architecture, **OPTIONS | {"max_epochs": 1, "lr": 0.01} | options)


def pipeline(**options):
    """Noise, and what learns to undo it."""
    noise = GaussianNoise(0.2, random_state=0)
    return Pipeline([("degrade", noise), ("restore", tiny(**options))])


@pytest.fixture(scope="module")
def search(photos):
    """A search for the best of three numbers of epochs; one more must help."""
    grid = {"restore__max_epochs": [1, 30], "restore__beta": [0.5, 1.0]}
    search = GridSearchCV(pipeline(lr=3e-3), grid, scoring=psnr_scorer, cv=2)
    return search.fit(photos, photos)


# ---------------------------------------------------------------------- parameters
def test_clone_has_the_parameters_and_nothing_that_was_learned(photos):
    vae = tiny(degradation=GaussianNoise(0.3), callbacks=[]).fit(photos)
    copy = clone(vae)
    assert str(copy.get_params()) == str(vae.get_params())
    assert not hasattr(copy, "net_")
    assert copy.degradation is not vae.degradation


def test_parameters_of_the_damage_can_be_set(photos):
    vae = tiny(degradation=GaussianNoise(0.3)).set_params(degradation__sigma=0.1)
    assert vae.get_params()["degradation__sigma"] == 0.1
    expected = tiny(degradation=GaussianNoise(0.1)).fit(photos).transform(photos)
    assert_array_equal(vae.fit(photos).transform(photos), expected)


def test_fit_leaves_parameters_and_the_users_damage_alone(photos):
    noise = GaussianNoise(0.3)
    vae = tiny(degradation=noise)
    before = vae.get_params()
    vae.fit(photos)
    assert vae.get_params() == before
    assert vars(noise) == vars(GaussianNoise(0.3))


# ------------------------------------------------------------------------ searches
def test_search_finds_that_learning_helps(search):
    assert search.best_params_["restore__max_epochs"] == 30
    scores = search.cv_results_["mean_test_score"].reshape(2, 2)
    assert scores[:, 1].min() > scores[:, 0].max()


def test_search_scores_what_the_best_pipeline_restores(search, photos):
    best = search.best_estimator_
    noisy = best["degrade"].transform(photos)
    expected = psnr_score(photos, best["restore"].transform(noisy))
    assert psnr_scorer(search, photos, photos) == pytest.approx(expected)
    assert search.score(photos, photos) == pytest.approx(expected)


def test_score_of_a_fold_is_that_of_a_fit_on_the_others(photos):
    result = cross_validate(
        pipeline(), photos, photos, scoring=psnr_scorer, cv=2, return_estimator=True
    )
    first = pipeline().fit(photos[3:], photos[3:])
    expected = psnr_scorer(first, photos[:3], photos[:3])
    assert result["test_score"][0] == pytest.approx(expected)
    assert all(hasattr(p["restore"], "net_") for p in result["estimator"])


def as_list(photos):
    """Images of three sizes."""
    return [photo[: 16 - i % 3, : 11 + i % 2] for i, photo in enumerate(photos)]


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (np.asarray, {}),
        (as_list, {}),
        (lambda photos: photos[..., 0], {}),
        (lambda photos: photos.reshape(6, -1), {"image_shape": (16, 16, 3)}),
        (lambda photos: photos.reshape(6, -1)[:, :20], {}),
        (lambda photos: (255 * photos).astype(np.uint8), {}),
    ],
    ids=["array", "list", "grey", "folded rows", "rows", "uint8"],
)
def test_search_takes_images_in_every_container(make, options, photos):
    X = make(photos)
    grid = {"degrade__sigma": [0.05, 0.3], "restore__lr": [1e-3, 1e-2]}
    search = GridSearchCV(
        pipeline(**options), grid, scoring=psnr_scorer, cv=2, error_score="raise"
    )
    search.fit(X, X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_["degrade__sigma"] == 0.05  # less noise, better scores
    restored = search.predict(X)
    assert type(restored) is type(X)
    assert [np.shape(image) for image in restored] == [np.shape(image) for image in X]


def test_search_takes_a_folder(tmp_path, photos_uint8):
    for i, photo in enumerate(photos_uint8):
        Image.fromarray(photo).save(tmp_path / f"{i}.png")
    folder = ImageFolder(tmp_path)
    train, test = train_test_split(folder, test_size=2, random_state=0)
    grid = {"restore__lr": [1e-3, 1e-2]}
    search = GridSearchCV(pipeline(), grid, scoring=psnr_scorer, cv=2)
    search.fit(train, train)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(search.predict(test)) == 2


def test_several_scorers_at_once(photos):
    scoring = {
        "psnr": psnr_scorer,
        "colour": ciede2000_scorer,
        "made": make_scorer(psnr_score),
    }
    result = cross_validate(pipeline(), photos, photos, scoring=scoring, cv=3)
    assert_allclose(result["test_made"], result["test_psnr"], rtol=1e-6)
    assert (result["test_colour"] < 0).all()


def test_own_score_is_the_default_of_a_search(photos):
    own = cross_validate(pipeline(), photos, photos, cv=2)
    scored = cross_validate(pipeline(), photos, photos, scoring=psnr_scorer, cv=2)
    assert_allclose(own["test_score"], scored["test_score"], rtol=1e-6)


def test_crops_of_one_picture_stay_in_one_fold(photos):
    groups = [0, 0, 1, 1, 2, 2]
    result = cross_validate(
        pipeline(),
        photos,
        photos,
        groups=groups,
        cv=GroupKFold(3),
        scoring=psnr_scorer,
        return_indices=True,
    )
    for train, test in zip(*result["indices"].values(), strict=True):
        assert {i // 2 for i in train} & {i // 2 for i in test} == set()
    assert np.isfinite(result["test_score"]).all()


def test_predictions_of_all_folds_come_together(photos):
    restored = cross_val_predict(pipeline(), photos, photos, cv=2)
    assert restored.shape == photos.shape and restored.dtype == photos.dtype
    assert psnr_score(photos[:3], restored[:3]) == pytest.approx(
        cross_validate(pipeline(), photos, photos, cv=2)["test_score"][0]
    )


@pytest.mark.parametrize("make", [np.asarray, as_list], ids=["array", "list"])
@pytest.mark.parametrize("resource", ["n_samples", "restore__max_epochs"])
def test_halving_search_gives_more_to_what_is_promising(make, resource, photos):
    X = make(np.concatenate([photos, photos[:, ::-1]]))
    grid = {"degrade__sigma": [0.05, 0.4]}
    options = {"factor": 2, "random_state": 0, "error_score": "raise"}
    limits = {"min_resources": 4, "max_resources": 8}
    search = HalvingGridSearchCV(
        pipeline(),
        grid,
        scoring=psnr_scorer,
        cv=2,
        resource=resource,
        **options,
        **limits,
    )
    search.fit(X, X)
    assert search.n_resources_ == [4, 8]
    assert search.best_params_["degrade__sigma"] == 0.05


def test_two_jobs_find_what_one_finds(photos):
    grid = {"restore__beta": [0.5, 1.0]}
    scores = []
    for n_jobs in (1, 2):
        with joblib.parallel_config("loky", inner_max_num_threads=1):
            search = GridSearchCV(
                pipeline(), grid, scoring=psnr_scorer, cv=2, n_jobs=n_jobs
            ).fit(photos, photos)
        scores.append([search.cv_results_[f"split{i}_test_score"] for i in (0, 1)])
    assert_allclose(scores[0], scores[1], rtol=1e-6)


@pytest.mark.parametrize(
    ("relative", "parameter"),
    [(ColorVQVAE, "n_embeddings"), (ColorVAEGAN, "adversarial_weight")],
)
def test_relatives_are_searched_by_parameters_of_their_own(
    relative, parameter, photos, tmp_path
):
    noise = GaussianNoise(0.2, random_state=0)
    vae = relative(**OPTIONS, max_epochs=1, lr=0.01)
    pipe = Pipeline([("degrade", noise), ("restore", vae)])
    grid = {f"restore__{parameter}": [2, 4]}
    search = GridSearchCV(pipe, grid, scoring=psnr_scorer, cv=2).fit(photos, photos)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    joblib.dump(search, tmp_path / "search.joblib")
    loaded = joblib.load(tmp_path / "search.joblib")
    assert_array_equal(loaded.predict(photos), search.predict(photos))


# ------------------------------------------------------------------------- weights
def test_weights_are_routed_to_score(photos):
    weight = np.array([0.0, 0, 5, 0, 0, 1])
    with config_context(enable_metadata_routing=True):
        vae = tiny().set_score_request(sample_weight=True)
        pipe = Pipeline(
            [("degrade", GaussianNoise(0.2, random_state=0)), ("restore", vae)]
        )
        pipe.fit(photos, photos)
        score = pipe.score(photos, photos, sample_weight=weight)
        routed = cross_validate(
            vae, photos, photos, params={"sample_weight": weight}, cv=2
        )
    parts = [pipe.score(photos[[i]], photos[[i]]) for i in (2, 5)]
    assert score == pytest.approx((5 * parts[0] + parts[1]) / 6, abs=1e-4)
    only_third = tiny().fit(photos[3:], photos[3:]).score(photos[2:3])
    assert routed["test_score"][0] == pytest.approx(only_third, abs=1e-4)


def test_fit_refuses_weights(photos):
    with pytest.raises(TypeError, match="unexpected keyword argument 'sample_weight'"):
        tiny().fit(photos, photos, sample_weight=np.ones(6))
    with pytest.raises(TypeError, match="unexpected keyword argument 'sample_weight'"):
        pipeline().fit(photos, photos, restore__sample_weight=np.ones(6))
    assert not hasattr(tiny(), "set_fit_request")


# -------------------------------------------------------------------------- a script
LEARN = """
import joblib
import numpy as np
from skimage.data import astronaut
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from colorvae_sk import ColorVAE, GaussianNoise, psnr_scorer

X = np.stack([astronaut()[::4, ::4][i : i + 16, 40:56] for i in range(0, 96, 16)])
vae = ColorVAE(widths=(8, 8), n_blocks=1, random_state=0, device="cpu")
pipe = Pipeline([("degrade", GaussianNoise(0.1, random_state=0)), ("restore", vae)])
grid = {"restore__beta": [0.1, 1.0], "restore__max_epochs": [1, 2]}
search = GridSearchCV(pipe, grid, scoring=psnr_scorer, cv=3).fit(X, X)
joblib.dump(search.best_estimator_, "pipe.joblib")
np.savez("seen.npz", X=X, restored=search.best_estimator_.transform(X))
print(search.best_score_)
"""
USE = """
import joblib
import numpy as np

pipe, seen = joblib.load("pipe.joblib"), np.load("seen.npz")
np.testing.assert_array_equal(pipe.transform(seen["X"]), seen["restored"])
restored, std = pipe["restore"].predict(seen["X"], return_std=True)
assert restored.dtype == np.uint8 and (std > 0).all()
pipe["restore"].partial_fit(seen["X"])
assert np.any(pipe["restore"].predict(seen["X"], return_std=True)[1] != std)
"""


def test_searched_pipeline_is_dumped_and_used_in_another_process(tmp_path):
    outputs = []
    for script in (LEARN, USE):
        command = [sys.executable, "-W", "error", "-c", script]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert 10 < float(outputs[0]) < 60 and outputs[1] == ""
