"""Several images at a time on a CPU, as one alone keeps only a few cores busy."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise

import torch
from threadpoolctl import threadpool_limits

MOST = 4  # at a time; each takes memory of its own
END = object()  # follows the last item


def n_at_a_time(device):
    """How many images a device should work on side by side."""
    on_cpu = torch.device(device).type == "cpu"
    return min(torch.get_num_threads(), MOST) if on_cpu else 1


def side_by_side(function, items, n):
    """Yield each item with what a function makes of it, in their order.

    Up to n items are worked on at a time, each on a thread of its own, with its share
    of the threads that torch has here. A last one without company has them all.

    Parameters
    ----------
    function : callable
        Of an item.
    items : iterable
        Read on this thread, a few ahead.
    n : int
        How many at a time, no more than torch has threads.

    Yields
    ------
    item, result : pair
        An error of the function is raised in the place of its result.
    """
    begun, shares = deque(), shares_of(torch.get_num_threads(), n)
    pool = ThreadPoolExecutor(n, "colorvae", take_share, (shares,))  # none starts yet
    try:
        for k, (item, following) in enumerate(pairwise(chain(items, [END]))):
            is_alone = n == 1 or (following is END and k % n == 0)
            while len(begun) > (0 if is_alone else n):
                yield first_of(begun)
            if is_alone:
                yield item, function(item)
            else:
                begun.append((item, pool.submit(function, item)))
        while begun:
            yield first_of(begun)
    finally:
        pool.shutdown(cancel_futures=True)


def first_of(begun):
    """The item that was begun first, and its result once there is one."""
    item, future = begun.popleft()
    return item, future.result()


def shares_of(n_threads, n):
    """So many threads in n shares, as equal as can be, the largest last."""
    return sorted(n_threads // n + (k < n_threads % n) for k in range(n))


def take_share(shares):
    """Let torch use the last of these shares of threads when called from this one."""
    torch.get_num_threads()  # torch gives a thread its number when asked first
    threadpool_limits(shares.pop(), "openmp")
