"""
What transform does: projections on a curve
===========================================

One latent for points in the plane that lie around an arc. The decoder of an
autoencoder is then a curve, and a point's latent says where on the curve it belongs.
The encoder guesses that place. ``transform`` goes on from the guess to the nearest
point of the curve, as PCA's goes to the nearest point of a line.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA

from sklearn_ae import AutoencoderTransformer

# %%
# Points around an arc
# --------------------

rng = np.random.default_rng(0)


def arc(n_samples, noise):
    turn = np.pi * rng.uniform(-0.75, 0.75, size=n_samples)
    curve = np.column_stack([np.cos(turn), np.sin(turn)])
    return curve + rng.normal(scale=noise, size=curve.shape)


X_train, X_new = arc(400, noise=0.15), arc(50, noise=0.25)

# %%
# The encoder's guess and the projection
# --------------------------------------
#
# Both estimators are the same in all but ``inference``.

methods = {
    "PCA": PCA(1),
    'inference="encoder"': AutoencoderTransformer(1, inference="encoder"),
    "transform, by default": AutoencoderTransformer(1),
}
figure, axes = plt.subplots(
    1, 3, figsize=(11, 4.5), sharex=True, sharey=True, layout="constrained"
)
for ax, (name, method) in zip(axes, methods.items(), strict=True):
    Z = method.fit(X_train).transform(X_train)
    along = np.linspace(*np.quantile(Z, [0.002, 0.998]), 400)[:, None]
    curve = method.inverse_transform(along)
    X_back = method.inverse_transform(method.transform(X_new))
    ax.plot(*curve.T, color="#0072B2", linewidth=1.5)
    ends = np.stack([X_new, X_back])  # (2, 50, 2)
    ax.plot(ends[:, :, 0], ends[:, :, 1], color="#555555", linewidth=1.0)
    ax.plot(*X_new.T, "o", color="#D55E00", markersize=3.5)
    error = np.mean(np.sum((X_new - X_back) ** 2, axis=1))
    ax.set_title(f"{name}\nmean squared distance {error:.3f}", fontsize=10)
    ax.set_aspect("equal")
    print(f"{name}: {error:.3f}")
plt.show()

# %%
# Lines lead from the new points to what is kept of them. By the encoder they end up and
# down the curve; as projections they are short and meet the curve at right angles.
