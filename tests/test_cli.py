"""The command line does what it says, and keeps what it has learned."""

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.testing import assert_allclose

import colorvae_sk
from colorvae_sk import ColorVAE, _demo, cli, psnr_score


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
    ],
    ids=["none", "unknown command", "no time", "no number"],
)
def test_wrong_arguments_are_explained(arguments, complaint, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
    assert complaint in capsys.readouterr().err
