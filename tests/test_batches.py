"""Crops, the pictures that they are cut from, and batches of both."""

import numpy as np
import pytest
import torch
from helpers import Never, dataset
from numpy.testing import assert_allclose, assert_array_equal

from colorvae_sk import _batches
from colorvae_sk._batches import (
    JOINED,
    Batches,
    BatchSource,
    damage_alike,
    fill_up,
    join_some,
)
from colorvae_sk._summary import N_QUANTILES, summarise_colours
from colorvae_sk.augmentations import ColorJitter, RandomFlip, RandomQuarterTurn
from colorvae_sk.degradations import GaussianNoise, as_degrader
from colorvae_sk.networks import LadderVAE


def coordinates(height, width):
    """An image whose two channels tell row and column of each pixel."""
    image = np.stack(np.mgrid[:height, :width], axis=2).astype(np.float32)
    return image / 1000


# ------------------------------------------------------------------------- crops
def test_crop_of_an_image_and_of_its_target_are_of_one_place():
    clean = [coordinates(20, 17), coordinates(9, 31), coordinates(4, 4)]
    damaged = [image + 0.5 for image in clean]
    pairs = dataset(damaged, clean)
    rng = np.random.default_rng(0)
    for _ in range(20):
        crops, targets = pairs.crops([0, 1, 2], rng)
        assert crops.shape == targets.shape == (3, 2, 4, 4)
        assert_allclose(crops - 0.5, targets, atol=1e-6)


def test_crops_come_from_everywhere_and_from_nowhere_else():
    crops = dataset([coordinates(6, 7)], patch_size=(3, 2)).crops
    rng = np.random.default_rng(0)
    corners = {
        tuple((1000 * crops([0], rng)[0][0, :, 0, 0]).round().astype(int))
        for _ in range(500)
    }
    assert corners == {(row, column) for row in range(4) for column in range(6)}


def test_each_crop_is_a_part_of_the_image_at_its_position():
    X = [np.full((8, 8, 3), value) for value in (0.1, 0.2, 0.3, 0.4)]
    data = dataset(X, indices=np.array([3, 1]))
    (crops,) = data.crops([0, 1, 1], np.random.default_rng(0))
    assert_allclose(crops[:, 0, 0, 0], [0.4, 0.2, 0.2])


def test_crop_of_a_small_image_is_filled_up_with_nan():
    (crops,) = dataset([coordinates(2, 3)]).crops([0], np.random.default_rng(0))
    assert crops.shape == (1, 2, 4, 4)
    there = np.isfinite(crops[0, 0])
    assert there[:2, :3].all() and there.sum() == 6
    assert_allclose(np.moveaxis(crops[0, :, :2, :3], 0, -1), coordinates(2, 3))


def test_images_of_the_size_of_a_crop_are_taken_whole(photos):
    data = dataset(photos, photos[::-1].copy(), patch_size=(16, 16))
    crops, targets = data.crops([2, 0], np.random.default_rng(0))
    assert_array_equal(np.moveaxis(crops, 1, -1), photos[[2, 0]])
    assert_array_equal(np.moveaxis(targets, 1, -1), photos[[3, 5]])


# ---------------------------------------------------------------------- pictures
@pytest.mark.parametrize("size", [(16, 16), (12, 24), (40, 33)])
def test_pictures_are_tiles_from_all_over_the_images(size):
    clean = [coordinates(100, 130), coordinates(9, 31), coordinates(300, 20)]
    options = {"patch_size": size, "with_pictures": True}
    data = dataset([image + 0.5 for image in clean], clean, **options)
    pictures, targets = data.pictures([0, 1, 2])
    assert pictures.shape == targets.shape == (3, 2, *size)
    assert_allclose(pictures - 0.5, targets, atol=1e-6)
    tile = min(16, *size)
    for target, image in zip(targets, clean, strict=True):
        for axis, side in enumerate(image.shape[:2]):
            places = np.moveaxis(1000 * target[axis], axis, 0).round()
            places = places[:, np.isfinite(places).any(axis=0)]
            if places.size == 0 or side < tile:
                continue
            steps = np.diff(places[:, 0])
            inside = np.arange(1, len(places)) % tile != 0
            assert (steps[inside] == 1).all()
            if size[axis] >= 3 * tile and side >= 6 * tile:
                assert np.ptp(places) > side / 2


