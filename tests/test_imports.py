"""The house: who may import whom, what is imported when, how long a file may be."""

import ast
import importlib
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import colorvae_sk

# From the ground up: a module may import from its own floor and from those below.
FLOORS = [
    {
        "_blocks",
        "_ciede2000",
        "_images",
        "_layers",
        "_pictures",
        "_png",
        "_side_by_side",
        "_canvas",
        "_storage",
        "_tiff",
        "_tiling",
    },
    {"_history", "_latents", "_distortions", "_summary"},
    {"_files", "_colour_stage", "_critic", "_overshoot", "_quantised"},
    {"networks", "losses"},
    {"_streaming"},
    {
        "_batches",
        "_resident",
        "_calibration",
        "_inference",
        "_degradation",
        "_jpeg",
        "_separable",
    },
    {"_weights"},
    {"_blur", "_colour", "_compression", "_holes", "_noise", "_resolution"},
    {"degradations", "augmentations", "metrics", "_coverage", "datasets", "_anomaly"},
    {"_self_supervised", "folders", "_scores", "_damage"},
    {
        "_adversary",
        "_checkpoint",
        "_compiled",
        "_muon",
        "_net",
        "_parallel",
        "_spreading",
    },
    {"_training"},
    {"_base"},
    {"_color_vae", "_color_vqvae", "_color_vaegan"},
    {"_displays", "_drawing", "_detection", "_latent_features"},
    {"_latent_displays", "_picture_displays"},
    {"persistence"},
    {"pretrained"},
    {"_info", "_page"},
    {"_app"},
    # "": `import colorvae_sk`, so everything
    {"cli", "_commands", "_completion", "_demo", "__main__", ""},
]
DISPLAYS = ["_displays", "_latent_displays", "_picture_displays"]
FILES = sorted(Path(colorvae_sk.__file__).parent.glob("**/*.py"))
MODULES = [path.stem for path in FILES if path.stem not in ("__init__", "__main__")]


def floor_of(module):
    """Height of a module in the house."""
    return next(i for i, floor in enumerate(FLOORS) if module in floor)


def imported_names(tree):
    """Dotted names that the code imports, the package's own made absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = ["colorvae_sk"] * bool(node.level) + [node.module or ""]
            home = ".".join(filter(None, parts))
            yield from (f"{home}.{alias.name}" for alias in node.names)


def modules_used(source):
    """Modules of the house that the source imports, anywhere in the file."""
    for name in imported_names(ast.parse(source)):
        package, _, rest = name.partition(".")
        first = rest.split(".")[0]
        if package == "colorvae_sk" and first != "__version__":
            yield colorvae_sk._HOMES.get(first, first)


def modules_loaded_by(statement):
    """Top-level packages that a fresh interpreter has loaded after the statement."""
    code = f"import sys; {statement}; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_every_file_has_its_floor():
    assert set(MODULES) <= set().union(*FLOORS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_module_imports_from_above(path):
    used = set(modules_used(path.read_text(encoding="utf-8")))
    if path.stem == "__init__":
        assert not used  # it imports when asked
    else:
        assert {m for m in used if floor_of(m) > floor_of(path.stem)} == set()


@pytest.mark.parametrize(
    "source",
    [
        "from ._base import BaseColorVAE",
        "from . import _base",
        "import colorvae_sk",
        "import colorvae_sk._base as base",
        "from colorvae_sk._base import BaseColorVAE",
        "def f():\n    from colorvae_sk import ColorVAE",
    ],
)
def test_the_order_is_read_from_every_form_of_import(source):
    assert max(map(floor_of, modules_used(source))) > floor_of("_net")


@pytest.mark.parametrize("module", ["", *(f".{m}" for m in MODULES)])
def test_names_in_all_exist(module):
    module = importlib.import_module(f"colorvae_sk{module}")
    missing = [n for n in getattr(module, "__all__", ()) if not hasattr(module, n)]
    assert missing == []


def test_public_names_are_listed_and_others_refused():
    assert set(colorvae_sk.__all__) <= set(dir(colorvae_sk))
    with pytest.raises(AttributeError, match="no attribute 'ColourVAE'"):
        _ = colorvae_sk.ColourVAE


def test_editors_see_the_public_names_where_they_are():
    package = resources.files(colorvae_sk)
    assert package.joinpath("py.typed").is_file()
    stub = ast.parse(package.joinpath("__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert seen == colorvae_sk._HOMES
    assert all(alias.asname == alias.name for node in imports for alias in node.names)


def test_package_is_light_to_import():
    heavy = {"torch", "skorch", "matplotlib", "skimage", "sklearn"}
    assert modules_loaded_by("import colorvae_sk") & heavy == set()


@pytest.mark.parametrize(
    "module", ["_images", "_pictures", "metrics", "_calibration", *DISPLAYS]
)
def test_module_does_without_torch(module):
    loaded = modules_loaded_by(f"import colorvae_sk.{module}")
    assert loaded & {"torch", "skorch"} == set()


def test_matplotlib_waits_until_something_is_drawn():
    everything = ", ".join(f"colorvae_sk.{m}" for m in MODULES)
    assert "matplotlib" not in modules_loaded_by(f"import {everything}")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_file_is_longer_than_800_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 800
