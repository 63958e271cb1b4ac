"""ColorVAE learns, restores in kind, draws, judges and encodes."""

from collections import Counter
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import ARCHITECTURES, every_architecture, tiny, weights
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy.stats import norm
from skimage import data
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from colorvae_sk import (
    BaseDegradation,
    ColorCast,
    GaussianNoise,
    ImageFolder,
    MissingPixels,
    coverage_score,
    psnr_score,
)
from colorvae_sk._images import as_images
from colorvae_sk._streaming import LadderStream

DAMAGE = make_pipeline(
    ColorCast(gain=(0.8, 1.2), gamma=1.0, random_state=0),
    GaussianNoise(0.15, random_state=0),
)


def crops(size, picture=None):
    """A picture cut into squares of this size."""
    picture = data.astronaut()[::4, ::4] if picture is None else picture
    height, width = (side // size * size for side in picture.shape[:2])
    rows = np.split(picture[:height, :width], height // size)
    return np.stack([c for row in rows for c in np.split(row, width // size, axis=1)])


@pytest.fixture(scope="module")
def fitted(photos):
    """One fitted ColorVAE of each architecture."""
    return {name: tiny(name, max_epochs=5).fit(photos) for name in ARCHITECTURES}


@pytest.fixture(scope="module")
def trained():
    """A ladder that has learned for a few seconds to undo noise and casts."""
    X = crops(32).astype(np.float32) / 255
    vae = tiny(degradation=DAMAGE, patch_size=32, max_epochs=100, lr=5e-3)
    return vae.set_params(latent_share=0.2, free_bits=0.0).fit(X)


@pytest.fixture(scope="module")
def unseen():
    """Clean and damaged photos (16, 32, 32, 3) that `trained` has not learned from."""
    X = crops(32, data.chelsea()[20:276:2, 100:356:2]).astype(np.float32) / 255
    return X, DAMAGE.transform(X)


# ------------------------------------------------------------------- it learns
def test_a_short_fit_restores_better_than_nothing(trained, unseen):
    clean, damaged = unseen
    assert trained.score(damaged, clean) > psnr_score(clean, damaged) + 1


def test_error_bars_tell_the_size_of_the_errors(trained, unseen):
    clean, damaged = unseen
    restored, sigma = trained.predict(damaged, return_std=True)
    assert 0.75 < coverage_score(clean, restored, sigma, coverage=0.9) <= 1
    assert 0.7 < sigma.mean() / np.abs(clean - restored).mean() < 3


def test_latents_carry_information_after_the_second_stage(trained):
    stages = [row["stage"] for row in trained.history_]
    counts = {"colours": 8, "restoration": 68, "error bars": 4, "latents": 20}
    assert Counter(stages) == counts and list(Counter(stages)) == list(counts)
    assert sum(trained.history_[-1]["train_kl"]) > 1e-3
    assert sum(trained.history_[-1]["train_active_units"]) > 0
    assert trained.history_[0]["train_kl"] == [0.0] * 3
    assert trained.history_[0]["train_active_units"] == [0] * 3


@every_architecture
def test_pairs_teach_what_the_pairs_show(architecture, photos):
    halved = (0.5 * photos).astype(np.float32)
    n_epochs = {"ladder": 20, "conv": 60, "dense": 300}
    options = {"max_epochs": n_epochs[architecture]}
    vae = tiny(architecture, **options).fit(photos, y=halved)
    identity = tiny(architecture, **options).fit(photos, y=photos)
    assert vae.score(photos, halved) > identity.score(photos, halved) + 1
    assert identity.score(photos) > vae.score(photos) + 1


@every_architecture
def test_without_damage_each_image_is_its_own_target(architecture, photos):
    vae = tiny(architecture, degradation=None).fit(photos)
    assert_array_equal(weights(vae), weights(tiny(architecture).fit(photos, photos)))
    assert np.any(weights(vae) != weights(tiny(architecture).fit(photos)))


def test_clean_images_tell_what_is_black_and_white(photos):
    clean = (200 * photos / photos.max()).astype(np.float64)
    noisy = clean + np.random.default_rng(0).normal(0, 30, clean.shape)
    vae = tiny().fit(noisy, clean)
    assert vae.data_range_ == (0.0, 200.0)
    learned = tiny().fit(noisy / 200, clean / 200)
    assert_allclose(weights(vae), weights(learned), atol=1e-3)


def test_damage_befalls_the_images_on_the_way_to_the_network(photos):
    seen = []

    class Spy(BaseDegradation):
        random_state = None

        def _degrade(self, images, generator):
            seen.append(images)
            return images

        def __sklearn_clone__(self):
            return self

    tiny(degradation=Spy()).fit(photos)
    assert [len(images) for images in seen] == [6] * 4  # an epoch for each stage
    assert all(images.shape[1:] == (3, 16, 16) for images in seen)
    tiny(degradation=Spy()).fit(photos, photos)
    assert len(seen) == 4


def test_damage_may_be_a_pipeline_and_blind_is_the_default(photos):
    steps = make_pipeline(GaussianNoise(0.1), MissingPixels(0.2))
    one, other = (tiny(degradation=d).fit(photos) for d in (steps, "blind"))
    assert np.any(weights(one) != weights(other))
    assert_array_equal(weights(other), weights(tiny().fit(photos)))


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 0, 1, 0, 1],
        np.arange(6.0),
        np.array(list("abcdef")),
        np.array(list("abcdef"), dtype=object),
        pd.Series(range(6), index=list("abcdef")),
    ],
    ids=["list", "floats", "strings", "objects", "series"],
)
def test_one_dimensional_y_is_labels_and_is_ignored(labels, photos):
    assert_array_equal(weights(tiny().fit(photos, labels)), weights(tiny().fit(photos)))


def test_free_bits_and_beta_set_what_the_latents_may_tell(photos):
    def nats(**price):
        vae = tiny("dense", degradation=None, max_epochs=60, lr=3e-3, **price)
        return sum(vae.fit(photos).history_[-1]["train_kl"])

    dear, fair = nats(beta=100.0, free_bits=0.0), nats(free_bits=0.0)
    assert dear < fair < nats(free_bits=1.0)


# ------------------------------------------------- what goes in comes out in kind
def as_uint16(photos):
    return photos.astype(np.uint16) * 257


def as_floats(dtype):
    return lambda photos: (photos / 255).astype(dtype)


CONTAINERS = {
    "uint8": lambda photos: photos,
    "uint16": as_uint16,
    "float16": as_floats(np.float16),
    "float32": as_floats(np.float32),
    "float64": as_floats(np.float64),
    "grey stack": lambda photos: photos[..., 1],
    "grey floats": lambda photos: photos[..., :1] / 255,
    "five channels": lambda photos: photos[..., [0, 1, 2, 0, 1]],
    "0 to 200": lambda photos: photos / 255 * 200,
    "list": list,
    "tuple of kinds": lambda photos: (photos[0], photos[1] / 255, as_uint16(photos[2])),
    "list of sizes": lambda photos: [photos[0], photos[1][:7, :5], photos[2][:1, :1]],
    "Fortran": np.asfortranarray,
    "reversed": lambda photos: photos[::-1, :, ::-1],
}


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
@every_architecture
def test_images_come_back_in_kind_and_stay_as_they_are(
    architecture, make, photos_uint8
):
    X = make(photos_uint8)
    before = [np.array(image) for image in X]
    vae = tiny(architecture)
    for restored in (vae.fit_transform(X), vae.transform(X), vae.predict(X)):
        assert isinstance(restored, list if isinstance(X, tuple) else type(X))
        assert len(restored) == len(X)
        for image, old in zip(restored, X, strict=True):
            assert image.shape == old.shape and image.dtype == old.dtype
            assert np.isfinite(image).all()
    for image, old in zip(X, before, strict=True):
        assert_array_equal(image, old)


@every_architecture
def test_integers_are_the_floats_rounded_and_clipped(
    architecture, fitted, photos_uint8
):
    vae = fitted[architecture]
    expected = vae.transform(photos_uint8.astype(np.float64) / 255)
    for X, top in ((photos_uint8, 255), (as_uint16(photos_uint8), 65535)):
        assert_allclose(vae.transform(X), expected.clip(0, 1) * top, atol=0.501)
    assert_array_equal(
        tiny(architecture).fit(photos_uint8).transform(photos_uint8),
        tiny(architecture).fit_transform(photos_uint8),
    )


@every_architecture
def test_restoring_changes_the_images(architecture, fitted, photos):
    assert np.abs(fitted[architecture].transform(photos) - photos).max() > 0.01


@every_architecture
def test_image_is_restored_alike_in_any_order_batch_and_container(
    architecture, fitted, photos
):
    vae = fitted[architecture]
    whole = vae.transform(photos)
    order = [4, 0, 5, 2]
    assert_allclose(vae.transform(photos[order]), whole[order], atol=1e-5)
    assert_allclose(vae.transform(photos[3:4])[0], whole[3], atol=1e-5)
    mixed = [photos[0], photos[1][:7, :5], photos[2]]
    assert_allclose(vae.transform(mixed)[2], whole[2], atol=1e-5)


@every_architecture
def test_rows_with_a_shape_equal_images_to_the_last_bit(architecture, photos):
    rows = photos.reshape(6, -1)
    of_images = tiny(architecture).fit(photos)
    of_rows = tiny(architecture, image_shape=(16, 16, 3)).fit(rows)
    assert_array_equal(weights(of_rows), weights(of_images))
    assert of_rows.architecture_ == of_images.architecture_
    restored = of_images.transform(photos)
    assert_array_equal(of_rows.transform(rows), restored.reshape(6, -1))
    for a, b in zip(
        of_rows.predict(rows, return_std=True),
        of_images.predict(photos, return_std=True),
        strict=True,
    ):
        assert_array_equal(a, b.reshape(6, -1))
    assert_array_equal(
        of_rows.sample_posterior(rows, 2, random_state=0),
        of_images.sample_posterior(photos, 2, random_state=0).reshape(2, 6, -1),
    )
    assert_array_equal(of_rows.encode(rows), of_images.encode(photos))
    assert_array_equal(of_rows.score_samples(rows), of_images.score_samples(photos))
    assert of_rows.score(rows, rows / 2) == of_images.score(photos, photos / 2)
    assert_array_equal(
        of_rows.sample(2, random_state=0),
        of_images.sample(2, random_state=0).reshape(2, -1),
    )
    assert of_rows.n_features_in_ == 768 and not hasattr(of_images, "n_features_in_")


def test_rows_without_a_shape_get_the_dense_network(photos):
    rows = photos.reshape(6, -1)
    vae = tiny().fit(rows)
    assert vae.architecture_ == "dense" and vae.patch_size_ == (1, 768)
    assert vae.transform(rows).shape == rows.shape
    assert vae.transform(rows.astype(np.float64)).dtype == np.float64
    assert tiny().fit(photos).architecture_ == "ladder"


def test_data_frames_come_back_as_data_frames_if_asked_for(photos):
    frame = pd.DataFrame(photos.reshape(6, -1)[:, :5], index=list("abcdef"))
    frame.columns = [f"pixel{i}" for i in range(5)]
    vae = tiny().set_output(transform="pandas").fit(frame)
    restored = vae.transform(frame)
    assert isinstance(restored, pd.DataFrame)
    assert list(restored.columns) == list(vae.feature_names_in_) == list(frame.columns)
    assert list(restored.index) == list(frame.index)
    vae.fit(photos)
    assert isinstance(vae.transform(photos), np.ndarray)
    assert not hasattr(vae, "feature_names_in_")


@pytest.fixture
def folder(tmp_path, photos_uint8):
    """A folder with pictures of two sizes."""
    for i, photo in enumerate(photos_uint8):
        Image.fromarray(photo[: 16 - i % 2]).save(tmp_path / f"{i}.png")
    return ImageFolder(tmp_path)


def test_folders_and_paths_equal_lists_of_images_to_the_last_bit(folder, photos_uint8):
    images = [photo[: 16 - i % 2] for i, photo in enumerate(photos_uint8)]
    of_images = tiny().fit(images)
    for X in (folder, list(folder.paths)):
        vae = tiny().fit(X)
        assert_array_equal(weights(vae), weights(of_images))
        restored = vae.transform(X)
        assert isinstance(restored, list)
        for image, expected in zip(restored, of_images.transform(images), strict=True):
            assert image.dtype == np.uint8
            assert_array_equal(image, expected)
        pairs = tiny().fit(X, folder)
        assert_array_equal(weights(pairs), weights(tiny().fit(images, images)))


@every_architecture
def test_missing_values_are_filled_in_finite(architecture, photos):
    holed = photos.copy()
    holed[0, 3, 5], holed[1, ..., 1], holed[2] = np.nan, np.nan, np.nan
    vae = tiny(architecture).fit(holed)
    before = holed.copy()
    for X in (holed, list(holed), [photos[0][:9] * np.nan, holed[1]]):
        restored, sigma = vae.predict(X, return_std=True)
        assert all(np.isfinite(image).all() for image in restored)
        assert all(np.isfinite(image).all() and (image > 0).all() for image in sigma)
        assert np.isfinite(vae.sample_posterior(X)[0][0]).all()
    assert_array_equal(holed, before)


@every_architecture
def test_alpha_passes_through_and_has_no_say(architecture, photos_uint8):
    alpha = np.arange(6 * 16 * 16, dtype=np.uint8).reshape(6, 16, 16, 1)
    X = np.concatenate([photos_uint8, alpha], axis=3)
    vae = tiny(architecture).fit(X)
    without = tiny(architecture).fit(photos_uint8)
    restored, sigma = vae.predict(X, return_std=True)
    assert_array_equal(restored[..., 3:], alpha)
    assert_array_equal(restored[..., :3], without.transform(photos_uint8))
    assert_array_equal(sigma[..., 3], 0)
    assert vae.n_channels_ == 3
    assert vae.sample(2).shape == without.sample(2).shape


@every_architecture
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (13, 17)])
def test_images_of_any_size(architecture, size, fitted):
    X = np.random.default_rng(0).random((3, *size, 3))
    for vae in (fitted[architecture], tiny(architecture).fit(X)):
        restored, sigma = vae.predict(X, return_std=True)
        assert restored.shape == sigma.shape == X.shape
        assert np.isfinite(restored).all() and np.isfinite(sigma).all()
        assert vae.sample_posterior(X, 2).shape == (2, *X.shape)
        assert np.isfinite(vae.score_samples(X)).all()


