import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits, load_iris, load_wine

import sklearn_ae.__main__ as command
from sklearn_ae.__main__ import main
from sklearn_ae.comparison import compare_reducers


def compare(*arguments):
    """Run the command with PCA alone, unless the arguments say otherwise."""
    if "--reducers" not in arguments:
        arguments = [*arguments, "--reducers", "pca"]
    return main(["compare", *map(str, arguments)])


@pytest.fixture
def csv_file(tmp_path):
    """A table with something of everything."""
    rng = np.random.RandomState(0)
    n = 60
    frame = pd.DataFrame(
        {
            "id": np.arange(n),
            "size": rng.normal(size=n),
            "age": np.where(rng.uniform(size=n) < 0.2, np.nan, rng.normal(size=n)),
            "price": [f"${p:,}" for p in rng.randint(1000, 9999, n)],
            "colour": rng.choice(["red", "green", "blue"], n),
            "member": rng.choice([True, False], n),
            "since": pd.date_range("2020-01-01", periods=n, freq="11D"),
            "comment": [f"comment {i}" for i in range(n)],
            "empty": np.nan,
            "kind": rng.choice(["a", "b", "c"], n),
        }
    )
    frame.loc[3, "kind"] = None
    frame.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


# ---------------------------------------------------------------------------- output


def test_table_is_that_of_compare_reducers(tmp_path):
    assert compare("wine", "--n-components", 2, 3, "--output", tmp_path) == 0
    written = pd.read_csv(tmp_path / "comparison.csv")
    X, y = load_wine(return_X_y=True)
    expected = compare_reducers(X, y, reducers=["PCA"], n_components=(2, 3))
    for column in ("reconstruction_error", "knn_accuracy", "trustworthiness"):
        np.testing.assert_allclose(written[column], expected[column])


def test_options_reach_the_comparison(tmp_path):
    options = {
        "--test-size": 0.4,
        "--scaler": "minmax",
        "--n-neighbors": 3,
        "--random-state": 7,
    }
    assert compare("wine", *sum(options.items(), ()), "--output", tmp_path) == 0
    settings = json.loads((tmp_path / "comparison.json").read_text())["settings"]
    assert settings["test_size"] == 0.4
    assert settings["scaler"] == "minmax"
    assert settings["n_neighbors"] == 3
    assert settings["random_state"] == 7


def test_csv_and_json_hold_the_same_rows(tmp_path):
    compare("iris", "--reducers", "pca", "tsne", "--output", tmp_path)
    from_csv = pd.read_csv(tmp_path / "comparison.csv", keep_default_na=False)
    from_json = json.loads((tmp_path / "comparison.json").read_text())["rows"]
    assert from_csv.columns.tolist() == list(from_json[0])
    assert from_csv["reducer"].tolist() == [row["reducer"] for row in from_json]


def test_figure_is_written(tmp_path):
    folder = tmp_path / "new" / "folder"
    compare("iris", "--output", folder)
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_is_written_unless_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compare("iris")
    assert not list(tmp_path.iterdir())


def test_terminal_shows_the_table_and_the_error_stream_the_progress(capsys):
    compare("iris")
    out, err = capsys.readouterr()
    assert "PCA" in out
    assert "112 training rows, 38 held-out rows" in out
    assert "PCA, k=2" in err
    assert "PCA, k=2" not in out


def test_terminal_shows_at_most_100_columns(csv_file, capsys):
    arguments = ("--target", "kind", "--reducers", "pca", "kernel_pca", "tsne")
    compare(csv_file, *arguments, "--n-components", 2, 4)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


def test_digits_keep_their_unit(tmp_path):
    compare("digits", "--n-components", 2, "--output", tmp_path)
    X, y = load_digits(return_X_y=True)
    expected = compare_reducers(X / 16, y, reducers=["PCA"], scaler=None)
    written = pd.read_csv(tmp_path / "comparison.csv")
    np.testing.assert_allclose(
        written["reconstruction_error"], expected["reconstruction_error"]
    )


@pytest.mark.parametrize(
    ("data", "sizes"), [("digits", [2, 8]), ("wine", [2, 8]), ("iris", [2, 3])]
)
def test_default_sizes_are_below_the_number_of_columns(tmp_path, data, sizes):
    compare(data, "--output", tmp_path)
    table = pd.read_csv(tmp_path / "comparison.csv")
    assert table["n_components"].tolist() == sizes


def test_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "sklearn_ae", "compare", "iris", "--reducers", "pca"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[1],  # where the package is, installed or not
    )
    assert done.returncode == 0
    assert "150 rows, 4 columns, 3 classes" in done.stdout
    assert "Warning" not in done.stderr


def test_help_names_data_sets_reducers_and_examples(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["compare", "--help"])
    assert exit_.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for word in ("breast_cancer", "kernel_pca", "dae", "--target COLUMN", "examples:"):
        assert word in text


# ----------------------------------------------------------------------------- files


