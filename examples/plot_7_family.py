"""
Samples with codes, samples with a critic
=========================================

:class:`~colorvae_sk.ColorVAE` has two relatives on the same ladder. The latents of
:class:`~colorvae_sk.ColorVQVAE` are code vectors out of a small book, so that a picture
has a code of integers. Those of :class:`~colorvae_sk.ColorVAEGAN` learn against a
critic, so that a single sample has the grain of a photograph. Both restore as ColorVAE
does; they differ in what they draw.
"""

# %%
# Photographs to learn from
# -------------------------
# Noise is to be removed. One photograph is kept aside.
import numpy as np

from colorvae_sk import ColorVAE, ColorVAEGAN, ColorVQVAE, GaussianNoise, load_photos

photos = [np.float32(photo / 255) for photo in load_photos()]
cat = photos.pop(1)[40:200, 100:300]
noise = GaussianNoise(0.1, random_state=0)
noisy = noise.transform([cat])

# %%
# One trunk for all
# -----------------
# ColorVAE learns for 20 seconds. Its relatives start from what it has learned, so they
# may spend nearly all of their 12 seconds on latents.
import tempfile
from pathlib import Path

from colorvae_sk import save

options = {"degradation": noise, "lr": 3e-3, "max_epochs": 1000, "random_state": 0}
vae = ColorVAE(widths=(24, 48), n_blocks=1, max_seconds=20, **options).fit(photos)
with tempfile.TemporaryDirectory() as folder:
    file = str(Path(folder) / "vae.safetensors")
    save(vae, file)
    options |= {"weights": file, "max_seconds": 12, "latent_share": 0.9}
    quantised = ColorVQVAE(**options).fit(photos)
    sharp = ColorVAEGAN(**options).fit(photos)

# %%
# One sample of each
# ------------------
# A restoration is the mean of what is plausible, and so it is soft. A sample is one
# of the pictures that might have been.
from matplotlib import pyplot as plt

pictures = {
    "clean": cat,
    "noisy": noisy[0],
    "restored": vae.transform(noisy)[0],
    "ColorVAE, a sample": vae.sample_posterior(noisy, random_state=0)[0][0],
    "ColorVQVAE, a sample": quantised.sample_posterior(noisy, random_state=0)[0][0],
    "ColorVAEGAN, a sample": sharp.sample_posterior(noisy, random_state=0)[0][0],
}
figure, axes = plt.subplots(2, 3, figsize=(9.6, 5.4), layout="constrained")
for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
    axis.imshow(picture[30:110, 50:150].clip(0, 1))
    axis.set_title(title, fontsize="medium")
    axis.set_axis_off()

# %%
# The code of a picture
# ---------------------
# ``encode_indices`` gives an integer for each place: the colours' first, then from
# coarse to fine. ``decode_indices`` makes a picture of them, and of nothing else.
indices = quantised.encode_indices([cat])
print(f"{indices.size} integers for {cat.size} values")
print("codes in use:", np.round(quantised.history_[-1]["perplexity"], 1))

n_rows, n_columns = cat.shape[0] // 4, cat.shape[1] // 4
coarse, fine = np.split(indices[0, 1:], [n_rows * n_columns])
maps = {
    "codes at scale 1/4": coarse.reshape(n_rows, n_columns),
    "codes at scale 1/2": fine.reshape(2 * n_rows, 2 * n_columns),
}
figure, axes = plt.subplots(1, 3, figsize=(9.6, 2.9), layout="constrained")
for axis, (title, codes) in zip(axes, maps.items(), strict=False):
    axis.imshow(codes, cmap="turbo", interpolation="nearest")
    axis.set_title(title, fontsize="medium")
axes[2].imshow(quantised.decode_indices(indices, cat.shape[:2])[0].clip(0, 1))
axes[2].set_title("decoded from them alone", fontsize="medium")
for axis in axes:
    axis.set_axis_off()
plt.show()