def test_wide_and_high_images_are_learned_from_together():
    rng = np.random.default_rng(0)
    X = [rng.random((5, 40, 3)), rng.random((90, 3, 3)), rng.random((64, 64, 3))]
    vae = tiny().fit(X)
    assert vae.patch_size_ == (64, 64)
    assert [image.shape for image in vae.transform(X)] == [image.shape for image in X]


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [
        ({}, 80, (64, 64)),
        ({"patch_size": 24}, 80, (24, 24)),
        ({"patch_size": 100}, 80, (80, 80)),
        ({"architecture": "conv"}, 80, (32, 32)),
        ({"architecture": "conv"}, 36, (36, 36)),
        ({"architecture": "conv", "patch_size": 8}, 36, (8, 8)),
        ({"architecture": "dense"}, 80, (16, 16)),
        ({"architecture": "dense"}, 36, (36, 36)),
    ],
)
def test_patches_are_as_documented(options, size, expected):
    X = np.random.default_rng(0).random((2, size, size, 3), dtype=np.float32)
    vae = tiny(**options).fit(X)
    assert vae.patch_size_ == expected
    assert vae.transform(X).shape == X.shape


# ----------------------------------------------------------------- error bars, draws
@every_architecture
def test_error_bars_are_in_the_unit_of_the_images(architecture, fitted, photos_uint8):
    vae = fitted[architecture]
    _, unit = vae.predict(photos_uint8 / 255, return_std=True)
    for X, top in ((photos_uint8, 255), (as_uint16(photos_uint8), 65535)):
        restored, sigma = vae.predict(X, return_std=True)
        assert restored.dtype == X.dtype and sigma.dtype == np.float32
        assert_allclose(sigma, top * unit, rtol=1e-4)
        assert_array_equal(restored, vae.transform(X))
    assert (unit > 0).all()


