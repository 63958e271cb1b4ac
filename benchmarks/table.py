"""Print rows as a table, and write them as CSV."""

import csv
from pathlib import Path

NOTHING = "-"


def print_table(rows):
    """Print dicts of one set of keys, as columns below their keys."""
    lines = [list(rows[0]), *([as_text(v) for v in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        cells = [cell.rjust(w) for cell, w in zip(others, widths[1:], strict=True)]
        print(first.ljust(widths[0]), *cells, sep="  ")


def as_text(value):
    """Three decimals of a number, and a dash where there is none."""
    if value is None:
        return NOTHING
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def write_csv(rows, file):
    """Write the same dicts with all their digits."""
    with open(file, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=rows[0])
        writer.writeheader()
        writer.writerows(rows)


def append_csv(row, file):
    """Add a dict to a file, below the names of its columns."""
    is_new = not Path(file).exists()
    with open(file, "a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=row)
        if is_new:
            writer.writeheader()
        writer.writerow(row)
