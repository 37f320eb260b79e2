"""The byte waterfall of runs: what a payload becomes on its way, in both directions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradwire.deploy.report.document import BARS, Cell, Chart, Part, Section, Series, Table
from gradwire.deploy.report.shown_run import ShownRun

LAYERS = {
    "payload_bits": "payload bits",
    "payload_bytes": "payload bytes",
    "message_bytes": "message bytes",
    "tcp_bytes": "TCP bytes",
    "interface_bytes": "interface bytes",
}
PREDICTED, MEASURED = "predicted", "measured"
_ABOUT = (
    "Each layer adds to the one above: a payload's bits, the whole bytes that hold them, the protobuf message around "
    "it, TCP with its headers, and everything that this host's interfaces carried meanwhile, of other programs too. "
    "The first three are predicted from the codec alone."
)
_PER_ROUND = "Per round: of each worker in the uplink, of each process in the downlink."


def byte_section(runs: Sequence[ShownRun]) -> Section:
    """Charts of both directions, and the counts."""
    parts: list[Part] = [_ABOUT]
    parts += [chart for way in ("uplink", "downlink") if (chart := _chart(runs, way)) is not None]
    return Section("Bytes", [*parts, _table(runs)])


def messages(run: ShownRun, direction: str) -> int:
    """Messages of round traffic: of each worker that is asked for a payload, or to each process, in every round."""
    senders = run.summary.get("cohort") or run.summary["workers"]
    each = senders if direction == "uplink" else run.summary.get("processes") or 1
    return int((run.round - (run.summary.get("first_round") or 0)) * each)


def per_message(run: ShownRun, direction: str, layer: str, side: str = MEASURED) -> float | None:
    """A count per worker and round (uplink), or per process and round (downlink); None where it is not known."""
    count, of = count_of(run, direction, layer, side), messages(run, direction)
    return count / of if count is not None and of > 0 else None


def count_of(run: ShownRun, direction: str, layer: str, side: str = MEASURED) -> int | None:
    """A byte count; None where it is not known.

    Interfaces that carried less than TCP did are not those of the run: its processes share a machine.
    """
    found = run.counted(direction, layer, side)
    if layer == "interface_bytes" and (found or 0) < (run.counted(direction, "tcp_bytes") or 1):
        return None
    return found


def _chart(runs: Sequence[ShownRun], direction: str) -> Chart | None:
    """Layers as bars: predicted beside measured for one run, else the measured ones of all."""
    layers = [layer for layer in LAYERS if any(count_of(run, direction, layer) is not None for run in runs)]
    each = "worker" if direction == "uplink" else "process"
    sides = (PREDICTED, MEASURED) if len(runs) == 1 else (MEASURED,)
    pairs = [(run, side, side if len(runs) == 1 else run.name) for run in runs for side in sides]
    series = [
        Series(
            name, range(len(layers)), [_height(run, direction, layer, side) for layer in layers], style=BARS
        )
        for run, side, name in pairs
    ]
    heights = [y for each_series in series for y in each_series.y if y]
    if not heights:
        return None
    names = ["payload bits / 8" if layer == "payload_bits" else LAYERS[layer] for layer in layers]
    return Chart(
        f"{direction.capitalize()} per {each} and round",
        "",
        f"bytes per {each} and round",
        series,
        log_y=max(heights) > 20 * min(heights),
        categories=names,
        note=_bound(runs),
    )


def _height(run: ShownRun, direction: str, layer: str, side: str) -> float | None:
    each = per_message(run, direction, layer, side)
    return each / 8 if each is not None and layer == "payload_bits" else each


def _bound(runs: Sequence[ShownRun]) -> str:
    missed = [
        run.name
        for run in runs
        if run.counted("uplink", "tcp_bytes") is not None
        and not (run.summary.get("tcp") or {}).get("complete")
    ]
    if not missed:
        return ""
    of = f" ({', '.join(missed)})" if len(runs) > 1 else ""
    return f"TCP bytes are a lower bound{of}: a server or a connection ended without its last count."


def _table(runs: Sequence[ShownRun]) -> Table:
    columns = [
        "direction",
        "layer",
        PREDICTED,
        MEASURED,
        "per round",
    ]
    rows = [row for run in runs for row in _rows(run, named=len(runs) > 1)]
    return Table("Byte counts", [*(["run"] if len(runs) > 1 else []), *columns], rows, _PER_ROUND)


def _rows(run: ShownRun, *, named: bool) -> Iterator[list[Cell]]:
    for direction in ("uplink", "downlink"):
        for layer, name in LAYERS.items():
            measured = count_of(run, direction, layer)
            if measured is None:
                continue
            counts: list[Cell] = [run.counted(direction, layer, PREDICTED), measured]
            each = per_message(run, direction, layer)
            yield [*([run.name] if named else []), direction, name, *counts, each]