@every_architecture
def test_posterior_samples_differ_and_their_seed_makes_them_again(
    architecture, fitted, photos
):
    vae = fitted[architecture]
    samples = vae.sample_posterior(photos, n_samples=3, random_state=0)
    assert samples.shape == (3, *photos.shape) and samples.dtype == photos.dtype
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert (np.abs(samples[i] - samples[j]).max(axis=(1, 2, 3)) > 1e-4).all()
    again = vae.sample_posterior(photos, n_samples=2, random_state=0)
    assert_array_equal(again, samples[:2])
    other = vae.sample_posterior(photos, n_samples=2, random_state=1)
    assert not np.array_equal(other, again)
    new = (vae.sample_posterior(photos) for _ in range(2))
    assert not np.array_equal(*new)


@every_architecture
def test_posterior_sample_of_an_image_does_not_hang_on_its_neighbours(
    architecture, fitted, photos
):
    vae = fitted[architecture]
    samples = vae.sample_posterior(photos, 2, random_state=0)
    order = [4, 0, 5]
    some = vae.sample_posterior(photos[order], 2, random_state=0)
    assert_allclose(some, samples[:, order], atol=1e-5)
    lists = vae.sample_posterior(list(photos), 2, random_state=0)
    assert isinstance(lists, list) and isinstance(lists[0], list)
    assert_array_equal(lists, samples)


