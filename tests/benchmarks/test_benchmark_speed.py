"""The speed benchmark: that it measures what it says; never how long anything takes."""

import importlib.util
import json
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib import parallel_config
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import speed
from benchmarks._measuring import squared_error, without_convergence_warnings
from benchmarks.speed import (
    curves,
    inference,
    memory,
    parallel,
    sizes,
    steps,
    targets,
    timing,
)
from sklearn_ae import AutoencoderTransformer

ASV = Path(speed.__file__).parents[1] / "asv"
SHAPE = sizes.QUICK.shapes[0]  # 6 columns, layers of 8 and 4, 2 latents


@pytest.fixture
def table():
    return timing.make_table(SHAPE.n_rows, SHAPE.n_columns)


class CountProducts(TorchDispatchMode):
    """Sizes of the matrix products inside the block, each as (n, inner, m)."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        operation = function.overloadpacket
        if operation in (torch.ops.aten.mm, torch.ops.aten.addmm):
            a, b = args[-2:]
            self.sizes.append((len(a), *b.shape))
        return function(*args, **(kwargs or {}))


def products_of(run):
    with CountProducts() as counted:
        run()
    return sorted(counted.sizes)


# What is timed ------------------------------------------------------------------------


def test_the_table_is_the_same_on_every_call():
    np.testing.assert_array_equal(timing.make_table(50, 4), timing.make_table(50, 4))


def test_rows_of_the_table_do_not_depend_on_its_length():
    n = timing.BLOCK_ROWS
    longer = timing.make_table(n + 5, 3)
    np.testing.assert_array_equal(longer[:n], timing.make_table(n, 3))


def test_columns_of_the_table_have_about_unit_variance():
    variances = timing.make_table(5000, 40).var(axis=0)
    assert 0.5 < variances.mean() < 2.0


def test_our_step_has_the_bare_products(table):
    model = AutoencoderTransformer(
        SHAPE.n_components,
        hidden_layer_sizes=SHAPE.hidden,
        batch_size=SHAPE.batch_size,
        init="random",
        device="cpu",
    )
    ours = products_of(steps.our_epoch(model, table))
    assert ours == products_of(steps.training_products(SHAPE))


def test_the_hand_written_loop_has_the_bare_products(table):
    loop = steps.HandWrittenLoop(SHAPE.widths, SHAPE.batch_size, fused=True)
    theirs = products_of(lambda: loop.epoch(torch.from_numpy(table)))
    assert theirs == products_of(steps.training_products(SHAPE))


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_inference_has_the_bare_products(part, table):
    with pytest.warns(ConvergenceWarning):
        module = inference.model_for_inference(table).module_
    network = getattr(module, part)
    x = torch.randn(20, SHAPE.n_columns if part == "encoder" else 2)
    bare = products_of(inference.inference_products(network, x, block_rows=8))
    blocks = products_of(lambda: [network(block) for block in x.split(8)])
    assert bare == blocks


@pytest.mark.parametrize("init", ["pca", "random"])
def test_our_epochs_train(init, table):
    model = AutoencoderTransformer(
        2, hidden_layer_sizes=(8,), batch_size=16, init=init, device="cpu"
    )
    epoch = steps.our_epoch(model, table)
    first = epoch()
    for _ in range(30):
        last = epoch()
    assert last < first


def test_the_hand_written_loop_trains(table):
    loop = steps.HandWrittenLoop(SHAPE.widths, SHAPE.batch_size, fused=False)
    x = torch.from_numpy(table)
    before = squared_error(table, loop.predict(x))
    for _ in range(30):
        loop.epoch(x)
    assert squared_error(table, loop.predict(x)) < before


def test_networks_have_an_activation_everywhere_but_at_latents_and_output():
    layers = [type(layer).__name__ for layer in steps.make_mlp([6, 8, 2, 8, 6])]
    assert layers == ["Linear", "ReLU", "Linear", "Linear", "ReLU", "Linear"]


def test_everybody_is_timed(table):
    names = set(steps.make_epochs(SHAPE, table))
    assert names | {"pyod"} == {"products", *steps.NAMES}


@pytest.mark.skipif(not steps.HAS_PYOD, reason="pyod is not installed")
def test_pyod_trains_the_same_widths(table):
    steps.pyod_epoch(SHAPE, table)()


# How it is timed ----------------------------------------------------------------------


def test_runs_have_their_turns_in_rounds():
    calls = []
    runs = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = timing.interleaved(runs, repeats=2)
    assert calls == ["a", "b"] * 3  # the first round warms up
    assert seconds.shape == (2, 2)


def test_seconds_are_those_of_the_run():
    seconds = timing.interleaved({"sleep": lambda: time.sleep(0.01)}, repeats=1)
    assert seconds["sleep"].item() >= 0.01


def test_threads_are_put_back():
    before = torch.get_num_threads()
    with timing.use_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_curves_are_read_where_they_are_first_below():
    curve = iter([(1.0, 0.9), (2.0, 0.5), (3.0, 0.1), (4.0, 0.0)])
    assert curves.first_below(curve, [0.6, 0.2]) == [2.0, 3.0]
    assert next(curve) == (4.0, 0.0)  # nothing is trained beyond that


def test_what_is_never_reached_takes_forever():
    assert curves.first_below(iter([(1.0, 0.5)]), [0.6, 0.2]) == [1.0, np.inf]


def test_memory_counts_that_was_held(in_fresh_process):
    code = "from benchmarks._memory import peak_memory as peak; before = peak();"
    more = int(in_fresh_process(f"{code} b'.' * 200_000_000; print(peak() - before)"))
    assert 190e6 < more < 210e6


def test_the_parents_memory_does_not_count(in_fresh_process):
    held = b"." * 300_000_000
    code = "from benchmarks._memory import peak_memory as peak; print(peak())"
    assert int(in_fresh_process(code)) < len(held)


# What comes out -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "at_least", "is_met"),
    [(1.0, False, True), (1.1, False, False), (1.1, True, True), (0.9, True, False)],
)
def test_targets(value, at_least, is_met):
    assert targets.Target("speed", value, 1.0, at_least).is_met == is_met


def test_a_target_that_was_not_measured_is_not_met():
    assert not targets.Target("speed", np.nan, 1.0).is_met


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    """The file of a quick run of all sections, in this process, but two."""
    path = tmp_path_factory.mktemp("speed") / "speed.json"
    sections = [name for name in speed.SECTIONS if name not in ("memory", "grid")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "in_new_process", lambda function, *args: function(*args))
        speed.main(["--quick", "--output", str(path), "--sections", *sections])
    return path


def test_every_section_is_in_the_file(quick_run):
    content = json.loads(quick_run.read_text())
    sections = {row["section"] for row in content["results"]}
    assert sections == set(speed.SECTIONS) - {"memory", "grid"}


def test_the_file_says_how_it_came_about(quick_run):
    (run,) = json.loads(quick_run.read_text())["runs"]
    assert run["command"].startswith("python -m benchmarks.speed --quick")
    assert run["threads"] == 1


def test_a_step_is_compared_with_products_and_others(quick_run):
    summary = json.loads(quick_run.read_text())["summary"]
    whats = [target["what"] for target in summary["targets"]]
    name = SHAPE.name
    for other in ("the bare products", "MLPRegressor", "the same with fused Adam"):
        assert f"step, {name}: over {other}" in whats


def test_a_wide_shape_has_no_limit_of_its_own(quick_run):
    text = quick_run.read_text()
    name = sizes.QUICK.shapes[1].name
    assert f"step, {name}: over MLPRegressor" in text
    assert f"step, {name}: over the bare products" not in text


def test_the_ratio_of_the_shortest_table_is_one(quick_run):
    rows = json.loads(quick_run.read_text())["results"]
    ratios = [row["ratio"] for row in rows if row["section"] == "rows"]
    assert ratios[0] == 1.0


def test_threads_are_shown_with_what_python_takes_of_a_step(quick_run):
    rows = json.loads(quick_run.read_text())["results"]
    assert all(row["without_products"] > 0 for row in rows if "n_jobs_4_s" in row)


def test_memory_is_measured_above_the_data(tmp_path, capsys):
    path = tmp_path / "m.json"
    options = ["--quick", "--sections", "memory", "--memory-mb", "0.2"]
    speed.main([*options, "--output", str(path)])
    content = json.loads(path.read_text())
    assert [row["input_mb"] for row in content["results"]] == [0.2]
    assert all(row["peak_above_mb"] > 0 for row in content["results"])
    assert "memory of fit above 0.2 MB of float32" in capsys.readouterr().out


def test_the_grid_search_is_timed_with_one_job_and_with_two(monkeypatch):
    # In threads: that fits run in other processes is seen in test_pipeline.py.
    in_threads = partial(parallel_config, "threading")
    monkeypatch.setattr(parallel, "parallel_config", lambda *_, **__: in_threads())
    size = replace(sizes.QUICK, max_iter=0)
    with without_convergence_warnings():
        (row,), (target,) = parallel.measure_grid(size)
    assert row["times_faster"] == pytest.approx(row["n_jobs_1_s"] / row["n_jobs_2_s"])
    assert target.at_least


cut_short = pytest.mark.filterwarnings(
    "ignore:Training ended at max_iter:sklearn.exceptions.ConvergenceWarning"
)


@pytest.fixture
def short_model():
    return AutoencoderTransformer(
        2, hidden_layer_sizes=(4,), early_stopping=False, max_iter=5, device="cpu"
    )


@cut_short
def test_fits_in_threads_and_alone_are_timed(short_model, table):
    seconds = parallel.time_in_threads(short_model, table, repeats=2)
    assert list(seconds) == [1, parallel.N_FITS]
    assert len(seconds) == 2


@cut_short
def test_fits_in_threads_that_are_not_the_same_are_noticed(
    short_model, table, monkeypatch
):
    fitted_weights = parallel.fitted_weights

    def disturbed(model, X):
        weights = fitted_weights(model, X)
        if threading.current_thread() is not threading.main_thread():
            next(iter(weights.values())).add_(1e-6)
        return weights

    monkeypatch.setattr(parallel, "fitted_weights", disturbed)
    with pytest.raises(RuntimeError, match="random_state=0 beside others"):
        parallel.time_in_threads(short_model, table, repeats=1)


@cut_short
def test_four_fits_have_four_seeds(short_model, table):
    weights = [
        parallel.fitted_weights(clone(short_model).set_params(random_state=seed), table)
        for seed in (0, 1)
    ]
    with pytest.raises(RuntimeError, match="random_state=0"):
        parallel.check_same_bits(weights[:1], weights[1:])


def test_the_report_shows_targets_and_what_is_met():
    described = [
        targets.describe_target(targets.Target("a", 1.0, 1.5)),
        targets.describe_target(targets.Target("b", 0.5, 0.8, at_least=True)),
        targets.describe_target(targets.Target("c", np.inf, 2.0)),
    ]
    lines = [line.split() for line in targets.format_targets(described).splitlines()]
    assert lines[1:] == [
        ["a", "1.000", "at", "most", "1.5", "met"],
        ["b", "0.500", "at", "least", "0.8", "not", "met"],
        ["c", "-", "at", "most", "2", "not", "met"],
    ]


def test_the_report_explains_the_columns_of_steps():
    rows = [{"section": "step", "shape": "6/8-4/2, 16", "ours": 1.25}]
    text = speed.format_section("step", rows)
    assert "1.250" in text
    assert "ours: ours, the same layers" in text
    assert "pyod is not installed" in text


def test_an_existing_file_is_kept(tmp_path, capsys):
    path = tmp_path / "s.json"
    path.write_text("kept")
    with pytest.raises(SystemExit):
        speed.main(["--quick", "--sections", "one_row", "--output", str(path)])
    assert "--overwrite" in capsys.readouterr().err
    assert path.read_text() == "kept"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sections", "nothing"], "nothing"),
        (["--threads", "0"], "at least 1"),
        (["--repeats", "0"], "at least 1"),
    ],
)
def test_mistakes_on_the_command_line(options, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        speed.main([*options, "--output", str(tmp_path / "s.json")])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


# The suite for asv --------------------------------------------------------------------


@pytest.fixture(scope="module")
def suite():
    spec = importlib.util.spec_from_file_location("suite", ASV / "suite" / "fits.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_benchmark_of_the_suite_runs(suite):
    benchmark = suite.Autoencoder()
    smallest = benchmark.params[0]
    benchmark.setup(smallest)
    names = [n for n in dir(benchmark) if n.startswith(("time_", "peakmem_"))]
    assert {name.partition("_")[0] for name in names} == {"time", "peakmem"}
    for name in names:
        getattr(benchmark, name)(smallest)


def test_the_configuration_names_what_is_there():
    configuration = json.loads((ASV / "asv.conf.json").read_text())
    assert (ASV / configuration["benchmark_dir"] / "fits.py").exists()
    assert (ASV / configuration["repo"] / "pyproject.toml").exists()