def test_pictures_of_small_images_are_filled_up_with_nan():
    data = dataset([coordinates(3, 2)], with_pictures=True)
    (pictures,) = data.pictures([0])
    there = np.isfinite(pictures[0, 0])
    assert there[:3, :2].all() and there.sum() == 6


def test_pictures_are_read_only_once():
    data, reads = dataset([coordinates(20, 12)], with_pictures=True), []
    (source,) = data.sources

    class Spy:
        def part(self, i, rows, columns):
            reads.append(i)
            return source.part(i, rows, columns)

    data.sources = (Spy(),)
    first, second = (data.pictures([0, 0])[0] for _ in range(2))
    assert reads == [0]
    assert_array_equal(first, second)


def test_parts_are_tiles_of_random_parts_of_their_picture(monkeypatch):
    monkeypatch.setattr(_batches, "JOINED", 0)
    rng = np.random.default_rng(0)
    clean = [coordinates(40, 24), coordinates(9, 31)]
    data = dataset([image + 0.5 for image in clean], clean, with_pictures=True)
    places, extents = set(), []
    for _ in range(400):
        parts, targets = data.parts([0, 1], rng)
        assert parts.shape == targets.shape == (2, 2, 4, 4)
        assert_allclose(parts - 0.5, targets, atol=1e-6)
        places.add(tuple((1000 * targets[0, :, 0, 0]).round().astype(int)))
        assert (np.diff(1000 * targets[0, 0], axis=0).round() == 1).all()
    rows, columns = zip(*places, strict=True)
    assert min(rows) == min(columns) == 0 and max(rows) > 25 and max(columns) > 15
    data = dataset([coordinates(256, 256)], patch_size=(64, 64), with_pictures=True)
    for _ in range(200):
        extents.append(np.ptp(data.parts([0], rng)[0][0, 0]))
    whole = np.ptp(data.pictures([0])[0])
    assert min(extents) < 0.5 * whole and max(extents) > 0.9 * whole


def test_parts_are_joined_of_two_pictures_in_both_views():
    views = [np.full((400, 2, 3, 8), np.arange(400).reshape(-1, 1, 1, 1))] * 2
    joined, targets = join_some(views, np.random.default_rng(0), tile=2)
    assert_array_equal(joined, targets)
    own = joined == views[0]
    assert (
        own[..., :-1].sum() > own[..., 1:].sum()
    )  # what is of another is to the right
    share = 1 - own.all(axis=(1, 2, 3)).mean()
    assert abs(share - JOINED) < 0.1
    assert (own[..., 0::2] == own[..., 1::2]).all()  # no tile is cut
    for part in joined:
        assert len(np.unique(part)) <= 2 and (np.ptp(part, axis=(0, 1)) == 0).all()


def test_of_many_pictures_the_whole_is_shown():
    rng = np.random.default_rng(0)
    extents = {}
    for n in (1, 3000, 9000):
        options = {"patch_size": (64, 64), "with_pictures": True}
        data = dataset([coordinates(128, 128)] * n, **options)
        parts = [np.ptp(data.parts([0], rng)[0][0, 0]) for _ in range(50)]
        extents[n] = min(parts) / np.ptp(data.pictures([0])[0][0, 0])
    assert extents[1] < extents[3000] < extents[9000] == 1


def test_crops_that_are_whole_images_need_no_pictures(photos):
    whole = dataset(photos, patch_size=(16, 16), with_pictures=True)
    parts = dataset(photos, patch_size=(8, 8), with_pictures=True)
    assert parts.with_pictures and not whole.with_pictures


