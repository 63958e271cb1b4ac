"""
Search for parameters as anywhere in scikit-learn
=================================================

Degradations are transformers, :class:`~colorvae_sk.ColorVAE` is an estimator, and
:data:`~colorvae_sk.psnr_scorer` scores both: so a Pipeline of them goes to
:class:`~sklearn.model_selection.GridSearchCV`, which here looks for the learning rate
and the width of the network that serve a short training best.
"""

# %%
# Pictures
# --------
# Twenty-four squares of 64 x 64 pixels, from photographs at a third of their size.
import numpy as np

from colorvae_sk import ColorVAE, GaussianNoise, load_photos, psnr_score, psnr_scorer

corners = [(0, 0), (0, 48), (36, 0), (36, 48)]
X = np.stack(
    [
        photo[::3, ::3][row : row + 64, column : column + 64]
        for photo in load_photos()
        for row, column in corners
    ]
)
print(X.shape, X.dtype)

# %%
# The search
# ----------
# The pipeline is fitted on (X, X): the first step makes a noisy copy, the second
# learns the way back. As the noise of a picture depends on ``random_state`` and the
# picture alone, all candidates are scored on the same noise.
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

noise = GaussianNoise(0.1, random_state=0)
pipeline = Pipeline(
    [
        ("degrade", noise),
        ("restore", ColorVAE(n_blocks=1, max_epochs=20, random_state=0)),
    ]
)
grid = {
    "restore__lr": [0.001, 0.003, 0.01],
    "restore__widths": [(16, 32), (32, 64)],
}
search = GridSearchCV(pipeline, grid, scoring=psnr_scorer, cv=2)
search.fit(X[4:], X[4:])
print(search.best_params_)

# %%
# What came out
# -------------
# On the right, the best pipeline on a picture that the search has not seen. (The
# pipeline adds the noise itself; for pictures that are noisy already, there is
# ``search.best_estimator_["restore"]``.)
from matplotlib import pyplot as plt

figure, axes = plt.subplots(
    1, 4, figsize=(12.8, 3.4), width_ratios=[1.4, 1, 1, 1], layout="constrained"
)
scores = search.cv_results_["mean_test_score"].reshape(3, 2)  # lr, widths
for widths, curve in zip(grid["restore__widths"], scores.T, strict=True):
    axes[0].plot(grid["restore__lr"], curve, "o-", label=f"widths {widths}")
axes[0].axhline(psnr_score(X, noise.transform(X)), color="grey", label="nothing done")
axes[0].set(xscale="log", xlabel="learning rate", ylabel="PSNR in dB")
axes[0].legend()

clean, noisy, restored = X[:1], noise.transform(X[:1]), search.predict(X[:1])
states = {"noisy": noisy, "restored": restored, "clean": clean}
for axis, (name, picture) in zip(axes[1:], states.items(), strict=True):
    axis.imshow(picture[0], interpolation="nearest")
    axis.set_axis_off()
    axis.set_title(name)
for axis, picture in zip(axes[1:], (noisy, restored), strict=False):
    score = psnr_score(clean, picture)
    axis.text(0.5, -0.08, f"{score:.1f} dB", ha="center", transform=axis.transAxes)
plt.show()
