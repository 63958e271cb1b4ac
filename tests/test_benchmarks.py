"""The benchmarks test what they say, and run quickly when asked to."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from colorvae_sk import load_photos, psnr_score

FOLDER = Path(__file__).parent.parent / "benchmarks"
RANDOM_STRENGTH = {"cast", "fade", "blocks"}  # each picture draws its own


@pytest.fixture
def benchmark(monkeypatch):
    """Import a script of the benchmarks by its name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module
    for path in FOLDER.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture(scope="module")
def picture():
    """A part of a photograph, (128, 160, 3)."""
    return np.float32(load_photos()[1][60:188, 100:260] / 255)


def test_damage_depends_on_the_name_alone(benchmark, picture):
    for damage in benchmark("protocol").TASKS.values():
        first, again = (damage(picture, "chelsea") for _ in range(2))
        assert_array_equal(first, again)
        assert first.dtype == np.float32


def test_noise_of_all_strengths_is_one_field(benchmark, picture):
    tasks = benchmark("protocol").TASKS
    weak, strong = (tasks[name](picture, "chelsea") for name in ("awgn25", "awgn50"))
    np.testing.assert_allclose(strong - picture, 2 * (weak - picture), atol=1e-6)


def test_every_task_has_its_lesson_of_the_same_strength(benchmark, picture):
    tasks, lessons = benchmark("protocol").TASKS, benchmark("quality").LESSONS
    assert list(tasks) == list(lessons)
    for name in tasks.keys() - RANDOM_STRENGTH:
        tested = tasks[name](picture, "chelsea")
        learned = lessons[name].fit_transform(picture[None])[0]
        shares = [np.isnan(image).mean() for image in (tested, learned)]
        assert abs(shares[0] - shares[1]) < 0.02, name
        if shares[0] == 0:
            scores = [
                psnr_score(picture[None], image[None], clip=False)
                for image in (tested, learned)
            ]
            assert abs(scores[0] - scores[1]) < 0.3, name  # each drew its own noise


def test_classical_methods_help(benchmark, picture):
    tasks, quality = benchmark("protocol").TASKS, benchmark("quality")
    for task in ("awgn25", "jpeg10", "blur", "missing", "blocks", "cast", "fade"):
        damaged = tasks[task](picture, "chelsea")
        scores = {
            name: psnr_score(picture[None], np.float32(method(damaged)[0])[None])
            for name, method in quality.classical_methods(task).items()
        }
        assert max(scores, key=scores.get) != "(damaged)", (task, scores)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("quality.py --quick --csv scores.csv", "ColorVAE (ladder)"),
        ("fit_overhead.py --quick", "dense"),
        ("damage.py --repeats 1 --batch-size 2", "blind mixture"),
        ("import_time.py --repeats 1", "import colorvae_sk"),
    ],
)
def test_script_prints_its_table(
    benchmark, monkeypatch, tmp_path, capsys, script, expected
):
    name, *arguments = script.split()
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    monkeypatch.chdir(tmp_path)
    benchmark(name.removesuffix(".py")).main()
    assert expected in capsys.readouterr().out
    assert (tmp_path / "scores.csv").exists() == ("--csv" in arguments)
