"""Files that measurements write, JSON and pictures: checked before anything is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from gradwire.bench.plotting import check_plot
from gradwire.bench.timing import machine
from gradwire.common.system.results import ResultFile, to_json

JsonFile = Annotated[str | None, Option("--json", metavar="FILE", help="Write the results as JSON.")]
PlotFile = Annotated[Path | None, Option("--plot", metavar="FILE", help="Draw them: a PNG, SVG or PDF file.")]


@dataclass(frozen=True)
class Outputs:
    """The files that the command line asks for.

    Raises:
        ConfigError: one of them could not be written.
    """

    json: str | None
    plot: Path | None

    def __post_init__(self) -> None:
        if self.json is not None:
            ResultFile(self.json).check()
        if self.plot is not None:
            check_plot(self.plot)

    def write(self, report: Mapping[str, Any], draw: Callable[[Path], None]) -> None:
        """Write the report, with the machine it was measured on, and draw the picture."""
        if self.json is not None:
            ResultFile(self.json).write(to_json({"machine": machine(), **report}, indent=2) + "\n")
        if self.plot is not None:
            draw(self.plot)
