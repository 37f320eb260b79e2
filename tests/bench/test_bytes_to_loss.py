"""`gradwire bench bytes-to-loss`: the numbers are those of real runs, the picture is a function of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from gradwire.bench.bytes_to_loss import Case, Curve, curve_of
from gradwire.bench.bytes_to_loss_plot import draw
from gradwire.bench.commands import bytes_to_loss as command

CASE = Case("float32", "float32", "model", 0.5, 4)


def summary(tcp: int | None) -> dict[str, Any]:
    up = {"tcp_bytes": tcp, "message_bytes": 80}
    down = {"tcp_bytes": tcp, "message_bytes": 160}
    history = [{"round": t, "loss": loss} for t, loss in enumerate([2.0, 1.0, 0.5, 0.25, None])]
    return {
        "workers": 2, "rounds": 4, "uplink": up, "downlink": down, "history": history, "metrics": {"accuracy": 0.9},
    }  # fmt: skip


@pytest.mark.parametrize(("tcp", "each"), [(200, 50.0), (None, 30.0)])
def test_bytes_are_per_worker_and_round(tcp: int | None, each: float) -> None:
    curve = curve_of(CASE, summary(tcp))
    assert curve.bytes_per_round == each
    assert curve.losses == (2.0, 1.0, 0.5, 0.25)
    assert [curve.bytes_to(target) for target in (3.0, 0.5, 0.1)] == [0.0, 2 * each, None]


def test_equal_numbers_draw_equal_pictures(tmp_path: Path) -> None:
    curves = [Curve(CASE, 100.0, (2.0, 1.0, 0.4), {}), Curve(CASE, 1.0, (2.0, 1.5, 1.0), {})]
    for name in ("a.svg", "b.svg"):
        draw(tmp_path / name, curves, 0.5, "toy")
    first, second = ((tmp_path / name).read_bytes() for name in ("a.svg", "b.svg"))
    assert first == second
    draw(tmp_path / "c.svg", curves[:1], 0.5, "toy")
    assert (tmp_path / "c.svg").read_bytes() != first


@pytest.mark.slow
def test_both_downlinks_give_the_same_losses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codec = "simq_plus(repeats=20, coding=l1_ball)"
    cases = tuple(Case(mode, codec, mode, 0.2, 3) for mode in ("model", "log"))
    monkeypatch.setattr(command, "CASES", cases)
    command.bytes_to_loss("softmax(digits)", 2, 0.1, str(tmp_path / "all.json"), tmp_path / "all.png")
    model, log = json.loads((tmp_path / "all.json").read_text())["curves"]
    assert model["losses"] == log["losses"] and len(log["losses"]) == 3
    assert model["bytes_per_round"] > log["bytes_per_round"] + 4 * 650 - 200
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.count("0.2") >= 2
