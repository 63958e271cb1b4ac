"""Files of earlier versions are still read, and restore as they did."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from colorvae_sk import _base, _storage, load

DATA = Path(__file__).parent / "data"
FILES = sorted(DATA.glob("*/*.safetensors"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}-{f.stem}")
def test_files_of_earlier_versions_restore_as_they_did(file, monkeypatch):
    monkeypatch.setattr(_base, "can_round", lambda device: False)  # they never did
    estimator = load(file)
    with np.load(file.with_suffix(".npz")) as kept:
        X, expected = kept["X"], kept["expected"]
    answer = getattr(estimator, "transform", None) or estimator.score_samples
    result = answer(X)
    assert result.dtype == expected.dtype
    if expected.dtype.kind == "u":  # what rounds up here may round down there
        assert_allclose(result.astype(int), expected.astype(int), atol=1)
    else:
        assert_allclose(result, expected, rtol=0, atol=1e-5)
    vae = estimator[-1] if hasattr(estimator, "steps") else estimator
    if hasattr(vae, "calibration_"):
        lower, upper = vae.predict_interval(X, coverage=0.5)
        assert (lower <= upper).all()


def test_there_are_files_of_each_kind():
    kinds = {"blind", "conv", "dense", "grey", "ladder", "mixture", "pipeline", "rows"}
    kinds |= {"adversarial", "features", "outliers", "quantised"}
    for folder in {file.parent for file in FILES}:
        assert kinds <= {file.stem for file in folder.iterdir()}
    assert FILES


def test_a_file_of_a_newer_format_asks_for_a_newer_version(tmp_path, monkeypatch):
    content, arrays = _storage.read(FILES[0])
    monkeypatch.setattr(_storage, "FORMAT", _storage.FORMAT + 1)
    monkeypatch.setattr(_storage, "__version__", "9.0")
    _storage.write(tmp_path / "newer.safetensors", content, arrays)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"written by colorvae_sk 9\.0 in format 2"):
        load(tmp_path / "newer.safetensors")
