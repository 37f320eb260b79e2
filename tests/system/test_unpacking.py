"""The server unpacks every payload once: what validation read is what the sum is taken of."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.codecs import payloads
from gradwire.common.training.config import RunConfig
from tests.system.harness import simulate, whole_run

HOSTS = [(2, 0), (1,), (3,)]  # pushes arrive in another order than that of the workers


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many payloads each call of the codec's reader took."""
    counts: list[int] = []
    real: Callable[..., Any] = payloads.unpack_checked

    def counting(codec: Any, payload: Any) -> Any:
        counts.append(1 if isinstance(payload, bytes) else len(payload))
        return real(codec, payload)

    monkeypatch.setattr(payloads, "unpack_checked", counting)
    return counts


@pytest.mark.parametrize("limit", [1 << 29, 0])
@pytest.mark.parametrize("codec", ["cross_polytope(repeats=20)", "qsgd(levels=3)", "eden", "float32"])
def test_each_payload_is_unpacked_once_per_push(
    codec: str, limit: int, unpacked: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Workers get the sum, so that the payloads are the server's alone.
    config = RunConfig(
        task="least_squares(samples=64, dim=24)", codec=codec, downlink="sum", workers=4, rounds=5
    )
    monkeypatch.setattr("gradwire.server.stream.messages.UNPACKED_BYTES", limit)
    summary = whole_run(config, tmp_path, HOSTS)
    # What is too large to be kept is read again.
    assert sum(unpacked) == config.workers * config.rounds * (1 if limit else 2)
    assert summary["digest"] == f"{simulate(config).digest:016x}"
