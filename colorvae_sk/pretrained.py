"""Weights that ship with the package: a fitted ColorVAE without fitting."""

from ._color_vae import ColorVAE
from ._weights import describe_shipped, read_shipped, shipped_names
from .persistence import revive

__all__ = ["list_pretrained", "load_pretrained"]


def list_pretrained() -> list[str]:
    """Names of the weights that ship with this version.

    Returns
    -------
    names : list of str
        In alphabetical order; `load_pretrained` and ``ColorVAE(weights=...)`` take
        them.
    """
    return shipped_names()


def load_pretrained(name="natural", device="auto", verify=True) -> ColorVAE:
    """Load a fitted ColorVAE that ships with the package.

    Nothing is downloaded and nothing is unpickled.

    Parameters
    ----------
    name : str, default="natural"
        One of `list_pretrained`. "natural": learned on photographs to undo most kinds
        of damage; the documentation has a model card.

    device : str or torch.device, default="auto"
        Where torch computes, as in ``ColorVAE``.

    verify : bool, default=True
        Whether to compare the file with the SHA-256 that is listed beside it.

    Returns
    -------
    vae : ColorVAE
        Ready to restore. Its parameter ``weights`` is the name, so that ``fit``, of
        itself and of its clones, starts from these weights too; ``partial_fit`` goes
        on from them.

    Raises
    ------
    ValueError
        If no weights of this name ship, or the file is damaged.

    See Also
    --------
    list_pretrained : The names.
    load : Read a file of one's own.

    Examples
    --------
    >>> from colorvae_sk import GaussianNoise, load_photos, load_pretrained, psnr_score
    >>> clean = load_photos()[1][None, :64, :64]
    >>> noisy = GaussianNoise(0.1, random_state=0).transform(clean)
    >>> restored = load_pretrained().transform(noisy)
    >>> bool(psnr_score(clean, restored) > psnr_score(clean, noisy) + 5)
    True
    """
    if name not in shipped_names():
        raise ValueError(
            f"No weights {name!r} ship with colorvae_sk, only {describe_shipped()}. A "
            "file of your own is read by colorvae_sk.load(path)."
        )
    content, arrays = read_shipped(name, verify)
    here = {"device": device, "tile_size": None}  # no matter where it was learned
    return revive(content, arrays, name, weights=name, **here)
