"""``vqsgd-figure-1-cifar``: CIFAR-10, 4,000 hidden units, 100 workers: vqSGD, QSGD, float32 and ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradwire.bench.papers.experiment import Experiment, Measured, Params, register
from gradwire.bench.papers.networks import FLOAT32, QSGD, SYSTEMATIC, VQSGD, dimension, measure
from gradwire.bench.papers.networks_report import (
    FLOAT32_NOTE,
    best_of,
    finding,
    noise_sentence,
    parts,
    runs_of,
)
from gradwire.deploy.report.document import Document, Section

DATASET, TITLE, PRINTED = "cifar10", "CIFAR-10", 4096.9  # bits of QSGD
HIDDEN, STEPS, ROUNDS = 4000, (0.01, 0.03, 0.1), 50
QUICK_HIDDEN, QUICK_STEPS, QUICK_BATCH, QUICK_ROUNDS = 100, (0.03,), 20, 30
SCHEMES = (QSGD, FLOAT32, SYSTEMATIC, VQSGD)


@register
class Figure1Cifar(Experiment):
    """Test error by iteration and by bytes."""

    name = "vqsgd-figure-1-cifar"
    title = "CIFAR-10, 100 workers: test error by iteration and by bytes"
    source = "[V] Figure 1"

    def cases(self, *, full: bool) -> Sequence[Params]:
        sizes = (HIDDEN, 0, ROUNDS, STEPS) if full else (QUICK_HIDDEN, QUICK_BATCH, QUICK_ROUNDS, QUICK_STEPS)
        hidden, batch, rounds, steps = sizes
        return [
            {"dataset": DATASET, "hidden": hidden, "batch": batch, "scheme": s, "step": h, "rounds": rounds}
            for s in SCHEMES
            for h in steps
        ]

    def measure(self, *, dataset: str, hidden: int, batch: int, scheme: str, step: float, rounds: int) -> Any:
        return measure(dataset, hidden, batch, scheme, step, rounds, rounds)

    def document(self, results: Sequence[Measured], *, full: bool) -> Document:
        runs, dim = runs_of(results, DATASET), dimension(DATASET, HIDDEN if full else QUICK_HIDDEN)
        return Document(
            self.title,
            finding(best_of(runs), PRINTED),
            [
                Section(f"{dim:,} parameters", list(parts(runs, TITLE, PRINTED))),
                Section("Setting", [_setting(full, dim), noise_sentence(dim)]),
            ],
        )


def _setting(full: bool, dim: int) -> str:
    if full:
        scale = (
            "Network, workers and rounds are the paper's; with one of CIFAR-10's five training files a worker has "
            f"100 rows in place of 500. {FLOAT32_NOTE}"
        )
    else:
        scale = (
            f"Quick scale: {QUICK_HIDDEN} hidden units (d = {dim:,} in place of 12,332,010), {QUICK_BATCH} rows per "
            f"worker and round, {QUICK_ROUNDS} rounds and one step. It shows that the experiment runs; compare the "
            "paper with the full scale only."
        )
    return f"{scale} The paper gives no step size; every curve is one run with seed 0."
