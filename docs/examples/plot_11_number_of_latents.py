"""
How many latents, and what they are
===================================

Two things that principal components are used for: the curve of what they explain, which
says how many to take, and the loadings, which say what each of them is. Here are both,
of an autoencoder, on a table of wines.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.plotting import (
    ColumnEffectsDisplay,
    ExplainedVarianceDisplay,
    LatentTraversalDisplay,
)

X = load_wine(as_frame=True).data
X = StandardScaler().set_output(transform="pandas").fit_transform(X)

# %%
# What the first latents explain
# ------------------------------
#
# With ``nested=True`` the training also sees the rows with the first few latents alone.
# The curve beside it is that of the principal components, which the networks started
# as.

autoencoder = AutoencoderTransformer(8, nested=True, early_stopping=False).fit(X)
display = ExplainedVarianceDisplay.from_estimator(autoencoder)
display.ax_.set_title("wine: what is kept of training rows")
plt.show()

shares = autoencoder.explained_variance_ratio_.cumsum()
print(f"explained by two latents: {shares[1]:.2f}, by eight: {shares[-1]:.2f}")

# %%
# The first latents are a smaller autoencoder.

two = autoencoder.truncate(2)
print("latents of the first wine:", two.transform(X[:1]).round(2))

# %%
# What they do
# ------------
#
# Red columns go up along a latent, blue ones down; pale ones belong to others.

ColumnEffectsDisplay.from_estimator(two)
plt.show()

effects = two.column_effects().effects
for latent, row in effects.iterrows():
    strongest = row.abs().nlargest(3).index
    words = [f"{name} {'up' if row[name] > 0 else 'down'}" for name in strongest]
    print(f"Along {latent}: {', '.join(words)}.")

# %%
# A curve shows where a column stops to follow: these are means over all wines, of which
# one latent is changed.

LatentTraversalDisplay.from_estimator(two, X)
plt.show()

# %%
# So the first latent is what a wine has of phenols, the second its body: colour,
# alcohol and proline.