@every_architecture
def test_every_image_draws_its_own_noise(architecture, fitted, photos):
    images = photos[[0, 1, 0]]
    restorer, images = fitted[architecture]._restorer(), as_images(images)
    noises = restorer._noise_of_batch(images, [(i, images[i]) for i in range(3)], key=0)
    for noise in noises:
        assert torch.equal(noise[0], noise[2])
        assert (noise[0] != noise[1]).all()


def test_posterior_samples_scatter_around_the_restoration(trained, unseen):
    damaged = unseen[1][:2]
    samples = trained.sample_posterior(damaged, 40, random_state=0)
    restored = trained.transform(damaged)
    spread = samples.std(axis=0).mean()
    assert spread > 1e-3
    assert np.abs(samples.mean(axis=0) - restored).mean() < 0.5 * spread


# ------------------------------------------------------------------------- tiles
@pytest.fixture(scope="module")
def large():
    """A photo (300, 333, 3) whose left half is much darker than its right half."""
    picture = np.tile(data.astronaut()[::2, ::2] / 255, (2, 2, 1))[100:400, 100:433]
    picture = picture.astype(np.float32)
    picture[:, :150] *= 0.4
    return GaussianNoise(0.1, random_state=0).transform(picture[np.newaxis])


def with_tiles(vae, tile_size):
    """The same estimator, which takes images of more pixels tile by tile."""
    tiled = clone(vae).set_params(tile_size=tile_size)
    vars(tiled).update({k: v for k, v in vars(vae).items() if k.endswith("_")})
    return tiled