def test_fill_up_leaves_what_is_large_enough():
    image = np.ones((3, 4, 5), np.float32)
    assert fill_up(image, (4, 5)) is image
    assert np.isnan(fill_up(image, (4, 6))).sum() == 3 * 4


def test_epoch_sees_as_many_pixels_as_the_images_have():
    data = dataset([np.zeros((16, 16)), np.zeros((8, 4)), np.zeros((2, 2))])
    assert data.n_patches == 16 + 2 + 1


def test_each_image_has_its_turn_in_an_epoch():
    data = dataset([np.zeros((16, 16))] * 3 + [np.zeros((4, 4))])
    order = data.order(np.random.default_rng(0))
    assert len(order) == data.n_patches == 49
    counts = np.bincount(order)
    assert len(counts) == 4 and counts.max() - counts.min() <= 1
    assert not np.array_equal(order[:4], np.arange(4))
    assert sorted(order[:4]) == [0, 1, 2, 3]


# ----------------------------------------------------------------------- batches
def batches(
    X,
    y=None,
    batch_size=2,
    degrade=None,
    stage="error bars",
    training=True,
    augmentations=(),
    seed=0,
    patch_size=(4, 4),
):
    network = LadderVAE(np.shape(X[0])[2], widths=(4, 4), n_blocks=1, n_latent=2)
    source = BatchSource(network, degrade, "cpu", seed, augmentations)
    source.begin(stage, Never())
    data = dataset(X, y, patch_size=patch_size, with_pictures=True)
    return Batches(data, batch_size, source, training)


def test_epoch_is_cut_into_batches(photos):
    epoch = batches(photos, batch_size=20)
    sizes = [len(target) for _, target in epoch]
    assert sizes == [20] * 4 + [16] and len(epoch) == 5


def test_clean_images_are_damaged_and_are_the_target(photos):
    degrade = as_degrader(GaussianNoise(0.1, clip=False))
    epoch = batches(photos, degrade=degrade, batch_size=96)
    ((arguments, target),) = epoch
    assert set(arguments) == {"damaged", "seen"}
    noise = arguments["damaged"] - target
    assert noise.std().item() == pytest.approx(0.1, rel=0.05)
    assert target.min() >= 0 and target.max() <= 1


def test_damage_is_drawn_anew_in_each_epoch_but_not_in_validation(photos):
    degrade = as_degrader(GaussianNoise(0.1))
    for training in (True, False):
        epoch = batches(
            photos,
            degrade=degrade,
            patch_size=(16, 16),
            batch_size=6,
            training=training,
        )
        one, two = (next(iter(epoch))[0]["damaged"] for _ in range(2))
        assert torch.equal(one, two) is not training


def test_same_seed_gives_the_same_batches(photos):
    degrade = as_degrader(GaussianNoise(0.1))
    options = {"degrade": degrade, "stage": "latents"}
    options["augmentations"] = [RandomFlip(), RandomQuarterTurn()]
    one, same, other = (
        list(batches(photos, seed=seed, **options)) for seed in (3, 3, 4)
    )
    for (a, target_a), (b, target_b) in zip(one, same, strict=True):
        assert torch.equal(a["damaged"], b["damaged"])
        assert torch.equal(target_a, target_b)
        assert all(map(torch.equal, a["noise"], b["noise"]))
    assert not torch.equal(one[0][1], other[0][1])


def test_posterior_way_is_given_target_and_noise(photos):
    epoch = batches(photos, photos / 2, stage="latents")
    arguments, target = next(iter(epoch))
    assert torch.equal(arguments["target"], target)
    for images in (arguments["damaged"], target):
        assert images.is_contiguous(memory_format=torch.channels_last)
    assert_allclose(arguments["damaged"] / 2, target, rtol=1e-6)
    shapes = [tuple(part.shape) for part in arguments["noise"]]
    assert shapes == [(2, 4, 1, 1), (2, 2, 1, 1), (2, 2, 2, 2)]


