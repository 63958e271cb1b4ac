"""The command line does what it says, and keeps what it has learned."""

import csv
import errno
import gc
import inspect
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny
from matplotlib.image import imread
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

import colorvae_sk
from colorvae_sk import (
    ColorVAE,
    _color_vae,
    _damage,
    _demo,
    cli,
    folders,
    psnr_score,
)
from colorvae_sk._pictures import read_image


@pytest.fixture
def small_demo(monkeypatch):
    """A demo of small photographs."""
    photos = [photo[::4, ::4] for photo in colorvae_sk.load_photos()]
    monkeypatch.setattr(colorvae_sk, "load_photos", lambda: photos)


def run_demo(folder, seconds="2"):
    """Run the command."""
    cli.main(["demo", "--output", str(folder), "--seconds", seconds])


def test_demo_writes_a_picture_and_a_table(small_demo, tmp_path, capsys):
    run_demo(tmp_path / "a" / "new folder")
    picture = imread(tmp_path / "a" / "new folder" / "comparison.png")
    assert min(picture.shape[:2]) > 400
    rows = capsys.readouterr().out.splitlines()
    assert "Learning for 2 s from astronaut, coffee, rocket, china." in rows
    table = [row.split() for row in rows if "->" in row]
    assert {" ".join(row[:-10]) for row in table} == {
        f"{damage}, {photo}"
        for damage in _demo.demo_damage()
        for photo in ("chelsea", "flower")
    }
    psnr = [float(row[-10]) for row in table]  # of the damaged pictures
    clean = [colorvae_sk.load_photos()[i] / np.float32(255) for i in (1, 5)]
    faded = _demo.demo_damage()["faded"].transform(clean)
    expected = [psnr_score(clean[i : i + 1], faded[i : i + 1]) for i in range(2)]
    assert_allclose(psnr[:2], expected, atol=0.005)
    coverage = [float(row[-1].strip("%")) for row in table]
    assert all(0 <= share <= 100 for share in coverage)


def test_demo_restores_with_the_model_that_ships(small_demo, tmp_path, capsys):
    cli.main(["demo", "--output", str(tmp_path)])
    table = [row for row in capsys.readouterr().out.splitlines() if "->" in row]
    scores = [[float(x.split()[0]) for x in row.split("->")[1:]] for row in table]
    psnr = [float(row.split("->")[0].split()[-1]) for row in table]
    assert all(after[0] > before for before, after in zip(psnr, scores, strict=True))
    assert [file.name for file in tmp_path.iterdir()] == ["comparison.png"]


def test_second_demo_uses_the_model_of_the_first(
    small_demo, tmp_path, capsys, monkeypatch
):
    run_demo(tmp_path)
    first = capsys.readouterr().out.splitlines()
    monkeypatch.setattr(ColorVAE, "fit", None)  # from here on nothing can learn
    run_demo(tmp_path)
    second = capsys.readouterr().out.splitlines()
    (model,) = tmp_path.glob("*.joblib")
    assert str(model) in second[0]
    assert second[1:] == first[1:]


@pytest.mark.parametrize("change", ["seconds", "version"])
def test_another_version_or_duration_learns_anew(
    small_demo, tmp_path, capsys, monkeypatch, change
):
    run_demo(tmp_path, seconds="1")
    if change == "version":
        monkeypatch.setattr(colorvae_sk, "__version__", "0.0.0")
    run_demo(tmp_path, seconds="1.5" if change == "seconds" else "1")
    assert capsys.readouterr().out.count("Learning for") == 2


