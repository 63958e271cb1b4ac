"""Pictures to learn from: a folder of files, and photographs that are already there."""

import copy
import os
import warnings
from pathlib import Path

import numpy as np

from ._pictures import read_colour_image, read_image_size

__all__ = ["ImageFolder", "load_photos"]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


class ImageFolder:
    """The pictures in a folder, as a sequence that reads each when it is asked for.

    So a folder may be larger than memory. It goes wherever a list of images goes:
    into ``fit`` and ``transform``, and through scikit-learn's splitters and searches,
    which pick smaller folders out of it without reading a file.

    Parameters
    ----------
    folder : str or path-like
        Where the files are: PNG, JPEG, BMP, TIFF or WebP, told by their names.

    recursive : bool, default=False
        Whether to look into the folders within it too.

    on_broken : {"wait", "raise", "skip"}, default="wait"
        What becomes of files that can't be read. "wait": such a file is an error when
        it is asked for. "raise": every file is read at once, and all that are broken
        are named in one error. "skip": every file is read, and those that are broken
        are left out, with a warning that names them.

    Attributes
    ----------
    paths : ndarray of str of shape (n_images,)
        The files, in alphabetical order.

    broken : list of str
        The files that were left out.

    shape : tuple (n_images,)
        By this scikit-learn knows that indices pick images.

    Raises
    ------
    NotADirectoryError
        If there is no such folder.
    ValueError
        If it holds no picture, or broken ones and ``on_broken="raise"``. A file that
        can't be read is a ValueError when it is asked for.

    See Also
    --------
    load_photos : Photographs that come with scikit-image and scikit-learn.

    Notes
    -----
    An image is an array (height, width, 3), or (height, width, 4) where it has alpha,
    in the dtype of its file: grey is repeated in three channels, palettes and CMYK
    become colours, and a photograph stands as its camera was held.

    Examples
    --------
    >>> from pathlib import Path
    >>> import sklearn.datasets
    >>> from sklearn.model_selection import train_test_split
    >>> from colorvae_sk.datasets import ImageFolder
    >>> folder = ImageFolder(Path(sklearn.datasets.__file__).parent / "images")
    >>> [Path(path).name for path in folder.paths]
    ['china.jpg', 'flower.jpg']
    >>> folder[0].shape
    (427, 640, 3)
    >>> folder.image_size(1)
    (427, 640)
    >>> train, test = train_test_split(folder, test_size=0.5, random_state=0)
    >>> len(train), len(test)
    (1, 1)
    """

    _is_image_sequence = True  # see `colorvae_sk._images.as_images`

    def __init__(self, folder, recursive=False, on_broken="wait"):
        if on_broken not in ("wait", "raise", "skip"):
            raise ValueError(
                "Expected on_broken to be 'wait', 'raise' or 'skip', got "
                f"{on_broken!r}."
            )
        self.folder = os.fspath(folder)
        self.recursive, self.on_broken = recursive, on_broken
        paths, self.broken = _find_pictures(Path(folder), recursive), []
        if on_broken != "wait":
            self.broken = _check_pictures(paths, self.folder, on_broken)
            broken = set(self.broken)
            paths = [path for path in paths if path not in broken]
        self.paths = np.array(paths)

    @property
    def shape(self):
        return self.paths.shape

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, key):
        """Read one picture, or pick a smaller folder.

        Parameters
        ----------
        key : int, slice, array-like of int or of bool
            As for a numpy array with one axis.

        Returns
        -------
        picked : ndarray of shape (height, width, 3 or 4) or ImageFolder
            The picture for an int, else an `ImageFolder` of those picked.
        """
        paths = self.paths[key]
        if paths.ndim == 0:
            return read_colour_image(str(paths))
        picked = copy.copy(self)
        picked.paths = paths
        return picked

    def image_size(self, i):
        """Tell the size of a picture, from the header of its file alone.

        Parameters
        ----------
        i : int
            Its index.

        Returns
        -------
        height, width : int
            In pixels, as the camera was held.
        """
        return read_image_size(str(self.paths[i]))

    def __repr__(self):
        return f"<ImageFolder of {len(self)} image(s) in {self.folder!r}>"


def _find_pictures(folder, recursive):
    """Paths of the picture files in a folder, in alphabetical order."""
    if not folder.is_dir():
        raise NotADirectoryError(
            f"There is no folder {str(folder)!r}. Pass the folder that holds the "
            "pictures, or the pictures themselves as a list of paths."
        )
    files = [p for p in folder.glob("**/*" if recursive else "*") if p.is_file()]
    pictures = [str(path) for path in files if path.suffix.lower() in _SUFFIXES]
    if not pictures:
        raise ValueError(
            f"The folder {str(folder)!r} holds no picture that ends in "
            f"{', '.join(_SUFFIXES)}. Pass another, or recursive=True to look into "
            "the folders within."
        )
    return sorted(pictures)


def _check_pictures(paths, folder, on_broken):
    """Paths of the files that can't be read, after an error or a warning of them."""
    reasons = {}
    for path in paths:
        try:
            read_colour_image(path)
        except (ValueError, OSError) as error:
            reasons[path] = str(error)
    if not reasons:
        return []
    listed = "\n".join(reasons.values())
    message = (
        f"{len(reasons)} of {len(paths)} files in {folder!r} are broken:\n{listed}"
    )
    if on_broken == "raise" or len(reasons) == len(paths):
        raise ValueError(f"{message}\nRemove them, or pass on_broken='skip'.")
    warnings.warn(f"{message}\nThey are left out.", UserWarning, stacklevel=3)
    return list(reasons)


def load_photos() -> list[np.ndarray]:
    """Load six colour photographs that are on this machine already.

    They come with scikit-image and scikit-learn, so that no network is needed.

    Returns
    -------
    photos : list of 6 ndarrays of shape (height, width, 3) and dtype uint8
        In this order:

        =========  =========  ===================================================
        photo      size       source and licence
        =========  =========  ===================================================
        astronaut  512 x 512  Eileen Collins, by NASA; public domain [1]_
        chelsea    300 x 451  a cat, by Stefan van der Walt; CC0 [1]_
        coffee     400 x 600  a cup, by Rachel Michetti; CC0 [1]_
        rocket     427 x 640  the launch of DSCOVR, by SpaceX; public domain [1]_
        china      427 x 640  a temple, by danielbuechele; CC BY 2.0 [2]_
        flower     427 x 640  by vultilion; CC BY 2.0 [2]_
        =========  =========  ===================================================

    See Also
    --------
    ImageFolder : Photographs of your own.

    References
    ----------
    .. [1] The documentation of ``skimage.data``,
       https://scikit-image.org/docs/stable/api/skimage.data.html
    .. [2] The documentation of `sklearn.datasets.load_sample_images`.

    Examples
    --------
    >>> from colorvae_sk.datasets import load_photos
    >>> photos = load_photos()
    >>> photos[1].shape, photos[1].dtype
    ((300, 451, 3), dtype('uint8'))
    """
    from skimage import data
    from sklearn.datasets import load_sample_images

    photos = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    return photos + load_sample_images().images
