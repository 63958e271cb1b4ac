"""Training images that lie on the device: the crops are those of the CPU."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from test_batches import coordinates

from colorvae_sk._batches import TrainingImages
from colorvae_sk._images import as_images
from colorvae_sk._resident import ResidentImages, have_room

SIZES = [(100, 130), (9, 31), (300, 20), (64, 64)]
CLEAN = [coordinates(*size) for size in SIZES]


def both(patch_size, indices=(0, 1, 2, 3)):
    """The same pairs of damaged and clean images, kept in both ways."""
    images, target = as_images([x + 0.5 for x in CLEAN]), as_images(CLEAN)
    given = images, target, np.array(indices), patch_size, True
    return TrainingImages(*given), ResidentImages(*given, device="cpu")


@pytest.mark.parametrize("size", [(16, 16), (12, 24), (40, 33)])
def test_pictures_and_parts_are_the_same(size):
    ours, theirs = both(size, indices=(3, 0, 1, 2))
    positions = np.array([3, 0, 1, 2, 1])
    for one, other in zip(
        ours.pictures(positions), theirs.pictures(positions), strict=True
    ):
        assert_array_equal(one, other.numpy())
    parts = (each.parts(positions, np.random.default_rng(1)) for each in both(size))
    for one, other in zip(*parts, strict=True):
        assert_array_equal(one, other.numpy())


def test_crops_are_parts_of_the_image_at_their_position():
    _, data = both((16, 24), indices=(1, 3, 0))
    rng, corners = np.random.default_rng(0), set()
    for _ in range(200):
        crops, targets = data.crops(np.array([2, 0]), rng)
        assert crops.shape == targets.shape == (2, 2, 16, 24)
        assert_allclose(crops - 0.5, targets, atol=1e-6)
        there = (1000 * targets).round()
        corner = there[0, :, 0, 0]
        expected = corner[:, None, None] + torch.tensor(np.mgrid[:16, :24])
        assert_array_equal(there[0], expected)
        corners.add(tuple(corner.tolist()))
        assert there[1].isfinite().all(0).sum() == 9 * 24  # the image has 9 rows
        assert there[1][:, 9:].isnan().all()
    rows, columns = zip(*corners, strict=True)
    assert min(rows) < 5 and max(rows) > 79
    assert min(columns) < 5 and max(columns) > 101


def test_there_is_room_on_cuda_only_and_for_a_share_of_its_memory(monkeypatch):
    images = as_images([np.zeros((10, 10, 3), np.uint8)] * 2)
    assert not have_room("cpu", images)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (9600, 10**9))
    assert have_room("cuda:0", images, None)
    assert not have_room("cuda:0", images, images)