def test_version_is_told(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"colorvae {colorvae_sk.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "required: command"),
        (["paint"], "invalid choice: 'paint'"),
        (["demo", "--seconds", "0"], "expected more than 0 seconds, got 0"),
        (["demo", "--seconds", "soon"], "invalid duration value: 'soon'"),
        (["restore", "", "-o", "out"], "expected a path, got an empty one"),
        (["restore", "photos", "-o", ""], "expected a path, got an empty one"),
        (["train", "photos", "-o", ""], "expected a path, got an empty one"),
        *[
            (["restore", "a", "-o", "b", f"--max-pixels={n}"], "more than 0 pixels")
            for n in ("nan", "0", "-1")
        ],
    ],
    ids=str,
)
def test_wrong_arguments_are_explained(arguments, complaint, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
    assert complaint in capsys.readouterr().err


# Files -------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path, photos_uint8, monkeypatch):
    """A folder of three pictures, in the folder where the command is run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name, photo in zip("abc", photos_uint8, strict=False):
        Image.fromarray(photo).save(tmp_path / "photos" / f"{name}.png")
    return tmp_path / "photos"


@pytest.fixture
def model(tmp_path, photos_uint8):
    """The file of a tiny model."""
    colorvae_sk.save(tiny().fit(photos_uint8), tmp_path / "tiny.safetensors")
    return str(tmp_path / "tiny.safetensors")


def read(*path):
    """A picture as an array."""
    return read_image(Path(*path))


def names(folder):
    """What is in a folder, in alphabetical order."""
    return sorted(os.listdir(folder))


def test_restore_gives_what_the_model_gives(pictures, model, capsys):
    assert cli.main(["restore", "photos", "-o", "out", "--model", model]) == 0
    vae = colorvae_sk.load(model)
    for name in ("a.png", "b.png", "c.png"):
        restored = vae.transform([read(pictures, name)])[0]
        assert_array_equal(read("out", name), restored)
    text = capsys.readouterr()
    assert text.out == ""
    assert text.err == "3 restored into out.\n"  # and no bar where no terminal is


def test_restore_takes_the_model_that_ships_by_itself(pictures):
    assert cli.main(["restore", "photos/a.png", "-o", "out", "-q"]) == 0
    vae = colorvae_sk.load_pretrained()
    restored = vae.transform([read(pictures, "a.png")])[0]
    assert_array_equal(read("out", "a.png"), restored)


@pytest.mark.parametrize("is_enabled", [True, False])
def test_garbage_is_collected_afterwards_as_it_was_before(is_enabled, pictures, model):
    try:
        if not is_enabled:
            gc.disable()
        assert cli.main(["restore", "photos", "-o", "out", "--model", model]) == 0
        assert gc.isenabled() == is_enabled
    finally:
        gc.enable()


def test_restore_names_what_failed_and_says_so_by_its_code(pictures, model, capsys):
    (pictures / "b.png").write_text("I am no picture.")
    arguments = ["restore", "photos", "-o", "out", "-m", model]
    assert cli.main(arguments) == 1
    assert names("out") == ["a.png", "c.png"]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "2 restored into out, 1 failed."
    assert lines[1].startswith("photos/b.png: it is no picture")
    assert cli.main([*arguments, "--quiet"]) == 1
    assert capsys.readouterr().err.splitlines() == lines[1:]


def test_restore_skips_what_is_there_unless_told(pictures, model, capsys):
    arguments = ["restore", "photos", "-o", "out", "-m", model]
    Path("out").mkdir()
    Path("out", "a.png").write_bytes(b"precious")
    assert cli.main(arguments) == 0
    assert Path("out", "a.png").read_bytes() == b"precious"
    assert "2 restored into out, 1 there already" in capsys.readouterr().err
    assert cli.main([*arguments, "--overwrite"]) == 0
    assert read("out", "a.png").shape == (16, 16, 3)


def test_restore_takes_files_and_folders_and_writes_error_bars(pictures, model):
    (pictures / "in").mkdir()
    (pictures / "c.png").rename(pictures / "in" / "d.png")
    arguments = ["photos/a.png", "photos/in", "-o", "out", "--std", "std"]
    assert cli.main(["restore", *arguments, "-m", model, "-q"]) == 0
    assert names("out") == ["a.png", "d.png"]
    assert names("std") == ["a.png.tif", "d.png.tif"]
    arguments = ["photos", "-o", "all", "--recursive", "-m", model, "-q"]
    assert cli.main(["restore", *arguments]) == 0
    assert names("all") == ["a.png", "b.png", "in"]


def test_the_folder_that_is_written_to_is_not_searched(pictures, model, capsys):
    arguments = ["photos", "-r", "-o", "photos/out", "--std", "photos/std"]
    for said in ("3 restored", "0 restored into photos/out, 3 there already"):
        assert cli.main(["restore", *arguments, "-m", model]) == 0
        assert capsys.readouterr().err.startswith(said)


class Pipe:
    """A standard stream of bytes."""

    def __init__(self, content=b""):
        self.buffer = io.BytesIO(content)


@pytest.mark.parametrize("output", ["-", "a.jpg"])
def test_restore_works_in_a_pipe(pictures, model, monkeypatch, output):
    picture = io.BytesIO()
    Image.open(pictures / "a.png").save(picture, "JPEG")
    monkeypatch.setattr("sys.stdin", Pipe(picture.getvalue()))
    monkeypatch.setattr("sys.stdout", Pipe())
    assert cli.main(["restore", "-", "-o", output, "-m", model]) == 0
    written = sys.stdout.buffer.getvalue()
    if output != "-":
        assert written == b""
        written = Path(output).read_bytes()
    assert Image.open(io.BytesIO(written)).format == "JPEG"


def test_a_pipe_overwrites_nothing_unasked(pictures, model, monkeypatch, capsys):
    Path("a.png").write_bytes(b"precious")
    monkeypatch.setattr("sys.stdin", Pipe((pictures / "b.png").read_bytes()))
    arguments = ["restore", "-", "-o", "a.png", "-m", model]
    assert cli.main(arguments) == 2
    assert Path("a.png").read_bytes() == b"precious"
    assert "a.png is there already" in capsys.readouterr().err
    assert cli.main([*arguments, "--overwrite"]) == 0


def test_a_pipe_does_not_replace_its_own_input(pictures, model, capsys):
    before, stdin = (pictures / "a.png").read_bytes(), os.dup(0)
    try:
        with open(pictures / "a.png", "rb") as file:
            os.dup2(file.fileno(), 0)
        arguments = ["-o", "photos/a.png", "--overwrite", "-m", model]
        assert cli.main(["restore", "-", *arguments]) == 2
    finally:
        os.dup2(stdin, 0)
        os.close(stdin)
    assert "photos/a.png would be replaced by what" in capsys.readouterr().err
    assert (pictures / "a.png").read_bytes() == before


def test_a_pipe_looks_at_the_folder_before_it_restores(pictures, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", Pipe())
    monkeypatch.setattr(folders, "restore_bytes", None)
    assert cli.main(["restore", "-", "-o", "photos/a.png/b.png"]) == 2
    assert "photos/a.png" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["input", "output"])
def test_a_standard_stream_that_is_closed_is_told(monkeypatch, capsys, name):
    monkeypatch.setattr("sys.stdin", Pipe())
    monkeypatch.setattr(f"sys.std{name.removesuffix('put')}", None)
    assert cli.main(["restore", "-", "-o", "-"]) == 2
    said = f"colorvae restore: standard {name} is closed.\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["restore", "nowhere", "-o", "out"], "There is no file or folder 'nowhere'"),
        (["restore", "photos", "-o", "photos"], "would be replaced by what is made"),
        (["restore", "photos", "-o", "photos/a.png"], "File exists"),
        (["restore", "photos", "-o", "out", "-m", "x"], "There is no model 'x'"),
        (["restore", "photos", "-", "-o", "out"], "- stands for one picture"),
        (["restore", "-", "-o", "photos"], "photos is a folder"),
        (["restore", "-", "-o", "-", "--std", "s"], "--std needs files"),
        (["degrade", "photos", "-o", "out", "-d", "Rain"], "no degradation 'Rain'"),
        (
            ["degrade", "photos", "-o", "out", "-d", "Fade:sigma=1"],
            "Fade has no sigma, only contrast, pivot, saturation",
        ),
        (
            ["degrade", "photos", "-o", "out", "-d", "blind:foo=1"],
            "blind has no parameters, got 'foo=1'",
        ),
        (
            ["degrade", "photos", "-o", "out", "-d", "Fade:pivot=0,pivot=1"],
            "Fade has a parameter twice: pivot=0,pivot=1",
        ),
        (
            ["degrade", "photos", "-o", "out", "-d", "Fade:random_state=5"],
            "The random_state of Fade is that of --seed",
        ),
        (
            ["degrade", "photos", "-o", "out", "-d", "GaussianNoise:sigma=-1"],
            "The 'sigma' parameter of GaussianNoise must be",
        ),
        (["degrade", "photos", "-o", "out", "-d", "Fade:1"], "Expected PARAMETER="),
        (["train", "photos", "-o", "photos/a.png"], "photos/a.png is there already"),
        (["train", "photos", "-o", "photos", "--overwrite"], "photos is a folder"),
        (
            ["train", "photos", "-o", "photos/a.png", "--overwrite"],
            "photos/a.png is one of the pictures to learn from",
        ),
        (["train", "nowhere", "-o", "m"], "There is no folder 'nowhere'"),
        (["train", "photos", "-o", "m", "--start", "x"], "There are no weights 'x'"),
        (["score", "photos", "nowhere"], "There is no folder 'nowhere'"),
        (["info", "nowhere"], "There is no file 'nowhere'"),
        (["info", "photos"], "'photos' is a folder"),
        (["restore", "photos", "-o", "out", "-m", "photos"], "'photos' is a folder"),
        (["info", "photos/a.png"], "no file that colorvae_sk.save wrote"),
    ],
    ids=str,
)
def test_wrong_use_is_told_in_a_line_and_nothing_is_done(
    pictures, arguments, complaint, capsys
):
    assert cli.main(arguments) == 2
    text = capsys.readouterr()
    assert text.out == ""
    assert text.err.splitlines()[-1].startswith(f"colorvae {arguments[0]}: ")
    assert complaint in text.err
    assert names(pictures) == ["a.png", "b.png", "c.png"]


def test_an_interrupt_is_told_by_its_code(pictures, model, monkeypatch, capsys):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(folders, "restore_file", interrupt)
    assert cli.main(["restore", "photos", "-o", "out", "-m", model]) == 130
    assert capsys.readouterr().err == "Interrupted. The same command goes on.\n"
    assert names("out") == []


@pytest.fixture
def as_program(monkeypatch):
    """What runs the command as if it stood on the command line."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("atexit.register", lambda function: None)

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["colorvae", *arguments])
        return cli.main()

    yield run
    signal.signal(signal.SIGTERM, before)


