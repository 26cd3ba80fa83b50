"""The densities that benchmarks.likelihood knows beside the linear ones."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from benchmarks import likelihood

COVARIANCE = np.array([[2.0, 1.5, 0.0], [1.5, 2.0, 0.0], [0.0, 0.0, 0.3]])
NORMAL = multivariate_normal(cov=COVARIANCE)
X = NORMAL.rvs(400, random_state=0)


@pytest.mark.parametrize("method", ["mixture", "kernel_density"])
def test_density_of_normal_rows_is_near_the_truth(method):
    new = NORMAL.rvs(400, random_state=1)
    found = likelihood.make_model(method, 1, 0).fit(X).score_samples(new)
    assert found.mean() == pytest.approx(NORMAL.logpdf(new).mean(), abs=0.2)
