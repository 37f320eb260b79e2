"""Curves of runs: training loss and metrics, by round, by bytes and by seconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradwire.deploy.report.document import Chart, Section, Series
from gradwire.deploy.report.shown_run import ShownRun

MOST_POINTS = 1000  # of a curve
MOST_SITES = 8  # whose metrics have a curve each
LOG_SPAN = 20.0  # from this ratio of the largest to the smallest value on, an axis is logarithmic

Row = Mapping[str, Any]
Cost = Callable[[ShownRun, Sequence[int]], list[float] | None]  # at rounds; None where it is not known


def curve_sections(runs: Sequence[ShownRun]) -> list[Section]:
    """A section for the training loss, and one for each metric, with all runs in the same charts."""
    names = list(dict.fromkeys(name for run in runs for name in run.metrics))
    sections = [Section("Training loss", _charts(runs, "loss", "Training loss"))]
    sections += [
        Section(_title(name), [*_charts(runs, name, _title(name)), *_sites(runs, name)]) for name in names
    ]
    return [section for section in sections if section.parts]


def _title(name: str) -> str:
    """A metric's name as a heading.

    >>> _title("test_loss")
    'Test loss'
    """
    return _words(name)[:1].upper() + _words(name)[1:]


def _words(name: str) -> str:
    return name.replace("_", " ").strip() or name


def _charts(runs: Sequence[ShownRun], name: str, title: str) -> list[Chart]:
    """The charts of one quantity; none if no run has a value of it."""
    rows = [(run, _thinned([row for row in run.history if row.get(name) is not None])) for run in runs]
    rows = [(run, found) for run, found in rows if found]
    if not rows:
        return []
    values = [row[name] for _, found in rows for row in found]
    charts = (
        _chart(rows, name, f"{title} by {by}", x, cost, log_y=_spans(values))
        for by, x, cost in (
            ("round", "round", _rounds),
            ("uplink bytes", "uplink message bytes", _uplink),
            ("bytes in both directions", "message bytes, uplink and downlink", _both),
            ("time", "seconds", _seconds),
        )
    )
    return [chart for chart in charts if chart is not None]


def _chart(
    rows: Sequence[tuple[ShownRun, Sequence[Row]]], name: str, title: str, x: str, cost: Cost, *, log_y: bool
) -> Chart | None:
    """One quantity by one cost; None where no run's cost is known."""
    known = [
        (run, found, at) for run, found in rows if (at := cost(run, [r["round"] for r in found])) is not None
    ]
    ends = [at[-1] for *_, at in known if at[-1] > 0]
    if not ends:
        return None
    log_x = cost is not _rounds and max(ends) >= LOG_SPAN * min(ends)
    series = [_series(run, name, found, at, log_x=log_x) for run, found, at in known]
    if len(rows) == 1:  # the page is about this run alone
        series = [replace(each, name="") for each in series]
    spread = [run.name for run, *_ in known if cost is not _rounds and not _timeline(run)]
    note = ""
    if spread:
        note = f"Spread evenly over the rounds, because they were not recorded round by round: {', '.join(spread)}."
    return Chart(title, x, _words(name), series, log_x=log_x, log_y=log_y, note=note)


def _series(run: ShownRun, name: str, rows: Sequence[Row], at: Sequence[float], *, log_x: bool) -> Series:
    """A run's curve; with a band from the lowest to the highest site where several measured."""
    pairs = [(x, row) for x, row in zip(at, rows, strict=True) if x > 0 or not log_x]
    banded = all(name in row.get("metrics_min", {}) for _, row in pairs) and bool(pairs)
    low = [row["metrics_min"][name] for _, row in pairs] if banded else []
    high = [row["metrics_max"][name] for _, row in pairs] if banded else []
    return Series(run.name, [x for x, _ in pairs], [row[name] for _, row in pairs], low, high)


def _thinned(rows: Sequence[Row]) -> Sequence[Row]:
    """At most so many, at even distances, the first and the last among them."""
    if len(rows) <= MOST_POINTS:
        return rows
    return [rows[i] for i in sorted({round(i) for i in np.linspace(0, len(rows) - 1, MOST_POINTS)})]


def _spans(values: Sequence[float]) -> bool:
    """Whether values are drawn on a logarithmic axis: they are positive, and far apart."""
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) >= LOG_SPAN * min(finite)


# ---- costs -------------------------------------------------------------------------------------------------


def _rounds(run: ShownRun, rounds: Sequence[int]) -> list[float] | None:
    return [float(round_) for round_ in rounds]


def _uplink(run: ShownRun, rounds: Sequence[int]) -> list[float] | None:
    return _interpolated(run, rounds, "uplink_bytes", run.counted("uplink", "message_bytes"))


def _both(run: ShownRun, rounds: Sequence[int]) -> list[float] | None:
    up, down = _uplink(run, rounds), _downlink(run, rounds)
    return [a + b for a, b in zip(up, down, strict=True)] if up is not None and down is not None else None


def _downlink(run: ShownRun, rounds: Sequence[int]) -> list[float] | None:
    return _interpolated(run, rounds, "downlink_bytes", run.counted("downlink", "message_bytes"))


def _seconds(run: ShownRun, rounds: Sequence[int]) -> list[float] | None:
    return _interpolated(run, rounds, "seconds", run.summary.get("seconds"))


def _timeline(run: ShownRun) -> Mapping[str, Sequence[float]]:
    found = run.summary.get("timeline") or {}
    return found if found.get("round") else {}


def _interpolated(run: ShownRun, rounds: Sequence[int], name: str, total: float | None) -> list[float] | None:
    """A cost at some rounds, from the timeline; else in proportion to the rounds."""
    timeline = _timeline(run)
    if timeline:
        return [float(v) for v in np.interp(rounds, timeline["round"], timeline[name])]
    if total is None or not run.round:
        return None
    return [total * round_ / run.round for round_ in rounds]


# ---- sites -------------------------------------------------------------------------------------------------


def _sites(runs: Sequence[ShownRun], name: str) -> Iterator[Chart]:
    """A chart for each run whose sites measured for themselves, with a curve for each site."""
    for run in runs:
        rows = [row for row in run.history if row.get("sites")]
        sites = list(dict.fromkeys(site for row in rows for site in row["sites"]))
        curves = [_site(site, rows, name) for site in sites[:MOST_SITES]]
        if rows and any(curve.y for curve in curves):
            of = f" of {run.name}" if len(runs) > 1 else ""
            more = f"The first {MOST_SITES} of {len(sites)} sites." if len(sites) > MOST_SITES else ""
            yield Chart(f"{_title(name)} by site{of}", "round", _words(name), curves, note=more)


def _site(site: str, rows: Sequence[Row], name: str) -> Series:
    found = [
        (float(row["round"]), value)
        for row in rows
        if (value := row["sites"].get(site, {}).get("metrics", {}).get(name)) is not None
    ]
    return Series(site, [x for x, _ in found], [y for _, y in found])
