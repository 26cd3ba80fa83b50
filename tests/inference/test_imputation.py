"""What the imputer makes of reconstructions that are far from all rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sklearn_ae import AutoencoderTransformer

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training ended:sklearn.exceptions.ConvergenceWarning"
)


def test_networks_do_not_lead_beyond_what_was_seen():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(80, 2)) @ rng.normal(size=(2, 4))
    holes = np.where(rng.uniform(size=X.shape) < 0.2, np.nan, X)
    missing = np.isnan(holes)
    model = AutoencoderTransformer(
        1, hidden_layer_sizes=(4,), max_iter=1, early_stopping=False
    ).fit(holes)
    imputer = model._imputer
    model._imputer = imputer.without_networks()
    expected = model.impute(holes)
    shares = torch.tensor([1.0, 0.0, 1.0])[:, None].expand_as(imputer.shares)
    model._imputer = replace(imputer, shares=shares)
    with torch.no_grad():
        model.module_.decoder.linear.bias += 1e4
    filled = model.impute(holes)
    assert not np.allclose(filled[missing], expected[missing])
    most = np.maximum(np.nanmax(holes, axis=0), expected)
    least = np.minimum(np.nanmin(holes, axis=0), expected)
    slack = 1e-4 * (most - least)
    assert (filled <= most + slack).all()
    assert (filled >= least - slack).all()
