"""Tiles of a stream are the whole image, whatever its size, its holes and the tiles."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from colorvae_sk._blocks import initialise
from colorvae_sk._images import as_images
from colorvae_sk._inference import PlacedNoise, Restorer
from colorvae_sk._streaming import LadderStream, cut_side, least_tile
from colorvae_sk._summary import summarise_colours
from colorvae_sk.networks import ConvVAE, LadderVAE

some = settings(deadline=None, max_examples=25)
SIDES = st.integers(1, 150)


def stirred(seed=0, **options):
    """A small ladder whose every layer says something."""
    generator = torch.Generator().manual_seed(seed)
    network = initialise(LadderVAE(3, **options), generator)
    for parameter in network.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data += 0.1 * noise
    return network


NETWORKS = {
    depth: stirred(widths=(8,) * depth, n_blocks=n_blocks, n_latent=2)
    for depth, n_blocks in [(1, (3,)), (2, ((3, 1), (2, 1))), (3, (1, 1, 2))]
}


def picture(height, width, holes, seed=0):
    """Clipped noise, (H, W, 3), some of its pixels and a whole corner missing."""
    rng = np.random.default_rng(seed)
    image = rng.uniform(-0.2, 1.2, (height, width, 3)).astype(np.float32).clip(0, 1)
    image[rng.random((height, width)) < holes] = np.nan
    if holes:
        image[: height // 3, : width // 3] = np.nan
    return image


def restore(network, X, tile, key=None):
    """Restored images and standard deviations, (2, C, H, W) each."""
    images, results = as_images(X), []
    parts = Restorer(network, "cpu", tile).restore_parts(images, None, key, True)
    for i, pieces in parts:
        height, width = images.raw(i).shape[:2]
        both = np.full((2, 3, height, width), np.nan, np.float32)
        for rows, columns, *values in pieces:
            both[:, :, rows, columns] = values
        results.append(both)
    return results


# A side ---------------------------------------------------------------------------


@given(
    st.integers(1, 5000),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1, 2, 8]),
)
def test_tiles_of_a_side_have_one_length_but_the_last(length, tile, least, multiple):
    tile, least = tile * multiple, least * multiple
    cuts = cut_side(length, tile, least, multiple)
    sizes = np.diff(cuts)
    assert cuts[0] == 0 and length <= cuts[-1] < length + multiple
    assert all(cut % multiple == 0 for cut in cuts)
    assert set(sizes[:-1]) <= {sizes[0]} and 0 < sizes[-1] <= sizes[0] + multiple
    assert sizes[0] <= max(tile, least) + multiple * (len(sizes) == 1)
    assert len(sizes) == 1 or (sizes[0] >= least and sizes[-1] >= 2 * multiple)


# The whole ------------------------------------------------------------------------


@some
@given(
    SIDES,
    SIDES,
    st.sampled_from([0, 0.3, 1]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([None, 5]),
    st.sampled_from([8, 50]),
)
def test_tiles_are_the_whole(height, width, holes, depth, key, tile):
    network, X = NETWORKS[depth], [picture(height, width, holes)]
    for part, whole in zip(
        restore(network, X, tile, key), restore(network, X, 10**4, key), strict=True
    ):
        assert_allclose(part, whole, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("shape", [(150, 70), (70, 150), (37, 151), (97, 97)])
def test_the_picture_is_cut_into_tiles_as_small_as_layers_allow(shape):
    network = NETWORKS[2]
    seen = summarise_colours(torch.zeros(1, 3, 8, 8))
    stream = LadderStream(network, shape, 8, seen)
    least = least_tile(network)
    tiles = list(stream)
    n_tiles = [len(cut_side(side, 8, least, 4)) - 1 for side in shape]
    assert len(tiles) == n_tiles[0] * n_tiles[1] > 1
    covered = np.zeros(shape, int)
    for tile in tiles:
        covered[stream.area(tile)] += 1
    assert (covered == 1).all()


def test_what_a_stream_keeps_grows_with_the_shorter_side_alone():
    network, seen = NETWORKS[2], summarise_colours(torch.zeros(1, 3, 8, 8))
    kept = {}
    for shape in ((64, 400), (400, 64), (64, 800), (128, 800)):
        stream = LadderStream(network, shape, 32, seen)
        with torch.inference_mode():
            for tile in stream:
                rows, columns = stream.area(tile)
                size = rows.stop - rows.start, columns.stop - columns.start
                stream.feed(tile, torch.zeros(1, 3, *size))
        above = [w.above for w in stream.stream._windows if w.above is not None]
        kept[shape] = sum(rows.nbytes for rows in above)
    assert kept[64, 400] == kept[400, 64] == kept[64, 800]
    assert kept[128, 800] == 2 * kept[64, 800]


def test_every_container_is_restored_in_tiles_as_it_is_whole(tmp_path):
    network = NETWORKS[2]
    floats = np.stack([picture(90, 77, 0, seed) for seed in range(2)])
    bytes_ = np.uint8(255 * floats)
    np.save(tmp_path / "floats.npy", floats)
    memory = np.load(tmp_path / "floats.npy", mmap_mode="r")
    for X in (floats, bytes_, list(bytes_), list(floats), memory, np.float64(floats)):
        parts, whole = (restore(network, X, tile, 1) for tile in (8, 200))
        assert_allclose(parts, whole, atol=2e-5)


# Memory ---------------------------------------------------------------------------


@pytest.fixture
def scarce(monkeypatch):
    """Memory suffices for no more than so many pixels of a tile."""
    tiles = []

    def limit(n_pixels, error):
        feed, forward = LadderStream.feed, LadderVAE.forward

        def take(pixels):
            tiles.append(pixels)
            if pixels > n_pixels:
                raise error

        def feed_little(self, tile, damaged, noise=None):
            take(damaged[0, 0].numel())
            return feed(self, tile, damaged, noise)

        def forward_little(self, damaged, *args, **kwargs):
            take(damaged[:, 0].numel())
            return forward(self, damaged, *args, **kwargs)

        monkeypatch.setattr(LadderStream, "feed", feed_little)
        monkeypatch.setattr(LadderVAE, "forward", forward_little)
        return tiles

    return limit


ERRORS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_tiles_are_halved_until_memory_suffices(error, scarce):
    network = NETWORKS[2]
    X = [picture(150, 130, 0.3), picture(30, 30, 0), picture(30, 30, 0, 1)]
    expected = restore(network, X, 10**4, key=2)
    tiles = scarce(50**2, error)
    for part, whole in zip(restore(network, X, 128, key=2), expected, strict=True):
        assert_allclose(part, whole, atol=2e-5)
    assert max(tiles) > 50**2


def test_a_batch_for_which_memory_does_not_suffice_is_restored_one_by_one(scarce):
    X = [picture(40, 40, 0, seed) for seed in range(4)]
    expected = restore(NETWORKS[1], X, 10**4)
    tiles = scarce(1600, MemoryError())
    assert_allclose(restore(NETWORKS[1], X, 10**4), expected, atol=2e-5)
    assert tiles == [6400, 1600, 1600, 1600, 1600]


def test_no_tile_is_smaller_than_the_network_needs(scarce):
    scarce(100, MemoryError())
    least = least_tile(NETWORKS[2])
    with pytest.raises(MemoryError, match=f"for tiles of {least} x {least} pixels"):
        restore(NETWORKS[2], [picture(150, 130, 0)], 128)


def test_other_errors_are_not_taken_for_a_lack_of_memory(scarce):
    scarce(100, RuntimeError("something else"))
    for size in (20, 150):
        with pytest.raises(RuntimeError, match="something else"):
            restore(NETWORKS[2], [picture(size, size, 0)], 64)


# Noise ----------------------------------------------------------------------------


@some
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 17), st.integers(0, 17))
def test_a_part_of_the_noise_is_that_of_the_whole(height, width, top, left):
    network = NETWORKS[2]
    noise = PlacedNoise(network, (height, width), seed=3)
    whole = noise.of(slice(0, height), slice(0, width))
    shapes = [part.shape[1:] for part in whole]
    assert shapes == network.noise_shapes((height, width))
    rows = slice(min(top * 16, (height - 1) // 4 * 4), height)
    columns = slice(min(left * 16, (width - 1) // 4 * 4), width)
    parts = network.noise_of_tile(whole, rows, columns)
    for part, expected in zip(noise.of(rows, columns), parts, strict=True):
        assert_array_equal(part, expected)


def test_noise_is_normal_and_does_not_repeat():
    noise = PlacedNoise(NETWORKS[1], (512, 256), seed=3)
    codes = noise.of(slice(0, 512), slice(0, 256))[1]
    assert abs(codes.mean()) < 0.02 and abs(codes.std() - 1) < 0.02
    squares = codes.unfold(2, 64, 64).unfold(3, 64, 64).reshape(-1, 64**2)
    correlation = np.corrcoef(squares.numpy()) - np.eye(len(squares))
    assert np.abs(correlation).max() < 0.1
    other = PlacedNoise(NETWORKS[1], (512, 256), seed=4)
    assert not torch.equal(other.first[1], noise.first[1])


def test_a_bottleneck_draws_one_noise_for_all_tiles():
    network = ConvVAE(3, (16, 16), widths=(8,), n_latent=4)
    noise = PlacedNoise(network, (100, 100), seed=3)
    parts = noise.of(slice(16, 32), slice(0, 16)), noise.of(slice(0, 16), slice(0, 16))
    assert torch.equal(parts[0][0], parts[1][0]) and parts[0][0].shape == (1, 4)
