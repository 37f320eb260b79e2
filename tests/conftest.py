"""The false-alarm budget that all statistical tests of a run share, and the seed they draw from.

A statistical test takes the ``chance`` fixture: its ``rate`` is the probability that the test may fail although nothing
is wrong. The rates of all collected tests add up to BUDGET, so one run in a million fails without cause.
"""

import os
import secrets
import sys
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

# How long an example takes says something of the machine's load, not of the code.
hypothesis.settings.register_profile(
    "gradwire", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("gradwire")

# Read by the OpenMP library when torch loads it: its threads sleep between two tasks and do not spin. Beside other test
# processes on the same cores, spinning takes more processor time than the tensors do.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# ``tests`` is a folder, not a room of gradwire: its modules import each other from the checkout.
sys.path.insert(0, str(Path(__file__).parents[1]))
pytest.register_assert_rewrite(
    *(f"tests.common.codecs.{kind}" for kind in ("checks", "law_checks", "refusal_checks", "sampling_checks"))
)

from tests.common.codecs.chance import Chance  # noqa: E402

BUDGET = 1e-6
_count = pytest.StashKey[int]()
_seed = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seed", type=int, default=None, help="seed of the statistical tests (default: a fresh one)"
    )


def pytest_configure(config: pytest.Config) -> None:
    given = config.getoption("--seed")
    drawn = secrets.randbits(32) if given is None else given
    config.stash[_seed] = getattr(config, "workerinput", {}).get("seed", drawn)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """One seed for all processes of a parallel run: the header names it."""
    node.workerinput["seed"] = node.config.stash[_seed]


def pytest_report_header(config: pytest.Config) -> str:
    return f"statistical tests: false-alarm budget {BUDGET:.0e}, --seed={config.stash[_seed]}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[_count] = sum("chance" in getattr(item, "fixturenames", ()) for item in items)


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> Chance:
    """This test's share of the false-alarm budget, and its own stream of random numbers."""
    stash = request.config.stash
    return Chance(BUDGET / stash[_count], stash[_seed], request.node.nodeid)


@pytest.fixture
def fresh(request: pytest.FixtureRequest) -> np.random.Generator:
    """Other numbers in every run, for what must hold of all: no false alarm, so no share of the budget."""
    return Chance(0, request.config.stash[_seed], request.node.nodeid).rng
