"""What steps and what judges: a new objective alone makes a new estimator."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._training.objectives import Objective

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training ended at max_iter:sklearn.exceptions.ConvergenceWarning"
)


class Contraction(Objective):
    """Squared error plus a penalty on the encoder's Jacobian (Rifai et al., 2011)."""

    is_of_rows = False

    def __init__(self, weight):
        self.weight = weight

    def step_loss(self, module, x, generator):
        jacobian = torch.func.vmap(torch.func.jacrev(module.encoder))(
            module.filled(x)
        )  # (n, k, d)
        penalty = jacobian.square().sum(dim=(1, 2)).mean()
        return module.loss(x, generator).mean() + self.weight * penalty


class ContractiveAutoencoder(AutoencoderTransformer):
    """Made of that objective."""

    weight = 0.1

    def _make_design(self, table, columns):
        design = super()._make_design(table, columns)
        return replace(design, objective=Contraction(self.weight))


QUICK = {
    "hidden_layer_sizes": (8,),
    "max_iter": 5,
    "early_stopping": False,
    "inference": "encoder",
}


@parametrize_with_checks(
    [
        ContractiveAutoencoder(
            1, max_iter=2, hidden_layer_sizes=(8,), validation_fraction=0.25
        )
    ]
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


def encoder_slope(estimator, X):
    module = estimator.module_.double()
    x = module.standardize(torch.from_numpy(np.array(X)))
    jacobian = torch.func.vmap(torch.func.jacrev(module.encoder))(x)
    return jacobian.square().sum().item()


def test_what_is_penalised_becomes_less(X):
    plain = AutoencoderTransformer(2, **QUICK).fit(X)
    contractive = ContractiveAutoencoder(2, **QUICK, alpha=0.0, init="random").fit(X)
    other = AutoencoderTransformer(2, **QUICK, alpha=0.0, init="random").fit(X)
    assert plain.n_iter_ == contractive.n_iter_ == 5
    assert encoder_slope(contractive, X) < encoder_slope(other, X)
