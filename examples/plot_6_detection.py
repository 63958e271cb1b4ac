"""
Find what does not belong
=========================

A detector that has seen nothing but gravel is asked what is wrong with pictures of
gravel: some have a piece of another texture in them. It needs no example of what is
wrong.
"""

# %%
# Pictures that belong
# --------------------
# Crops of the left half of a photograph to learn from, of the right half to look at.
# Into three of those we paste a piece of another.
import numpy as np
from skimage.data import brick, grass, gravel

rng = np.random.default_rng(0)


def crop(texture, side):
    """A random part of a texture."""
    top, left = (rng.integers(0, n - side + 1) for n in texture.shape)
    return texture[top : top + side, left : left + side]


left, right = gravel()[:, :256], gravel()[:, 256:]
X = np.stack([crop(left, 64) for _ in range(60)])
tested = np.stack([crop(right, 96) for _ in range(4)])
tested[0, 40:68, 30:58] = crop(brick(), 28)
tested[1, 10:34, 60:84] = crop(grass(), 24)
tested[2, 50:80, 8:44] = crop(brick(), 36)[:30]

# %%
# Learning
# --------
# Inside, a ColorVAE learns to fill in missing pixels. A small one does.
from colorvae_sk import ColorVAE, MissingPixels, RestorationOutlierDetector

vae = ColorVAE(
    widths=(16, 32),
    n_blocks=1,
    degradation=MissingPixels((0.3, 0.7), size=(1, 3)),
    augmentation=None,
    max_epochs=1000,
    max_seconds=15,
    random_state=0,
)
detector = RestorationOutlierDetector(vae, random_state=0).fit(X)

# %%
# What is strange, and where
# --------------------------
# Every pixel is hidden once and filled in from around. Where the difference is not what
# it usually is, be it larger or smaller, the anomaly map is bright, and ``detect``
# draws a box.
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

verdicts = detector.predict(tested)
maps, found = detector.anomaly_map(tested), detector.detect(tested)

figure, axes = plt.subplots(2, 4, figsize=(10, 5.4), layout="constrained")
for column, verdict, picture, strange, boxes in zip(
    axes.T, verdicts, tested, maps, found, strict=True
):
    column[0].imshow(picture, cmap="gray", vmin=0, vmax=255)
    column[0].set_title("belongs" if verdict == 1 else "does not belong")
    column[1].imshow(strange, cmap="inferno", vmin=0, vmax=2 * detector.threshold_)
    for top, start, bottom, end in boxes:
        size = end - start, bottom - top
        box = Rectangle((start, top), *size, fill=False, color="red", linewidth=2)
        column[0].add_patch(box)
for axis in axes.flat:
    axis.set_axis_off()
plt.show()
