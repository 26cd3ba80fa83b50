import numpy as np
import pytest

from sklearn_ae.plotting import ExplainedVarianceDisplay


def test_curves_are_of_latents_and_of_principal_components(fitted):
    display = ExplainedVarianceDisplay.from_estimator(fitted)
    latents, linear = display.lines_
    shares = fitted.explained_variance_ratio_.cumsum()
    np.testing.assert_allclose(latents.get_ydata(), shares)
    assert latents.get_xdata().tolist() == list(range(1, len(shares) + 1))
    assert linear.get_label() == "principal components"
    assert len(linear.get_ydata()) == len(shares)


def test_pca_has_one_curve(pca):
    (line,) = ExplainedVarianceDisplay.from_estimator(pca).lines_
    np.testing.assert_allclose(line.get_ydata(), pca.explained_variance_ratio_.cumsum())


def test_estimator_that_explains_nothing():
    with pytest.raises(TypeError, match="object has no explained_variance_ratio_"):
        ExplainedVarianceDisplay.from_estimator(object())
