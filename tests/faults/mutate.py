"""Change saved files at random: each must load as it was, or give one clear error.

``python tests/faults/mutate.py 2000`` tells how many did what, the longest time and the
highest memory. Bits are flipped, parts cut out, doubled or swapped.
"""

import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from colorvae_sk import load

DATA = Path(__file__).parents[1] / "data"
SECONDS, BYTES = 5, 2**30  # what no file may take


def mutated(content, rng):
    """The bytes with one to three changes."""
    content = bytearray(content)
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(rng.integers(1, 4)):
        last = min(len(content), header) if rng.random() < 0.7 else len(content)
        place, other = sorted(rng.integers(0, max(last, 1), 2))
        length = int(rng.integers(1, 64))
        match rng.integers(6):
            case 0:
                content[place] ^= 1 << rng.integers(8)
            case 1:
                content[place] = rng.integers(256)
            case 2:
                del content[place:other]
            case 3:
                content[other:other] = content[place : place + length]
            case 4:
                one = content[place : place + length]
                content[place : place + length] = content[other : other + length]
                content[other : other + length] = one
            case 5:
                del content[len(content) - length :]
        if not content:
            break
    return bytes(content)


def outcome(path, expected):
    """What becomes of a file; an exception of another kind is passed on."""
    try:
        estimator = load(path)
    except ValueError as error:
        assert str(path) in str(error), error
        return "refused"
    assert repr(estimator) == repr(expected[0])
    same = np.array_equal(answer_of(estimator, expected[1]), expected[2])
    assert same, path
    return "the same"


def answer_of(estimator, X):
    """What the estimator is for."""
    answer = getattr(estimator, "transform", None) or estimator.score_samples
    return answer(X)


def main(n_files, seed=0):
    """Mutate so many files; returns a Counter of outcomes, CPU seconds and bytes."""
    rng, counts, longest = np.random.default_rng(seed), Counter(), 0.0
    files = sorted(DATA.glob("*/*.safetensors"), key=lambda f: f.stat().st_size)[:-1]
    models = {}
    for file in files:
        with np.load(file.with_suffix(".npz")) as kept:
            model = load(file)
            models[file] = model, kept["X"], answer_of(model, kept["X"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutated.safetensors"
        for i in range(n_files):
            file = files[i % len(files)]
            path.write_bytes(mutated(file.read_bytes(), rng))
            began = time.process_time()
            counts[outcome(path, models[file])] += 1
            longest = max(longest, time.process_time() - began)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert longest < SECONDS
    assert grown < BYTES
    return counts, longest, grown


if __name__ == "__main__":
    counts, longest, grown = main(int(sys.argv[1]))
    print(dict(counts), f"longest {longest:.2f} s, memory {grown / 2**20:.0f} MiB")
