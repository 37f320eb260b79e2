"""A Docker engine for tests: the one that runs, or one that is brought up here; else a skip that nobody overlooks."""

import functools
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ENGINE_UP = ROOT.parent / "shared/docker/engine-up"  # beside a checkout where no engine runs by itself


def command(*words: str, timeout: float = 900.0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run something from the checkout's root; its output is kept as text, standard error within standard output."""
    return subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )


def output(*words: str, timeout: float = 900.0, **environment: str) -> str:
    """As ``command``, for what has to succeed."""
    done = command(*words, timeout=timeout, **environment)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}"
    return done.stdout


def follow_until(text: str, container: str, patience: float = 120.0) -> None:
    """Read a container's log as it comes, until a line holds the text."""
    words = ("docker", "logs", "--follow", container)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as log:
        too_late = threading.Timer(patience, log.kill)
        too_late.start()
        try:
            assert log.stdout is not None
            seen = []
            for line in log.stdout:
                seen.append(line)
                if text in line:
                    return
            raise AssertionError(f"no {text!r} in {patience:g} s:\n{''.join(seen)}")
        finally:
            too_late.cancel()
            log.kill()


@functools.cache
def require_engine() -> None:
    """Make sure of an engine, or skip the test that asks."""
    if _answers():
        return
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: no Docker engine answers, and only root can start one")
    if not ENGINE_UP.exists():
        pytest.skip("NOT TESTED: no Docker engine answers, and nothing here can start one")
    output(str(ENGINE_UP))
    assert _answers(), "the engine was started and does not answer"


@functools.cache
def compose() -> tuple[str, ...]:
    """The words that call Compose: the engine's plugin, or docker-compose 1.29."""
    if command("docker", "compose", "version").returncode == 0:
        return ("docker", "compose")
    if shutil.which("docker-compose") is None:
        pytest.skip("NOT TESTED: there is no Compose here")
    return ("docker-compose",)


@functools.cache
def require_images() -> None:
    """Build the images of this checkout, once."""
    require_engine()
    for target in ("server", "worker"):
        output(
            "docker", "build", "-f", "deploy/Dockerfile", "--target", target, "-t", f"gradwire-{target}", "."
        )


def _answers() -> bool:
    return shutil.which("docker") is not None and command("docker", "info").returncode == 0