def test_being_told_to_end_is_like_an_interrupt(
    pictures, model, monkeypatch, capsys, as_program
):
    def end(*args):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(folders, "restore_file", end)
    assert as_program("restore", "photos", "-o", "out", "-m", model) == 143
    assert capsys.readouterr().err == "Interrupted. The same command goes on.\n"


def test_a_full_disk_is_no_wrong_use(pictures, model, monkeypatch, capsys):
    def fill(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folders, "replace_file", fill)
    assert cli.main(["restore", "photos", "-o", "out", "-m", model]) == 1
    complaint = "No space left on device, when 0 of 3 files were done"
    assert complaint in capsys.readouterr().err


# Damage ------------------------------------------------------------------------------


def test_degrade_does_what_the_class_does(pictures, capsys):
    arguments = ["-d", "gaussian-noise:sigma=0.1..0.2,clip=True", "--seed", "3"]
    assert cli.main(["degrade", "photos", "-o", "out", *arguments]) == 0
    noise = colorvae_sk.GaussianNoise((0.1, 0.2), clip=True, random_state=3)
    damaged = noise.transform([read(pictures, "b.png")])[0]
    assert_array_equal(read("out", "b.png"), damaged)
    assert capsys.readouterr().err == "3 damaged into out.\n"


def test_several_degradations_befall_a_picture_in_turn(pictures):
    arguments = ["-d", "Desaturate:strength=1.0", "-d", "Quantize:n_levels=2", "-q"]
    assert cli.main(["degrade", "photos", "-o", "out", *arguments]) == 0
    assert set(np.unique(read("out", "a.png"))) <= {0, 255}


