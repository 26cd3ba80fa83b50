"""
Swapping faces: one encoder, many decoders
==========================================

Lectures end with the network that swapped the first faces: one encoder for everybody,
one decoder per person. A face of one person that is encoded, and decoded as another, is
that other person looking the same way.

The faces are those of AT&T Laboratories Cambridge ("Olivetti"): 40 people, ten grey
pictures of each. Set the environment variable ``SKLEARN_AE_OLIVETTI`` to a folder: one
with ``olivettifaces.mat``, or one for :func:`sklearn.datasets.fetch_olivetti_faces`,
which downloads them. Otherwise scikit-learn's digits stand in for people, each turned
by an angle of its own: what is swapped is the digit, and what stays is how it leans.
"""

import os
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage
from scipy.io import loadmat
from sklearn.datasets import fetch_olivetti_faces, load_digits
from sklearn.metrics import mean_absolute_error

from sklearn_ae import FaceSwapper
from sklearn_ae.faces import SwapDisplay

folder = os.environ.get("SKLEARN_AE_OLIVETTI")
if folder and Path(folder, "olivettifaces.mat").exists():
    columns = loadmat(Path(folder, "olivettifaces.mat"))["faces"]  # one per picture
    X = columns.T.reshape(400, 64, 64).transpose(0, 2, 1) / 255
    y = np.repeat(np.arange(40), 10)
elif folder:
    X, y = fetch_olivetti_faces(data_home=folder, return_X_y=True)
    X = X.reshape(-1, 64, 64)
else:
    X, y = load_digits(return_X_y=True)
    angles = np.random.default_rng(0).uniform(-35, 35, size=len(X))
    X = np.pad(X.reshape(-1, 8, 8) / 16, ((0, 0), (1, 1), (1, 1)))
    X = ndimage.zoom(X, (1, 1.6, 1.6), order=1)  # 16 x 16
    turned = [
        ndimage.rotate(digit, angle, reshape=False, order=1)
        for digit, angle in zip(X, angles, strict=True)
    ]
    X = np.clip(turned, 0, 1)

# %%
# A few people are enough to see it. The last fifth of each one's pictures is held out.

people = [0, 5, 9, 12] if folder else [0, 3, 6]
is_test = np.zeros(len(y), dtype=bool)
for person in people:
    places = np.flatnonzero(y == person)
    is_test[places[-len(places) // 5 :]] = True
is_train = np.isin(y, people) & ~is_test
print(f"{is_train.sum()} pictures to learn from, {is_test.sum()} held out")

# %%
# Training
# --------
#
# In training the encoder sees faces that are bent at random, and the loss compares with
# the faces as they were. A second term keeps out of the latents who is seen. Ten
# pictures of a person are very few, which the estimator says; here it may.

if folder:
    swapper = FaceSwapper(width=16, random_state=0)
else:
    swapper = FaceSwapper(
        width=8,
        max_iter=40,
        learning_rate_init=3e-3,
        mmd_weight=0.1,
        n_eigenfaces=0,  # strokes are now here, now there
        flip_probability=0.0,  # mirrored digits are no digits
        random_state=0,
    )
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Fewer than 25 pictures")
    swapper.fit(X[is_train], y[is_train])

error = mean_absolute_error(
    X[is_test].ravel(), swapper.reconstruct(X[is_test], y[is_test]).ravel()
)
print(f"held-out faces by their own decoders: mean absolute error {error:.3f}")

fig, ax = plt.subplots(layout="constrained")
for person, curve in swapper.identity_loss_curves_.items():
    ax.plot(curve, label=str(person))
ax.set(xlabel="epoch", ylabel="training loss", ylim=0)
ax.spines[["right", "top"]].set_visible(False)
ax.legend(title="identity", frameon=False)

# %%
# Swaps of held-out faces
# -----------------------
#
# Each line starts with a face that the network has not seen. Next to it stands what its
# own decoder makes of it, then the other people in the same pose.

# sphinx_gallery_thumbnail_number = 2
SwapDisplay.from_estimator(swapper, X[is_test], y[is_test], n_samples=3)

# %%
# Nobody's face
# -------------
#
# Latents that are drawn from the density of all training faces, each shown as every
# person: rows have the same latents, so the same pose.

Z = swapper.transform(X[is_train])
drawn = np.random.default_rng(0).multivariate_normal(Z.mean(axis=0), np.cov(Z.T), 6)
fig, axes = plt.subplots(
    len(people), 6, figsize=(7, 1.2 * len(people)), layout="constrained"
)
for line, person in zip(axes, people, strict=True):
    line[0].set_ylabel(str(person))
    for ax, face in zip(line, swapper.inverse_transform(drawn, person), strict=True):
        ax.imshow(face, cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
plt.show()
