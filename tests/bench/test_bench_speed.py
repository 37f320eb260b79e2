"""``gradwire bench codecs`` and ``bench hadamard``: every codec has a row, every row a ratio to a copy."""

import json
import math

import numpy as np
import pytest

from gradwire.bench import timing
from gradwire.bench.commands import codecs as bench_codecs
from gradwire.bench.commands.codecs import codecs as speeds
from gradwire.bench.commands.hadamard import hadamard, one_pass_per_level
from gradwire.common.arrays.hadamard import hadamard_transform
from gradwire.common.codecs import codecs, parse
from gradwire.common.errors import ConfigError
from gradwire.common.spec import parse_spec


def test_every_codec_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    speeds(dim=[4096], backend=["numpy"], repeats=1, seconds=0.1, as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["backends"] == ["numpy"] and "cores" in report["machine"] and len(report["load"]) == 3
    assert [parse_spec(row["codec"]).name for row in report["rows"]] == sorted(codecs())
    for row in report["rows"]:
        if "why" not in row:
            codec = parse(row["codec"], 4096)
            assert row["nbits"] == codec.nbits and 0 < row["payload_bytes"] <= codec.nbytes
            times = [*row["encode"].values(), row["decode"]]
            assert all(t["ms"] > 0 and t["copies"] > 0 for t in times)
            assert row["slow"] == max(t["copies"] for t in times)
    assert sum("why" in row for row in report["rows"]) <= 3  # point sets of few dimensions


def test_both_backends_stand_in_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    speeds(codec=["simq", "gaussian"], dim=[1000], backend=["numpy", "torch"], repeats=2, as_json=False)
    machine, head, simq, gaussian = capsys.readouterr().out.splitlines()
    assert "load" in machine and head.split().count("copies") == 3
    assert "1,000" in simq and len(simq) == len(head)
    assert gaussian.endswith("not at this dimension")


def test_backends_that_are_not_installed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="expected one of numpy, torch, cuda"):
        speeds(backend=["jax"])
    monkeypatch.setattr("gradwire.bench.backends.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install"):
        speeds(backend=["torch"])
    with pytest.raises(ConfigError, match="CUDA"):
        speeds(backend=["cuda"])


def test_slow_calls_are_timed_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    calls = {"copy": 0, "call": 0}

    def spend(name: str, seconds: float) -> None:
        calls[name] += 1
        clock[0] += seconds

    def against(seconds: float, took: float) -> timing.Timing:
        calls.update(copy=0, call=0)
        return timing.against(lambda: spend("copy", 0.25), lambda: spend("call", took), 10, seconds)

    assert against(2.0, 0.5) == timing.Timing(0.5, 2.0, 0.5, 2.0) and calls == {"copy": 5, "call": 5}
    assert against(2.0, 8.0).ratio == 32 and calls == {"copy": 2, "call": 2}
    assert against(math.inf, 0.5).ratio == 2 and calls == {"copy": 11, "call": 11}


def test_hadamard(capsys: pytest.CaptureFixture[str]) -> None:
    hadamard(size=[1 << 12], backend=["numpy"], repeats=3, as_json=True)
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["transform"] for row in rows] == ["numpy", "one pass per level"]
    assert all(row["copies"] > 0 and row["least_ms"] <= row["ms"] for row in rows)
    hadamard(size=[1 << 10], backend=["numpy"], repeats=3, as_json=False)
    assert "1,024" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="power of two"):
        hadamard(size=[12])


def test_what_the_transform_is_compared_with_is_the_transform() -> None:
    x = np.random.default_rng(0).integers(-9, 10, 1 << 10).astype(np.float32)
    np.testing.assert_array_equal(one_pass_per_level(x), hadamard_transform(x))


def test_only_seeded_coins_are_timed() -> None:
    """A private codec takes them because they say that they are secret; nowhere else may anything say so."""
    assert bench_codecs._Coins(np.random.default_rng(0)).secret
