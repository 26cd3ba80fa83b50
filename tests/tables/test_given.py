"""What new rows may be asked to hold of levels that were learned together."""

import numpy as np
import pandas as pd
import pytest

from sklearn_ae._tables.given import read_given
from sklearn_ae._tables.table_kinds import TableKinds

KINDS = TableKinds(
    pd.DataFrame({"c": list("aaaabbbbcdefg")}), column_maps="quantile", min_frequency=2
)


def test_a_rare_level_is_not_to_be_had_by_itself():
    expected = r"'c' of column 'c' is so rare .*\('d', 'e', 'f' and more\).*min_freq"
    with pytest.raises(ValueError, match=expected):
        read_given({"c": "c"}, KINDS)


def test_all_rare_levels_are_to_be_had_together():
    (part,) = read_given({"c": ["a", *"cdefg"]}, KINDS)
    np.testing.assert_array_equal(part.is_allowed, [True, False, True])
