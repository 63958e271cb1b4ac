"""`colorvae demo`: restore two photographs, compare and measure."""

from itertools import chain, permutations

import joblib

import colorvae_sk  # its public names, and torch with them, come when they are used

UNLIMITED = 10**6  # epochs: the seconds end the fit
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "china", "flower")
UNSEEN = ("chelsea", "flower")
ORDERS = list(permutations(range(3)))  # of the channels: few photographs, any hue
HEAD = f"{'':<23}PSNR (dB)          SSIM         CIEDE2000    in 90 % interval"
ROW = "{:<20}{:>7.2f} -> {:<6.2f}{:>7.3f} -> {:<6.3f}{:>7.2f} -> {:<6.2f}{:>9.1%}"


def run_demo(options):
    """Restore two photographs from fading, from noise and from holes."""
    import matplotlib

    matplotlib.use("agg")  # a file is all that is drawn
    options.output.mkdir(parents=True, exist_ok=True)
    photos = [(photo / 255).astype("float32") for photo in colorvae_sk.load_photos()]
    photos = dict(zip(PHOTOS, photos, strict=True))
    unseen = {name: photos.pop(name) for name in UNSEEN}
    if options.seconds is None:
        vae = colorvae_sk.load_pretrained()
    else:
        vae = fit_or_load(options.output, photos, options.seconds)
    states = [restore(vae, damage, unseen) for damage in demo_damage().values()]
    states = [list(chain.from_iterable(images)) for images in zip(*states, strict=True)]
    titles = [f"{kind}, {name}" for kind in demo_damage() for name in unseen]
    print_scores(titles, *states)
    draw(options.output / "comparison.png", titles, *states)


def demo_damage():
    """What befalls the photographs, by name."""
    from .degradations import Fade, GaussianNoise, MissingPixels

    return {
        "faded": Fade(contrast=(0.4, 0.6), saturation=(0.4, 0.7), random_state=0),
        "noisy": GaussianNoise(0.1, random_state=0),
        "half missing": MissingPixels(0.5, random_state=0),
    }


def fit_or_load(folder, photos, seconds):
    """A model that was kept by this version with these parameters, else a new one."""
    vae = colorvae_sk.ColorVAE(
        widths=(32, 64),  # small: it has minutes to learn
        n_blocks=1,
        lr=3e-3,
        latent_share=0.1,
        degradation=colorvae_sk.RandomDegradation(list(demo_damage().values()), n=1),
        max_epochs=UNLIMITED,
        max_seconds=seconds,
        verbose=1,
        random_state=0,
    )
    key = joblib.hash((colorvae_sk.__version__, vae.get_params()))
    file = folder / f"model-{key[:8]}.joblib"
    if file.exists():
        print(f"The model is from {file}; remove that to fit it anew.")
        return joblib.load(file)
    print(f"Learning for {seconds:g} s from {', '.join(photos)}.")
    vae.fit([photo[..., order] for photo in photos.values() for order in ORDERS])
    joblib.dump(vae, file)
    return vae


def restore(vae, damage, photos):
    """Lists of damaged images, restored ones, error bars and clean ones."""
    clean = list(photos.values())
    damaged = damage.fit_transform(clean)
    return damaged, *vae.predict(damaged, return_std=True), clean


def print_scores(titles, damaged, restored, std, clean):
    """Print a table: three measures of damaged and restored, and the coverage."""
    from . import metrics
    from ._coverage import coverage_score
    from ._drawing import fill_with_means

    measures = metrics.psnr_score, metrics.ssim_score, metrics.ciede2000_error
    print(HEAD)
    for title, *states in zip(titles, damaged, restored, std, clean, strict=True):
        before, after, spread, truth = ([image] for image in states)
        before = [fill_with_means(before[0])]
        scores = [m(truth, images) for m in measures for images in (before, after)]
        coverage = coverage_score(truth, after, spread, coverage=0.9)
        print(ROW.format(title, *scores, coverage))


def draw(file, titles, *states):
    """Write the comparison."""
    from matplotlib import pyplot

    from ._picture_displays import RestorationDisplay

    damaged, restored, std, clean = states
    figure = RestorationDisplay.from_predictions(
        clean, restored, std, X=damaged, names=titles
    ).figure_
    figure.savefig(file, dpi=100)
    pyplot.close(figure)
    print(f"The comparison is in {file}.")
