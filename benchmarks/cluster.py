"""How long a search and a folder take on a cluster of Dask, against one process.

The cluster has two workers on this machine, started beforehand, which share its cores:
each does several tasks at a time, on one thread each, as is Dask's default. In turns,
the same grid search and the same restoration of a folder of photographs run in this
process, in it on one thread, and on the cluster. The table shows the medians of the
seconds on the wall, and the share of the cluster's in those of this process. Files must
be the same to the last bit, and scores too where they were computed on one thread, or
it ends with an error.

    python benchmarks/cluster.py [--repeats 3] [--photos 72] [--epochs 30]
"""

import argparse
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import dask
import numpy as np
import torch
from distributed import Client, LocalCluster
from joblib import parallel_config
from PIL import Image
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from table import print_table

from colorvae_sk import (
    ColorVAE,
    GaussianNoise,
    load_photos,
    load_pretrained,
    psnr_scorer,
    restore_folder,
)

N_WORKERS = 2
ENVIRONMENT = "distributed.nanny.pre-spawn-environ"
ONE_THREAD = {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1}
MALLOC = {"MALLOC_TRIM_THRESHOLD_": 2**30, "MALLOC_MMAP_THRESHOLD_": 2**25}
GRID = {"colorvae__lr": [1e-3, 2e-3], "colorvae__beta": [0.1, 1.0]}


def write_photos(folder, n_photos):
    """Noisy photographs as PNG."""
    clean = load_photos()
    noisy = GaussianNoise(0.1, random_state=0).fit(clean).transform(clean)
    for k in range(n_photos):
        Image.fromarray(noisy[k % len(noisy)]).save(folder / f"{k:03d}.png")


def search(epochs):
    """Search a small grid; gives the scores."""
    photos = load_photos()
    crops = np.stack([photo[100:196, 100:196] for photo in photos])
    vae = ColorVAE(
        widths=(16, 32), n_blocks=1, patch_size=64, max_epochs=epochs, random_state=0
    )
    pipe = make_pipeline(GaussianNoise(0.1, random_state=0), vae)
    found = GridSearchCV(pipe, GRID, scoring=psnr_scorer, cv=3).fit(crops, crops)
    return found.cv_results_["mean_test_score"].tolist()


def restore(folder):
    """Restore the folder; gives the bytes of all files."""
    with tempfile.TemporaryDirectory() as output:
        restore_folder(load_pretrained(), folder, output)
        return [path.read_bytes() for path in sorted(Path(output).iterdir())]


def timed(work, n_threads, backend):
    """Seconds that some work takes, and what it gives."""
    torch.set_num_threads(n_threads)
    began = time.perf_counter()
    with backend():
        result = work()
    return time.perf_counter() - began, result


def compare(name, work, ways, repeats):
    """A row of the table."""
    *_, (n_threads, cluster) = ways.values()
    _, expected = timed(work, n_threads, cluster)  # which the workers warm up with
    seconds = {way: [] for way in ways}
    for _ in range(repeats):
        for way, setting in ways.items():
            elapsed, result = timed(work, *setting)
            seconds[way].append(elapsed)
            is_alike = name == "folder" or setting[0] == n_threads
            if is_alike and result != expected:
                raise RuntimeError(f"{name}: the ways differ in what they give.")
    medians = {way: statistics.median(each) for way, each in seconds.items()}
    everything, one, cluster = medians.values()
    shares = {"of all threads": cluster / everything, "of one": cluster / one}
    return {"what": name} | medians | shares


def main():
    """Compare both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--photos", type=int, default=72)
    parser.add_argument("--epochs", type=int, default=30, help="of each fit")
    options = parser.parse_args()
    n_cores = torch.get_num_threads()
    n_tasks = max(1, n_cores // N_WORKERS)
    dask.config.set({ENVIRONMENT: ONE_THREAD | MALLOC})
    workers = {"n_workers": N_WORKERS, "threads_per_worker": n_tasks}
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(**workers, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        ways = {
            f"{n_cores} threads, s": (n_cores, nullcontext),
            "one thread, s": (1, nullcontext),
            "Dask, s": (1, lambda: parallel_config("dask")),
        }
        write_photos(Path(folder), options.photos)
        rows = [
            compare("search", lambda: search(options.epochs), ways, options.repeats),
            compare("folder", lambda: restore(Path(folder)), ways, options.repeats),
        ]
    print(f"{n_cores} cores; Dask: 2 workers, {n_tasks} task(s) at a time in each")
    print_table(rows)


if __name__ == "__main__":
    main()
