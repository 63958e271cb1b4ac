"""Files of `save` hold everything, run nothing, and say so when they are damaged."""

import json
import os
import struct

import joblib
import numpy as np
import pytest
import safetensors.numpy
import torch
from helpers import MODELS, every_model, tiny
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline, make_pipeline
from skorch.callbacks import Callback

import colorvae_sk
from colorvae_sk import (
    BaseDegradation,
    ColorJitter,
    ColorVAE,
    GaussianNoise,
    MissingPixels,
    Quantize,
    RandomDegradation,
    RandomFlip,
    _storage,
    blind_degradation,
    load,
    persistence,
    save,
)

DAMAGE = RandomDegradation(
    [
        GaussianNoise((0, 0.1)),
        make_pipeline(MissingPixels(np.float64(0.5)), Quantize()),
    ],
    n=1,
    weights=np.array([1, 2]),
)


@pytest.fixture(scope="module")
def fitted(photos):
    """One fitted model of each kind."""
    return {name: tiny(name).fit(photos) for name in MODELS}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "vae.safetensors"


@pytest.fixture
def saved(fitted, path):
    """The bytes of a saved ladder."""
    save(fitted["ladder"], path)
    return path.read_bytes()


def there_and_back(estimator, path, **options):
    save(estimator, path, **options)
    return load(path)


