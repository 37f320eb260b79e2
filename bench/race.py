"""One training over links of several rates: the same rounds and the same model in different times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console

from gradwire.bench.hosts.base import Network
from gradwire.bench.hosts.rates import Rate
from gradwire.bench.hosts.training import Trained, Trainer
from gradwire.common.errors import DivergenceError, TaskError
from gradwire.deploy.flags import read_settings
from gradwire.deploy.processes.events import Inbox
from gradwire.deploy.tables import print_plain

# Codec, downlink, and a learning rate with which it converges.
CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("float32, model", {"codec": "float32", "downlink": "model", "lr": 0.5}),
    ("QSGD 4 bits, log", {"codec": "qsgd(levels=7, coding=fixed)", "downlink": "log", "lr": 0.2}),
    ("cross-polytope, model", {"codec": "cross_polytope(repeats=1000)", "downlink": "model", "lr": 0.05}),
    ("cross-polytope, log", {"codec": "cross_polytope(repeats=1000)", "downlink": "log", "lr": 0.05}),
)
FIRST_TRY = 50  # rounds; doubled until they are enough


@dataclass(frozen=True)
class Case:
    """A named run: its settings but for workers and rounds."""

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Lap:
    """One case over links of one speed.

    Attributes:
        rate: of the workers' links; None where they are not limited.
        rounds: until the loss was reached.
        seconds: from the first round's opening until the last was committed.
        up_bytes: at the server's interface, of all workers, in those rounds; ``down_bytes`` likewise.
        curve: (seconds, loss) of the rounds that the server announced, losses averaged as for the target.
    """

    case: str
    rate: Rate | None
    rounds: int
    seconds: float
    up_bytes: int
    down_bytes: int
    curve: tuple[tuple[float, float], ...]

    def to_json(self) -> dict[str, Any]:
        """Every number; the rate in bits per second."""
        return {
            "case": self.case, "rate_bits": None if self.rate is None else self.rate.bits, "rounds": self.rounds,
            "seconds": self.seconds, "up_bytes": self.up_bytes, "down_bytes": self.down_bytes,
            "curve": [list(point) for point in self.curve],
        }  # fmt: skip


def read_case(path: Path, task: str) -> Case:
    """A case from a run's TOML file, named after the file.

    Raises:
        ConfigError: no such file, not TOML, or an unknown key.
    """
    settings = {key: value for key, value in read_settings(path).items() if key not in ("workers", "rounds")}
    return Case(path.stem, {"task": task, **settings})


def race(
    case: Case,
    workers: int,
    rates: Sequence[Rate | None],
    *,
    target: float,
    window: int,
    max_rounds: int,
    network: Callable[[Rate | None], Network],
    inbox: Inbox,
    plaintext: bool,
) -> list[Lap]:
    """Find the rounds that a case needs, and time them at every rate.

    Args:
        case: the run.
        workers: hosts of workers.
        rates: of the workers' links.
        target: mean training loss to reach.
        window: rounds that the loss is averaged over.
        max_rounds: rounds after which the case has failed.
        network: makes a network whose workers' links have a rate.
        inbox: where the events of its processes arrive.
        plaintext: do without TLS.

    Raises:
        TaskError: the loss was not reached in ``max_rounds`` rounds.
        DivergenceError: the same rounds gave another model over another link.
        RunEnded: a process failed, or a signal arrived.
    """
    notes = Console(stderr=True)
    settings = {**case.settings, "evaluate_every": 0}

    def train(rate: Rate | None, rounds: int) -> Trained:
        at = "unshaped" if rate is None else str(rate)
        print_plain(notes, f"{case.name}: {rounds} rounds, {at}")
        return Trainer(network(rate), inbox, plaintext).run({**settings, "rounds": rounds}, workers)

    tried = min(FIRST_TRY, max_rounds)
    while (rounds := rounds_to(target, losses_of(train(None, tried)), window)) is None and tried < max_rounds:
        tried = min(2 * tried, max_rounds)
    if rounds is None:
        raise TaskError(
            f"{case.name} did not reach a loss of {target:g} in {max_rounds} rounds: more --max-rounds, "
            "a higher --target or another lr"
        )
    laps, digests = [], set()
    for rate in rates:
        done = train(rate, rounds)
        digests.add(done.summary["digest"])
        laps.append(lap(case.name, rate, done, window))
    if len(digests) > 1:
        raise DivergenceError(
            f"{case.name}: the same {rounds} rounds ended in {len(digests)} different models"
        )
    return laps


def losses_of(trained: Trained) -> list[float]:
    """Each round's mean training loss, at the parameters that it began with; infinite where none was reported."""
    rows = {row["round"]: row["loss"] for row in trained.summary["history"]}
    losses = (rows.get(round_) for round_ in range(trained.summary["rounds"]))
    return [float("inf") if loss is None else loss for loss in losses]


def averaged(losses: Sequence[float], window: int) -> list[float]:
    """The mean of each round's loss and those before it, ``window`` at most; as many as losses.

    >>> averaged([4.0, 2.0, 1.0], 2)
    [4.0, 3.0, 1.5]
    """
    return [fmean(losses[max(0, end - window) : end]) for end in range(1, len(losses) + 1)]


def rounds_to(target: float, losses: Sequence[float], window: int) -> int | None:
    """The first number of rounds whose last ``window`` losses average to the target or less.

    >>> rounds_to(1.5, [4.0, 2.0, 1.0, 0.9], 2)
    3
    """
    reached = (i + 1 for i, mean in enumerate(averaged(losses, window)) if i + 1 >= window and mean <= target)
    return next(reached, None)


def lap(name: str, rate: Rate | None, trained: Trained, window: int) -> Lap:
    """A training's time and cost.

    Args:
        name: of the case.
        rate: of the workers' links.
        trained: what it did.
        window: rounds that losses are averaged over.
    """
    summary, means = trained.summary, averaged(losses_of(trained), window)
    last = max(trained.reached)
    # On this process's clock: the server measures from the first round's opening to the last commit.
    opened = trained.reached[last] - summary["seconds"]
    curve = ((seconds - opened, means[round_]) for round_, seconds in sorted(trained.reached.items()))
    return Lap(
        name,
        rate,
        summary["rounds"],
        summary["seconds"],
        summary["uplink"]["interface_bytes"],
        summary["downlink"]["interface_bytes"],
        tuple(curve),
    )
