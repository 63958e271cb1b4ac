"""``python -m colorvae_sk`` is the command ``colorvae``."""

import sys

from .cli import main

sys.exit(main())
