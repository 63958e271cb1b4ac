"""Weights that ship are whole and small, and a fit can start from them."""

import hashlib
import importlib
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from helpers import every_architecture, tiny, weights
from numpy.testing import assert_array_equal
from sklearn.base import clone

from colorvae_sk import (
    ColorVAE,
    GaussianNoise,
    _weights,
    list_pretrained,
    load,
    load_photos,
    load_pretrained,
    psnr_score,
    save,
)

MAX_BYTES = 10_000_000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder in the place of that with the weights that ship."""
    monkeypatch.setattr(_weights, "FOLDER", tmp_path / "weights")
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def list_sums(folder):
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.glob("*.safetensors"))
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


@pytest.fixture
def shipped(folder, photos):
    """A fitted ColorVAE, which ships as "natural"."""
    vae = tiny(max_epochs=1).fit(photos)
    save(vae, folder / "natural.safetensors")
    list_sums(folder)
    return vae


# ------------------------------------------------------------------ what really ships
@pytest.mark.parametrize("name", list_pretrained())
def test_what_ships_is_small_and_restores_a_photograph(name):
    assert (_weights.FOLDER / f"{name}.safetensors").stat().st_size <= MAX_BYTES
    clean = load_photos()[1][None, 100:196, 100:196]
    noisy = GaussianNoise(0.1, random_state=0).fit_transform(clean)
    restored = load_pretrained(name, device="cpu").transform(noisy)
    assert psnr_score(clean, restored) > psnr_score(clean, noisy) + 3


def test_all_that_ships_is_listed_and_all_that_is_listed_ships():
    names = {f"{name}.safetensors" for name in list_pretrained()}
    assert set(_weights.listed_sums()) == names
    found = {file.name for file in _weights.FOLDER.iterdir()}
    assert found == names | {"SHA256SUMS"}


# ------------------------------------------------------------------ loading
def test_what_ships_is_loaded_by_name(shipped, photos):
    assert list_pretrained() == ["natural"]
    vae = load_pretrained(device="cpu")
    assert_array_equal(vae.transform(photos), shipped.transform(photos))
    assert (vae.weights, vae.device) == ("natural", "cpu")


def test_unknown_names_are_refused_with_those_that_ship(shipped):
    with pytest.raises(ValueError, match=r"No weights 'nature' .* only 'natural'"):
        load_pretrained("nature")
    with pytest.raises(ValueError, match=r"No weights '\.\./natural'"):
        load_pretrained("../natural")


def test_that_nothing_ships_is_said(folder):
    with pytest.raises(ValueError, match="only none in this version"):
        load_pretrained()


def test_a_file_that_is_not_the_listed_one_is_refused(shipped, folder, photos):
    save(shipped, folder / "natural.safetensors", half=True)
    with pytest.raises(ValueError, match="is not the file that SHA256SUMS lists"):
        load_pretrained()
    with pytest.raises(ValueError, match="is not the file that SHA256SUMS lists"):
        tiny(weights="natural").fit(photos)
    assert load_pretrained(verify=False).seed_ == shipped.seed_
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match="has no line in SHA256SUMS"):
        load_pretrained()


def test_a_damaged_file_is_found_without_the_list_too(shipped, folder):
    path = folder / "natural.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="damaged"):
        load_pretrained(verify=False)


def test_the_list_is_read_as_sha256sum_writes_it(shipped, folder):
    (line,) = (folder / "SHA256SUMS").read_text().splitlines()
    (folder / "SHA256SUMS").write_text(f"{line[:64].upper()} *{line[66:]}\n\n")
    assert load_pretrained().seed_ == shipped.seed_


# ------------------------------------------------------------------ starting from them
def test_fit_starts_from_weights_by_name_or_path(shipped, folder, photos):
    path = str(folder / "natural.safetensors")
    for start in ("natural", path):
        vae = tiny(weights=start, widths=(16,), lr=1e-9, max_epochs=1).fit(photos)
        assert vae._blueprint == shipped._blueprint
        np.testing.assert_allclose(weights(vae), weights(shipped), atol=1e-6)
        assert (vae.widths, vae.n_fits_) == ((16,), 1)
        assert len(vae.history_) == 4  # its own, one epoch of each stage


def test_fit_from_weights_goes_on_learning(shipped, photos):
    vae = tiny(weights="natural").fit(photos)
    assert np.any(weights(vae) != weights(shipped))
    again = clone(vae).fit(photos)
    assert_array_equal(weights(again), weights(vae))


def test_what_is_loaded_by_name_is_refitted_from_its_weights(shipped, photos):
    vae = load_pretrained(device="cpu").set_params(lr=1e-9)
    for model in (vae, clone(vae)):
        fitted = weights(model.fit(photos))
        np.testing.assert_allclose(fitted, weights(shipped), atol=1e-6)


def test_partial_fit_and_warm_start_begin_from_weights_once(shipped, photos):
    vae = tiny(weights="natural", warm_start=True).fit(photos)
    once = weights(vae)
    assert np.any(weights(vae.fit(photos)) != once)
    vae = tiny(weights="natural", lr=1e-9).partial_fit(photos)
    np.testing.assert_allclose(weights(vae), weights(shipped), atol=1e-6)


@every_architecture
def test_every_architecture_can_start_from_weights(architecture, folder, photos):
    path = str(folder / "own.safetensors")
    vae = tiny(architecture, max_epochs=1).fit(photos)
    save(vae, path)
    again = tiny(weights=path, max_epochs=1, lr=1e-9).fit(photos)
    assert (again.architecture_, again.patch_size_) == (architecture, (16, 16))
    np.testing.assert_allclose(weights(again), weights(vae), atol=1e-6)


def test_larger_images_are_cut_to_what_the_network_takes(folder, photos):
    path = str(folder / "own.safetensors")
    save(tiny("conv", max_epochs=1).fit(photos), path)
    large = np.tile(photos, (1, 2, 2, 1))
    vae = tiny(weights=path, max_epochs=1).fit(large)
    assert vae.patch_size_ == (16, 16)
    assert vae.transform(large).shape == large.shape


def test_calibration_of_the_old_images_is_not_taken_over(folder, photos):
    vae = tiny(max_epochs=1).fit(photos)
    vae.calibration_ = {"scale": 2.0}
    save(vae, folder / "own.safetensors")
    again = tiny(weights=str(folder / "own.safetensors"), max_epochs=1).fit(photos)
    assert not hasattr(again, "calibration_")


@pytest.mark.parametrize("architecture", ["ladder", "conv"])
def test_images_with_other_channels_are_refused(architecture, folder, photos):
    path = str(folder / "own.safetensors")
    save(tiny(architecture, max_epochs=1).fit(photos), path)
    vae = tiny(weights=path)
    with pytest.raises(ValueError, match=r"X has 1 channel.* for images of 3"):
        vae.fit(photos[..., 0])
    assert vars(vae) == vars(tiny(weights=path))


def test_images_that_are_too_small_are_refused(folder, photos):
    path = str(folder / "own.safetensors")
    save(tiny("conv", max_epochs=1).fit(photos), path)
    with pytest.raises(ValueError, match=r"up to \(8, 16\).* for patches of \(16, 16"):
        tiny(weights=path).fit(photos[:, :8])


def test_rows_of_another_length_are_refused(folder):
    path, X = str(folder / "own.safetensors"), np.eye(8)
    save(tiny(max_epochs=1).fit(X), path)
    assert tiny(weights=path, max_epochs=1).fit(X).transform(X).shape == X.shape
    for other in (X[:, :7], np.eye(9)):
        with pytest.raises(ValueError, match=r"for patches of \(1, 8\)"):
            tiny(weights=path).fit(other)


def test_weights_that_are_not_there_are_refused(shipped, photos):
    with pytest.raises(ValueError, match=r"no weights 'nature'.* \('natural'\)"):
        tiny(weights="nature").fit(photos)
    with pytest.raises(ValueError, match="'weights' parameter of ColorVAE"):
        tiny(weights=3).fit(photos)


def test_files_of_something_else_are_refused(folder, photos):
    path = str(folder / "noise.safetensors")
    save(GaussianNoise(), path)
    with pytest.raises(ValueError, match=r"no fitted ColorVAE.* GaussianNoise in it"):
        tiny(weights=path).fit(photos)
    Path(path).write_text("no weights")
    with pytest.raises(ValueError, match="damaged"):
        tiny(weights=path).fit(photos)


def test_a_subclass_starts_from_the_weights_of_its_parent(shipped, photos):
    class Mine(ColorVAE):
        pass

    vae = Mine(weights="natural", max_epochs=1, lr=1e-9, device="cpu").fit(photos)
    np.testing.assert_allclose(weights(vae), weights(shipped), atol=1e-6)


# ------------------------------------------------------------------ the script
@pytest.fixture
def script(monkeypatch):
    """The script that makes the files that ship."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    yield importlib.import_module("export_weights")
    sys.modules.pop("export_weights")


