"""The benchmark of rows drawn with conditions: what it counts, and its command."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks import conditions, synthetic

GIVEN = {"sex": "Female", "age": (30, 40)}


def people(n, seed=0):
    rng = np.random.RandomState(seed)
    is_old = rng.uniform(size=n) < 0.5
    return pd.DataFrame(
        {
            "age": np.where(is_old, 60, 35),
            "sex": rng.choice(["Female", "Male"], n),
            "income": np.where(rng.uniform(size=n) < 0.2 + 0.6 * is_old, ">50K", "<"),
            "marital-status": rng.choice(["Married-civ-spouse", "Divorced"], n),
            "education": rng.choice(["Bachelors", "Masters"], n),
            "hours-per-week": rng.choice([40, 50], n),
            "capital-gain": rng.choice([0, 500], n),
        }
    )


@pytest.fixture(scope="module")
def parts():
    return people(2000), people(20_000, seed=1)


def test_rows_of_the_table_are_within_chance(parts):
    others = people(20_000, seed=2)
    rows = conditions.compare(*parts, others[conditions.holds(others, GIVEN)], GIVEN)
    assert [row["second"] for row in rows] == [
        "{'income': '>50K'}",
        "{'marital-status': 'Married-civ-spouse'}",
        "{'hours-per-week': (41, None)}",
    ]
    assert max(abs(row["errors"]) for row in rows) < 3.0
    assert rows[0]["share"] == pytest.approx(0.2, abs=0.02)


def test_rows_whose_other_columns_do_not_follow_are_seen(parts):
    made = synthetic.shuffled(people(2000, seed=2), 2000, 0)
    assert conditions.compare(*parts, made, GIVEN)[0]["errors"] > 10.0


def test_command_measures_prints_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(conditions, "N_DRAWN", 50)
    monkeypatch.setattr(conditions, "read_all", lambda *_: people(400))
    monkeypatch.setitem(
        conditions.METHODS_OF_OURS,
        "VAE",
        (1, {"column_maps": "quantile", "max_iter": 1, "hidden_layer_sizes": (4,)}),
    )
    path = tmp_path / "conditions.json"
    conditions.main(["--data-home", "none", "--max-rows", "200", "--output", str(path)])
    summary = json.loads(path.read_text())["summary"]["VAE"]
    assert summary["n_shares"] == len(json.loads(path.read_text())["results"]) == 25
    assert "within two errors" in capsys.readouterr().out
