"""What a supervisor starts, and how patient it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from gradwire.deploy.processes.child import Child

FREE_PORT = "127.0.0.1:0"


class Worker(NamedTuple):
    """A worker process.

    Attributes:
        arguments: of ``gradwire worker``, the server's address apart.
        hosted: logical workers in it.
    """

    child: Child
    arguments: tuple[str, ...]
    hosted: int = 1


@dataclass(frozen=True)
class Plan:
    """What to start.

    Attributes:
        arguments: of ``gradwire server``, its address apart.
        listen: the server's address; one that is restarted listens where its workers expect it.
        spare: logical workers that the run can do without, should their privacy budget be spent.
    """

    server: Child
    arguments: tuple[str, ...]
    workers: tuple[Worker, ...]
    listen: str = FREE_PORT
    spare: int = 0


@dataclass(frozen=True)
class Limits:
    """Limits in number and time.

    Attributes:
        restarts: of one child that signals kill.
        grace: seconds that children have to exit when they are asked to; 0 kills them without asking.
        ending: seconds without a word from any child, once the run has its summary, after which those that are left are
            asked to exit. The run is not worse for it: its result is known.
        late: seconds that workers which never joined have for that once the server has exited.
    """

    restarts: int = 3
    grace: float = 10.0
    ending: float = 60.0
    late: float = 5.0


class Display(Protocol):
    """What a supervisor reports to."""

    def show(self, event: Mapping[str, Any]) -> None:
        """An event of the server."""

    def note(self, text: str) -> None:
        """A remark of the supervisor."""

    def log(self, name: str, line: str) -> None:
        """A line that a child wrote."""

    def tick(self) -> None:
        """Time has passed."""
