"""The benchmarks test what they say, and run quickly when asked to."""

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from helpers import tiny
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from colorvae_sk import (
    ColorVAE,
    GaussianNoise,
    _checkpoint,
    _training,
    load,
    load_photos,
    psnr_score,
    save,
)

FOLDER = Path(__file__).parent.parent / "benchmarks"
accelerated = pytest.mark.skipif(
    find_spec("accelerate") is None, reason="needs accelerate"
)
distributed = pytest.mark.skipif(
    find_spec("distributed") is None, reason="needs dask.distributed"
)
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
        ("family.py --quick --csv scores.csv", "ColorVAEGAN"),
        ("fit_overhead.py --quick", "dense"),
        ("damage.py --repeats 1 --batch-size 2", "blind mixture"),
        ("import_time.py --repeats 1", "import colorvae_sk"),
        ("size.py --megapixels 0.01 0.1 --std", "peak beside them, MiB"),
        ("share.py --repeats 1 --small 4 --megapixels 0.3", "one large"),
        ("folder.py --files 3 8 --seconds 0.5", "peak memory, MiB"),
        ("losses.py --quick", "ciede2000"),
        ("features.py --quick", "ColorVAE"),
        ("detection.py --quick", "brick"),
        pytest.param("parallel.py --quick", "2 processes, 8 each", marks=accelerated),
        pytest.param(
            "cluster.py --repeats 1 --photos 2 --epochs 1",
            "Dask, s",
            marks=distributed,
        ),
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


def test_summary_has_a_row_for_each_task(benchmark):
    scores = {
        "PSNR": 20.0,
        "SSIM": 0.5,
        "CIEDE2000": 9.0,
        "coverage": None,
        "s/MP": 1.0,
    }
    ours = scores | {"PSNR": 30.0, "coverage": 0.9}
    rows = [
        {"method": method, "task": task, **values}
        for task in ("awgn25", "cast")
        for method, values in (
            ("(damaged)", scores),
            ("NLM", scores),
            ("ColorVAE", ours),
        )
    ]
    summary = list(benchmark("quality").summarise(rows))
    assert [row["task"] for row in summary] == ["awgn25", "cast"]
    assert summary[0]["PSNR before"] == 20 and summary[0]["PSNR"] == 30
    assert summary[1]["coverage"] == 0.9


def test_sharpness_is_one_of_what_is_as_sharp(benchmark, picture):
    sharpness = benchmark("family").sharpness
    assert sharpness([picture, picture], [picture, 1 - picture]) == pytest.approx(1)
    soft, grain = 0.5 * picture, np.random.default_rng(0).normal(0, 0.1, picture.shape)
    assert sharpness([picture], [soft]) == pytest.approx(0.25)
    assert sharpness([picture], [picture + grain]) > 1.5


