"""
A plane of digits, and what codes are good for
==============================================

The reference network of the literature is a dense variational autoencoder with two
latent dimensions, learned from handwritten digits. Here its plane is drawn. With eight
dimensions its codes tell the digits apart.
"""

# %%
# Digits to learn from
# --------------------
# Those that come with scikit-learn, 8 x 8 pixels small. Rows of pixels are all that the
# network asks for.
import numpy as np
from sklearn.datasets import load_digits

X, y = load_digits(return_X_y=True)
X = np.float32(X / X.max())
side = round(X.shape[1] ** 0.5)

# %%
# The plane
# ---------
# Without damage and without a clean version, each row is its own target: a plain VAE.
# ``encode`` gives the mean of the posterior of each row.
from matplotlib import pyplot as plt

from colorvae_sk import ColorVAE

options = {
    "degradation": None,
    "batch_size": 32,
    "lr": 3e-3,
    "max_epochs": 30,
    "random_state": 0,
}
vae = ColorVAE("dense", n_latent=2, **options).fit(X)
Z = vae.encode(X)

# %%
# A priori the codes are standard normal, so equal steps of probability walk through all
# that the network knows. ``decode`` tells what stands at each step.
from scipy.stats import norm

steps = norm.ppf(np.linspace(0.03, 0.97, 15))
grid = np.stack(np.meshgrid(steps, -steps), axis=-1).reshape(-1, 2)
tiles = vae.decode(grid).reshape(15, 15, side, side)
plane = tiles.transpose(0, 2, 1, 3).reshape(15 * side, 15 * side)

figure, axes = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
dots = axes[0].scatter(*Z.T, c=y, cmap="tab10", s=5)
axes[0].set(title="Codes of the digits", aspect="equal")
axes[0].legend(*dots.legend_elements(), fontsize="small")
axes[1].imshow(plane.clip(0, 1), cmap="gray_r")
axes[1].set(title="What the plane holds", xticks=[], yticks=[])

# %%
# Classification
# --------------
# :class:`~colorvae_sk.LatentFeatures` puts ``encode`` into a Pipeline, before any
# classifier. Eight codes, beside eight principal components, in cross-validation. A
# lower beta lets codes tell more than the evidence lower bound would pay for:
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from colorvae_sk import LatentFeatures

folds = StratifiedKFold(3, shuffle=True, random_state=0)
codes = {
    "PCA": PCA(8, random_state=0),
    "ColorVAE": LatentFeatures(ColorVAE("dense", n_latent=8, beta=0.3, **options)),
}
for name, features in codes.items():
    pipe = make_pipeline(features, StandardScaler(), LogisticRegression(max_iter=1000))
    print(f"{name}: {cross_val_score(pipe, X, y, cv=folds).mean():.3f}")
plt.show()