def same(one, other):
    """Whether two values are equal, and of the same kind all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and same([*one.values()], [*other.values()])
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        if one.dtype != other.dtype:
            return False
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if hasattr(one, "get_params"):
        return same(one.get_params(deep=False), other.get_params(deep=False))
    return one == other or (one != one and other != other)


def attributes(vae):
    return {name: value for name, value in vars(vae).items() if name != "net_"}


# ------------------------------------------------------------------ whole files
@every_model
def test_what_is_loaded_is_and_says_the_same(architecture, fitted, path, photos):
    vae = fitted[architecture]
    loaded = there_and_back(vae, path)
    assert type(loaded) is type(vae)
    assert same(attributes(loaded), attributes(vae))
    for mine, yours in zip(
        loaded.predict(photos, return_std=True),
        vae.predict(photos, return_std=True),
        strict=True,
    ):
        assert_array_equal(mine, yours)
    assert_array_equal(loaded.score_samples(photos), vae.score_samples(photos))
    assert_array_equal(loaded.encode(photos), vae.encode(photos))
    assert_array_equal(
        loaded.sample_posterior(photos, random_state=0),
        vae.sample_posterior(photos, random_state=0),
    )
    assert loaded.score(photos, photos) == vae.score(photos, photos)


@every_model
def test_what_is_loaded_goes_on_learning(architecture, path, photos):
    vae = tiny(architecture).fit(photos)
    loaded = there_and_back(vae, path)
    for model in (vae, loaded):
        model.partial_fit(photos)
    assert_array_equal(loaded.transform(photos), vae.transform(photos))


def test_rows_keep_their_names_and_range(path):
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(np.arange(12).reshape(4, 3), columns=["a", "b", "c"])
    vae = tiny().fit(X).set_output(transform="pandas")
    loaded = there_and_back(vae, path)
    assert same(attributes(loaded), attributes(vae))
    assert loaded.transform(X).equals(vae.transform(X))


@every_model
def test_half_precision_takes_half_the_space(architecture, fitted, path, photos):
    vae = fitted[architecture]
    save(vae, path)
    whole = path.stat().st_size
    loaded = there_and_back(vae, path, half=True)
    n_bytes = sum(p.nbytes for p in vae.net_.module_.parameters())
    assert n_bytes / 2 < path.stat().st_size < whole - 0.49 * n_bytes
    weights = loaded.net_.module_.state_dict()
    for name, weight in vae.net_.module_.state_dict().items():
        assert weights[name].dtype == weight.dtype
        assert torch.equal(weights[name], weight.half().to(weight.dtype))
    np.testing.assert_allclose(
        loaded.transform(photos), vae.transform(photos), atol=5e-3
    )


def test_weights_too_large_for_half_precision_are_refused(path, photos):
    vae = tiny(max_epochs=1).fit(photos)
    with torch.no_grad():
        next(vae.net_.module_.parameters())[0] = 70_000
    with pytest.raises(ValueError, match="too large for half precision"):
        save(vae, path, half=True)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize(
    "params",
    [
        {"degradation": DAMAGE},
        {"degradation": blind_degradation()},
        {"degradation": Pipeline([("a", GaussianNoise()), ("b", "passthrough")])},
        {"augmentation": [RandomFlip(0.1), ColorJitter(saturation=(0.5, 1))]},
        {"device": torch.device("cpu"), "lr": np.float64(0.1), "n_latent": np.int64(3)},
        {"image_shape": [4, 4], "callbacks": [], "widths": [8, 9]},
    ],
    ids=lambda params: next(iter(params)),
)
def test_parameters_come_back_as_what_they_were(params, photos, path):
    vae = tiny(max_epochs=1).fit(photos).set_params(**params)
    loaded = there_and_back(vae, path)
    assert same(loaded.get_params(deep=False), vae.get_params(deep=False))


@pytest.mark.parametrize(
    "value",
    [
        {"scale": np.float32([1, 2]), "levels": {0.5: [1, (2, None)], "$x": "y"}},
        np.array(3.5),
        np.zeros((0, 2), np.uint16),
        np.arange(6, dtype=">i4").reshape(2, 3).T,
        np.array(["a", "é"]),
        [float("nan"), -float("inf"), np.float32("nan"), np.bool_(True), np.str_("a")],
        {"$array": "looks like a tag", "": {}},
    ],
    ids=repr,
)
def test_other_attributes_come_back_as_what_they_were(value, photos, path):
    vae = tiny(max_epochs=1).fit(photos)
    vae.calibration_ = value
    loaded = there_and_back(vae, path)
    assert same(loaded.calibration_, value)
    if isinstance(value, np.ndarray):
        assert loaded.calibration_.flags.writeable


@pytest.mark.parametrize(
    "estimator",
    [GaussianNoise((0, 0.2), random_state=3), DAMAGE, make_pipeline(DAMAGE)],
    ids=lambda estimator: type(estimator).__name__,
)
def test_degradations_can_be_saved(estimator, path, photos):
    estimator.fit(photos)
    assert same(there_and_back(estimator, path), estimator)


def test_a_pipeline_keeps_the_network_in_it(path, photos):
    noise = GaussianNoise(0.1, random_state=0)
    pipe = make_pipeline(noise, tiny(max_epochs=1)).fit(photos, photos)
    loaded = there_and_back(pipe, path)
    assert_array_equal(loaded.transform(photos), pipe.transform(photos))


def test_requests_of_metadata_come_back(path, photos):
    vae = tiny(max_epochs=1).fit(photos)
    with config_context(enable_metadata_routing=True):
        vae.set_score_request(sample_weight="importance")
        loaded = there_and_back(make_pipeline(GaussianNoise().fit(photos), vae), path)
        requests = loaded[-1].get_metadata_routing()
    assert requests.score.requests == {"sample_weight": "importance"}


def test_a_frozen_pipeline_comes_back_frozen(path, photos):
    pipe = make_pipeline(GaussianNoise(0.1, random_state=0), tiny(max_epochs=1))
    frozen = FrozenEstimator(pipe.fit(photos, photos))
    loaded = there_and_back(frozen, path)
    assert type(loaded) is FrozenEstimator
    assert_array_equal(loaded.transform(photos), frozen.transform(photos))


def test_paths_come_back_as_strings(path, tmp_path, photos):
    vae = tiny(max_epochs=1, checkpoint=tmp_path / "fit").fit(photos)
    assert there_and_back(vae, path).checkpoint == str(tmp_path / "fit")


def test_the_table_of_what_is_learned_is_complete(fitted):
    for vae in fitted.values():
        learned = set(attributes(vae)) - set(vae.get_params())
        assert learned == set(persistence.FITTED)


def test_the_same_model_is_the_same_file(fitted, saved, path):
    save(load(path), path)
    assert path.read_bytes() == saved


def test_saving_leaves_the_estimator_as_it_was(fitted, path):
    before = vars(fitted["ladder"]).copy()
    save(fitted["ladder"], path, half=True)
    assert vars(fitted["ladder"]) == before


def test_a_file_from_a_gpu_loads_where_there_is_none(photos, path, monkeypatch):
    vae = tiny(max_epochs=1).fit(photos).set_params(device="cuda")
    save(vae, path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    loaded = load(path)
    assert (loaded.device, loaded.net_.device) == ("cuda", "cpu")


# ------------------------------------------------------------------ refusals
class Own(BaseDegradation):
    def __init__(self, random_state=None):
        self.random_state = random_state


Own.__name__ = "GaussianNoise"  # a name alone is no ticket


@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({"callbacks": [Callback()]}, r"ColorVAE\.callbacks\.0 is"),
        ({"random_state": np.random.RandomState(0)}, r"ColorVAE\.random_state is"),
        ({"degradation": np.flipud}, r"ColorVAE\.degradation is"),
        ({"degradation": Own()}, r"ColorVAE\.degradation is"),
        ({"degradation": make_pipeline(DAMAGE, Own())}, r"degradation\.steps\.1\.1 is"),
        (
            {"degradation": GaussianNoise(random_state=np.random.RandomState(0))},
            r"ColorVAE\.degradation\.random_state is",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_file_can_hold_is_refused_by_name(params, where, photos, path):
    vae = tiny(max_epochs=1).fit(photos).set_params(**params)
    with pytest.raises(TypeError, match=f"(?s){where}.*joblib.dump"):
        save(vae, path)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("value", [object(), {1, 2}, b"a", 1j, np.longdouble(1)])
def test_odd_attributes_are_refused(value, photos, path):
    vae = tiny(max_epochs=1).fit(photos)
    vae.calibration_ = {"inner": [value, np.array([value], object)]}
    with pytest.raises(TypeError, match=r"ColorVAE\.calibration_\.inner\.0 is"):
        save(vae, path)


def test_only_fitted_estimators_of_the_package_are_saved(path):
    with pytest.raises(NotFittedError):
        save(ColorVAE(), path)
    for other in (RandomFlip(), np.zeros(3), Own()):
        with pytest.raises(TypeError, match="Expected what colorvae_sk can fit"):
            save(other, path)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_save_leaves_the_old_file(failing, fitted, saved, path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(_storage.os, failing, fail)
    with pytest.raises(OSError, match="disk full"):
        save(fitted["conv"], path)
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == saved


def test_saving_to_nowhere_says_so(fitted, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        save(fitted["ladder"], tmp_path / "none" / "vae.safetensors")
    with pytest.raises(FileNotFoundError, match="no file"):
        load(tmp_path / "none")


# ------------------------------------------------------------------ damaged files
def test_every_truncated_file_is_refused(saved, path):
    rng = np.random.default_rng(0)
    lengths = [0, 1, 7, 8, 9, len(saved) - 1, *rng.integers(10, len(saved), 60)]
    for length in lengths:
        path.write_bytes(saved[:length])
        with pytest.raises(ValueError, match="damaged"):
            load(path)


def test_every_flipped_bit_is_found(saved, path):
    n_header = struct.unpack("<Q", saved[:8])[0]
    rng = np.random.default_rng(0)
    places = [*range(8), *rng.integers(8, 8 + n_header, 300)]
    places += [8 + n_header, len(saved) - 1]
    places += [*rng.integers(8 + n_header, len(saved), 60)]
    for place in places:
        changed = bytearray(saved)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"damaged|in format|can't be read"):
            load(path)


def test_appended_bytes_are_found(saved, path):
    path.write_bytes(saved + b"\0")
    with pytest.raises(ValueError, match="damaged"):
        load(path)


def test_other_files_are_refused_and_not_unpickled(fitted, path):
    joblib.dump(fitted["dense"], path)
    with pytest.raises(ValueError, match=r"joblib\.load"):
        load(path)
    for metadata in (None, {"colorvae_sk": "no json"}, {"colorvae_sk": "0 [1]"}):
        path.write_bytes(safetensors.numpy.save({"x": np.zeros(3)}, metadata))
        with pytest.raises(ValueError, match=r"no file that colorvae_sk\.save wrote"):
            load(path)


def rewrite(path, change):
    """Change what a file says, and give it the right checksum."""
    content, arrays = _storage.read(path)
    change(content["$object"], arrays)
    _storage.write(path, content, arrays)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda o, a: a.pop(next(iter(a))), "is missing"),
        (lambda o, a: o["state"]["_weights"].popitem(), "missing, but the network"),
        (
            lambda o, a: a.update({k: v[..., None] for k, v in a.items()}),
            "but the network expects",
        ),
        (lambda o, a: o["parameters"].update(magic=1), r"no parameters \['magic'\]"),
        (lambda o, a: o["parameters"].update(lr=-1), "'lr' parameter of ColorVAE"),
        (lambda o, a: o["state"].pop("seed_"), r"such attributes \['seed_'\]"),
        (lambda o, a: o["state"].update(seed_="x"), r"such attributes \['seed_'\]"),
        (lambda o, a: o["state"].update(fit=1), r"such attributes \['fit'\]"),
        (lambda o, a: o["state"].update(__class__=1), "such attributes"),
        (lambda o, a: o.update({"class": "os.system"}), "no class 'os.system'"),
        (lambda o, a: o.update({"class": "GaussianNoise"}), "can't be made"),
        (lambda o, a: o["state"].update(x={"$call": 1}), r"known as '\$call'"),
        (lambda o, a: o["state"].update(x={"$dtype": "O,O"}), "no dtype"),
        (lambda o, a: o["state"].update(x={"$device": "moon"}), "no device"),
        (lambda o, a: o["state"].update(x={"$float": "1e9"}), "no float"),
        (lambda o, a: o["state"].update(_blueprint={"$tuple": ["x", {}]}), "can't be"),
        (lambda o, a: o.pop("state"), "can't be made"),
    ],
)
def test_a_file_that_says_nonsense_is_refused(change, complaint, saved, path):
    rewrite(path, change)
    with pytest.raises(ValueError, match=complaint):
        load(path)


@pytest.mark.parametrize("content", [None, 3, [], {"$object": 1}, {"$tuple": [1]}])
def test_a_file_of_something_else_is_refused(content, path):
    _storage.write(path, content, {})
    with pytest.raises(ValueError, match="can't be made into an estimator"):
        load(path)


def test_an_augmentation_alone_is_no_estimator(path):
    packer = persistence.ObjectPacker()
    _storage.write(path, packer.pack(RandomFlip(), "x"), packer.arrays)
    with pytest.raises(ValueError, match="there is a RandomFlip in it"):
        load(path)


def test_a_newer_format_asks_for_a_newer_version(fitted, path, monkeypatch):
    monkeypatch.setattr(_storage, "FORMAT", 7)
    save(fitted["ladder"], path)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"in format 7, but .* Install a newer"):
        load(path)


def test_the_file_says_format_version_and_parameters(saved):
    n_header = struct.unpack("<Q", saved[:8])[0]
    header = json.loads(saved[8 : 8 + n_header])["__metadata__"]
    said = json.loads(header["colorvae_sk"].partition(" ")[2])
    assert said["format"] == _storage.FORMAT
    assert said["version"] == colorvae_sk.__version__
    assert said["content"]["$object"]["parameters"]["lr"] == 0.01


def test_parameters_that_an_older_file_lacks_have_their_defaults(saved, path):
    rewrite(path, lambda o, a: o["parameters"].pop("tile_size"))
    assert load(path).tile_size == ColorVAE().tile_size