@pytest.fixture
def folder(tmp_path):
    """A folder of six small photographs."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, photo in enumerate(load_photos()):
        Image.fromarray(photo[::5, ::5]).save(folder / f"{i}.png")
    return folder


def test_natural_is_learned_from_folders_and_goes_on(
    benchmark, folder, tmp_path, monkeypatch
):
    program = benchmark("train_natural")
    monkeypatch.setattr(_checkpoint, "EVERY", 0.0)
    monkeypatch.setattr(program, "HELD_OUT", 3)
    run = tmp_path / "run"
    options = ["--hours", "0.0015", "--watch", "0.005", "--widths", "8", "8"]
    options += ["--blocks", "1", "1", "--patch-size", "16", "--device", "cpu"]
    arguments = ["train_natural.py", str(folder), "--run", str(run), *options]
    monkeypatch.setattr(sys, "argv", [*arguments, "--sitting", "0.02"])
    program.main()
    assert not (run / "model.joblib").exists()
    monkeypatch.setattr(sys, "argv", arguments)
    program.main()
    model = joblib.load(run / "model.joblib")
    assert model.n_channels_ == 3 and model.callbacks is None
    header, *rows = (run / "quality.csv").read_text().splitlines()
    assert header == "stage,hours,task,PSNR,CIEDE2000"
    assert len(rows) % 8 == 0 < len(rows)
    assert len(list(run.glob("*.pt"))) == 1


@pytest.mark.parametrize(
    "change",
    [
        "too_bright",
        "too_colourful",
        "few_channels",
        "one_colour",
        "few_tones",
        "negative",
    ],
)
def test_unusual_pictures_are_pictures_unlike_the_photograph(benchmark, change):
    program = benchmark("train_natural")
    photo = load_photos()[3][::4, ::4]
    before = photo.copy()
    for seed in range(5):
        made = getattr(program, change)(photo, np.random.default_rng(seed))
        assert made.dtype == np.uint8 and made.shape == photo.shape
        assert np.abs(made.astype(int) - photo).mean() > 5
    assert_array_equal(photo, before)


def test_unusual_pictures_are_of_all_kinds(benchmark):
    photo, rng = load_photos()[3][::4, ::4], np.random.default_rng(0)
    made = [benchmark("train_natural").unusual(photo, rng) for _ in range(40)]
    n_tones = {len(np.unique(each)) for each in made}
    assert min(n_tones) <= 3 and max(n_tones) > 100
    assert any(np.array_equal(each, 255 - photo) for each in made)


def test_restoration_alone_is_learned_by_a_network_that_has_grown(
    benchmark, folder, tmp_path, monkeypatch
):
    program = benchmark("train_natural")
    monkeypatch.setattr(program, "HELD_OUT", 3)
    monkeypatch.setattr(_training, "SHARES", dict(_training.SHARES))
    photos = [photo[None, ::5, ::5] for photo in load_photos()]
    start = tiny(max_epochs=1, degradation=None).fit(photos[0])
    save(start, tmp_path / "start")
    run = tmp_path / "run"
    arguments = ["train_natural.py", folder, "--run", run, "--hours", "0.0015"]
    arguments += ["--start", tmp_path / "start", "--blocks", 2, 1]
    arguments += ["--only", "restoration", "--patch-size", 16, "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", [str(each) for each in arguments])
    program.main()
    grown, model = load(run / "start.safetensors"), joblib.load(run / "model.joblib")
    assert grown.n_blocks == model._blueprint[1]["n_blocks"] == (2, 1)
    assert_allclose(grown.transform(photos[1]), start.transform(photos[1]), atol=3)
    old, new = (vae.net_.module_.state_dict() for vae in (grown, model))
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert "blocks.0.1.look_out.weight" in changed
    assert not any("colour" in name or "latent" in name for name in changed)


def test_blocks_are_left_out_of_one_way(benchmark, tmp_path):
    program = benchmark("train_natural")
    photos = [photo[None, ::5, ::5] for photo in load_photos()]
    whole = tiny(n_blocks=(2, 1), max_epochs=1, degradation=None).fit(photos[0])
    save(whole, tmp_path / "whole")
    n_blocks = program.ways_of([1, 1, 2, 1], n_scales=2)
    assert n_blocks == ((1, 1), (2, 1))
    less = program.rebuild(program.open_model(tmp_path / "whole"), n_blocks)
    assert less.n_blocks == less._blueprint[1]["n_blocks"] == n_blocks
    old, new = (vae.net_.module_.state_dict() for vae in (whole, less))
    lost = {name for name in old if name not in new}
    assert lost and all(name.startswith("context.blocks.0.1.") for name in lost)
    assert all(torch.equal(old[name], new[name]) for name in new)
    assert less.transform(photos[1]).shape == photos[1].shape


def test_smaller_network_learns_to_restore_as_the_model(
    benchmark, folder, tmp_path, monkeypatch, capsys
):
    program = benchmark("distil")
    monkeypatch.setattr(benchmark("train_natural"), "HELD_OUT", 3)
    monkeypatch.setattr(program, "SIDE", 32)
    photos = [photo[::5, ::5] for photo in load_photos()]
    model = tiny(n_blocks=(2, 1), max_epochs=3, degradation=None).fit(photos)
    save(model, tmp_path / "model")
    arguments = ["distil.py", folder, tmp_path, "--model", tmp_path / "model"]
    arguments += ["--blocks", 1, 1, 2, 1, "--minutes", 0.05, "--watch", 0.02]
    arguments += ["--patch-size", 16, "--lr", 1e-3]
    monkeypatch.setattr(sys, "argv", [str(each) for each in arguments])
    program.main()
    first, *_, last = capsys.readouterr().out.split("minutes")[1:]
    assert "nan" in first and "nan" not in last
    learned = joblib.load(tmp_path / "model.joblib")
    assert learned.n_blocks == ((1, 1), (2, 1))
    untaught = program.rebuild(load(tmp_path / "model"), learned.n_blocks)
    clean = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    damaged = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator())
    given = model.net_.module_.eval(), damaged, clean
    after, before = (
        program.distance(vae.net_.module_.eval(), *given).item()
        for vae in (learned, untaught)
    )
    assert 0 < after < before
    assert program.distance(given[0], *given) < 1e-12
    old, new = (vae.net_.module_.state_dict() for vae in (untaught, learned))
    kept = {name for name in old if torch.equal(old[name], new[name])}
    assert all(name in kept for name in old if "colour" in name or "latent" in name)


def levels_and_losses(table):
    """Two columns of what the script prints."""
    rows = [line.split()[-3:] for line in table.splitlines()[1:]]
    return zip(*([float(level), float(loss)] for level, loss, _ in rows), strict=True)


def test_error_bars_are_learned_from_whole_photographs(
    benchmark, folder, tmp_path, monkeypatch, capsys
):
    program = benchmark("train_error_bars")
    monkeypatch.setattr(benchmark("train_natural"), "HELD_OUT", 3)
    monkeypatch.setattr(program, "PART", 16)
    vae = ColorVAE(widths=(8, 8), n_blocks=1, max_epochs=1, random_state=0)
    damaged = GaussianNoise(0.1, random_state=0).fit_transform(load_photos()[1][None])
    vae.fit([photo[::4, ::4] for photo in load_photos()])
    before = vae.predict(damaged, return_std=True)
    save(vae, tmp_path / "vae.safetensors")
    arguments = ["train_error_bars.py", folder, tmp_path / "vae.safetensors", tmp_path]
    arguments += ["--pictures", 32, "--steps", 60, "--lr", 0.004, "--jobs", 1]
    monkeypatch.setattr(sys, "argv", [str(each) for each in arguments])
    program.main()
    tables = capsys.readouterr().out.split("kind ")[1:]
    assert len(tables) == 4  # of both halves, before and after
    for half in (tables[:2], tables[2:]):
        (levels, losses), (moved, learned) = map(levels_and_losses, half)
        assert np.nanmean(learned) < np.nanmean(losses)
        assert set(levels) == {0.9} != set(moved)
    after = joblib.load(tmp_path / "model.joblib").predict(damaged, return_std=True)
    assert_array_equal(after[0], before[0])
    assert np.abs(np.float32(after[1]) - before[1]).max() > 0
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    assert len(written) == 8
    program.main()  # goes on with what is there
    assert {path: path.stat().st_mtime_ns for path in written} == written
