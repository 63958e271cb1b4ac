"""Let atheris look for files that `load` or the reading of pictures does not refuse.

``pip install atheris``, then ``python tests/faults/fuzz_files.py -max_total_time=600``.
"""

import logging
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["colorvae_sk", "PIL", "tifffile"]):
    from colorvae_sk import load
    from colorvae_sk._pictures import read_image, read_image_size

FOLDER = tempfile.TemporaryDirectory()
NAMES = "a.safetensors", "a.png", "a.tif"


def look(data):
    """One file for each reader; a ValueError is the only refusal."""
    for name in NAMES:
        path = Path(FOLDER.name) / name
        path.write_bytes(data)
        readers = (load,) if name == NAMES[0] else (read_image_size, read_image)
        for reader in readers:
            try:
                reader(path)
            except ValueError:
                continue


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable()
    atheris.Setup(sys.argv, look)
    atheris.Fuzz()
