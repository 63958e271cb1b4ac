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
# Noise is to be removed. One photograph is kept aside; of the others, parts will do.
import numpy as np

from colorvae_sk import (
    ColorVAEGAN,
    ColorVQVAE,
    GaussianNoise,
    load_photos,
    load_pretrained,
)

photos = [np.float32(photo / 255) for photo in load_photos()]
cat = photos.pop(1)[40:200, 100:292]
parts = [photo[i : i + 96, i : i + 96] for photo in photos for i in (0, 96, 192)]
noise = GaussianNoise(0.1, random_state=0)
noisy = noise.transform([cat])

# %%
# One trunk for all
# -----------------
# ColorVAE ships with the package. Its relatives start from the same weights, and spend
# nearly all of their few steps on latents.
vae = load_pretrained()
options = {
    "weights": "natural",
    "degradation": noise,
    "latent_share": 0.95,
    "random_state": 0,
}
quantised = ColorVQVAE(max_epochs=20, **options).fit(parts)
sharp = ColorVAEGAN(max_epochs=10, **options).fit(parts)

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
# coarse to fine. ``decode_indices`` takes them back.
indices = quantised.encode_indices([cat])[0]
print(f"{indices.size} integers for {cat.size} values")
print("codes in use:", np.round(quantised.history_[-1]["perplexity"], 1))

maps, start = {"the picture": cat}, 1
for scale in (16, 8, 4, 2):
    shape = cat.shape[0] // scale, cat.shape[1] // scale
    end = start + shape[0] * shape[1]
    maps[f"codes at scale 1/{scale}"] = indices[start:end].reshape(shape)
    start = end
figure, axes = plt.subplots(1, 5, figsize=(9.6, 2.0), layout="constrained")
for axis, (title, picture) in zip(axes, maps.items(), strict=True):
    axis.imshow(picture, cmap="turbo", interpolation="nearest")
    axis.set_title(title, fontsize="medium")
    axis.set_axis_off()
plt.show()
