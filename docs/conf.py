"""How Sphinx builds the documentation."""

import colorvae_sk

project = "colorvae_sk"
author = "colorvae_sk developers"
copyright = "2026, colorvae_sk developers"
version = release = colorvae_sk.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]
html_theme = "pydata_sphinx_theme"
html_title = f"colorvae_sk {release}"
html_show_sourcelink = False

# The templates in _templates list the members, so numpydoc need not.
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "doc_module": "colorvae_sk",
    "abort_on_example_error": True,
    "min_reported_time": 1,
    "capture_repr": ("_repr_html_",),  # displays draw; they need no words
}


def skip_what_scikit_learn_wrote(app, what, name, obj, skip, options):
    """Leave out inherited methods: their texts refer to scikit-learn's own pages."""
    is_theirs = str(getattr(obj, "__module__", "")).startswith("sklearn.")
    return True if is_theirs else None  # None: as Sphinx would decide


def setup(app):
    """Tell Sphinx what to leave out."""
    app.connect("autodoc-skip-member", skip_what_scikit_learn_wrote)
