"""All code in the documentation runs, and what it refers to is there."""

import doctest
import importlib
import re
from operator import attrgetter
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
GENERATED = {"_build", "auto_examples", "generated"}
PAGES = sorted(
    path
    for path in DOCS.glob("**/*.rst")
    if not GENERATED & set(path.relative_to(DOCS).parts)
)
TAUGHT = [page for page in PAGES if ">>> " in page.read_text(encoding="utf-8")]
REFERENCE = re.compile(r":(?:class|func|meth|mod|attr):`~?\.?([\w.]+)`")


def name(page):
    return page.relative_to(DOCS).as_posix()


@pytest.mark.parametrize("page", TAUGHT, ids=name)
@pytest.mark.usefixtures("no_window")
def test_code_on_the_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, n_tried = doctest.testfile(str(page), module_relative=False)
    assert failed == 0 and n_tried > 0


def test_every_question_of_the_guide_is_answered_with_code():
    guide = {page for page in PAGES if page.parent.name == "guide"}
    assert len(guide) == 8
    assert guide - set(TAUGHT) == {DOCS / "guide" / "index.rst"}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_the_page_refers_to_exists(page):
    for target in REFERENCE.findall(page.read_text(encoding="utf-8")):
        package, _, rest = target.partition(".")
        assert package == "colorvae_sk" or package in ("sklearn", "matplotlib"), target
        module = importlib.import_module(package)
        if package == "colorvae_sk" and not hasattr(module, rest.split(".")[0]):
            importlib.import_module(f"colorvae_sk.{rest.split('.')[0]}")
        if package == "colorvae_sk":
            attrgetter(rest)(module)
