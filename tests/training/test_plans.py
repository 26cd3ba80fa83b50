"""How long to train, by how many rows there are."""

import pytest

from sklearn_ae._training.plans import Plan


@pytest.mark.parametrize(("n_samples", "ends_on_all"), [(9_999, True), (10_000, False)])
def test_tables_of_ten_thousand_rows_are_not_trained_on_as_a_whole(
    n_samples, ends_on_all
):
    plan = Plan.of(n_samples, validation_fraction=0.1, can_end_on_all=True)
    assert plan.ends_on_all is ends_on_all
    assert plan.n_valid > 0
    assert not Plan.of(n_samples, 0.1, can_end_on_all=False).ends_on_all
