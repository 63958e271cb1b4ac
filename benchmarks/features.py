"""Latents as features: digits told apart by eight numbers, of ColorVAE and of PCA.

Both codes go through the same logistic regression, in five-fold cross-validation. Then
ColorVAE is fitted to 10,000 rows, digits with noise, and the seconds are told.

    python benchmarks/features.py [--csv FILE] [--quick]
"""

import argparse
import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from table import print_table, write_csv

from colorvae_sk import ColorVAE, LatentFeatures

N_CODES = 8
N_ROWS, FEW_EPOCHS = 10_000, 20  # as many steps as 110 passes over the digits alone


def vae(**options):
    """A plain VAE of rows, which sees small batches: so few rows make few large ones.

    Its codes may tell more than beta=1 would pay for.
    """
    usual = {"n_latent": N_CODES, "beta": 0.3, "degradation": None, "random_state": 0}
    return ColorVAE(**(usual | {"batch_size": 32, "lr": 3e-3} | options))


def candidates(epochs):
    """What makes the codes, by name."""
    return {
        "PCA": PCA(N_CODES, random_state=0),
        "ColorVAE": LatentFeatures(vae(max_epochs=epochs)),
        "ColorVAE, beta=1": LatentFeatures(vae(max_epochs=epochs, beta=1.0)),
    }


def compare(X, y, epochs, n_folds):
    """A row for each kind of codes: accuracy in cross-validation, and seconds."""
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=0)
    for name, codes in candidates(epochs).items():
        pipe = make_pipeline(codes, StandardScaler(), LogisticRegression(max_iter=2000))
        began = time.perf_counter()
        scores = cross_val_score(pipe, X, y, cv=folds)
        seconds = (time.perf_counter() - began) / n_folds
        yield {
            "codes": name,
            "accuracy": float(scores.mean()),
            "standard error": float(scores.std(ddof=1) / np.sqrt(n_folds)),
            "seconds of a fold": seconds,
        }


def many_rows(X, n_rows):
    """Digits over and over, with noise."""
    rng = np.random.default_rng(0)
    rows = X[np.arange(n_rows) % len(X)]
    return np.clip(rows + rng.normal(0, 1, rows.shape), 0, 16)


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=40, help="passes over the digits")
    parser.add_argument("--csv", help="file to write all digits to")
    parser.add_argument("--quick", action="store_true", help="one pass, two folds")
    return parser.parse_args()


def main():
    """Print both tables."""
    options = parse()
    X, y = load_digits(return_X_y=True)
    epochs, n_folds = (1, 2) if options.quick else (options.epochs, 5)
    rows = list(compare(X, y, epochs, n_folds))
    print_table(rows)
    if options.csv:
        write_csv(rows, options.csv)
    n_rows = N_ROWS // 10 if options.quick else N_ROWS
    began = time.perf_counter()
    vae(max_epochs=1 if options.quick else FEW_EPOCHS).fit(many_rows(X, n_rows))
    print(f"{n_rows} rows are fitted in {time.perf_counter() - began:.1f} seconds.")


if __name__ == "__main__":
    main()
