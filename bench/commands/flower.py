"""A few of many workers per round, and Flower.

Examples:
    gradwire bench flower --workers 100 --cohort 10 --runs 3
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Annotated, Any

import typer
from rich.console import Console

from gradwire.bench.flower.launch import flower_trained, require_flower
from gradwire.bench.flower.training import Training
from gradwire.bench.local_runs import trained
from gradwire.bench.outputs import JsonFile, Outputs
from gradwire.bench.timing import conditions
from gradwire.common.errors import ConfigError
from gradwire.deploy.planning.fitting import largest_within
from gradwire.deploy.tables import print_plain
from gradwire.worker.tasks import build_task

END = 0.25  # of the evaluations, the last ones, are averaged: one alone depends on who was drawn last


@dataclass(frozen=True)
class Case:
    """A row: a codec of gradwire, or Flower with one of two ways to draw the clients of a round.

    Attributes:
        title: of the row.
        codec: of gradwire; empty for Flower.
        feedback, downlink: of a run of gradwire.
        same_draw: whether Flower trains the clients whose workers gradwire draws.
    """

    title: str
    codec: str = ""
    feedback: str = "none"
    downlink: str = "auto"
    same_draw: bool = False

    @property
    def is_flower(self) -> bool:
        """Whether Flower carries the parameters."""
        return not self.codec


FLOWER = (Case("Flower"), Case("Flower, gradwire's draw", same_draw=True))
CODECS = ("float32", "top_signs({n})", "log:top_signs({n})", "error:top_k({n}, coding=set)")
FEEDBACK = "error"


def flower(
    task: Annotated[str, typer.Option(help="Task to train.")] = "mlp(mnist, hidden=200, batch=32)",
    partition: Annotated[str, typer.Option(help="How its data set is dealt.")] = "dirichlet(0.1)",
    workers: Annotated[int, typer.Option(help="Logical workers, and clients of Flower.", min=2)] = 100,
    cohort: Annotated[int, typer.Option(help="Those that train in a round.", min=1)] = 10,
    rounds: Annotated[int, typer.Option(help="Rounds of every run.", min=1)] = 100,
    steps: Annotated[int, typer.Option(help="Local steps per round.", min=1)] = 50,
    lr: Annotated[float, typer.Option(help="Rate of the local steps.")] = 0.05,
    bits: Annotated[float, typer.Option(help="Bits per coordinate of codecs with `{n}`.")] = 0.1,
    runs: Annotated[int, typer.Option(help="Runs of each row, each with its own seed.", min=1)] = 3,
    processes: Annotated[int, typer.Option(help="Processes that host the workers.", min=1)] = 2,
    codec: Annotated[
        list[str] | None,
        typer.Option(
            help="Codec of a row, with {n} for the size that the bits allow; before it error: for error feedback, "
            "log:, sum: or model: for a downlink; may be repeated [float32, top_signs, top_k]"
        ),
    ] = None,
    without_flower: Annotated[
        bool, typer.Option("--without-flower", help="Leave out Flower's rows.")
    ] = False,
    json: JsonFile = None,
) -> None:
    """A few of many workers per round, and Flower.

    FedAvg over gradwire's codecs and over Flower's gRPC streams.

    All rows have the same rows of data at every worker, initial model, batches, local steps and weights; Flower's
    clients compute with gradwire's task. One of Flower's rows draws its clients by itself, the other takes those that
    gradwire drew. TCP bytes are the kernel's counters at the server's connections, for gradwire and Flower alike;
    connecting, and in gradwire's case the initial model, are left out. CPU is the processor time of all processes,
    their start included: it depends less on what else the machine does.
    """
    outputs = Outputs(json, None)
    if cohort > workers:
        raise ConfigError(f"cohort is {cohort}, expected at most the {workers} workers")
    release = None if without_flower else require_flower()
    training = Training(
        task=task, partition=partition, workers=workers, cohort=cohort, rounds=rounds,
        local=f"local(steps={steps}, optimizer=sgd(lr={lr!r}, schedule=cosine({rounds * steps})))", seed=0,
        evaluate_every=max(1, rounds // 20), same_draw=False,
    )  # fmt: skip
    cases = list(_cases(codec or CODECS, build_task(task, workers=workers, seed=0).dim, bits))
    cases += FLOWER if release is not None else ()
    before, notes = conditions(), Console(stderr=True)
    summaries: list[list[dict[str, Any]]] = [[] for _ in cases]
    for seed in range(runs):  # all cases in turn, so that a busy machine slows all of them
        for case, of_case in zip(cases, summaries, strict=True):
            print_plain(notes, f"seed {seed}: {case.title}")
            before_it = _cpu_seconds()
            of_case.append(_run(case, training, seed, processes))
            of_case[-1]["cpu_seconds"] = _cpu_seconds() - before_it
    rows = [_row(case, of_case, rounds) for case, of_case in zip(cases, summaries, strict=True)]
    about = {**before, "load_after": conditions()["load"], "flower": release, "processes": processes}
    about |= {"runs": runs, **{name: value for name, value in vars(training).items() if name != "same_draw"}}
    _print(about, rows)
    outputs.write({**about, "rows": rows}, lambda path: None)


def _cases(codecs: list[str] | tuple[str, ...], dim: int, bits: float) -> Iterator[Case]:
    for text in codecs:
        *marks, template = text.split(":")
        spec = _fitting(template, dim, bits) if "{n}" in template else template
        feedback = "error" if FEEDBACK in marks else "none"
        downlink = next((mark for mark in marks if mark != FEEDBACK), "auto")
        words = [
            spec,
            "error feedback" if FEEDBACK in marks else "",
            f"downlink {downlink}" if downlink != "auto" else "",
        ]
        yield Case(", ".join(filter(None, words)), spec, feedback, downlink)


def _fitting(template: str, dim: int, bits: float) -> str:
    fitting = largest_within(template, dim, int(bits * dim))
    if fitting is None:
        raise ConfigError(f"no {template} at {dim} coordinates fits {bits} bits per coordinate")
    return fitting.spec


def _run(case: Case, training: Training, seed: int, processes: int) -> dict[str, Any]:
    if case.is_flower:
        own = vars(training) | {"seed": seed, "same_draw": case.same_draw}
        return flower_trained(Training(**own), processes)
    settings = {
        "task": training.task, "partition": training.partition, "workers": training.workers,
        "rounds": training.rounds, "local": training.local, "weighting": "size", "seed": seed,
        "evaluate_every": training.evaluate_every, "codec": case.codec, "feedback": case.feedback,
        "downlink": case.downlink,
    }  # fmt: skip
    if training.cohort < training.workers:
        settings["cohort"] = training.cohort
    return trained(settings, processes)


def _row(case: Case, summaries: list[dict[str, Any]], rounds: int) -> dict[str, Any]:
    """Means over the runs."""
    curves = [
        {row["round"]: row["accuracy"] for row in summary["history"] if "accuracy" in row}
        for summary in summaries
    ]
    ends = [_end(curve) for curve in curves]

    return {
        "title": case.title,
        "accuracy": {round_: fmean(curve[round_] for curve in curves) for round_ in curves[0]},
        "end": fmean(ends),
        "end_std": stdev(ends) if len(ends) > 1 else None,
        "ends": ends,
        "up": _per_round([summary["uplink"]["tcp_bytes"] for summary in summaries], rounds),
        "down": _per_round([summary["downlink"]["tcp_bytes"] for summary in summaries], rounds),
        "seconds": _per_round([summary["seconds"] for summary in summaries], rounds),
        "cpu_seconds": _per_round([summary["cpu_seconds"] for summary in summaries], rounds),
        "least_seconds": min(summary["seconds"] for summary in summaries) / rounds,
        "runs": [
            {name: value for name, value in summary.items() if name != "layout"} for summary in summaries
        ],
    }


def _per_round(values: list[float | None], rounds: int) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) / rounds if len(known) == len(values) else None


def _cpu_seconds() -> float:
    """Processor time of the child processes that have ended, starting them included."""
    times = os.times()
    return times.children_user + times.children_system


def _end(curve: dict[int, float]) -> float:
    """The mean accuracy over the last evaluations."""
    values = [curve[round_] for round_ in sorted(curve)]
    return fmean(values[-max(1, round(END * len(values))) :])


def _print(about: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    print(
        f"{about['task']}, {about['partition']}: {about['cohort']} of {about['workers']} workers per round in "
        f"{about['processes']} processes, {about['rounds']} rounds of {about['local']}, {about['runs']} runs each; "
        f"Flower {about['flower'] or 'not measured'}; {about['machine']}; load {about['load']}, "
        f"{about['load_after']} afterwards\n"
    )
    shown = sorted(rows[0]["accuracy"])[4::4]
    print("| run | " + " | ".join(map(str, shown)) + " | end | kB up | kB down | seconds | least | CPU |")
    print("|---|" + "--:|" * (len(shown) + 6))
    for row in rows:
        accuracy = " | ".join(f"{row['accuracy'][round_]:.3f}" for round_ in shown)
        spread = "" if row["end_std"] is None else f" ± {row['end_std']:.4f}"
        print(
            f"| {row['title']} | {accuracy} | {row['end']:.4f}{spread} | {_kilobytes(row['up'])} "
            f"| {_kilobytes(row['down'])} | {row['seconds']:.3f} | {row['least_seconds']:.3f} "
            f"| {row['cpu_seconds']:.3f} |"
        )


def _kilobytes(value: float | None) -> str:
    return "—" if value is None else f"{value / 1e3:,.1f}"
