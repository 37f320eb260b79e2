"""Options for files of curves beside the log, of the commands that run a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gradwire.common.training.settings import described
from gradwire.server.sinks.all import KINDS


@dataclass(frozen=True, kw_only=True)
class CurveOptions:
    """One option for each kind of sink, of the same name."""

    tensorboard: Path | None = field(
        default=None,
        metadata=described(
            "Write event files of TensorBoard, in a folder of the run's own in this one", metavar="DIR"
        ),
    )
    metrics_log: Path | None = field(
        default=None,
        metadata=described("Append metrics to this file, as JSON lines that MLflow takes", metavar="FILE"),
    )

    @property
    def targets(self) -> dict[str, Path | None]:
        """Where each kind of sink writes to; None where it was not asked for."""
        return {name: getattr(self, name) for name in KINDS}

    @property
    def curve_flags(self) -> tuple[str, ...]:
        """The same options for the command line of a server."""
        given = ((name, target) for name, target in self.targets.items() if target is not None)
        return tuple(f"--{name.replace('_', '-')}={target}" for name, target in given)
