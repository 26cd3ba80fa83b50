import argparse

import pytest

from sklearn_ae._utils.arguments import parameter_value, positive_integer


def test_whole_number_above_0_is_read():
    assert positive_integer("12") == 12


@pytest.mark.parametrize("text", ["0", "-3", "many", "2.5"])
def test_others_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"{text} is not a whole"):
        positive_integer(text)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("early_stopping", "false", False),
        ("alpha", "0.5", 0.5),
        ("loss", "log_loss", "log_loss"),
        ("hidden_layer_sizes", "4,", (4,)),
        ("condition_columns", "b", ["b"]),
        ("condition_columns", "a,b", ["a", "b"]),
        ("condition_columns", "None", None),
        ("categorical_features", "from_dtype", "from_dtype"),
        ("categorical_features", "2", [2]),
    ],
)
def test_parameters_are_read_as_they_are_written(name, text, value):
    assert parameter_value(name, text) == value
