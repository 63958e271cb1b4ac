"""Small photographs that every test may use."""

import os

import matplotlib
import numpy as np
import pytest
import torch
from skimage import data

collect_ignore = ["faults/fuzz_files.py"]  # it is run by hand, with atheris


def pytest_configure():
    """Processes that run tests side by side share the cores."""
    n_processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    torch.set_num_threads(max(1, torch.get_num_threads() // n_processes))


@pytest.fixture(scope="session")
def photos_uint8():
    """Six natural crops, (6, 16, 16, 3) uint8."""
    picture = data.astronaut()[::4, ::4]
    corners = [(0, 40), (16, 48), (40, 32), (64, 64), (96, 8), (100, 100)]
    return np.stack([picture[r : r + 16, c : c + 16] for r, c in corners])


@pytest.fixture(scope="session")
def photos(photos_uint8):
    """The same crops, float32 on [0, 1]."""
    return (photos_uint8 / 255).astype(np.float32)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def no_window():
    """Draw into memory; close what was drawn."""
    matplotlib.use("agg")
    from matplotlib import pyplot

    yield
    pyplot.close("all")
