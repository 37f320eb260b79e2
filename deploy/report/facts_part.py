"""What runs were and how they went: outcome, checks, interruptions, sites and configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gradwire.deploy.report.byte_part import per_message
from gradwire.deploy.report.document import Cell, Highlight, Highlights, Part, Section, Table
from gradwire.deploy.report.shown_run import ShownRun
from gradwire.deploy.units import counted, duration, human, number

_INTERRUPTIONS = {
    "restarts": "restarts of processes",
    "reconnects": "reconnects",
    "resyncs": "resyncs: replicas that differed and took the server's model",
    "late": "late pushes, which came after their round was committed",
}
# Settings where a run has no configuration: names in its summary.
_SETTINGS = (
    *(
        "task",
        "codec",
        "optimizer",
        "local",
        "downlink_mode",
        "workers",
        "min_workers",
        "cohort",
        "rounds",
        "seed",
    ),
    *("weighting", "partition"),
)
# Settings that are empty unless they were given.
_EMPTY = (None, "", 0, 0.0, False)


def outcome_section(runs: Sequence[ShownRun]) -> Section:
    """The numbers that a reader looks for first."""
    part: Part = Highlights(list(_highlights(runs[0]))) if len(runs) == 1 else _comparison(runs)
    failures = [f"{run.name} ended early: {run.failure}" for run in runs if run.failure]
    return Section("Outcome", [*failures, part])


def _highlights(run: ShownRun) -> Iterator[Highlight]:
    for name, value in list(run.last_metrics.items())[:3]:
        yield Highlight(name.replace("_", " "), number(value), f"after round {_last_round(run, name)}")
    best = run.summary.get("best")
    if best:
        yield Highlight(f"best {best['metric']}", number(best["value"]), f"after round {best['round']:,}")
    yield Highlight("training loss", number(run.summary.get("loss")), "at the start of the last round")
    done = f"of {run.rounds:,}" if not run.finished else "all of them"
    yield Highlight("rounds", f"{run.round:,}", done)
    seconds = run.summary.get("seconds")
    if seconds:
        yield Highlight("time", duration(seconds), f"{run.round / seconds:,.3g} rounds per second")
    yield from _byte_highlights(run)
    yield from _check_highlights(run)


def _last_round(run: ShownRun, name: str) -> str:
    return f"{max(row['round'] for row in run.history if name in row):,}"


def _byte_highlights(run: ShownRun) -> Iterator[Highlight]:
    for direction, each in (("uplink", "worker"), ("downlink", "process")):
        total, share = run.counted(direction, "message_bytes"), per_message(run, direction, "message_bytes")
        if total and share:
            yield Highlight(direction, human(share, "B"), f"per {each} and round; {human(total, 'B')} in all")


def _check_highlights(run: ShownRun) -> Iterator[Highlight]:
    privacy = run.summary.get("privacy")
    if privacy:
        costs = [value for value in (privacy.get("spent") or {}).values() if value is not None]
        at = f"at delta {privacy['delta']:g}, " if privacy["delta"] else ""
        yield Highlight("epsilon spent", number(min(costs, default=None)), f"{at}per worker at most")
    as_predicted = run.summary.get("predicted_equals_measured")
    if as_predicted is not None:
        yield Highlight("bytes as predicted", _yes(as_predicted) or "", "every message, at both ends")
    agree, checked = run.summary.get("replicas_agree"), run.summary.get("replicas_checked")
    if run.finished and agree is not None:
        yield Highlight("replicas agree", _yes(agree) or "", f"{checked} checked at the end")


def _comparison(runs: Sequence[ShownRun]) -> Table:
    """A row for each run."""
    metrics = list(dict.fromkeys(name for run in runs for name in run.metrics))
    columns = ["run", "rounds", "training loss", *(name.replace("_", " ") for name in metrics)]
    columns += ["uplink message bytes", "downlink message bytes", "seconds", "bytes as predicted"]
    rows: list[list[Cell]] = []
    for run in runs:
        last = run.last_metrics
        row: list[Cell] = [
            run.name,
            run.round,
            run.summary.get("loss"),
            *(last.get(name) for name in metrics),
        ]
        row += [run.counted(way, "message_bytes") for way in ("uplink", "downlink")]
        rows.append([*row, run.summary.get("seconds"), _yes(run.summary.get("predicted_equals_measured"))])
    return Table("Runs", columns, rows)


def sites_part(runs: Sequence[ShownRun]) -> Section | None:
    """The newest metrics of each site that evaluates on data of its own; None where there is none."""
    found = [(run, site, row) for run in runs for site, row in _newest(run).items()]
    if not found:
        return None
    names = list(dict.fromkeys(name for *_, row in found for name in row["metrics"]))
    columns = [*(["run"] if len(runs) > 1 else []), "site", "after round", "held-out samples", *names]
    rows: list[list[Cell]] = [
        [
            *([run.name] if len(runs) > 1 else []),
            *(site, row["round"], row.get("examples"), *(row["metrics"].get(name) for name in names)),
        ]
        for run, site, row in found
    ]
    about = "Each site evaluates the common model on held-out data of its own."
    return Section("Sites", [about, Table("Newest evaluation of each site", columns, rows)])


def _newest(run: ShownRun) -> Mapping[str, Mapping[str, Any]]:
    newest: dict[str, Mapping[str, Any]] = {}
    for row in run.history:
        newest |= {name: {**site, "round": row["round"]} for name, site in (row.get("sites") or {}).items()}
    return newest or run.summary.get("sites") or {}


def checks_section(runs: Sequence[ShownRun]) -> Section:
    """Checks that held or did not, interruptions, and digests."""
    rows: list[list[Cell]] = [
        ["every byte was predicted", *(_yes(run.summary.get("predicted_equals_measured")) for run in runs)],
        ["replicas agree", *(_agree(run) for run in runs)],
        ["digest of the last model", *(run.summary.get("digest") for run in runs)],
        ["streams, and those whose worker counted the same bytes", *(_streams(run) for run in runs)],
    ]
    rows += [[words, *(_count(run, name) for run in runs)] for name, words in _INTERRUPTIONS.items()]
    parts: list[Part] = [Table("Checks and interruptions", ["", *_columns(runs)], rows)]
    digests: list[list[Cell]] = [
        [*([run.name] if len(runs) > 1 else []), process, digest]
        for run in runs
        for process, digest in sorted(run.digests.items())
    ]
    if digests:
        columns = [*(["run"] if len(runs) > 1 else []), "process", "digest"]
        parts.append(Table("Parameters that each process ended with", columns, digests))
    return Section("Checks", parts)


def _columns(runs: Sequence[ShownRun]) -> list[str]:
    return [run.name for run in runs] if len(runs) > 1 else ["this run"]


def _agree(run: ShownRun) -> str | None:
    agree, checked = run.summary.get("replicas_agree"), run.summary.get("replicas_checked")
    if agree is None or not run.finished:
        return "not finished" if not run.finished else None
    return f"{_yes(agree)}: {checked} of {run.summary.get('processes')} checked"


def _streams(run: ShownRun) -> str | None:
    streams, checked = run.summary.get("streams"), run.summary.get("streams_checked")
    return None if streams is None else f"{streams}, {checked}"


def _count(run: ShownRun, name: str) -> Cell:
    """A counter, or how often each process was restarted."""
    value = run.summary.get(name)
    if isinstance(value, Mapping):
        return ", ".join(f"{process}: {counted(n, 'time')}" for process, n in value.items()) or 0
    return None if value is None else int(value)


def _yes(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "NO"


def settings_section(runs: Sequence[ShownRun]) -> Section:
    """The configuration; of several runs first where they differ."""
    settings = [dict(run.config) or {name: run.summary.get(name) for name in _SETTINGS} for run in runs]
    names = list(dict.fromkeys(name for given in settings for name in given))
    rows = {name: [given.get(name) for given in settings] for name in names}
    rows = {name: row for name, row in rows.items() if any(value not in _EMPTY for value in row)}
    rows["parameters"] = [_thousands(run.summary.get("dim")) for run in runs]
    rows["codec, in full"] = [run.summary.get("codec") for run in runs]
    rows["optimizer, in full"] = [run.summary.get("optimizer") for run in runs]
    rows["payload bits per push"] = [_thousands(run.summary.get("payload_bits_per_push")) for run in runs]
    differ = {name: row for name, row in rows.items() if any(value != row[0] for value in row)}
    same = {name: row[:1] for name, row in rows.items() if name not in differ}
    parts: list[Part] = []
    if differ:
        parts.append(Table("Settings that differ", ["setting", *_columns(runs)], _cells(differ)))
    title = "Settings of all runs" if len(runs) > 1 else "Settings"
    parts.append(Table(title, ["setting", "value"], _cells(same)))
    return Section("Configuration", parts)


def _thousands(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _cells(rows: Mapping[str, Sequence[Any]]) -> list[list[Cell]]:
    return [[name.replace("_", " "), *map(_cell, row)] for name, row in rows.items()]


def _cell(value: Any) -> str:
    """A setting as text, as a flag takes it."""
    if value in (None, ""):
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"`{value}`" if isinstance(value, str) else str(value)