@pytest.fixture
def tiled(trained, monkeypatch):
    """`trained`, with tiles of at most 128 pixels, and how many it has restored."""
    n_tiles, feed = [], LadderStream.feed

    def counting(self, *tile):
        n_tiles.append(1)
        return feed(self, *tile)

    monkeypatch.setattr(LadderStream, "feed", counting)
    return with_tiles(trained, 128), n_tiles


def test_tiles_equal_the_whole_image(trained, tiled, large):
    vae, n_tiles = tiled
    for part, whole in zip(
        vae.predict(large, return_std=True),
        trained.predict(large, return_std=True),
        strict=True,
    ):
        assert_allclose(part, whole, atol=1e-6)
    assert len(n_tiles) == 9
    assert np.abs(trained.transform(large) - large).max() > 0.05
    assert_array_equal(vae.transform(large), vae.predict(large, return_std=True)[0])


def test_posterior_samples_of_tiles_equal_those_of_the_whole_image(
    trained, tiled, large
):
    vae, n_tiles = tiled
    part, whole = (v.sample_posterior(large, random_state=3) for v in (vae, trained))
    assert_allclose(part, whole, atol=1e-6)
    assert len(n_tiles) == 9
    assert np.abs(whole - trained.transform(large)).max() > 1e-2


def test_elbo_of_tiles_is_near_that_of_the_whole_image(trained, tiled, large):
    vae, _ = tiled
    paid = trained.score_samples(large)
    assert_allclose(vae.score_samples(large), paid, atol=0.05)
    edited = large.copy()
    edited[:, :256] **= 2  # so that tiles, left alone, would judge colours otherwise
    assert_allclose(vae.score_samples(edited), trained.score_samples(edited), atol=0.05)


@pytest.mark.parametrize("architecture", ["conv", "dense"])
def test_larger_images_go_through_a_bottleneck_in_tiles(architecture, photos):
    vae = tiny(architecture, patch_size=8, degradation=None, max_epochs=30).fit(photos)
    flat = np.full((1, 21, 30, 3), 0.4, dtype=np.float32)
    tile = vae.transform(flat[:, :8, :8])
    restored = vae.transform(flat)
    low, high = tile.min(axis=(0, 1, 2)), tile.max(axis=(0, 1, 2))
    assert (restored > low - 1e-5).all() and (restored < high + 1e-5).all()
    assert vae.sample_posterior(flat).shape == (1, *flat.shape)
    assert np.isfinite(vae.score_samples(flat)).all()


