"""A file whose checksum is right, but whose author means harm, takes nothing."""

import numpy as np
import pytest
from helpers import tiny

from colorvae_sk import _storage, load, save
from colorvae_sk._checkpoint import read


@pytest.fixture
def path(photos, tmp_path):
    """A saved ladder, calibrated."""
    path = tmp_path / "vae.safetensors"
    save(tiny(max_epochs=1).fit(photos).calibrate(photos, photos), path)
    return path


def rewrite(path, change, monkeypatch):
    """Change what a file says, and give it the right checksum."""
    content, arrays = _storage.read(path)
    change(content["$object"], arrays)
    monkeypatch.setattr(_storage, "is_too_long", lambda text: False)
    _storage.write(path, content, arrays)
    monkeypatch.undo()


def network(**options):
    """Set options of the network."""
    return lambda o, a: o["state"]["_blueprint"]["$tuple"][1].update(options)


def attribute(value, **more):
    """Set an attribute, with arrays beside."""
    return lambda o, a: (o["state"].update(x=value), a.update(more))


MANY = 10**9
HARM = {
    "blocks": (network(n_blocks={"$tuple": [MANY]}), "1000000000 blocks"),
    "blocks of both ways": (
        network(n_blocks={"$tuple": [{"$tuple": [MANY]}, {"$tuple": [1]}]}),
        "1000000001 blocks",
    ),
    "scales": (network(widths={"$tuple": [8] * 9999}), "9999 scales"),
    "widths": (network(widths={"$tuple": [MANY**2, 8]}), "can't be made"),
    "channels": (network(n_channels=MANY), "can't be made"),
    "negative": (network(n_latent=-5), "can't be made"),
    "wide strings": (
        attribute({"$strings": ["<U999999", ["a"] * 99]}),
        "take too much",
    ),
    "strings": (
        attribute({"$strings": ["<U9999", ["a"] * 9999 + ["b" * 9999]]}),
        "take too much",
    ),
    "numbers": (attribute({"$strings": ["<f8", ["1"]]}), "no strings"),
    "cast": (attribute({"$array": ["z", "<U9"]}, z=np.zeros(9)), "is float64, not"),
    "copies": (attribute([{"$array": ["z", "<f8"]}] * 2, z=np.zeros(9)), "is missing"),
    "overflow": (attribute({"$scalar": ["|i1", 300]}), "can't be made"),
    "many lists": (attribute([[]] * 600_000), "can't be read"),
    "long text": (attribute("x" * 2**25), "can't be read"),
    "calibration": (attribute({"$calibration": {"curve": 1}}), "can't be made"),
}


@pytest.mark.parametrize(("change", "complaint"), HARM.values(), ids=HARM)
def test_a_hostile_file_is_refused(change, complaint, path, monkeypatch):
    rewrite(path, change, monkeypatch)
    with pytest.raises(ValueError, match=complaint):
        load(path)


def test_deep_nesting_is_refused(path, monkeypatch):
    nested = []
    for _ in range(900):
        nested = [nested]
    rewrite(path, attribute(nested), monkeypatch)
    with pytest.raises(ValueError, match="recursion"):
        load(path)


@pytest.mark.parametrize(
    "broken",
    [{"n_images": 0}, {"n_images": "many"}, {"losses": [1.0]}, {"curve": [1, 2]}],
    ids=str,
)
def test_a_calibration_that_cannot_be_is_refused(broken, path, monkeypatch):
    def change(o, arrays):
        o["state"]["calibration_"]["$calibration"].update(broken)

    rewrite(path, change, monkeypatch)
    with pytest.raises(ValueError, match=r"calibration|can't be made"):
        load(path)


def test_a_calibrated_model_comes_back_calibrated(path, photos):
    vae = tiny(max_epochs=1).fit(photos).calibrate(photos, photos)
    loaded = load(path)
    for one, other in zip(
        loaded.predict_interval(photos, 0.5),
        vae.predict_interval(photos, 0.5),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_a_pipeline_with_a_cache_is_neither_saved_nor_loaded(tmp_path, photos):
    from sklearn.pipeline import make_pipeline

    pipe = make_pipeline(tiny(max_epochs=1)).fit(photos)
    path = tmp_path / "pipe.safetensors"
    save(pipe, path)
    content, arrays = _storage.read(path)
    content["$object"]["parameters"]["memory"] = "cache"
    _storage.write(path, content, arrays)
    with pytest.raises(ValueError, match="cache holds pickles"):
        load(path)
    with pytest.raises(TypeError, match="memory=None"):
        save(pipe.set_params(memory="cache"), path)


def test_more_history_than_a_file_holds_is_refused(path, photos):
    vae = load(path)
    before = path.read_bytes()
    vae.history_ = [[] for _ in range(600_000)]
    with pytest.raises(ValueError, match="shortens"):
        save(vae, path)
    assert path.read_bytes() == before


def test_a_private_file_stays_private(path):
    path.chmod(0o600)
    save(load(path), path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_flipped_bit_of_a_checkpoint_is_found(tmp_path, photos):
    tiny(max_epochs=1, checkpoint=tmp_path).fit(photos)
    (file,) = tmp_path.glob("*.pt")
    content = bytearray(file.read_bytes())
    weights = max(read(file)["module"].values(), key=lambda t: t.numel())
    place = content.index(weights.contiguous().numpy().tobytes()[:64])
    content[place] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="damaged, or no checkpoint"):
        read(file)
