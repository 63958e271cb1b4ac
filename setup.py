"""The package's metadata; the settings of the tools are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
INIT = (HERE / "colorvae_sk" / "__init__.py").read_text(encoding="utf-8")

# The reason for each is in docs/dependencies.rst.
REQUIRED = [
    "numpy>=1.26",
    "scipy>=1.11.4",
    "scikit-learn>=1.6",
    "scikit-image>=0.22",
    "pillow>=11.0",
    "torch>=2.6",
    "skorch>=1.1",
    "safetensors>=0.4.5",
    "joblib>=1.4",
    "threadpoolctl>=3.1",
    "tqdm>=4.66",
]
PLOT = ["matplotlib>=3.8"]
BENCH = ["PyWavelets>=1.6"]
DASK = ["dask[distributed]>=2025.1"]
ACCELERATE = ["accelerate>=1.0"]
TEST = [
    *PLOT,
    *BENCH,
    "pytest>=8",
    "pytest-xdist>=3.6.1",
    "hypothesis>=6.100",
    "pandas>=2.2",
    "polars>=1.0",
    "ruff>=0.12",
]
DOCS = [
    *PLOT,
    "sphinx>=8",
    "numpydoc>=1.8",
    "sphinx-gallery>=0.18",
    "pydata-sphinx-theme>=0.16",
]

setup(
    name="colorvae_sk",
    version=re.search(r'^__version__ = "(.+)"$', INIT, re.MULTILINE)[1],
    description="Variational autoencoders that restore colour pictures, "
    "as scikit-learn estimators",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="colorvae_sk developers",
    license_expression="BSD-3-Clause",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Image Processing",
    ],
    packages=["colorvae_sk"],
    package_data={"colorvae_sk": ["weights/*", "page/*", "py.typed", "*.pyi"]},
    python_requires=">=3.11",
    install_requires=REQUIRED,
    extras_require={
        "plot": PLOT,
        "bench": BENCH,
        "dask": DASK,
        "accelerate": ACCELERATE,
        "test": TEST,
        "docs": DOCS,
    },
    entry_points={"console_scripts": ["colorvae = colorvae_sk.cli:main"]},
)
