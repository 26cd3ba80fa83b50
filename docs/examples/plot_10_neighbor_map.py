"""
A map of digits that new rows can be put into
=============================================

t-SNE draws clusters well and cannot place a row that it has not seen. UMAP can.
``NeighborMapTransformer`` can too, and its way back shows what lies between two
clusters.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from umap import UMAP

from sklearn_ae import NeighborMapTransformer

# %%
# Three maps
# ----------
#
# A quarter of the digits is held out, and placed afterwards. t-SNE is fitted to all of
# them, for it has no other way.

X, y = load_digits(return_X_y=True)
X_train, X_new, y_train, y_new = train_test_split(
    X, y, test_size=450, stratify=y, random_state=0
)
neighbor_map = NeighborMapTransformer().fit(X_train)
umap = UMAP(random_state=0, n_jobs=1).fit(X_train)
Z_all = TSNE(random_state=0, init="pca").fit_transform(np.vstack([X_train, X_new]))
maps = {
    "NeighborMapTransformer": [neighbor_map.transform(A) for A in (X_train, X_new)],
    "UMAP": [umap.embedding_, umap.transform(X_new)],
    "t-SNE, fitted to all": np.split(Z_all, [len(X_train)]),
}

# %%
# Dots are training rows, rings are rows that were held out. The number is the share of
# these whose five nearest training rows on the map know their digit.

figure, axes = plt.subplots(1, 3, figsize=(13, 4.8), layout="constrained")
colors = plt.get_cmap("tab10").colors
for ax, (name, (Z_train, Z_new)) in zip(axes, maps.items(), strict=True):
    for digit in range(10):
        known, new = Z_train[y_train == digit], Z_new[y_new == digit]
        ax.plot(*known.T, ".", color=colors[digit], markersize=3)
        ax.plot(*new.T, "o", color=colors[digit], markersize=5, fillstyle="none")
        center = np.median(known, axis=0)
        ax.text(*center, str(digit), fontsize=13, weight="bold", ha="center")
    score = KNeighborsClassifier(5).fit(Z_train, y_train).score(Z_new, y_new)
    ax.set_title(f"{name}\nheld-out rows: 5-NN {score:.3f}", fontsize=10)
    ax.set_xticks([])
    ax.set_yticks([])
    print(f"{name}: {score:.3f}")
plt.show()

# %%
# The way back
# ------------
#
# From the middle of the zeros to the middle of the ones, in a straight line on the map.

Z_train = maps["NeighborMapTransformer"][0]
start, end = (np.median(Z_train[y_train == digit], axis=0) for digit in (0, 1))
steps = np.linspace(0, 1, 12)[:, None]
path = (1 - steps) * start + steps * end
figure, axes = plt.subplots(1, len(path), figsize=(12, 1.3), layout="constrained")
for ax, image in zip(axes, neighbor_map.inverse_transform(path), strict=True):
    ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
    ax.axis("off")
plt.show()
