import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_ae._inference import precision
from sklearn_ae._inference.precision import in_precision_of

X = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3)


@pytest.fixture
def copies(monkeypatch):
    made = []

    def deepcopy(module):
        made.append(module)
        return copy.deepcopy(module)

    monkeypatch.setattr(precision, "copy", SimpleNamespace(deepcopy=deepcopy))
    return made


def test_rows_of_single_precision_take_the_module_itself(copies):
    module = nn.Linear(3, 2)
    assert in_precision_of(module, np.dtype(np.float32)) is module
    assert in_precision_of(module, np.dtype(np.uint8)) is module
    assert not copies


def test_a_twin_is_made_once_and_computes_in_double_precision(copies):
    module = nn.Linear(3, 2)
    twin = in_precision_of(module, np.dtype(np.float64))
    assert in_precision_of(module, np.dtype(np.float64)) is twin
    assert copies == [module]
    expected = X @ module.weight.double().T + module.bias.double()
    torch.testing.assert_close(twin(X), expected)
    assert module.weight.dtype == torch.float32


@pytest.mark.parametrize("change", ["step", "load", "replace", "buffer"])
def test_changed_weights_make_a_new_twin(copies, change):
    module = nn.BatchNorm1d(3).eval()
    before = in_precision_of(module, np.dtype(np.float64))(X)
    if change == "step":
        optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
        module(X.float()).square().sum().backward()
        optimizer.step()
    elif change == "load":
        state = {name: value + 1 for name, value in module.state_dict().items()}
        module.load_state_dict(state)
    elif change == "replace":
        module.weight = nn.Parameter(torch.full((3,), 2.0))
    else:
        module.running_mean.add_(1.0)
    after = in_precision_of(module, np.dtype(np.float64))(X)
    assert len(copies) == 2
    assert (after - before).abs().max() > 0.01
    torch.testing.assert_close(after, module(X.float()).double(), atol=1e-5, rtol=1e-5)


def test_a_module_without_a_twin_is_taken_as_it_is(copies):
    class Single(nn.Linear):
        def forward(self, x):
            return super().forward(x) + torch.ones(2, 3) @ self.weight.T

    module, tried = Single(3, 2), []

    def try_out(twin):
        tried.append(twin)
        twin(X)

    for _ in range(2):
        assert in_precision_of(module, np.dtype(np.float64), try_out) is module
    assert copies == [module]
    assert [twin.weight.dtype for twin in tried] == [torch.float64]


def test_modules_of_inference_mode_do_not_count_their_changes():
    with torch.inference_mode():
        module = nn.Linear(3, 2)
        twin = in_precision_of(module, np.dtype(np.float64))
        module.weight.mul_(2.0)
        changed = in_precision_of(module, np.dtype(np.float64))
    assert twin.weight.dtype == torch.float64
    torch.testing.assert_close(changed.weight, 2.0 * twin.weight)


def test_twin_that_is_made_in_inference_mode_serves_outside_of_it():
    module = nn.Linear(3, 2)
    with torch.inference_mode():
        twin = in_precision_of(module, np.dtype(np.float64))
    assert not twin.weight.is_inference()
    assert in_precision_of(module, np.dtype(np.float64)) is twin
