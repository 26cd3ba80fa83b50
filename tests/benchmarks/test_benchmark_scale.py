"""The model of the time on many machines, and what the benchmark prints."""

import pytest

from benchmarks.scale.steps import N_PROCESSES, Network, format_measured, format_model

MEASURED = [
    {
        "shape": "30/64-32/4, 128",
        "rows_per_process": 128,
        "bytes": 8_000_000,
        "seconds_one": 0.010,
        "seconds_two": 0.012,
        "seconds_sending": 0.001,
        "gain_apart": 1.9,
        "gain": 1.7,
        "gain_common": 1.6,
    }
]


def test_two_machines_send_all_of_the_bytes_once():
    # 8 MB at 8 Gbit/s, half of it in each of two messages.
    assert Network(8.0, 0.0).seconds(8_000_000, 2) == pytest.approx(0.008)


def test_many_machines_send_them_nearly_twice_and_wait_for_each_other():
    network = Network(8.0, 10.0)
    expected = 2 * 999 / 1000 * 0.008 + 2 * 999 * 10e-6
    assert network.seconds(8_000_000, 1000) == pytest.approx(expected)


def test_table_of_the_model_has_a_share_for_each_number_of_machines():
    text = format_model(MEASURED, Network(8.0, 0.0))
    line = next(line for line in text.splitlines() if line.startswith("30/64"))
    shares = line.split()[2:]
    assert len(shares) == len(N_PROCESSES)
    assert shares[0] == "56%"  # 10 ms of 18
    assert "Assumed" in text


def test_table_of_what_was_measured_has_the_gain():
    assert format_measured(MEASURED).splitlines()[-1].split()[-2:] == ["1.70", "1.60"]