def test_every_column_of_a_file_is_accounted_for(csv_file, capsys):
    assert compare(csv_file, "--target", "kind") == 0
    said = {}
    for line in " ".join(capsys.readouterr().out.split()).split(" - ")[1:]:
        action, _, columns = line.partition(": ")
        said[action] = columns
    assert said["dropped, it numbers the rows"] == "id"
    assert said["numbers"] == "size"
    assert said["numbers, missing values become the mean"].startswith("age (")
    assert said["text read as numbers"] == "price"
    assert said["text, levels over the root of their share"] == "colour (3 levels)"
    assert said["true/false as 1 and 0"] == "member"
    assert said["dates as days"] == "since"
    assert said["dropped, text that differs from row to row"].startswith("comment")
    assert said["dropped, all values are missing"].startswith("empty")
    assert "1 row without 'kind' left out" in said


def test_parquet_gives_the_same_as_csv(csv_file, tmp_path):
    parquet = tmp_path / "table.parquet"
    pd.read_csv(csv_file).to_parquet(parquet)
    errors = []
    for path in (csv_file, parquet):
        compare(path, "--target", "kind", "--output", tmp_path)
        table = pd.read_csv(tmp_path / "comparison.csv")
        errors.append(table["reconstruction_error"].tolist())
    assert errors[0] == errors[1]


def test_file_without_target_has_no_knn_scores(csv_file, tmp_path, capsys):
    assert compare(csv_file, "--output", tmp_path) == 0
    table = pd.read_csv(tmp_path / "comparison.csv")
    assert table[["knn_accuracy", "knn_r2"]].isna().all(axis=None)
    assert "No --target is given" in capsys.readouterr().out


def test_quantity_is_scored_by_r2(csv_file, tmp_path):
    compare(csv_file, "--target", "size", "--output", tmp_path)
    table = pd.read_csv(tmp_path / "comparison.csv")
    assert table["knn_r2"].notna().all()
    assert table["knn_accuracy"].isna().all()


def test_rows_of_a_file_are_limited(csv_file, capsys):
    compare(csv_file, "--max-rows", 40)
    out = capsys.readouterr().out
    assert "40 of 60 rows used" in out
    assert "30 training rows, 10 held-out rows" in out


def test_columns_of_a_file_can_be_dropped(csv_file, capsys):
    compare(csv_file, "--drop", "colour", "price")
    assert "dropped, as asked: price, colour" in capsys.readouterr().out


def test_rare_levels_of_text_that_are_held_out_are_no_matter(tmp_path, capsys):
    levels = [*"abcdefghij" * 3, *"klmno"]
    frame = pd.DataFrame({"x": np.sin(np.arange(35)), "level": levels})
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert compare(tmp_path / "t.csv") == 0  # warnings are errors here
    assert "Warning" not in capsys.readouterr().err


def test_file_without_names_of_columns(tmp_path, capsys):
    path = tmp_path / "t.csv"
    np.savetxt(path, load_iris().data[:40], delimiter=",")
    assert compare(path) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "39 rows" in out
    assert "add --no-header" in out
    assert compare(path, "--no-header") == 0
    out = capsys.readouterr().out
    assert "40 rows" in out
    assert "column 1" in out
    assert "add --no-header" not in out


def test_parquet_files_have_names_of_columns(tmp_path, capsys):
    pytest.importorskip("pyarrow")
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame(load_iris().data[:40], columns=["1", "2", "3", "4"])
    frame.to_parquet(path)
    assert compare(path) == 0
    assert "add --no-header" not in capsys.readouterr().out
    assert compare(path, "--no-header") == 2
    assert "--no-header is for CSV files" in capsys.readouterr().err


def german(path):
    """A table as a spreadsheet in German writes it."""
    rng = np.random.RandomState(0)
    rows = [
        f"{i:02};{1000 + 90 * i + i / 4:_.2f} €;{x:.2f};{kind}".replace(".", ",")
        for i, (x, kind) in enumerate(
            zip(rng.normal(size=40), rng.choice(["groß", "klein"], 40), strict=True),
            start=1,
        )
    ]
    text = "\r\n".join(["Nr;Preis;Höhe;Größe", *rows, ""]).replace("_", ".")
    path.write_bytes(text.encode("cp1252"))
    return path


def test_what_was_made_of_a_file_is_said(tmp_path, capsys):
    assert compare(german(tmp_path / "t.csv"), "--target", "Größe") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "read as cp1252 (a guess" in out
    assert "values separated by semicolons" in out
    assert "numbers with a decimal comma: Preis, Höhe" in out
    assert "dropped, it numbers the rows: Nr" in out
    assert "text read as numbers: Preis, Höhe" in out


def test_flags_say_how_a_file_is_written(tmp_path, capsys):
    rows = [f"{i % 7},{i % 9 + 1}.{i * 37 % 1000:03}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b", *rows]), encoding="utf-16")
    arguments = ("--encoding", "utf-16", "--thousands", ".", "--date-order", "mdy")
    assert compare(tmp_path / "t.csv", *arguments, "--decimal", ",") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "text read as numbers: b" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["iris", "--decimal", ","], "--decimal: this is for files"),
        (["{}.csv", "--decimal", ",", "--thousands", ","], "are both ','"),
        (["{}.csv", "--encoding", "latin-99"], "there is no encoding 'latin-99'"),
        (["{}.parquet", "--encoding", "utf-8"], "--encoding is for files of text"),
    ],
)
def test_flags_that_do_not_fit(tmp_path, arguments, message, capsys):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    (tmp_path / "t.parquet").write_text("")
    assert compare(*[a.format(tmp_path / "t") for a in arguments]) == 2
    assert message in capsys.readouterr().err


