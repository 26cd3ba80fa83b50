"""Tensors under scikit-learn's dispatch: in, and out in their kind."""

import os
import subprocess
import sys
from pathlib import Path

UNDER_DISPATCH = """
import warnings
import numpy as np
import torch
import sklearn
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn_ae import AutoencoderTransformer, EncoderDecoderRegressor, VAETransformer

warnings.simplefilter("ignore")
quick = dict(hidden_layer_sizes=(4,), max_iter=1, early_stopping=False)
X = np.random.RandomState(0).standard_normal((60, 4))
tensor = torch.from_numpy(X)
expected = AutoencoderTransformer(2, **quick).fit(X).transform(X)
sklearn.set_config(array_api_dispatch=True)
assert (AutoencoderTransformer(2, **quick).fit(X).transform(X) == expected).all()
fitted = AutoencoderTransformer(2, **quick).fit(tensor)
Z = fitted.transform(tensor)
assert isinstance(Z, torch.Tensor) and Z.dtype == torch.float64
assert (Z.numpy() == expected).all()
for answer in (
    fitted.inverse_transform(Z),
    fitted.reconstruct(tensor),
    fitted.score_samples(tensor),
    fitted.fit_transform(tensor),
    VAETransformer(2, **quick).fit(tensor).score_samples(tensor),
    EncoderDecoderRegressor(2, **quick).fit(tensor, tensor[:, 0]).predict(tensor),
    make_pipeline(StandardScaler(), fitted).fit(tensor).transform(tensor),
):
    assert isinstance(answer, torch.Tensor), type(answer)
assert fitted.transform(tensor.float()).dtype == torch.float32
assert isinstance(fitted.score(tensor), float)
assert isinstance(fitted.transform(X), np.ndarray)
"""


def test_tensors_in_and_out():
    folder = Path(__file__).parents[2]
    environment = {**os.environ, "SCIPY_ARRAY_API": "1", "PYTHONPATH": str(folder)}
    subprocess.run(
        [sys.executable, "-c", UNDER_DISPATCH], env=environment, check=True, timeout=300
    )
