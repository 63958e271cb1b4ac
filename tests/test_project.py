"""What stands in several places says the same there."""

import re
from pathlib import Path

import colorvae_sk

ROOT = Path(__file__).parent.parent


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_linter_before_a_commit_is_that_of_the_tests():
    (pinned,) = re.findall(r"^ruff==(\S+)$", text("constraints.txt"), re.MULTILINE)
    hooks = re.findall(r'"ruff==([^"]+)"', text(".pre-commit-config.yaml"))
    assert len(hooks) == 2 and set(hooks) == {pinned}


def test_the_version_stands_in_one_place():
    pattern = rf"(?i)version\W+{re.escape(colorvae_sk.__version__)}\b"
    for name in ("setup.py", "pyproject.toml", "CITATION.cff", "docs/conf.py"):
        assert not re.search(pattern, text(name)), name


def test_each_requirement_has_a_version_and_a_reason():
    reasons, pins = (
        text("docs/dependencies.rst").lower(),
        text("constraints.txt").lower(),
    )
    for name in re.findall(r'"([A-Za-z][\w-]*)>=[\d.]+"', text("setup.py")):
        assert re.search(rf"\b{name.lower()}\b", reasons), name
        assert re.search(rf"^{name.lower()}==", pins, re.MULTILINE), name


def test_every_public_name_is_in_the_documentation():
    listed = text("docs/api.rst")
    missing = [n for n in colorvae_sk._HOMES if not re.search(rf"\b{n}\b", listed)]
    assert missing == []
