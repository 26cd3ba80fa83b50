"""Seconds and memory of fit and transform, from commit to commit, run by asv."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_ae import AutoencoderTransformer

# Name: rows, columns, latents, epochs. Small ones show what is done besides arithmetic.
SHAPES = {
    "500 x 10": (500, 10, 2, 2),
    "10000 x 30": (10_000, 30, 4, 3),
    "10000 x 784": (10_000, 784, 2, 1),
}


class Autoencoder:
    """A few epochs, so that a run takes seconds and early stopping has no say."""

    param_names = ("table",)
    params = tuple(SHAPES)
    timeout = 300

    def setup(self, name: str) -> None:
        warnings.simplefilter("ignore", ConvergenceWarning)
        n_rows, n_columns, self.k, self.n_epochs = SHAPES[name]
        rng = np.random.default_rng(0)
        factors = rng.normal(size=(n_rows, 4)).astype(np.float32)
        mixing = rng.normal(size=(4, n_columns)).astype(np.float32)
        self.X = np.tanh(factors @ mixing)
        self.fitted = self._fit()
        self.Z = self.fitted.transform(self.X)

    def _fit(self) -> AutoencoderTransformer:
        model = AutoencoderTransformer(self.k, max_iter=self.n_epochs, device="cpu")
        return model.fit(self.X)

    def time_fit(self, name: str) -> None:
        self._fit()

    def time_transform(self, name: str) -> None:
        self.fitted.transform(self.X)

    def time_transform_one_row(self, name: str) -> None:
        self.fitted.transform(self.X[:1])

    def time_inverse_transform(self, name: str) -> None:
        self.fitted.inverse_transform(self.Z)

    def peakmem_fit(self, name: str) -> None:
        self._fit()