def test_missing_pixels_go_into_a_tiff_that_restore_takes(pictures, model):
    arguments = ["-d", "MissingPixels:fraction=0.5", "-q"]
    assert cli.main(["degrade", "photos", "-o", "holes", *arguments]) == 0
    assert names("holes") == ["a.tif", "b.tif", "c.tif"]
    assert np.isnan(read("holes", "a.tif")).any()
    assert cli.main(["restore", "holes", "-o", "out", "-m", model, "-q"]) == 0
    assert np.isfinite(read("out", "a.tif")).all()
    assert cli.main(["score", "out", "photos"]) == 0  # paired without their endings


def test_every_degradation_can_be_told_and_stands_in_the_help():
    kinds = {kind.__name__ for kind in _damage.known().values()}
    assert {*kinds, "blind"} == set(cli.DAMAGES)
    for name in cli.DAMAGES:
        assert _damage.read_degradation([name], 0).random_state == 0


# Models ------------------------------------------------------------------------------


@pytest.fixture
def small_model(monkeypatch):
    """What `train` fits is small, and remembers how it was made."""
    made = []

    def make(**options):
        made.append(options)
        return tiny(**options | {"max_epochs": 1, "device": "cpu"})

    monkeypatch.setattr(_color_vae, "ColorVAE", make)
    return made


