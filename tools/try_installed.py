"""Fit, save and load with the package that is installed, outside of the repository."""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_iris

import sklearn_ae


def main() -> None:
    X = load_iris().data
    estimator = sklearn_ae.AutoencoderTransformer(2).fit(X)
    with tempfile.TemporaryDirectory() as folder:
        sklearn_ae.save(estimator, Path(folder, "iris.safetensors"))
        loaded = sklearn_ae.load(Path(folder, "iris.safetensors"))
    if not np.array_equal(loaded.transform(X), estimator.transform(X)):
        raise SystemExit("The loaded estimator gives other latents.")
    print(f"sklearn_ae {sklearn_ae.__version__} works in {sklearn_ae.__path__[0]}")


if __name__ == "__main__":
    main()
