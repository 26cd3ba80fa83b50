"""
Segmentation: masks from images
===============================

Which pixels of an image belong to the object? A network for segmentation is given the
image and learns to give the mask: the same encoder and decoder as those of an
autoencoder, but with a target that is not the input. The decoder sees the encoder's
maps of every size beside the latents, as in a U-Net, since edges do not fit into a few
latents.

The images are made here: digits, in a grey of their own, on stripes of random width,
direction and phase, with some noise. The stripes are darker in some places than the
digit and brighter in others, so that no brightness tells which is which. What counts is
the intersection over union (IoU) on images of the test set: of the pixels that are in
the true mask or in the predicted one, the share that is in both.
"""

import os

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split

from sklearn_ae import EncoderDecoderRegressor
from sklearn_ae.datasets import load_mnist

# %%
# The images
# ----------
#
# By default the digits are those of scikit-learn, enlarged from 8 x 8 to 16 x 16
# pixels; with ``SKLEARN_AE_MNIST=folder`` they are those of MNIST, of 28 x 28 pixels.

folder = os.environ.get("SKLEARN_AE_MNIST")
if folder:
    size = 28
    digits_train, _ = load_mnist(folder, split="train")
    digits_test, _ = load_mnist(folder, split="test")
else:
    size = 16
    digits, y = load_digits(return_X_y=True)
    digits = ndimage.zoom(digits.reshape(-1, 8, 8) / 16, (1, 2, 2), order=1)
    digits_train, digits_test = train_test_split(
        digits.reshape(-1, size * size), stratify=y, random_state=0
    )
rng = np.random.default_rng(0)


def draw_on_stripes(digits):
    """Images of the digits on stripes, and the digits' masks, as flattened rows."""
    grey, angle, width, phase = rng.uniform(
        [0.6, 0, 4, 0], [0.9, np.pi, 8, 2 * np.pi], size=(len(digits), 4)
    ).T[:, :, None]
    line, column = np.divmod(np.arange(size * size), size)
    along = column * np.cos(angle) + line * np.sin(angle)
    stripes = 0.5 + 0.4 * np.sin(2 * np.pi * along / width + phase)
    masks = digits > 0.5
    images = np.where(masks, grey, stripes) + rng.normal(0, 0.05, masks.shape)
    return images.clip(0, 1).astype(np.float32), masks


X_train, Y_train = draw_on_stripes(digits_train)
X_test, Y_test = draw_on_stripes(digits_test)
print(f"{len(X_train)} images to learn from, {len(X_test)} to test on")

# %%
# The masks
# ---------
#
# With ``loss="log_loss"`` predictions are probabilities: a pixel belongs to the digit
# where it is more likely than not that it does.

regressor = EncoderDecoderRegressor(
    image_shape=(size, size), loss="log_loss", random_state=0
).fit(X_train, Y_train)
Y_predicted = regressor.predict(X_test) > 0.5

# %%
# Beside it stand a threshold on the brightness and linear regression of each pixel of
# the mask on all pixels of the image. Both get the threshold that is best on the test
# set itself: what is printed for them is more than one could hope for.


def iou(masks):
    """Intersection over union of all masks with the true ones."""
    return np.sum(masks & Y_test) / np.sum(masks | Y_test)


def best_iou(values):
    return max(iou(values > t) for t in np.linspace(values.min(), values.max(), 100))


linear = Ridge(alpha=0.01 * len(X_train)).fit(X_train, Y_train)
print(f"IoU of a threshold         {best_iou(X_test):.3f}")
print(f"IoU of linear regression   {best_iou(linear.predict(X_test)):.3f}")
print(f"IoU of the encoder-decoder {iou(Y_predicted):.3f}")

# %%
# Twelve images of the test set. Errors are a pixel here and there at the edges, where
# a stripe has the grey of the digit.

_, axes = plt.subplots(3, 12, figsize=(12, 3.2), layout="constrained")
for line, (name, images) in zip(
    axes,
    {"image": X_test, "true mask": Y_test, "predicted": Y_predicted}.items(),
    strict=True,
):
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for ax, image in zip(line, images, strict=False):
        ax.imshow(image.reshape(size, size), cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
plt.show()
