"""
Digits in a plane: an autoencoder
=================================

An encoder turns an image into two numbers, its latents, and a decoder turns the two
numbers back into an image. Both learn together to make the way there and back change
the image little. Lectures set this as the first exercise: train an autoencoder with two
latents on images of digits, plot where the digits of the test set lie, and plot which
digits the points of the plane stand for.
"""

import os

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.datasets import load_mnist
from sklearn_ae.plotting import (
    LatentMapDisplay,
    LatentSpaceDisplay,
    ReconstructionDisplay,
)

# %%
# The digits
# ----------
#
# Each row is an image, line by line, with brightness from 0 to 1. By default these are
# scikit-learn's digits of 8 x 8 pixels; with ``SKLEARN_AE_MNIST=folder`` they are those
# of MNIST, of 28 x 28 pixels.

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
print(f"{len(X_train)} images to learn from, {len(X_test)} to test on")

# %%
# Where the digits lie
# --------------------
#
# The autoencoder starts as PCA, the best linear map to two numbers, and improves on it.
# Neither sees the labels: they only colour the points. PCA puts most digits on top of
# each other. The autoencoder bends the plane so that images which look alike come
# together, and most digits have an area of their own.

# sphinx_gallery_thumbnail_number = 2
pca = PCA(2, random_state=0).fit(X_train)
autoencoder = AutoencoderTransformer(2, random_state=0).fit(X_train)

_, axes = plt.subplots(1, 2, figsize=(12, 5.2), layout="constrained")
for ax, model, title in zip(
    axes, [pca, autoencoder], ["PCA", "Autoencoder"], strict=True
):
    display = LatentSpaceDisplay.from_estimator(
        model, X_test, y_test, y_name="digit", ax=ax
    )
    ax.set_title(f"{title}: the test set in two latents")
axes[0].get_legend().remove()

# %%
# How much of the images is left in the two numbers? Two figures tell: the mean squared
# error of the reconstructed test images, and how often the five nearest training images
# in the plane have the digit of the test image.

for model in [pca, autoencoder]:
    Z_train, Z_test = model.transform(X_train), model.transform(X_test)
    error = mean_squared_error(X_test, model.inverse_transform(Z_test))
    accuracy = KNeighborsClassifier(5).fit(Z_train, y_train).score(Z_test, y_test)
    print(
        f"{type(model).__name__:22s} squared error {error:.4f}, "
        f"right digit by nearest neighbours {accuracy:.1%}"
    )

# %%
# What the plane stands for
# -------------------------
#
# The decoder makes an image of any point, also where no training image lies. A grid of
# points gives a map: it shows the same areas as the scatter above, and how one digit
# turns into another from one area to the next.

display = LatentMapDisplay.from_estimator(
    autoencoder, X_train, grid_resolution=17, image_shape=image_shape
)
_ = display.axes_[0].set_title("Decoded points of the latent plane")

# %%
# Images of the test set beside what comes back: strokes are those of the typical digit
# at that point, and where two digits share an area, one is taken for the other.

display = ReconstructionDisplay.from_estimator(
    autoencoder, X_test, image_shape=image_shape
)
plt.show()