def test_export_makes_files_that_ship(script, folder, photos, tmp_path, capsys):
    params = {"max_seconds": 9.0, "verbose": 0, "callbacks": [print]}
    vae = tiny(max_epochs=1, degradation=GaussianNoise(0.2)).fit(photos)
    joblib.dump(vae.set_params(**params), tmp_path / "model.joblib")
    for name in ("natural", "other"):
        script.main([str(tmp_path / "model.joblib"), name, "--folder", str(folder)])
    assert "MB" in capsys.readouterr().out
    assert list_pretrained() == ["natural", "other"]
    exported = load_pretrained("other")
    assert same_array_in_half(weights(exported), weights(vae))
    assert exported.degradation.sigma == 0.2
    kept = {name: getattr(exported, name) for name in ("widths", "n_blocks")}
    usual = ColorVAE(degradation=exported.degradation, weights="other", **kept)
    assert exported.get_params() == usual.get_params()
    assert vae.max_seconds == 9.0


def same_array_in_half(one, other):
    return np.array_equal(one, np.float32(np.float16(other)))


def test_export_refuses_what_may_not_ship(script, folder, photos, monkeypatch):
    vae = tiny(max_epochs=1).fit(photos)
    with pytest.raises(ValueError, match=r"a name of a-z.* got '../x'"):
        script.export(vae, "../x", folder)
    monkeypatch.setattr(script, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="Train a smaller network"):
        script.export(vae, "big", folder)
    assert list_pretrained() == []


def test_export_writes_the_list_that_sha256sum_would(script, shipped, folder):
    before = (folder / "SHA256SUMS").read_text()
    script.write_sums(folder)
    assert (folder / "SHA256SUMS").read_text() == before
    assert load(folder / "natural.safetensors").seed_ == shipped.seed_
