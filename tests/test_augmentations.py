"""Augmentations change all versions of an image alike, each image in its own way."""

import numpy as np
import pytest
import torch
from helpers import tiny
from numpy.testing import assert_allclose
from skimage import color
from sklearn.base import clone

from colorvae_sk import ColorJitter, RandomFlip, RandomQuarterTurn
from colorvae_sk.augmentations import BaseAugmentation

AUGMENTATIONS = [RandomFlip(), RandomQuarterTurn(), ColorJitter()]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(n=200, size=(3, 3), seed=0):
    return torch.rand((n, 3, *size), generator=generator(seed))


@pytest.mark.parametrize("augment", AUGMENTATIONS, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (4, 4), (3, 5)])
def test_versions_stay_versions_of_one_image(augment, size):
    images = pictures(size=size)
    before = images.clone()
    one, same = augment([images, images.clone()], generator())
    assert torch.equal(one, same) and one.shape == images.shape
    assert torch.equal(images, before)
    (again,) = augment([images], generator())
    assert torch.equal(one, again)


@pytest.mark.parametrize("augment", AUGMENTATIONS, ids=str)
def test_each_image_draws_its_own_change(augment):
    images = pictures(1).expand(50, -1, -1, -1)
    (changed,) = augment([images], generator())
    assert len({tuple(image.flatten().tolist()) for image in changed}) >= 4


@pytest.mark.parametrize("augment", AUGMENTATIONS, ids=str)
def test_missing_values_stay_missing_and_no_others_become_so(augment):
    images = pictures(n=20, size=(4, 4))
    images[:, 1, 2, 3] = torch.nan
    (changed,) = augment([images], generator())
    assert (changed.isnan().sum(dim=(1, 2, 3)) == 1).all()


@pytest.mark.parametrize(
    ("augment", "ways"),
    [
        (RandomFlip(), {(0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0)}),
        (RandomFlip(vertical=0.0), {(0, 1, 2, 3), (1, 0, 3, 2)}),
        (RandomFlip(horizontal=0.0, vertical=1.0), {(2, 3, 0, 1)}),
        (RandomQuarterTurn(), {(0, 1, 2, 3), (1, 3, 0, 2), (3, 2, 1, 0), (2, 0, 3, 1)}),
    ],
    ids=str,
)
def test_all_ways_are_equally_likely(augment, ways):
    images = torch.arange(4.0).reshape(1, 1, 2, 2).expand(2000, -1, -1, -1)
    (changed,) = augment([images], generator())
    seen, counts = np.unique(
        changed.flatten(1).int().numpy(), axis=0, return_counts=True
    )
    assert set(map(tuple, seen.tolist())) == ways
    assert_allclose(counts, 2000 / len(ways), rtol=0.2)


def test_pictures_that_are_not_square_are_not_turned():
    images = pictures(size=(2, 3))
    (same,) = RandomQuarterTurn()([images], generator())
    assert torch.equal(same, images)


def test_jitter_follows_its_formula():
    images = pictures(1, (4, 5))
    jitter = ColorJitter(brightness=1.5, contrast=0.5, saturation=0.25)
    (changed,) = jitter([images], generator())
    x = images[0].permute(1, 2, 0).double().numpy()
    luma = (color.rgb2ycbcr(x)[..., :1] - 16) / 219  # BT.601, by scikit-image
    pale = luma + 0.25 * (x - luma)
    expected = 1.5 * (0.5 + 0.5 * (pale - 0.5))
    assert_allclose(changed[0].permute(1, 2, 0), expected, atol=1e-3)


def test_jitter_without_change_is_none():
    images = pictures()
    (same,) = ColorJitter(1, 1, 1)([images], generator())
    assert_allclose(same, images, atol=1e-6)


class Shift(BaseAugmentation):
    """Add a tenth, and write down what was seen."""

    def __init__(self, seen=None):
        self.seen = seen

    def _augment(self, tensors, generator):
        self.seen.append(len(tensors))
        return [tensor + 0.1 for tensor in tensors]


def test_estimator_changes_pairs_alike(photos):
    shift = Shift([])
    tiny(augmentation=[RandomFlip(), shift], patch_size=8).fit(photos, photos / 2)
    assert set(shift.seen) == {2}
    shift.seen.clear()
    tiny("dense", augmentation=shift).fit(photos)
    assert set(shift.seen) == {1}


@pytest.mark.parametrize(
    ("augmentation", "error", "match"),
    [
        ("flips", ValueError, "augmentation"),
        ([RandomFlip(), "flip"], TypeError, "list of augmentations"),
        (RandomFlip(horizontal=2.0), ValueError, "horizontal"),
        (ColorJitter(brightness=(2, 1)), ValueError, "brightness"),
    ],
)
def test_wrong_augmentations_are_refused(augmentation, error, match, photos):
    with pytest.raises(error, match=match):
        tiny(augmentation=augmentation).fit(photos)


@pytest.mark.parametrize("augment", AUGMENTATIONS, ids=str)
def test_augmentations_are_cloned_and_set_as_parameters(augment, photos):
    vae = clone(tiny(augmentation=augment))
    assert vae.augmentation is not augment
    for name in augment.get_params():
        vae.set_params(**{f"augmentation__{name}": 0.0})
        assert getattr(vae.augmentation, name) == 0.0
