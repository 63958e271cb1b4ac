"""What scikit-learn asks of every estimator, asked of all of ours."""

import inspect

import pytest
import sklearn.utils.estimator_checks as checks
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import colorvae_sk
from colorvae_sk import (
    BaseDegradation,
    ColorVAE,
    ColorVAEGAN,
    ColorVQVAE,
    GaussianBlur,
    GaussianNoise,
    LatentFeatures,
    RandomDegradation,
    RestorationOutlierDetector,
)

DEGRADATIONS = [
    *(
        kind()
        for name, kind in inspect.getmembers(colorvae_sk.degradations, inspect.isclass)
        if issubclass(kind, BaseDegradation) and name in colorvae_sk.__all__
        if kind is not BaseDegradation
    ),
    RandomDegradation([GaussianNoise(), GaussianBlur()]),
]
SMALL = {"widths": (8,), "n_blocks": 1, "max_epochs": 2, "batch_size": 128}
QUICK = ColorVAE(max_epochs=2, random_state=0)
META = [LatentFeatures(QUICK), RestorationOutlierDetector(QUICK)]
RELATIVES = [ColorVQVAE(**SMALL), ColorVAEGAN(**SMALL)]
ESTIMATORS = [ColorVAE(), *RELATIVES, *META, *DEGRADATIONS]
# Checks that scikit-learn runs on its own estimators only:
OF_TRANSFORMERS = [
    checks.check_transformer_get_feature_names_out,
    checks.check_transformer_get_feature_names_out_pandas,
    checks.check_get_feature_names_out_error,
    checks.check_set_output_transform,
    checks.check_set_output_transform_pandas,
    checks.check_set_output_transform_polars,
    checks.check_global_output_transform_pandas,
    checks.check_global_set_output_transform_polars,
]
OF_ALL = [
    checks.check_dataframe_column_names_consistency,
    checks.check_inplace_ensure_writeable,
    checks.check_estimators_partial_fit_n_features,
    checks.check_param_validation,
]
OTHER_CHECKS = [
    pytest.param(estimator, check, id=f"{estimator}-{check.__name__}")
    for estimator in ESTIMATORS
    for check in OF_ALL + OF_TRANSFORMERS * hasattr(estimator, "transform")
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


# They mix arrays and data frames, which scikit-learn warns of.
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
@pytest.mark.parametrize(("estimator", "check"), OTHER_CHECKS)
def test_scikit_learn_would_accept_it_as_its_own(estimator, check):
    check(type(estimator).__name__, clone(estimator))


def test_every_public_estimator_is_asked():
    public = [getattr(colorvae_sk, name) for name in colorvae_sk.__all__]
    estimators = {kind for kind in public if hasattr(kind, "fit")}
    assert estimators - {BaseDegradation} == set(map(type, ESTIMATORS))


# What differs: the relatives have one network, and latents of their own.
OWN_WORDS = {"n_latent", "beta", "free_bits", "augmentation", "image_shape"}
OWN_WORDS |= {"patch_size", "batch_size", "weights"}


@pytest.mark.parametrize("relative", [ColorVQVAE, ColorVAEGAN])
def test_relatives_have_the_parameters_of_colorvae_in_the_same_words(relative):
    words = {kind: descriptions(kind) for kind in (ColorVAE, relative)}
    defaults = {kind: kind().get_params(deep=False) for kind in (ColorVAE, relative)}
    assert list(words[relative]) == list(inspect.signature(relative).parameters)
    shared = words[ColorVAE].keys() & words[relative]
    assert len(shared) >= len(words[ColorVAE]) - 2
    for name in shared:
        assert defaults[relative][name] == defaults[ColorVAE][name]
        if name not in OWN_WORDS:
            assert words[relative][name] == words[ColorVAE][name], name


def descriptions(kind):
    """What the docstring says of each parameter."""
    section = inspect.getdoc(kind).partition("Parameters\n----------\n")[2]
    section = section.partition("\n\nAttributes\n")[0]
    return {part.partition(" :")[0]: part for part in section.split("\n\n")}
