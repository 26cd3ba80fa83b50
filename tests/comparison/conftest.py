"""A table that every comparison here is made on."""

import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def few(iris):
    """Every third row, for what is slow."""
    return iris[0][::3], iris[1][::3]


@pytest.fixture(scope="module")
def iris_split(iris):
    """The split and the scaling, done by hand."""
    X_train, X_test, y_train, y_test = train_test_split(
        *iris, test_size=0.25, stratify=iris[1], random_state=0
    )
    scaler = StandardScaler().fit(X_train)
    return scaler.transform(X_train), scaler.transform(X_test), y_train, y_test
