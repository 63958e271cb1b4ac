"""What importing the package costs on top of importing torch.

Each number is the median over fresh processes, which take turns.

    python benchmarks/import_time.py [--repeats 7]
"""

import argparse
import subprocess
import sys
from statistics import median

from table import print_table

AFTER_TORCH = {
    "import colorvae_sk": "import colorvae_sk",
    "from colorvae_sk import ColorVAE": "from colorvae_sk import ColorVAE",
    "import sklearn, skorch": "import sklearn.pipeline, skorch",
}
PROGRAM = """
import time
began = time.perf_counter()
import torch
middle = time.perf_counter()
{statement}
print(middle - began, time.perf_counter() - middle)
"""


def seconds(statement):
    """Seconds to import torch, and then to run the statement, in a fresh process."""
    command = [sys.executable, "-c", PROGRAM.format(statement=statement)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return tuple(map(float, done.stdout.split()))


def main():
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=7, help="processes of each")
    repeats = parser.parse_args().repeats
    runs = [
        {name: seconds(code) for name, code in AFTER_TORCH.items()}
        for _ in range(repeats)
    ]
    rows = [
        {"after import torch": name, "seconds": median(run[name][1] for run in runs)}
        for name in AFTER_TORCH
    ]
    torch_alone = median(times[0] for run in runs for times in run.values())
    print_table(
        [*rows, {"after import torch": "(torch itself)", "seconds": torch_alone}]
    )


if __name__ == "__main__":
    main()
