"""
New digits: a variational autoencoder
=====================================

The decoder of an autoencoder makes an image of any latents, but nothing says which
latents to give it. A variational autoencoder (VAE) is trained so that the latents of
all images together follow a known distribution, a normal one with mean 0 and variance
1: the encoder gives a mean and a variance for each latent, the decoder is given a
random draw from these, and a second term of the loss, the Kullback-Leibler divergence,
keeps them near the normal distribution. New images then are random numbers, decoded.

This is the second exercise of lectures: two means and two variances per image, a
scatter of the means, and digits decoded from random latents.
"""

import os

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_ae import VAETransformer
from sklearn_ae.datasets import load_mnist
from sklearn_ae.plotting import (
    LatentMapDisplay,
    LatentSpaceDisplay,
    SamplesDisplay,
    TrainingCurveDisplay,
)

folder = os.environ.get("SKLEARN_AE_MNIST")
if folder:
    X_train, _ = load_mnist(folder, split="train")
    X_test, y_test = load_mnist(folder, split="test")
    image_shape = (28, 28)
else:
    X, y = load_digits(return_X_y=True)
    X_train, X_test, _, y_test = train_test_split(X / 16, y, stratify=y, random_state=0)
    image_shape = (8, 8)

# %%
# Training
# --------
#
# The loss of an image is the binary cross-entropy between it and its reconstruction,
# which suits brightness from 0 to 1, plus the divergence; both are sums, over pixels
# and over latents.

vae = VAETransformer(2, loss="log_loss", learning_rate_init=6e-3, random_state=0).fit(
    X_train
)
display = TrainingCurveDisplay.from_estimator(vae)
_ = display.ax_.set_title("Cross-entropy and divergence")

# %%
# The means
# ---------
#
# ``transform`` gives the means. They fill a disc around zero without large gaps, about
# as wide as the normal distribution that the training asks for.

Z_test = vae.transform(X_test)
print("mean of the means:              ", Z_test.mean(axis=0).round(2))
print("standard deviation of the means:", Z_test.std(axis=0).round(2))

display = LatentSpaceDisplay(latents=Z_test, y=y_test, y_name="digit").plot()
display.ax_.set_title("Means of the test images")
display.ax_.set_aspect("equal")

# %%
# The map
# -------
#
# The lines of the map are quantiles of the normal distribution, closer where it is
# denser: each image stands for an equal share of what the model would draw.

display = LatentMapDisplay.from_estimator(
    vae, grid_resolution=17, image_shape=image_shape
)
_ = display.axes_[0].set_title("Decoded points of the latent plane")

# %%
# New digits
# ----------
#
# Random numbers from the normal distribution, decoded. Most are digits that nobody has
# written, softer than real ones: with two latents, what comes back is an average of all
# images that lie close together. Some are halfway between two digits.

# sphinx_gallery_thumbnail_number = 4
SamplesDisplay.from_estimator(vae, X_test, image_shape=image_shape, random_state=0)
plt.show()
