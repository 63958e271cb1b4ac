"""skops keeps what was fitted, and has to trust only classes of this package."""

import numpy as np
import pytest
from helpers import every_architecture, tiny
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline

from colorvae_sk import GaussianNoise, blind_degradation

skops_io = pytest.importorskip("skops.io")


def there_and_back(estimator, path):
    """The estimator again, and the types that had to be trusted."""
    skops_io.dump(estimator, path)
    types = skops_io.get_untrusted_types(file=path)
    return skops_io.load(path, trusted=types), types


@every_architecture
def test_only_our_classes_need_trust(architecture, photos, tmp_path):
    vae = tiny(architecture, max_epochs=1, degradation=GaussianNoise(0.1)).fit(photos)
    vae.calibrate(photos, photos)
    loaded, types = there_and_back(vae, tmp_path / "vae.skops")
    assert types
    assert all(name.startswith("colorvae_sk.") for name in types)
    for mine, yours in zip(
        loaded.predict(photos, return_std=True),
        vae.predict(photos, return_std=True),
        strict=True,
    ):
        assert_array_equal(mine, yours)


def test_pipelines_of_scikit_learn_need_no_more(photos, tmp_path):
    damage = blind_degradation().set_params(random_state=0)
    pipe = make_pipeline(damage, tiny(max_epochs=1)).fit(photos, photos)
    loaded, types = there_and_back(pipe, tmp_path / "pipe.skops")
    assert all(name.startswith("colorvae_sk.") for name in types)
    restored = pipe.transform(photos)
    assert np.isfinite(restored).all()
    assert_array_equal(loaded.transform(photos), restored)
