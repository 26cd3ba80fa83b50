"""What columns were taken for, as notebooks show it."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.pipeline import make_pipeline

from sklearn_ae import AutoencoderTransformer


def make(X):
    return AutoencoderTransformer(1, max_iter=0).fit(X)


@pytest.fixture(scope="module")
def fitted():
    return make(pd.DataFrame({"size": [1.0, 2.5, 4.0], "color": list("aba")}))


def test_columns_stand_below_the_diagram(fitted):
    html = fitted._repr_html_()
    assert html.index("AutoencoderTransformer") < html.index("<td>color</td>")
    assert "<td>color</td><td>2 levels</td>" in html
    assert fitted._repr_mimebundle_()["text/html"].endswith("</details>")


def test_there_is_no_html_where_text_is_asked_for(fitted):
    with config_context(display="text"):
        assert not hasattr(fitted, "_repr_html_")
        assert set(fitted._repr_mimebundle_()) == {"text/plain"}


def test_many_columns_are_folded():
    X = pd.DataFrame({f"c{i}": np.arange(3.0) ** i for i in range(40)}).assign(t="x")
    assert "<details><summary>41 columns" in make(X)._repr_html_()


@pytest.mark.parametrize("fit", [False, True])
def test_nothing_is_said_of_numbers_alone_or_before_fit(fit):
    model = AutoencoderTransformer(1, max_iter=0)
    model = model.fit(np.arange(12.0).reshape(4, 3) ** 2) if fit else model
    assert "taken for" not in model._repr_html_()


def test_a_pipeline_shows_its_steps_as_ever(fitted):
    assert "AutoencoderTransformer" in make_pipeline(fitted)._repr_html_()
