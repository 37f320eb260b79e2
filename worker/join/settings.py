"""What ``gradwire.join`` was called with, as the program hands it to its wire process."""

from __future__ import annotations

import math
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
    allow_codec: tuple[str, ...] = ()
    allow_optimizer: tuple[str, ...] = ()
    evaluates: bool = False

    def __post_init__(self) -> None:
        parse_address(self.server)
        if not 0 <= self.retry_for < math.inf:
            raise ConfigError(f"retry_for is {self.retry_for}, expected seconds of at least 0")
        if self.worker is not None and (isinstance(self.worker, bool) or not 0 <= self.worker < 1 << 20):
            raise ConfigError(f"worker is {self.worker!r}, expected the id of a worker, from 0")

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
        lists = {name: tuple(values[name]) for name in ("allow_codec", "allow_optimizer")}
        return cls(**{**values, **lists})
