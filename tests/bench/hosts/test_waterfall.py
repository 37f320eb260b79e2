"""The reckoning of the waterfall: what rounds cost, what a run costs once, what headers explain."""

import io
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gradwire.bench.hosts.training import Trained
from gradwire.bench.waterfall import FRAME_HEADERS, Direction, waterfall
from gradwire.bench.waterfall_plot import draw, steps
from gradwire.bench.waterfall_table import print_waterfalls
from gradwire.common.errors import ByteMismatchError, ConfigError
from gradwire.server.interfaces import InterfaceCounters

WORKERS = 2
UP = {"payload_bits": 2132, "payload_bytes": 267, "message_bytes": 275, "tcp_bytes": 315, "interface_bytes": 381,
      "interface_packets": 1}  # fmt: skip
DOWN = {"payload_bits": 4264, "payload_bytes": 534, "message_bytes": 545, "tcp_bytes": 585, "interface_bytes": 717,
        "interface_packets": 2}  # fmt: skip
END = {"tcp_bytes": 100, "interface_bytes": 364, "interface_packets": 4}
JOINING = {"tcp_bytes": 5000, "interface_bytes": 5674, "interface_packets": 10}


def direction(each: dict[str, int], rounds: int) -> dict[str, int]:
    """What a server reports of so many rounds: their cost, that of the end, and joining apart."""
    counts = {name: WORKERS * rounds * value + END.get(name, 0) for name, value in each.items()}
    return counts | {f"{name}_joining": value for name, value in JOINING.items()}


def trained(rounds: int) -> Trained:
    up, down = direction(UP, rounds), direction(DOWN, rounds)
    summary = {
        "codec": "cross_polytope(repeats=100)", "downlink_mode": "log", "dim": 795010, "workers": WORKERS,
        "rounds": rounds, "uplink": up, "downlink": down, "predicted": {"uplink": dict(up), "downlink": dict(down)},
        "tcp": {"retransmitted": 7},
    }  # fmt: skip
    carried = {
        "server": InterfaceCounters(1000, 2000, 10, 20),
        "worker-0": InterfaceCounters(1042, 400, 11, 4),
        "worker-1": InterfaceCounters(1042, 600, 11, 6),
    }
    return Trained(summary, carried, {})


def test_rounds_are_told_from_what_a_run_costs_once() -> None:
    row = waterfall(trained(21), trained(1))
    assert row.rounds == 20
    assert row.uplink == Direction(**{name: 40 * value for name, value in UP.items()})
    assert row.downlink == Direction(**{name: 40 * value for name, value in DOWN.items()})
    assert row.each(row.uplink)["tcp_bytes"] == 315 and row.each(row.downlink)["interface_packets"] == 2
    assert row.once_uplink == Direction(0, 0, 0, 5100, 6038, 14) == row.once_downlink
    assert row.ends_differ_by == 84 and row.retransmitted == 7


def test_frames_are_streams_and_headers_and_a_rest() -> None:
    row = waterfall(trained(3), trained(1))
    assert FRAME_HEADERS == 66 and row.uplink.header_bytes == 4 * 66
    assert row.uplink.rest_bytes == row.downlink.rest_bytes == 0
    syn = Direction(0, 0, 0, 0, 74, 1)
    assert syn.rest_bytes == 8


@pytest.mark.parametrize("name", ["uplink", "downlink"])
@pytest.mark.parametrize("layer", ["payload_bits", "payload_bytes", "message_bytes"])
@pytest.mark.parametrize("which", [0, 1])
def test_one_byte_that_was_not_predicted_fails(name: str, layer: str, which: int) -> None:
    runs = [trained(21), trained(1)]
    runs[which].summary[name][layer] += 1
    with pytest.raises(ByteMismatchError, match="predicted were"):
        waterfall(*runs)


def test_a_server_that_predicts_what_it_measured_is_not_believed() -> None:
    run = trained(21)
    for side in (run.summary["uplink"], run.summary["predicted"]["uplink"]):
        side["payload_bits"] += 8
    with pytest.raises(ByteMismatchError, match="expected 2,132 of each of 2 workers in 21 rounds: 89,544"):
        waterfall(run, trained(1))


@pytest.mark.parametrize("layer", ["tcp_bytes", "interface_bytes"])
def test_a_kernel_that_does_not_count_is_named(layer: str) -> None:
    run = trained(1)
    run.summary["downlink"][layer] = None
    with pytest.raises(ConfigError, match=r"Linux 4\.19"):
        waterfall(trained(2), run)


def test_json_holds_totals_shares_and_what_is_once() -> None:
    row: dict[str, Any] = waterfall(trained(21), trained(1)).to_json()
    up = row["uplink"]
    assert up["total"]["payload_bits"] == 40 * 2132 and up["per_worker_and_round"]["payload_bits"] == 2132
    assert up["once"]["tcp_bytes"] == 5100 and row["downlink_mode"] == "log"


def test_the_table_says_each_layer_for_both_directions() -> None:
    text = io.StringIO()
    print_waterfalls(Console(file=text, width=200), [waterfall(trained(21), trained(1))])
    lines = text.getvalue().splitlines()
    assert lines[1].split() == ["cross_polytope(repeats=100)", "up", "2.13", "kbit", "267", "B", "275", "B", "315",
                                "B", "381", "B", "1.0", "1.43"]  # fmt: skip
    assert lines[2].split()[:4] == ["log", "down", "4.26", "kbit"]
    assert (
        "6.04 kB up, 6.04 kB down" in text.getvalue()
        and "both ends' interfaces differ by 84 B" in text.getvalue()
    )


def test_trainings_are_not_changed() -> None:
    long, short = trained(21), trained(1)
    before = deepcopy((long.summary, short.summary))
    waterfall(long, short)
    assert (long.summary, short.summary) == before


def test_the_picture_has_a_step_for_each_layer(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    row = waterfall(trained(21), trained(1))
    assert steps(row, row.uplink) == [2132 / 8, 267, 275, 315, 381]
    for rows, name in (([row], "one.png"), ([row, row], "two.svg")):
        draw(tmp_path / name, rows)
        assert (tmp_path / name).stat().st_size > 5000
