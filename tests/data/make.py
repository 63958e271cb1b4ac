"""Make the files of `save` beside this one, once for each version that is released.

``python tests/data/make.py`` writes a folder that is called like the version. It is
never written again after a release: later versions show that they still read it.
"""

from pathlib import Path

import numpy as np

import colorvae_sk
from colorvae_sk import (
    ColorVAE,
    ColorVAEGAN,
    ColorVQVAE,
    GaussianNoise,
    LatentFeatures,
    MissingPixels,
    Quantize,
    RandomDegradation,
    RestorationOutlierDetector,
    blind_degradation,
    load,
    save,
)

OPTIONS = {
    **{"widths": (4, 4), "n_blocks": 1, "n_latent": 1, "max_epochs": 1, "lr": 0.01},
    **{"device": "cpu", "random_state": 0},
}


def examples():
    """Names, estimators of each kind and what each is fitted on."""
    from sklearn.pipeline import make_pipeline

    rng = np.random.default_rng(0)
    photos = rng.random((4, 8, 8, 3)).astype(np.float32)
    rows = rng.random((12, 5))
    yield "ladder", ColorVAE("ladder", **OPTIONS), photos
    yield "quantised", ColorVQVAE(n_embeddings=8, **OPTIONS), photos
    yield "adversarial", ColorVAEGAN(**OPTIONS), photos
    yield "features", LatentFeatures(ColorVAE("dense", **OPTIONS)), rows
    yield "outliers", RestorationOutlierDetector(ColorVAE(**OPTIONS)), photos
    yield "grey", ColorVAE("ladder", **OPTIONS), photos[..., 0]
    yield "conv", ColorVAE("conv", **OPTIONS), (255 * photos).astype(np.uint8)
    yield "dense", ColorVAE("dense", image_shape=(8, 8), **OPTIONS), rows_of(photos)
    yield "rows", ColorVAE(degradation=GaussianNoise(0.1), **OPTIONS), rows
    mixture = RandomDegradation([GaussianNoise((0, 0.2)), Quantize()], random_state=3)
    yield "mixture", mixture, photos
    yield "blind", blind_degradation().set_params(random_state=0), photos
    holes = MissingPixels(0.5, random_state=0)
    yield "pipeline", make_pipeline(holes, ColorVAE(**OPTIONS)), photos


def rows_of(photos):
    return photos[..., 0].reshape(len(photos), -1)


def main():
    folder = Path(__file__).parent / colorvae_sk.__version__
    folder.mkdir()
    for name, estimator, X in examples():
        estimator.fit(X)
        if hasattr(estimator, "calibrate") and name != "grey":
            estimator.calibrate(X, X)
        file = folder / f"{name}.safetensors"
        save(estimator, file, half=name == "conv")  # it is the largest
        np.savez(file.with_suffix(".npz"), X=X, expected=answer_of(load(file), X))


def answer_of(estimator, X):
    """What the estimator is for."""
    answer = getattr(estimator, "transform", None) or estimator.score_samples
    return answer(X)


if __name__ == "__main__":
    main()
