"""``bytes-to-accuracy``: what it costs, both ways and with framing, to train the same network to the same accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gradwire.bench.papers.experiment import Experiment, Measured, Params, register
from gradwire.common.training.config import RunConfig
from gradwire.deploy.in_process.run import train
from gradwire.deploy.report.document import Chart, Document, Section, Series, Table
from gradwire.deploy.units import human

TASK = "mlp(mnist, hidden=100, batch=64)"
WORKERS = 4
TARGET = 0.97


@dataclass(frozen=True)
class Scheme:
    """A way to train; ``{lr}`` stands for the learning rate.

    Attributes:
        lrs: the grid; the first has the fewest rounds to the target with seed 0, or the best accuracy.
    """

    title: str
    codec: str
    downlink: str
    rounds: int
    every: int
    lrs: tuple[float, ...]
    local: int = 1
    feedback: str = "none"

    def config(self, lr: float, seed: int) -> RunConfig:
        """The run with one learning rate: of the server's step, or of the workers' local steps."""
        steps = f"local(steps={self.local}, optimizer=sgd(lr={lr!r}))" if self.local > 1 else ""
        return RunConfig(
            task=TASK,
            workers=WORKERS,
            codec=self.codec,
            downlink=self.downlink,
            feedback=self.feedback,
            rounds=self.rounds,
            evaluate_every=self.every,
            seed=seed,
            local=steps,
            optimizer="" if steps else f"sgd(lr={lr!r})",
        )


SCHEMES = (
    Scheme("float32, model sent back", "float32", "model", 1500, 20, (1.0, 0.5, 0.3)),
    Scheme("QSGD, 4 bits, log", "qsgd(levels=7, coding=fixed)", "log", 1500, 20, (0.5, 1.0, 0.3)),
    Scheme("vqSGD, 100 draws, log", "cross_polytope(repeats=100)", "log", 3000, 100, (0.03, 0.1, 0.01)),
    Scheme("float32, 20 local steps", "float32", "model", 200, 10, (0.4, 0.8, 0.2), local=20),
    Scheme("DRIVE, 50 local steps, log", "drive", "log", 80, 5, (0.4, 0.8, 0.2), local=50),
    Scheme(
        "top 100 and feedback, 50 local steps, log",
        "top_k(100, coding=set)",
        "log",
        160,
        10,
        (0.4, 0.2, 0.1),
        local=50,
        feedback="error",
    ),
    Scheme(
        "100 rotated signs, 50 local steps, log", "top_signs(100)", "log", 120, 5, (0.4, 0.8, 0.2), local=50
    ),
)
BY_TITLE = {scheme.title: scheme for scheme in SCHEMES}


@register
class BytesToAccuracy(Experiment):
    """Accuracy on MNIST's test set against the bytes that each worker sent and received."""

    name = "bytes-to-accuracy"
    title = f"MNIST, 784-100-10, {WORKERS} workers: accuracy by bytes per worker, both directions"
    source = "theory 9"

    def cases(self, *, full: bool) -> Sequence[Params]:
        """All learning rates and three seeds; or the first rate and one seed."""
        return [
            {"scheme": scheme.title, "lr": lr, "seed": seed}
            for scheme in reversed(SCHEMES)
            for lr in (scheme.lrs if full else scheme.lrs[:1])
            for seed in range(3 if full else 1)
        ]

    def measure(self, *, scheme: str, lr: float, seed: int) -> Any:
        summary = train(BY_TITLE[scheme].config(lr, seed), processes=WORKERS).summary
        both = summary["uplink"]["message_bytes"] + summary["downlink"]["message_bytes"]
        points = [
            (row["round"], row["accuracy"]) for row in summary["history"] if row.get("accuracy") is not None
        ]
        return {"bytes_per_round": both / WORKERS / summary["rounds"], "accuracy": points}

    def document(self, results: Sequence[Measured], *, full: bool) -> Document:
        best = [_best([r for r in results if r.params["scheme"] == title]) for title in BY_TITLE]
        chart = Chart(
            f"Accuracy by bytes per worker: {TASK}, {WORKERS} workers",
            "bytes sent and received by each worker, protobuf messages",
            "accuracy on the test set",
            [_series(each) for each in best],
            log_x=True,
            note="Every scheme at its own best learning rate.",
        )
        seeds = "three seeds, the mean of their rounds" if full else "one seed"
        return Document(
            self.title,
            f"Bytes of the protobuf messages of all rounds, up and down; {seeds}. Every round sends as many.",
            [Section("Bytes to accuracy", [chart, _table(best)])],
        )


def _reached(result: Any) -> int | None:
    """The first evaluated round with the target accuracy."""
    return next((round_ for round_, accuracy in result["accuracy"] if accuracy >= TARGET), None)


def _best(results: Sequence[Measured]) -> list[Measured]:
    """The runs of the learning rate that reaches the target soonest, or else comes nearest to it."""
    by_rate: dict[float, list[Measured]] = {}
    for each in results:
        by_rate.setdefault(each.params["lr"], []).append(each)
    return min(by_rate.values(), key=_order)


def _order(runs: Sequence[Measured]) -> tuple[float, float]:
    rounds = [_reached(run.result) for run in runs]
    highest = sum(max(accuracy for _, accuracy in run.result["accuracy"]) for run in runs) / len(runs)
    known = [round_ for round_ in rounds if round_ is not None]
    return (sum(known) / len(known) if len(known) == len(runs) else float("inf")), -highest


def _series(runs: Sequence[Measured]) -> Series:
    first, *_ = runs
    points = [
        (n * first.result["bytes_per_round"], accuracy) for n, accuracy in first.result["accuracy"] if n
    ]
    return Series(first.params["scheme"], [x for x, _ in points], [y for _, y in points])


def _table(best: Sequence[list[Measured]]) -> Table:
    baseline = _bytes(best[0])
    return Table(
        f"Bytes per worker to {100 * TARGET:g} % accuracy",
        [
            "scheme",
            "codec",
            "lr",
            "bytes per round",
            "rounds",
            "bytes",
            "times fewer than float32",
            "highest accuracy",
        ],
        list(_rows(best, baseline)),
        note="A dash: not reached in the rounds of the run.",
    )


def _bytes(runs: Sequence[Measured]) -> float | None:
    rounds, _ = _order(runs)
    return None if rounds == float("inf") else rounds * runs[0].result["bytes_per_round"]


def _rows(best: Sequence[list[Measured]], baseline: float | None) -> Iterator[list[Any]]:
    for runs in best:
        rounds, highest = _order(runs)
        scheme, total = BY_TITLE[runs[0].params["scheme"]], _bytes(runs)
        yield [
            scheme.title,
            scheme.codec,
            runs[0].params["lr"],
            human(runs[0].result["bytes_per_round"], "B"),
            None if total is None else rounds,
            None if total is None else human(total, "B"),
            baseline / total if baseline and total else None,
            -highest,
        ]