# ------------------------------------------------------------------------ judging
@every_architecture
def test_score_is_the_mean_psnr(architecture, fitted, photos):
    vae = fitted[architecture]
    clean = photos * 0.9
    restored = vae.transform(photos)
    assert vae.score(photos, clean) == pytest.approx(psnr_score(clean, restored))
    assert vae.score(photos) == pytest.approx(psnr_score(photos, restored))
    assert vae.score(photos, [0] * 6) == vae.score(photos)
    assert isinstance(vae.score(photos), float)
    weight = np.array([0, 0, 3, 0, 1, 0])
    expected = 0.75 * vae.score(photos[2:3]) + 0.25 * vae.score(photos[4:5])
    assert vae.score(photos, sample_weight=weight) == pytest.approx(expected, abs=1e-4)


def test_score_measures_on_the_range_that_was_fitted():
    X = np.random.default_rng(0).random((6, 5, 5)) * 200
    X[0, 0, 0] = 200.0
    vae = tiny().fit(X)
    parts = [vae.score(X[i : i + 1]) for i in range(6)]
    assert vae.score(X) == pytest.approx(np.mean(parts), abs=1e-3)


@every_architecture
def test_elbo_is_that_of_the_networks_numbers(architecture, fitted, photos):
    vae = fitted[architecture]
    network, restorer = vae.net_.module_, vae._restorer()
    images = as_images(photos[:2])
    for i, elbo in enumerate(vae.score_samples(photos[:2])):
        image = images[i]
        tensor = restorer.tensor(image[np.newaxis])
        noise = restorer._noise_of_batch(images, [(i, image)], vae.seed_)
        with torch.inference_mode():
            answer = restorer.network(tensor, tensor, noise)
        restored, log_sigma, cost = (part[0].double().numpy() for part in answer)
        likelihood = norm.logpdf(image, restored, np.exp(log_sigma)).mean()
        assert elbo == pytest.approx(likelihood - cost.sum() / 768, abs=1e-5)
    assert next(network.parameters()).dtype == torch.float32


@every_architecture
def test_elbo_of_an_image_does_not_hang_on_its_neighbours(architecture, fitted, photos):
    vae = fitted[architecture]
    elbo = vae.score_samples(photos)
    assert elbo.shape == (6,)
    assert_array_equal(vae.score_samples(list(photos[[3, 1]])), elbo[[3, 1]])
    assert len(set(elbo)) == 6


def test_strange_images_have_a_low_elbo(trained, unseen):
    strange = np.random.default_rng(0).random((16, 32, 32, 3))
    bounds = np.r_[trained.score_samples(strange), trained.score_samples(unseen[0])]
    assert roc_auc_score(np.repeat([0, 1], 16), bounds) > 0.95


@every_architecture
def test_elbo_counts_what_was_observed(architecture, fitted, photos):
    vae, holed = fitted[architecture], photos[:2].copy()
    holed[0, 4:, 4:], holed[1] = np.nan, np.nan
    elbo = vae.score_samples(holed)
    assert np.isfinite(elbo[0]) and np.isnan(elbo[1])


# ------------------------------------------------------------------------- codes
@every_architecture
def test_codes_decode_to_images_in_kind(architecture, photos_uint8):
    vae = tiny(architecture).fit(photos_uint8)
    codes = vae.encode(photos_uint8)
    n_codes = {"ladder": 8 + 4 * (4 * 4 + 8 * 8), "conv": 128, "dense": 8}
    assert codes.shape == (6, n_codes[architecture]) and codes.dtype == np.float32
    assert np.abs(codes[0] - codes[1]).max() > 1e-5
    decoded = vae.decode(codes)
    assert decoded.shape == photos_uint8.shape and decoded.dtype == np.uint8
    codes.flags.writeable = False
    assert_array_equal(vae.decode(codes, size=(16, 16)), decoded)
    assert_array_equal(vae.decode(codes[2:3])[0], decoded[2])


