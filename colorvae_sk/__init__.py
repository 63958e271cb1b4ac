"""Restore damaged colour pictures, with error bars, the scikit-learn way.

The public names below are imported when they are first used, so that
``import colorvae_sk`` costs next to nothing.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "ColorVAE": "_color_vae",
    "ColorVAEGAN": "_color_vaegan",
    "ColorVQVAE": "_color_vqvae",
    "CalibrationDisplay": "_displays",
    "HistoryDisplay": "_displays",
    "LatentDisplay": "_latent_displays",
    "PosteriorDisplay": "_picture_displays",
    "RestorationDisplay": "_picture_displays",
    "TraversalDisplay": "_latent_displays",
    "LatentFeatures": "_latent_features",
    "RestorationOutlierDetector": "_detection",
    "ColorJitter": "augmentations",
    "RandomFlip": "augmentations",
    "RandomQuarterTurn": "augmentations",
    "BaseDegradation": "degradations",
    "ColorCast": "degradations",
    "DefocusBlur": "degradations",
    "Desaturate": "degradations",
    "Downsample": "degradations",
    "Fade": "degradations",
    "GaussianBlur": "degradations",
    "GaussianNoise": "degradations",
    "JPEGCompression": "degradations",
    "MissingChannels": "degradations",
    "MissingPixels": "degradations",
    "MissingScratches": "degradations",
    "MotionBlur": "degradations",
    "PoissonNoise": "degradations",
    "Quantize": "degradations",
    "RandomDegradation": "degradations",
    "SaltPepperNoise": "degradations",
    "blind_degradation": "degradations",
    "ciede2000_error": "metrics",
    "ciede2000_scorer": "metrics",
    "coverage_score": "_coverage",
    "interval_coverage_score": "_coverage",
    "make_masked_psnr_scorer": "_self_supervised",
    "masked_psnr_scorer": "_self_supervised",
    "ms_ssim_score": "metrics",
    "ms_ssim_scorer": "metrics",
    "psnr_score": "metrics",
    "psnr_scorer": "metrics",
    "sharpness_ratio": "metrics",
    "ssim_score": "metrics",
    "ssim_scorer": "metrics",
    "load": "persistence",
    "save": "persistence",
    "list_pretrained": "pretrained",
    "load_pretrained": "pretrained",
    "FileReport": "folders",
    "restore_folder": "folders",
    "ImageFolder": "datasets",
    "load_photos": "datasets",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name):
    """Import a public name from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__():
    """List the public names too, whether imported yet or not."""
    return sorted({*globals(), *_HOMES})
