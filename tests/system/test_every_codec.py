"""Rounds with every registered codec: over gRPC all replicas end with the bits of the plain fold."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gradwire.common.codecs import AnyCodec, Example, codecs
from gradwire.common.training.config import RunConfig
from tests.common.codecs.examples import build
from tests.grids import rest_slow
from tests.system.harness import TIMEOUT, simulate, whole_run

ROUNDS, WORKERS = 3, 3
HOSTS = [(0, 2), (1,)]


def cheap(name: str) -> list[Example]:
    """The family's examples of up to some thousand coordinates, so that a round costs milliseconds."""
    found = [example for example in codecs()[name].examples() if example.dim <= 2000]
    assert found, f"{name}.examples() has none of at most 2,000 coordinates"
    return found


ALL = [pytest.param(e, id=f"{e.spec} d={e.dim}") for name in sorted(codecs()) for e in cheap(name)]
ONE = [pytest.param(cheap(name)[-1], id=name) for name in sorted(codecs())]


def config_of(example: Example, downlink: str) -> RunConfig:
    return RunConfig(
        task=f"least_squares(samples=48, dim={example.dim})",
        codec=example.spec,
        workers=WORKERS,
        rounds=ROUNDS,
        optimizer="sgd(lr=0.01)",
        digest_every=1,
        downlink=downlink,
        feedback="none" if build(example).unbiased else "error",
    )


def check(summary: dict[str, object], codec: AnyCodec, config: RunConfig) -> None:
    """All replicas have the server's parameters, and these are what the payloads give."""
    assert summary["replicas_agree"] and summary["predicted_equals_measured"]
    assert summary["rounds"] == ROUNDS
    if not codec.secret_coins:  # such a codec's coins are the operating system's: its run happens once
        assert summary["digest"] == f"{simulate(config).digest:016x}"


@pytest.mark.parametrize("downlink", rest_slow(["log", "sum"]))
@pytest.mark.parametrize("example", ONE)
def test_run_ends_with_equal_digests(example: Example, downlink: str, tmp_path: Path) -> None:
    config = config_of(example, downlink)
    check(whole_run(config, tmp_path, HOSTS), build(example), config)


@pytest.mark.slow
@pytest.mark.parametrize("example", ALL)
def test_every_example(example: Example, tmp_path: Path) -> None:
    config = config_of(example, "auto")
    check(whole_run(config, tmp_path, HOSTS), build(example), config)


@pytest.mark.slow
@pytest.mark.parametrize("example", ONE)
def test_real_processes_end_with_equal_digests(example: Example, tmp_path: Path) -> None:
    """``gradwire run``: a server process and two worker processes, which share nothing but the connection."""
    config, out = config_of(example, "log"), tmp_path / "out.json"
    command = [
        sys.executable,
        "-m",
        "gradwire.deploy.cli",
        "run",
        "--task",
        config.task,
        "--codec",
        config.codec,
    ]
    command += ["--workers", str(WORKERS), "--processes", "2", "--rounds", str(ROUNDS), "--downlink", "log"]
    command += ["--optimizer", config.optimizer, "--feedback", config.feedback, "--digest-every", "1"]
    command += ["--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    check(json.loads(out.read_text()), build(example), config)
