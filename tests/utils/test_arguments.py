import argparse

import pytest

from sklearn_ae._utils.arguments import positive_integer


def test_whole_number_above_0_is_read():
    assert positive_integer("12") == 12


@pytest.mark.parametrize("text", ["0", "-3", "many", "2.5"])
def test_others_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"{text} is not a whole"):
        positive_integer(text)
