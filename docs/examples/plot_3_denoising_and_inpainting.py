"""
Denoising and inpainting
========================

A denoising autoencoder is given damaged images and learns to give back the whole ones.
It cannot copy what it sees, so it has to know what digits look like. Lectures show it
with noise added to all pixels, and with a part of the image removed, where filling the
hole is called inpainting.

Here it stands beside PCA and kernel PCA, which denoise by leaving out what their
components cannot express, as in scikit-learn's example `Image denoising using kernel
PCA <https://scikit-learn.org/stable/auto_examples/applications/plot_digits_denoising.html>`_.
All three learn from the same clean images. What counts is the peak signal-to-noise
ratio (PSNR) on images of the test set, in decibels: 3 dB more means half the squared
error.
"""

import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, KernelPCA
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split

from sklearn_ae import DenoisingAutoencoderTransformer
from sklearn_ae.datasets import load_mnist

folder = os.environ.get("SKLEARN_AE_MNIST")
if folder:
    X_train, _ = load_mnist(folder, split="train")
    X_test, _ = load_mnist(folder, split="test")
    image_shape = (28, 28)
    noise_level = 0.5
else:
    X, y = load_digits(return_X_y=True)
    X_train, X_test = train_test_split(X / 16, stratify=y, random_state=0)
    image_shape = (8, 8)
    noise_level = 0.3  # fewer pixels show less of a digit below the noise
rng = np.random.default_rng(0)


def psnr(X, X_restored):
    """Peak signal-to-noise ratio where the brightest pixels are 1, in dB."""
    return -10 * np.log10(mean_squared_error(X, X_restored))


def show(lines):
    """Draw the first ten images of each kind, one kind below the other."""
    size = (10.5, 0.95 * len(lines))
    _, axes = plt.subplots(len(lines), 10, figsize=size, layout="constrained")
    for line, (name, images) in zip(axes, lines.items(), strict=True):
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for ax, image in zip(line, images, strict=False):
            ax.imshow(image.reshape(image_shape), cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])


# %%
# Denoising
# ---------
#
# The noise on each pixel is normal. The denoising autoencoder is told what the damage
# is by a function that does it: in training each image gets new noise every time. With
# ``corruption="gaussian"`` the noise would be in proportion to what varies in a pixel;
# here pixels that are always dark are noisy too.
#
# Which weights are kept is decided on images without noise. PCA with many components
# gives those back so well that a training which starts as PCA may never count as
# better, so this one starts at random.

X_noisy = X_test + rng.normal(scale=noise_level, size=X_test.shape)


def add_noise(x):
    return x + noise_level * torch.randn_like(x)


autoencoder = DenoisingAutoencoderTransformer(
    32, corruption=add_noise, init="random", learning_rate_init=6e-3, random_state=0
).fit(X_train)

# %%
# How many components denoise best depends on the noise, and so does the kernel. PCA and
# kernel PCA therefore get the best of several settings, as judged by the test set
# itself: what is printed for them is more than one could hope for. Kernel PCA compares
# all training images with each other, and gets 1500 of them at most.

variance = X_train.var(axis=0).sum()
candidates = {
    "PCA": [PCA(k, random_state=0) for k in (4, 8, 16, 32, 60)],
    "kernel PCA": [
        KernelPCA(
            n_components=200,
            kernel="rbf",
            gamma=gamma / variance,
            alpha=alpha,
            fit_inverse_transform=True,
            random_state=0,
        )
        for gamma in (0.05, 0.15, 0.5)
        for alpha in (0.001, 0.01, 0.1)
    ],
}
for pca in candidates["PCA"]:
    pca.fit(X_train)
for kernel_pca in candidates["kernel PCA"]:
    kernel_pca.fit(X_train[:1500].astype(float))


def restore_best(settings, X_damaged, quality):
    """Restored images, from whichever of the models restores them best."""
    restored = [m.inverse_transform(m.transform(X_damaged)) for m in settings]
    return max(restored, key=quality)


def quality(X_restored):
    return psnr(X_test, X_restored)


denoised = {
    name: restore_best(settings, X_noisy, quality)
    for name, settings in candidates.items()
}
denoised["autoencoder"] = autoencoder.reconstruct(X_noisy)
print(f"{'noisy images':12s} {quality(X_noisy):5.2f} dB")
for name, X_denoised in denoised.items():
    print(f"{name:12s} {quality(X_denoised):5.2f} dB")

# %%
# PCA and kernel PCA leave clouds around the strokes and holes in them. The autoencoder
# has learned what strokes are like, and draws them.

show({"original": X_test, "noisy": X_noisy, **denoised})

# %%
# Inpainting
# ----------
#
# Now a rectangle is missing, a quarter of the image's area at a random place. In the
# hole the encoder sees the mean of all training images, which says nothing about the
# one at hand.

height, width = image_shape
top = rng.integers(height // 2 + 1, size=(len(X_test), 1))
left = rng.integers(width // 2 + 1, size=(len(X_test), 1))
line, column = np.divmod(np.arange(height * width), width)
in_hole = (line >= top) & (line < top + height // 2)
in_hole &= (column >= left) & (column < left + width // 2)
X_holed = np.where(in_hole, X_train.mean(axis=0), X_test)

inpainter = DenoisingAutoencoderTransformer(
    32,
    corruption="block",
    corruption_level=0.25,
    image_shape=image_shape,
    init="random",
    learning_rate_init=3e-3,
    random_state=0,
).fit(X_train)

# %%
# Only the hole is filled: what is there to see stays as it is, and the PSNR is that of
# the pixels in the hole. PCA and kernel PCA again get the best of their settings.


def quality_in_hole(X_restored):
    return psnr(X_test[in_hole], X_restored[in_hole])


filled = {
    name: restore_best(settings, X_holed, quality_in_hole)
    for name, settings in candidates.items()
}
filled["autoencoder"] = inpainter.reconstruct(X_holed)
print(f"{'mean image':12s} {quality_in_hole(X_holed):5.2f} dB")
for name, X_filled in filled.items():
    print(f"{name:12s} {quality_in_hole(X_filled):5.2f} dB")

# %%
# The autoencoder continues the strokes that end at the hole.

show(
    {
        "original": X_test,
        "with a hole": np.where(in_hole, 0.5, X_test),
        **{name: np.where(in_hole, X, X_test) for name, X in filled.items()},
    }
)
plt.show()
