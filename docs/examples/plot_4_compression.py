"""
Image compression
=================

An image of a digit has 64 or 784 pixels, but few ways to differ from other digits. An
encoder stores it as ``k`` numbers, its latents, and the decoder restores it: lectures
show this as compression, with the encoder where an image is sent and the decoder where
it is received.

Numbers take bytes. Here each latent is stored as a float of 16 bits, or as one of 256
equally spaced levels, which takes 8 bits. The quality of the restored test images, as
peak signal-to-noise ratio (PSNR), is compared with that of PCA, stored in the same two
ways, and of JPEG.
"""

import os
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.datasets import load_mnist

folder = os.environ.get("SKLEARN_AE_MNIST")
if folder:
    X_train, _ = load_mnist(folder, split="train")
    X_test, _ = load_mnist(folder, split="test")
    image_shape = (28, 28)
    numbers = [8, 16, 32, 64]
else:
    X, y = load_digits(return_X_y=True)
    X_train, X_test = train_test_split(X / 16, stratify=y, random_state=0)
    image_shape = (8, 8)
    numbers = [2, 4, 8, 16]


def psnr(X_restored):
    """Peak signal-to-noise ratio where the brightest pixels are 1, in dB."""
    return -10 * np.log10(mean_squared_error(X_test, X_restored))


# %%
# Latents as bytes
# ----------------
#
# The 256 levels of a latent lie between its lowest and its highest value in the
# training images. What follows stores the test images with 2 and with 1 byte per
# latent, and restores them.


def to_float16_and_back(Z):
    return Z.astype(np.float16).astype(np.float64)


def to_8_bits_and_back(Z, Z_train):
    low, high = Z_train.min(axis=0), Z_train.max(axis=0)
    levels = np.clip(np.round(255 * (Z - low) / (high - low)), 0, 255).astype(np.uint8)
    return low + levels / 255 * (high - low)


restored = {}  # images by method and bytes per image
for k in numbers:
    pca = PCA(k, random_state=0).fit(X_train)
    autoencoder = AutoencoderTransformer(k, random_state=0).fit(X_train)
    for name, model in {"PCA": pca, "autoencoder": autoencoder}.items():
        Z_train, Z_test = model.transform(X_train), model.transform(X_test)
        Z_stored = to_float16_and_back(Z_test)
        restored[f"{name}, float16", 2 * k] = model.inverse_transform(Z_stored)
        Z_stored = to_8_bits_and_back(Z_test, Z_train)
        restored[f"{name}, 8 bits", k] = model.inverse_transform(Z_stored)

# %%
# The decoder is needed to restore the images, as PCA's components are. It is sent once,
# for any number of images, and not counted here.

n_decoder = sum(weights.numel() for weights in autoencoder.module_.decoder.parameters())
print(
    f"with {k} latents the decoder has {n_decoder} numbers, PCA {pca.components_.size}"
)

# %%
# JPEG
# ----
#
# A JPEG file starts with several hundred bytes that are the same for all small images.
# To count them once only, all test images are put side by side in one large picture,
# which is stored in one file. Its bytes are divided by the number of images.

height, width = image_shape
n_columns = 50
n_lines = -(-len(X_test) // n_columns)
sheet = np.zeros((n_lines * n_columns, height, width))
sheet[: len(X_test)] = X_test.reshape(-1, height, width)
sheet = sheet.reshape(n_lines, n_columns, height, width).swapaxes(1, 2)
picture = Image.fromarray(
    np.round(255 * sheet.reshape(n_lines * height, -1)).astype(np.uint8)
)
for quality in (1, 5, 10, 15, 20, 30, 40, 50, 60, 70, 80):
    file = BytesIO()
    picture.save(file, "JPEG", quality=quality, optimize=True)
    pixels = np.asarray(Image.open(file)) / 255
    tiles = pixels.reshape(n_lines, height, n_columns, width).swapaxes(1, 2)
    n_bytes = file.tell() / len(X_test)
    restored["JPEG", n_bytes] = tiles.reshape(-1, height * width)[: len(X_test)]

# %%
# Quality by bytes
# ----------------
#
# Eight bits per latent are enough: they cost little quality beside 16, and half the
# bytes. For the same bytes the autoencoder restores the images better than PCA. JPEG
# knows nothing of digits and has to describe each image anew, but it can describe any
# detail: where bytes are not scarce, it is the better choice.

curves = {}
for (name, n_bytes), X_restored in restored.items():
    curves.setdefault(name, []).append((n_bytes, psnr(X_restored)))
for name, points in curves.items():
    shown = ", ".join(f"{quality:.1f} ({n_bytes:.0f})" for n_bytes, quality in points)
    print(f"{name:21s} dB (bytes): {shown}")

_, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
colors = {"PCA": "#0072B2", "autoencoder": "#D55E00", "JPEG": "#404040"}
for name, points in curves.items():
    method, _, way = name.partition(", ")
    style = {"float16": "o:", "8 bits": "o-", "": "s-"}[way]
    ax.plot(*zip(*points, strict=True), style, color=colors[method], label=name)
ax.set_xscale("log", base=2)
ax.xaxis.set_major_formatter("{x:g}")
ax.set(
    xlabel="bytes per image",
    ylabel="PSNR of the restored test images (dB)",
    title=f"Uncompressed, an image has {height * width} bytes",
)
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %%
# The images
# ----------
#
# The first test images, as each method restores them from about as many bytes.

k = numbers[2]
n_jpeg = min(
    (n_bytes for name, n_bytes in restored if name == "JPEG"),
    key=lambda n_bytes: abs(n_bytes - k),
)
lines = {
    f"original, {height * width} bytes": X_test,
    f"autoencoder, {k} bytes": restored["autoencoder, 8 bits", k],
    f"PCA, {k} bytes": restored["PCA, 8 bits", k],
    f"JPEG, {n_jpeg:.1f} bytes": restored["JPEG", n_jpeg],
}
_, axes = plt.subplots(len(lines), 10, figsize=(11, 4), layout="constrained")
for line, (name, images) in zip(axes, lines.items(), strict=True):
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for ax, image in zip(line, images, strict=False):
        ax.imshow(image.reshape(image_shape), cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
plt.show()
