"""What is done in a process of its own, to be killed, starved or interrupted there.

``python scripts.py NAME FOLDER`` runs one of the functions below.
"""

import os
import resource
import signal
import sys
from pathlib import Path

import numpy as np
import torch

from colorvae_sk import ColorVAE, _checkpoint, _storage, load, save

NOBODY = 65534
X = np.random.default_rng(0).random((4, 16, 16, 3)).astype(np.float32)
OPTIONS = {"widths": (8,), "n_blocks": 1, "device": "cpu", "random_state": 0}


def fitted(**options):
    return ColorVAE(**OPTIONS, **{"max_epochs": 1, **options}).fit(X)


def say(text):
    print(text, flush=True)


def be_nobody():
    """Root may write anywhere; nobody may not."""
    if os.geteuid() == 0:
        os.setuid(NOBODY)


# ------------------------------------------------------------------ kill
def save_without_end(folder):
    """Save one of two models again and again, until somebody kills us."""
    models = fitted(), fitted(max_epochs=2)
    say("ready")
    while True:
        for vae in models:
            save(vae, folder / "vae.safetensors")


def fit_without_end(folder):
    """Fit, keeping a checkpoint after each batch, until somebody kills us."""
    _checkpoint.EVERY = _checkpoint.PATIENCE = 0
    write, count = _checkpoint.write, iter(range(10**9))

    def write_and_tell(*arguments):
        write(*arguments)
        if next(count) == 8:
            say("ready")
            signal.pause()  # so that there is always something left to do

    _checkpoint.write = write_and_tell
    ColorVAE(**OPTIONS, max_epochs=8, batch_size=2, checkpoint=folder).fit(X)


def go_on(folder):
    """The same fit once more; in an empty folder it is one that nobody cut off."""
    vae = ColorVAE(**OPTIONS, max_epochs=8, batch_size=2, checkpoint=folder, verbose=1)
    vae.fit(X)
    say(f"restored {vae.transform(X).sum(dtype=float):.10f}")


# ------------------------------------------------------------------ disk and memory
def limit_files(n_bytes):
    """Let no file grow beyond so many bytes, as on a disk that is full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def save_to_a_full_disk(folder):
    file = folder / "vae.safetensors"
    save(fitted(), file)
    before = file.read_bytes()
    vae = fitted(max_epochs=2)
    limit_files(len(before) // 2)
    try:
        save(vae, file)
    except OSError as error:
        say(f"refused: {error}")
    assert file.read_bytes() == before
    assert os.listdir(folder) == [file.name]
    load(file)


def fit_on_a_full_disk(folder):
    """Checkpoints can't be written any more; the fit itself must not be lost."""
    _checkpoint.EVERY = _checkpoint.PATIENCE = 0
    limit_files(1000)
    restored = fitted(checkpoint=folder).transform(X)
    assert np.array_equal(restored, fitted().transform(X))
    assert os.listdir(folder) == []


def restore_beyond_memory(folder):
    """A picture that does not fit into memory leaves an estimator that still works."""
    vae = fitted()
    before = vae.transform(X)
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    large = np.zeros((1, 40_000, 4000, 3), bool)
    limit = used + 2**27
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        vae.transform(large)
    except (MemoryError, RuntimeError) as error:
        say(f"refused: {type(error).__name__} {error}")
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    assert np.array_equal(vae.transform(X), before)


def write_where_nothing_may_be_written(folder):
    vae = fitted()
    be_nobody()
    for call in (
        lambda: save(vae, folder / "vae.safetensors"),
        lambda: fitted(checkpoint=folder),
        lambda: fitted(checkpoint=folder / "deeper"),
    ):
        try:
            call()
        except PermissionError as error:
            say(f"refused: {error}")


# ------------------------------------------------------------------ Ctrl-C
def interrupt_a_fit(folder):
    """A new fit leaves an unfitted estimator, another one what it was before."""
    torch.set_num_threads(1)
    new = ColorVAE(**OPTIONS, max_epochs=10**6)
    old = fitted().set_params(max_epochs=10**6, warm_start=True)
    before = old.transform(X)
    for vae in (new, old):
        signal.setitimer(signal.ITIMER_REAL, 0.7)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        try:
            vae.fit(X)
        except KeyboardInterrupt:
            say("interrupted")
    assert not new.__sklearn_is_fitted__()
    assert np.array_equal(old.transform(X), before)
    new.set_params(max_epochs=1).fit(X)


def interrupt_a_save(folder):
    """The file that was there stays, and no other is left behind."""
    file = folder / "vae.safetensors"
    vae = fitted()
    save(vae, file)
    before = file.read_bytes()
    fsync, _storage.os.fsync = os.fsync, lambda _: os.kill(os.getpid(), signal.SIGINT)
    try:
        save(fitted(max_epochs=2), file)
    except KeyboardInterrupt:
        say("interrupted")
    _storage.os.fsync = fsync
    assert file.read_bytes() == before
    assert os.listdir(folder) == [file.name]


if __name__ == "__main__":
    # A shell lets what it starts in the background ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    globals()[sys.argv[1]](Path(sys.argv[2]))