def test_names_from_a_file_give_a_terminal_no_commands(tmp_path, capsys):
    rows = [f"{i % 7},{i % 3},u\x1b[2J{i % 2}" for i in range(40)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a\x1b[31m,b,c", *rows]), encoding="utf-8")
    assert compare(path, "--target", "c", "--output", tmp_path) == 0
    assert compare(path, "--target", "d") == 2
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert r"a\x1b[31m" in out
    assert r"the columns are: a\x1b[31m, b, c" in err


def test_few_rows_are_refused_with_the_number_needed(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("a,b\n1,2.5\n3,5.5\n")
    assert compare(tmp_path / "t.csv") == 2
    assert "at least 8 rows" in capsys.readouterr().err


def test_ids_that_are_kept_are_named(tmp_path, capsys):
    rows = [f"{i * 37 % 101},{i % 7}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["user_id,b", *rows]))
    assert compare(tmp_path / "t.csv") == 0
    assert "Kept, though named as an id: user_id." in capsys.readouterr().out


def test_index_of_pandas_can_be_the_target(tmp_path, capsys):
    frame = pd.DataFrame(load_iris().data[:40], columns=list("abcd"))
    frame.index = pd.Index(np.arange(40) % 2, name="kind")
    frame.to_parquet(tmp_path / "t.parquet")
    assert compare(tmp_path / "t.parquet") == 0
    assert "pandas wrote it as the index: kind" in capsys.readouterr().out
    assert compare(tmp_path / "t.parquet", "--target", "kind") == 0
    assert "'kind' holds classes" in capsys.readouterr().out


@pytest.mark.parametrize(("k", "said"), [(3, False), (4, True)])
def test_as_many_latents_as_columns_are_remarked_on(capsys, k, said):
    assert compare("iris", "--n-components", k) == 0
    assert ("A row is 4 numbers" in capsys.readouterr().out) == said


# ---------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digit"], "no data set 'digit'; choose from digits, iris, wine, breast"),
        (["no/such.csv"], "there is no file 'no/such.csv'"),
        (["iris", "--target", "x"], "--target, --drop and --no-header are for files"),
        (["iris", "--reducers", "pca", "lda"], "'lda'; choose from pca, kernel_pca"),
        (["iris", "--test-size", "0.999"], "train"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_traceback(arguments, message, capsys):
    assert compare(*arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ("", [], "'t.csv' is empty"),
        ("a,b\n", [], "'t.csv' has no rows"),
        ("a,b\nx,y\nz,w\nq,r\n", [], "no column is left"),
        ("a,b\n1,2\n3,5\n8,2\n", ["--target", "c"], "the columns are: a, b"),
        ("a,b\n1,2\n3,5\n8,2\n", ["--drop", "c"], "the columns are: a, b"),
        ("a,b\n1,\n3,\n8,\n", ["--target", "b"], "the target 'b' has no values"),
        ("a,b\n1,2\n", [], "no column is left"),
    ],
)
def test_files_that_cannot_be_used_are_said_why(
    tmp_path, capsys, content, arguments, message
):
    (tmp_path / "t.csv").write_text(content)
    assert compare(tmp_path / "t.csv", *arguments) == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--n-components", "0"],
        ["--n-components", "two"],
        ["--max-rows", "-1"],
        ["--test-size", "1.5"],
        ["--random-state", "-1"],
        ["--scaler", "log"],
    ],
)
def test_arguments_out_of_range_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        compare("iris", *arguments)
    assert exit_.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_output_that_is_a_file_is_refused_before_any_work(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert compare("iris", "--output", tmp_path / "file") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "cannot make the folder" in err


def test_failing_reducer_is_told_below_the_table(capsys):
    assert compare("iris", "--reducers", "pca", "tsne", "--n-components", 2, 9) == 0
    out, err = capsys.readouterr()
    assert "failed, fit: ValueError: n_components=9" in " ".join(out.split())
    assert "Traceback" not in out + err


def test_code_is_1_where_every_reducer_failed(capsys):
    assert compare("iris", "--n-components", 9) == 1


def test_missing_extra_is_said_before_any_work(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert compare("iris") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "pip install 'sklearn_ae[compare]'" in err


def test_default_leaves_out_umap_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(command, "has_extra", lambda package: package != "umap")
    names, remarks = command._reducers(None)
    assert "UMAP" not in names
    assert "umap-learn is not installed" in remarks[0]


def test_interrupt_ends_without_a_traceback(monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "compare_reducers", interrupted)
    assert compare("iris") == 130
    assert "interrupted" in capsys.readouterr().err
