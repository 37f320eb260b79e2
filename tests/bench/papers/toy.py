"""An experiment that takes no time, and one case of which can be made to fail."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gradwire.bench.papers.experiment import Experiment, Measured
from gradwire.bench.papers.partial import PartialResults
from gradwire.bench.papers.runner import measure_all
from gradwire.common.errors import TaskError
from gradwire.deploy.report.document import Chart, Document, Section, Series, Table


class Toy(Experiment):
    """Means of seeded draws."""

    name = "toy"
    title = "Means of draws"
    source = "nowhere"
    fail_at: ClassVar[int | None] = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # for each case a file that is as long as it was measured often

    def cases(self, *, full: bool) -> Sequence[dict[str, Any]]:
        return [{"seed": seed, "draws": 10} for seed in range(8 if full else 4)]

    def measure(self, *, seed: int, draws: int) -> Any:
        if (self.folder / f"kill-{seed}").exists():
            os._exit(9)
        if (self.folder / f"wait-{seed}").exists():
            with (self.folder / f"wait-{seed}").open("rb") as fifo:
                while fifo.read(4096):  # as long as somebody writes
                    pass
        if (self.folder / f"fail-{seed}").exists():
            raise TaskError(f"seed {seed} is refused")
        with (self.folder / f"measured-{seed}").open("a") as times:
            times.write("x")
        threads = os.environ.get("OMP_NUM_THREADS")
        mean = float(np.random.default_rng(seed).standard_normal(draws).mean())
        return {"mean": mean, "infinite": float("inf"), "pair": (1, 2), "threads": threads}

    def document(self, results: Sequence[Measured], *, full: bool) -> Document:
        x, y = [r.params["seed"] for r in results], [r.result["mean"] for r in results]
        chart = Chart("Means", "seed", "mean", [Series("draws", x, y)])
        table = Table("Means", ["seed", "mean"], list(zip(x, y, strict=True)))
        return Document("Toy", "Means of draws.", [Section("Means", [chart, table])])


def main(folder: Path) -> None:
    """Measure in a process that a test kills."""
    toy = Toy(folder)
    with PartialResults(folder / "partial", "any") as stored:
        measure_all(toy, stored, full=False, jobs=1, step=lambda done, of, params: None)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