def test_train_writes_a_model_and_leaves_nothing_else(pictures, small_model, capsys):
    arguments = ["train", "photos", "-o", "m.safetensors", "--time", "2m"]
    assert cli.main([*arguments, "-d", "GaussianNoise:sigma=0.2", "--seed", "5"]) == 0
    vae = colorvae_sk.load("m.safetensors")
    assert vae.degradation.sigma == 0.2
    assert (vae.max_seconds, vae.random_state) == (120.0, 5)
    assert names(".") == ["m.safetensors", "photos"]
    assert "Learning for 120 s from 3 pictures." in capsys.readouterr().err
    assert cli.main(["restore", "photos", "-o", "out", "-m", "m.safetensors"]) == 0


@pytest.mark.parametrize("is_link", [False, True])
def test_train_removes_nothing_that_it_did_not_write(pictures, small_model, is_link):
    folder = Path("m.safetensors.checkpoint")
    if is_link:
        Path("mine").mkdir()
        folder.symlink_to("mine")
    else:
        folder.mkdir()
    other = f"{0:032x}.pt"  # the checkpoint of another fit
    for name in ("thesis.txt", other):
        (folder / name).write_text("precious")
    assert cli.main(["train", "photos", "-o", "m.safetensors"]) == 0
    assert names(folder) == [other, "thesis.txt"]
    for name in names(folder):
        (folder / name).unlink()
    assert cli.main(["train", "photos", "-o", "m.safetensors", "--overwrite"]) == 0
    assert os.path.lexists(folder) == is_link


def test_train_keeps_what_it_learned_when_it_is_interrupted(
    pictures, small_model, monkeypatch, capsys
):
    def interrupt(self, X):
        Path(self.checkpoint).mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(ColorVAE, "fit", interrupt)
    assert cli.main(["train", "photos", "-o", "m.safetensors"]) == 130
    assert names(".") == ["m.safetensors.checkpoint", "photos"]


def test_train_tells_the_estimator_all(pictures, small_model):
    colorvae_sk.save(tiny().fit(read("photos", "a.png")[None]), "start")
    arguments = ["--start", "start", "--checkpoint", "kept", "--device", "cpu"]
    assert cli.main(["train", "photos", "-o", "m.safetensors", *arguments]) == 0
    (options,) = small_model
    assert (options["weights"], options["device"]) == ("start", "cpu")
    assert options["checkpoint"] == "kept"
    assert options["degradation"] == "blind"
    assert names("kept")  # a folder that was named is kept


