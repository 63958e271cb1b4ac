"""Images side by side: in order, one by one where alone, and with their threads."""

import threading

import numpy as np
import pytest
import torch

from colorvae_sk import ColorVAE, _inference
from colorvae_sk._side_by_side import n_at_a_time, side_by_side


@pytest.fixture(autouse=True)
def four_threads():
    """Torch with four threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def where(_):
    """The thread that this runs on, and how many torch may use there."""
    return threading.get_ident(), torch.get_num_threads()


def test_results_come_in_the_order_of_the_items():
    later = threading.Event()

    def work(item):
        if item == 0:
            assert later.wait(timeout=30)  # the first is done last
        if item == 1:
            later.set()
        return -item

    assert list(side_by_side(work, range(7), 2)) == [(i, -i) for i in range(7)]


def test_one_at_a_time_stays_on_this_thread():
    here = threading.get_ident(), 4
    assert [place for _, place in side_by_side(where, range(3), 1)] == [here] * 3


@pytest.mark.parametrize("n_items", [1, 3, 5])
def test_who_has_no_company_has_all_threads(n_items):
    *others, last = (place for _, place in side_by_side(where, range(n_items), 2))
    assert last == (threading.get_ident(), 4)
    assert {n_threads for _, n_threads in others} <= {2}
    assert threading.get_ident() not in {thread for thread, _ in others}


@pytest.mark.parametrize(
    ("n_threads", "n", "expected"),
    [(4, 2, [2, 2]), (6, 4, [1, 1, 2, 2]), (3, 3, [1] * 3)],
)
def test_all_threads_are_shared(n_threads, n, expected):
    torch.set_num_threads(n_threads)
    all_are_there = threading.Barrier(n, timeout=30)

    def work(_):
        all_are_there.wait()
        return torch.get_num_threads()

    assert sorted(share for _, share in side_by_side(work, range(n), n)) == expected


def test_threads_of_others_stay_as_they_were():
    found = []
    assert len(list(side_by_side(where, range(4), 4))) == 4
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert (torch.get_num_threads(), found) == (4, [4])


def test_error_comes_in_the_place_of_its_result_and_ends_the_work():
    done = []

    def work(item):
        if item == 2:
            raise ZeroDivisionError
        done.append(item)
        return item

    results = side_by_side(work, range(100), 2)
    assert [next(results), next(results)] == [(0, 0), (1, 1)]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert len(done) < 8


def test_items_are_read_only_a_few_ahead():
    read = []

    def items():
        for i in range(100):
            read.append(i)
            yield i

    results = side_by_side(abs, items(), 3)
    assert next(results) == (0, 0)
    assert len(read) <= 6
    results.close()
    assert len(read) <= 6


def test_only_a_cpu_has_several_at_a_time():
    assert n_at_a_time("cpu") == 4
    assert n_at_a_time("cuda") == n_at_a_time("mps") == 1
    torch.set_num_threads(1)
    assert n_at_a_time("cpu") == 1


@pytest.mark.parametrize("method", ["transform", "sample_posterior"])
def test_images_come_out_the_same_as_one_by_one(monkeypatch, method):
    rng = np.random.default_rng(0)
    sizes = [(16, 16), (16, 16), (24, 16), (16, 40), (16, 16), (32, 24)]
    images = [rng.random((*size, 3), np.float32) for size in sizes]
    vae = ColorVAE(widths=(8, 8), n_blocks=1, max_epochs=1, random_state=0).fit(images)
    options = {"random_state": 1} if method == "sample_posterior" else {}
    together = getattr(vae, method)(images, **options)
    monkeypatch.setattr(_inference, "n_at_a_time", lambda device: 1)
    alone = getattr(vae, method)(images, **options)
    if method == "sample_posterior":
        (together,), (alone,) = together, alone
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)
