"""What ``gradwire.join`` was called with, as the program hands it to its wire process."""

from __future__ import annotations

import math
import operator
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from gradwire.common.errors import ConfigError
from gradwire.common.transport.address import parse_address


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The plain values among the arguments of ``join``; paths as text.

    Raises:
        ConfigError: a value out of range, or no address.
    """

    server: str
    name: str | None = None
    worker: int | None = None
    cert: str | None = None
    key: str | None = None
    ca: str | None = None
    insecure: bool = False
    state_dir: str | None = None
    retry_for: float = 60.0
    max_epsilon: float | None = None
    delta: float | None = None
    report_metrics: bool = False
    allow_codec: Collection[str] = ()
    allow_optimizer: Collection[str] = ()
    points: Collection[str] = ()
    evaluates: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.server, str):
            raise ConfigError(f"the server is {self.server!r}, expected its address as HOST:PORT")
        parse_address(self.server)
        if self.name is not None and (not isinstance(self.name, str) or not self.name):
            raise ConfigError(f"name is {self.name!r}, expected a text, or None for one that is made")
        if not isinstance(self.retry_for, int | float) or not 0 <= self.retry_for < math.inf:
            raise ConfigError(f"retry_for is {self.retry_for!r}, expected seconds of at least 0")
        if self.worker is not None:
            worker = whole(self.worker, 0, "worker", "the id of a worker")
            object.__setattr__(self, "worker", worker)
        for field in ("allow_codec", "allow_optimizer", "points"):  # one may be given as a text
            given = getattr(self, field)
            object.__setattr__(self, field, (given,) if isinstance(given, str) else tuple(given))
        if self.max_epsilon is not None and self.state_dir is None:
            raise ConfigError("max_epsilon needs state_dir: the ledger must survive a restart")
        if self.delta is not None and self.max_epsilon is None:
            raise ConfigError("delta without max_epsilon limits nothing: pass both")

    def to_json(self) -> dict[str, Any]:
        """Values that JSON has."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Settings:
        """Read back what ``to_json`` gave."""
        return cls(**values)


def whole(value: Any, least: int, name: str, what: str) -> int:
    """A whole number of any type.

    Args:
        value: what the user gave.
        least: the smallest that is allowed.
        name: of the argument.
        what: it counts.

    Raises:
        ConfigError: it is none, or too small.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise ConfigError(f"{name} is {value!r}, expected {what}, a whole number from {least}")
    return number
