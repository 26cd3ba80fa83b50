"""
Features, anomalies and denoising
=================================

The paper that lectures point to for more, U. Michelucci's `An introduction to
autoencoders <https://arxiv.org/abs/2201.03898>`_, names three things to use them for:
latents in place of the original columns, where a classifier of nearest neighbours is
nearly as good and much faster; anomaly detection, where a shoe among digits is found
by its reconstruction error; and denoising. Here are all three.
"""

import os
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.path import Path
from sklearn.datasets import load_digits
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer
from sklearn_ae.datasets import load_mnist
from sklearn_ae.plotting import ReconstructionDisplay

folder = os.environ.get("SKLEARN_AE_MNIST")
if folder:
    X_train, y_train = load_mnist(folder, split="train")
    X_test, y_test = load_mnist(folder, split="test")
    image_shape = (28, 28)
else:
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X / 16, y, stratify=y, random_state=0
    )
    image_shape = (8, 8)

# %%
# Nearest neighbours of latents
# -----------------------------
#
# Each test image gets the digit that most of its seven nearest training images have,
# once by distances between all pixels, once between 8 latents. The autoencoder learns
# without labels. The seconds are those of the classifier alone; encoding the images
# takes the time printed below. With 64 pixels there is little time to win, with the 784
# of MNIST very much.

autoencoder = AutoencoderTransformer(8, random_state=0).fit(X_train)
start = perf_counter()
Z_train, Z_test = autoencoder.transform(X_train), autoencoder.transform(X_test)
encoding_time = perf_counter() - start

for name, train, test in (("pixels", X_train, X_test), ("latents", Z_train, Z_test)):
    start = perf_counter()
    accuracy = KNeighborsClassifier(7).fit(train, y_train).score(test, y_test)
    seconds = perf_counter() - start
    print(f"{train.shape[1]:3d} {name:7s} accuracy {accuracy:.2%} in {seconds:.3f} s")
print(f"encoding all images: {encoding_time:.3f} s")

# %%
# An anomaly among digits
# -----------------------
#
# A boot, drawn from its outline, is hidden at a random place among the test images.
# The autoencoder has only seen digits and can only give back what resembles one.
# ``score_samples`` is minus the reconstruction error: the lower, the less normal.

outline = [(0.1, 0.95), (0.1, 0.1), (0.5, 0.1), (0.55, 0.5), (0.95, 0.7), (0.95, 0.95)]
height, width = image_shape
lines, columns = (np.arange(8 * size) / (8 * size) for size in image_shape)
points = np.stack(np.meshgrid(columns, lines), axis=-1).reshape(-1, 2)
inside = Path(outline).contains_points(points)
boot = inside.reshape(height, 8, width, 8).mean(axis=(1, 3)).ravel()

place = np.random.default_rng(0).integers(len(X_test))
X_hidden = np.insert(X_test, place, boot, axis=0)
errors = -autoencoder.score_samples(X_hidden)
ranking = np.argsort(-errors)

rank = 1 + np.flatnonzero(ranking == place)[0]
print(f"the boot is number {rank} of {len(errors)} by reconstruction error")
print(f"its error: {errors[place]:.4f}")
print(f"the highest error of a digit: {np.delete(errors, place).max():.4f}")

# %%
# The ten images with the highest errors, the highest first: the boot and, far below it,
# digits in unusual handwriting.

display = ReconstructionDisplay.from_estimator(
    autoencoder, X_hidden[ranking[:10]], image_shape=image_shape
)

# %%
_, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
ax.hist(np.delete(errors, place), bins=60, color="#0072B2", label="digits")
ax.axvline(errors[place], color="#D55E00", label="boot")
ax.set(xlabel="reconstruction error", ylabel="images", xlim=(0, None), yscale="log")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %%
# Denoising
# ---------
#
# A denoising autoencoder learns to give back clean images from noisy ones. The noise on
# each pixel is as large as the pixel varies from image to image. (Why the training
# starts at random, and how PCA does on noisy images, is in the example on denoising.)

denoiser = DenoisingAutoencoderTransformer(
    32, corruption_level=1.0, init="random", learning_rate_init=6e-3, random_state=0
).fit(X_train)
noise = np.random.default_rng(0).normal(scale=X_train.std(axis=0), size=X_test.shape)
X_noisy = X_test + noise
for name, images in (("noisy", X_noisy), ("denoised", denoiser.reconstruct(X_noisy))):
    psnr = -10 * np.log10(mean_squared_error(X_test, images))
    print(f"{name:8s} {psnr:.2f} dB peak signal-to-noise ratio")

display = ReconstructionDisplay.from_estimator(
    denoiser, X_test, X_corrupted=X_noisy, image_shape=image_shape
)
plt.show()
