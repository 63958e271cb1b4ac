"""docs/errors.rst says what happens: each of its rows is tried."""

import re
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny
from PIL import Image

import colorvae_sk
from colorvae_sk.degradations import BaseDegradation

PAGE = Path(__file__).parents[1] / "docs" / "errors.rst"
ROW = re.compile(
    r"^   \* - (.+?)\n     - (.+?)\n     - (.+?)\n(?=\n|   \*)", re.M | re.S
)


class Halved(BaseDegradation):
    def __init__(self, random_state=None):
        self.random_state = random_state

    def _degrade(self, images, generator):
        return images[..., ::2]


def rows():
    """What, code and outcome of each row, on one line each."""
    found = ROW.findall(PAGE.read_text(encoding="utf-8"))
    return [[" ".join(cell.split()) for cell in row] for row in found]


REFUSED = [row for row in rows() if re.match(r"``\w+(Error|Exception): ", row[2])]
ACCEPTED = [row for row in rows() if row not in REFUSED and row[1].startswith("``")]


def literal(cell):
    """The text between double backquotes."""
    return cell.removeprefix("``").removesuffix("``")


@pytest.fixture(scope="module")
def names():
    """What the code in the page may use."""
    X = np.random.default_rng(0).random((6, 16, 16, 3)).astype(np.float32)
    vae = tiny(max_epochs=1).fit(X)
    own = {"np": np, "X": X, "vae": vae, "rows": X.reshape(6, -1), "Halved": Halved}
    public = {name: getattr(colorvae_sk, name) for name in colorvae_sk.__all__}
    return public | own


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with files that are no pictures, cut off or a bomb."""
    monkeypatch.chdir(tmp_path)
    Path("text.png").write_text("I am no picture.")
    Path("empty").mkdir()
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(256, size=(64, 64, 3), dtype=np.uint8))
    picture.save("cut.png")
    content = Path("cut.png").read_bytes()
    Path("cut.png").write_bytes(content[: len(content) // 2])
    picture.save("bomb.bmp")
    content = bytearray(Path("bomb.bmp").read_bytes())
    content[18:26] = (30_000).to_bytes(4, "little") * 2  # its width and height
    Path("bomb.bmp").write_bytes(content)
    Path("program.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")


@pytest.mark.parametrize(
    ("what", "code", "error"), REFUSED, ids=[r[0] for r in REFUSED]
)
def test_what_the_page_refuses_is_refused(what, code, error, names, folder):
    with pytest.raises(Exception) as caught:
        eval(literal(code), dict(names))
    said = f"{caught.type.__name__}: {caught.value}"
    expected = map(re.escape, literal(error).split("..."))
    assert re.fullmatch(".*".join(expected), " ".join(said.split())), said


@pytest.mark.parametrize(
    ("what", "code", "outcome"), ACCEPTED, ids=[r[0] for r in ACCEPTED]
)
def test_what_the_page_accepts_is_accepted(what, code, outcome, names, folder):
    result = eval(literal(code), dict(names))
    if isinstance(result, np.ndarray):
        assert np.isfinite(result).all()


def test_the_page_has_its_rows():
    assert len(REFUSED) > 50
    assert len(ACCEPTED) >= 8