def test_info_tells_what_is_in_a_model(model, capsys):
    assert cli.main(["info", model, "--format", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["class"], facts["architecture"]) == ("ColorVAE", "ladder")
    assert facts["channels"] == 3
    assert facts["calibrated"] is False
    assert facts["parameters"]["widths"] == "(8, 8)"
    stages = ["colours", "restoration", "error bars", "latents"]
    assert list(facts["learned"]) == stages
    assert cli.main(["info", model]) == 0
    assert "architecture  ladder\n" in capsys.readouterr().out


def test_info_knows_the_model_that_ships_and_degradations(tmp_path, capsys):
    assert cli.main(["info", "natural"]) == 0
    network = colorvae_sk.load_pretrained().net_.module_
    n_weights = sum(tensor.numel() for tensor in network.state_dict().values())
    assert f"weights       {n_weights:,}\n" in capsys.readouterr().out
    noise = colorvae_sk.GaussianNoise(0.25).fit(np.zeros((1, 8, 8, 3)))
    colorvae_sk.save(noise, tmp_path / "noise")
    assert cli.main(["info", str(tmp_path / "noise")]) == 0
    assert "    sigma: 0.25\n" in capsys.readouterr().out


# Scores ------------------------------------------------------------------------------


@pytest.fixture
def noisy(pictures, photos_uint8):
    """Noisy versions of two of the three, and of one that has no clean version."""
    Path("noisy").mkdir()
    noise = colorvae_sk.GaussianNoise(0.1, random_state=0)
    damaged = noise.transform(photos_uint8)
    for name, image in zip(["a.png", "b.bmp", "z.png"], damaged, strict=False):
        Image.fromarray(image).save(Path("noisy", name))
    return damaged


def expected_scores(noisy, photos_uint8):
    """Three measures of the two pictures."""
    measures = psnr_score, colorvae_sk.ssim_score, colorvae_sk.ciede2000_error
    return [
        [measure(photos_uint8[i : i + 1], noisy[i : i + 1]) for measure in measures]
        for i in range(2)
    ]


def test_score_prints_a_table(noisy, photos_uint8, capsys):
    assert cli.main(["score", "noisy", "photos"]) == 1  # one has no partner
    text = capsys.readouterr()
    assert text.err == "noisy/z.png: it has no clean version of its name.\n"
    rows = [line.split() for line in text.out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["a.png", "b.bmp", "mean"]
    values = [[float(value) for value in row[-3:]] for row in rows]
    expected = expected_scores(noisy, photos_uint8)
    assert_allclose(values[:2], expected, atol=0.006)
    assert_allclose(values[2], np.mean(expected, axis=0), atol=0.006)


def test_score_writes_csv_and_json(noisy, photos_uint8, capsys):
    expected = expected_scores(noisy, photos_uint8)
    os.remove("noisy/z.png")
    assert cli.main(["score", "noisy", "photos", "-f", "csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert list(rows[0]) == ["file", "psnr", "ssim", "ciede2000"]
    assert_allclose([[float(r[k]) for k in list(r)[1:]] for r in rows], expected)
    assert cli.main(["score", "noisy", "photos", "-f", "json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert_allclose(list(scores["mean"].values()), np.mean(expected, axis=0))
    assert scores["pictures"][1]["file"] == "b.bmp"


def test_equal_pictures_have_no_finite_psnr_in_json(pictures, capsys):
    arguments = ["score", "photos/a.png", "photos/a.png", "-f", "json"]
    assert cli.main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["mean"]["psnr"] is None


def test_score_names_pictures_that_cannot_be_compared(pictures, noisy, capsys):
    Image.new("RGB", (8, 8)).save("noisy/a.png")
    assert cli.main(["score", "noisy", "photos"]) == 1
    assert "noisy/a.png, photos/a.png: " in capsys.readouterr().err


# The shell ---------------------------------------------------------------------------


def run(*arguments):
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "colorvae_sk", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_help_comes_without_what_is_heavy():
    heavy = {"numpy", "torch", "sklearn", "joblib"}
    code = "import sys, colorvae_sk.cli as c; c.parser().format_help(); "
    code += f"print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    "name", ["restore", "train", "score", "degrade", "info", "app", "completion"]
)
def test_every_command_has_examples(name):
    assert (
        f"examples:\n  {'eval' if name == 'completion' else 'colorvae'}"
        in run(name, "--help").stdout
    )


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["re"], ["restore"]),
        (["restore", "--ov"], ["--overwrite"]),
        (["score", "a", "b", "--format", ""], ["csv", "json", "table", "text"]),
        (["completion", ""], ["bash", "zsh"]),
        (["restore", "a"], []),  # the shell offers files
    ],
    ids=str,
)
def test_bash_completes_commands_and_options(words, expected, capsys):
    assert cli.main(["completion", "bash"]) == 0
    line = " ".join(f'"{word}"' for word in ["colorvae", *words])
    lines = [
        capsys.readouterr().out,
        f"COMP_WORDS=({line}); COMP_CWORD={len(words)}; _colorvae",
        'printf "%s\\n" "${COMPREPLY[@]}"',
    ]
    done = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True)
    assert sorted(done.stdout.decode().split()) == expected
    assert done.stderr == b""


def test_completion_for_zsh_loads_that_of_bash(capsys):
    assert cli.main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("autoload -U +X bashcompinit")


def test_a_reader_that_leaves_early_is_no_error(model):
    command = f"{sys.executable} -m colorvae_sk info {model} | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5s", 1.5), ("10m", 600), ("2h", 7200)]
)
def test_durations_have_units(text, seconds):
    assert cli.duration(text) == seconds


def test_the_limit_of_pixels_is_that_of_restore_folder():
    default = inspect.signature(colorvae_sk.restore_folder).parameters["max_pixels"]
    options = cli.parser().parse_args(["restore", "photos", "-o", "out"])
    assert options.max_pixels == default.default