@pytest.mark.parametrize("architecture", ["conv", "dense"])
def test_decoded_code_is_the_restoration(architecture, fitted, photos):
    vae = fitted[architecture]
    assert_allclose(vae.decode(vae.encode(photos)), vae.transform(photos), atol=1e-5)


def test_code_zero_of_the_ladder_is_the_restoration_of_nothing(trained):
    nothing = np.full((1, 12, 20, 3), np.nan, np.float32)
    n_codes = trained.encode(nothing).shape[1]
    decoded = trained.decode(np.zeros((1, n_codes)), size=(12, 20))
    exact = deepcopy(trained).set_params(mixed_precision=False)
    assert_allclose(decoded, exact.transform(nothing), atol=1e-6)


@every_architecture
def test_samples_are_new_images_in_kind(architecture, fitted):
    vae = fitted[architecture]
    images = vae.sample(3, random_state=0)
    assert images.shape == (3, 16, 16, 3) and images.dtype == np.float32
    assert np.isfinite(images).all()
    assert np.abs(images[0] - images[1]).max() > 1e-4
    assert_array_equal(vae.sample(3, random_state=0), images)
    assert not np.array_equal(vae.sample(3, random_state=1), images)
    assert not np.array_equal(vae.sample(3), vae.sample(3))


def test_ladder_samples_images_of_any_size(fitted):
    vae = fitted["ladder"]
    assert vae.sample(2, size=(13, 7), random_state=0).shape == (2, 13, 7, 3)
    codes = vae.encode(np.zeros((1, 13, 7, 3)))
    assert vae.decode(codes, size=(13, 7)).shape == (1, 13, 7, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda photos: photos[..., 0],
        lambda photos: photos / 255 * 200,
        lambda photos: photos[..., [0, 1, 2, 2]],
    ],
    ids=["grey stack", "0 to 200", "alpha"],
)
def test_what_is_drawn_is_like_the_training_images(make, photos_uint8):
    X = make(photos_uint8)
    images = tiny().fit(X).sample(2, random_state=0)
    expected = X[..., :3] if X.shape[-1] == 4 else X
    assert images.shape[1:] == expected.shape[1:] and images.dtype == X.dtype
    assert images.max() > X.max() / 10


@pytest.mark.parametrize("image_shape", [(16, 16, 3), (16, 12, 4)])
def test_rows_are_drawn_as_rows_also_in_patches(image_shape, photos):
    rows = photos.reshape(6, -1)
    vae = tiny(image_shape=image_shape, patch_size=8).fit(rows)
    assert vae.sample(2).shape == (2, 8 * 8 * 3)
    codes = vae.encode(rows)
    assert (
        vae.decode(codes, size=image_shape[:2]).shape[1] == np.prod(image_shape[:2]) * 3
    )


# ---------------------------------------------------------------------------- GPU
@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_without_cuda_a_fit_that_asks_for_it_says_so(photos):
    with pytest.warns(UserWarning, match="there is no CUDA: learning on the CPU"):
        vae = tiny(device="cuda").fit(photos)
    assert vae.net_.device == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_architecture
def test_gpu_learns_and_restores_as_the_cpu_does(architecture, photos):
    vae = tiny(architecture, device="cuda", max_epochs=5).fit(photos)
    assert next(vae.net_.module_.parameters()).is_cuda
    restored, sigma = vae.predict(photos, return_std=True)
    samples = vae.sample_posterior(photos, random_state=0)
    elbo, images = vae.score_samples(photos), vae.sample(2, random_state=0)
    vae.set_params(device="cpu")
    for on_cpu, on_gpu in (
        (vae.predict(photos, return_std=True), (restored, sigma)),
        (vae.sample_posterior(photos, random_state=0), samples),
        (vae.score_samples(photos), elbo),
        (vae.sample(2, random_state=0), images),
    ):
        assert_allclose(on_gpu, on_cpu, atol=2e-3)


def test_patch_size_may_be_one_of_numpys_integers(photos):
    vae = tiny(patch_size=np.int64(8), max_epochs=1).fit(photos)
    assert vae.patch_size_ == (8, 8)
    assert all(type(side) is int for side in vae.patch_size_)


def test_true_is_a_number_of_free_bits(photos):
    one, true = (tiny(free_bits=bits, max_epochs=1).fit(photos) for bits in (1, True))
    assert_array_equal(one.transform(photos), true.transform(photos))
