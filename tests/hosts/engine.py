"""A Docker engine for tests: the one that answers, or the one that the checkout's neighbour can start."""

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.errors import ConfigError
from gradwire.deploy.hosts.images import connect

ENGINE_UP = Path(__file__).parents[3] / "shared/docker/engine-up"


@cache
def started() -> str:
    """Why there is no engine; empty where there is one, started if need be."""
    try:
        connect().close()
    except ConfigError as error:
        if not ENGINE_UP.is_file() or os.geteuid() != 0:
            return f"NO DOCKER ENGINE, nothing was tested: {error}"
        done = subprocess.run([ENGINE_UP], capture_output=True, text=True, check=False)
        if done.returncode:
            return f"NO DOCKER ENGINE, nothing was tested: {ENGINE_UP} failed: {done.stderr.strip()}"
    return ""


def engine() -> Any:
    """A client; skips the test where there is no engine."""
    missing = started()
    if missing:
        pytest.skip(missing)
    return connect()