def test_epoch_ends_when_the_time_is_over(photos):
    epoch = batches(photos)
    epoch.source.schedule.is_over = True
    assert len(list(epoch)) == 1  # one batch is always learned from
    epoch.training = False
    assert len(list(epoch)) == len(epoch)  # but all are judged


def test_colours_are_learned_from_whole_pictures_without_crops(photos):
    epoch = batches(photos, photos / 2, stage="colours", patch_size=(8, 8))
    epoch.dataset.crops = None  # whoever calls it fails
    arguments, target = next(iter(epoch))
    assert arguments["only_colours"]
    assert target.shape == (2, 3, 4, 4)
    assert_allclose(arguments["damaged"] / 2, target, rtol=1e-5)


class Tint(GaussianNoise):
    """Add to each image a colour of its own."""

    def _degrade(self, images, generator):
        tint = torch.rand((len(images), 3, 1, 1), generator=generator)
        return images + tint


def test_crop_and_its_picture_meet_the_same_damage(photos):
    views = [torch.rand(6, 3, 5, 5), torch.rand(6, 3, 5, 7)]
    tinted = damage_alike(as_degrader(Tint()), views, torch.Generator())
    shifts = [(b - a).flatten(2) for a, b in zip(views, tinted, strict=True)]
    assert_allclose(shifts[0].std(2), 0, atol=1e-6)
    assert_allclose(shifts[0][..., 0], shifts[1][..., 0], atol=1e-6)
    assert shifts[0][..., 0].std() > 0.1


def test_seen_colours_are_those_of_the_damaged_picture(photos):
    epoch = batches(photos, degrade=as_degrader(Tint()), patch_size=(8, 8))
    pictures = epoch.dataset.pictures(np.arange(6))[0]
    clean = summarise_colours(torch.from_numpy(pictures))
    for arguments, target in epoch:
        tint = (arguments["damaged"] - target).mean(dim=(2, 3))
        shift = arguments["seen"][:, None] - clean[None]
        shift = shift[..., : 3 * N_QUANTILES].unflatten(2, (3, -1))
        expected = 2 * tint[:, None, :, None]
        error = (shift - expected).abs().amax(dim=(2, 3)).min(dim=1).values
        assert error.max() < 1e-4  # of one of the six pictures


def test_crop_and_its_picture_are_changed_alike(photos):
    options = {"patch_size": (8, 8), "augmentations": [ColorJitter()], "batch_size": 6}
    for stage in ("error bars", "colours"):
        epoch = batches(photos[:1], stage=stage, **options)
        clean = summarise_colours(torch.from_numpy(epoch.dataset.pictures([0])[0]))
        arguments, target = next(iter(epoch))
        assert (arguments["seen"] - clean).abs().max() > 0.01
        assert torch.equal(arguments["damaged"], target)
    flat = np.full((1, 16, 16, 3), 0.4, np.float32)
    epoch = batches(flat, stage="error bars", **options)
    for arguments, target in epoch:
        seen = arguments["seen"][:, : 3 * N_QUANTILES].unflatten(1, (3, -1))
        colours = target.mean(dim=(2, 3))
        assert_allclose(seen.amax(2), 2 * colours - 1, atol=1e-5)
        assert colours.std() > 0.01


def test_whole_images_are_kept_as_floats_only_if_there_is_room(photos, monkeypatch):
    rng = np.random.default_rng(0)
    kept = dataset(photos, patch_size=(16, 16)).crops([3, 1], rng)
    monkeypatch.setattr(_batches, "READY_BYTES", photos.nbytes - 1)
    converted = dataset(photos, patch_size=(16, 16))
    assert converted._ready is None
    assert_array_equal(converted.crops([3, 1], rng), kept)
