"""Reproduce figures and tables of the two papers.

Examples:
    gradwire paper
    gradwire paper vqsgd-figure-2 --out results
    gradwire paper all --full
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, RenderableType

from gradwire.bench.papers.experiment import Experiment, Params, experiments, find
from gradwire.bench.papers.output import finished_document, write
from gradwire.bench.papers.partial import PartialResults
from gradwire.bench.papers.runner import measure_all
from gradwire.common.errors import ConfigError, GradwireError
from gradwire.common.system.results import to_json
from gradwire.deploy.exit_codes import CommandFailed
from gradwire.deploy.flags import AsJson
from gradwire.deploy.report.document import Document, Table
from gradwire.deploy.report.numbers import text_of
from gradwire.deploy.tables import plain_table, print_plain, wide_console
from gradwire.deploy.units import duration

ALL = "all"


def paper(
    figures: Annotated[
        list[str] | None, typer.Argument(metavar="[FIGURE]...", help="Their names, or all; none lists them.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="As in the paper; else a scale that takes minutes.")
    ] = False,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where JSON, tables and pictures are written.")
    ] = Path("experiments"),
    jobs: Annotated[
        int | None, typer.Option(help="Cases that are measured at a time [one per core]", min=1)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure figures and tables of the two papers again, with this project's codecs and runs.

    Runs are made in one process, through the code that servers and workers run. What was measured is kept: a command
    that was stopped goes on when it is given again.
    """
    if not figures:
        _list(as_json=as_json)
        return
    names = list(experiments()) if figures == [ALL] else figures
    chosen = [find(name) for name in dict.fromkeys(names)]
    _make_folder(out)
    documents, failed = {}, {}
    for each in chosen:
        try:
            documents[each.name] = _run(each, out, full=full, jobs=jobs, shown=not as_json)
        except GradwireError as error:
            if len(chosen) == 1:
                raise
            failed[each.name] = error
    if as_json:
        print(to_json({name: document.to_json() for name, document in documents.items()}, indent=2))
    if failed:
        reasons = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise CommandFailed(f"{len(failed)} of {len(chosen)} could not be measured: {reasons}")


def _list(*, as_json: bool) -> None:
    known = experiments()
    if as_json:
        print(to_json({n: {"source": e.source, "title": e.title} for n, e in known.items()}, indent=2))
        return
    table = plain_table("figure")
    for title in ("source", "what is measured"):
        table.add_column(title)
    for name, each in known.items():
        table.add_row(name, each.source, each.title)
    print_plain(wide_console(), table)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {out}: {error.strerror}; pass another --out") from error


def _run(experiment: Experiment, out: Path, *, full: bool, jobs: int | None, shown: bool) -> Document:
    """Measure what is missing, write the files, and show the tables."""
    console = Console(file=sys.stderr)
    start = time.monotonic()

    def step(done: int, of: int, params: Params) -> None:
        case = ", ".join(f"{name} {value}" for name, value in params.items())
        passed = duration(time.monotonic() - start)
        print_plain(console, f"{experiment.name}: {done} of {of} after {passed}: {case}")

    scale = "full" if full else "quick"
    stored = PartialResults(
        out / ".partial" / f"{experiment.name}.{scale}", experiment.fingerprint(full=full)
    )
    with stored:
        results = measure_all(experiment, stored, full=full, jobs=jobs, step=step)
        document = finished_document(experiment, results, full=full)
        paths = write(document, experiment.name, out)
        stored.remove()
    if shown:
        _show(document)
        print_plain(wide_console(), f"\nwritten: {', '.join(map(str, paths))}")
    return document


def _show(document: Document) -> None:
    console = wide_console()
    print_plain(console, f"\n{document.title}", document.about)
    for section in document.sections:
        print_plain(console, f"\n{section.title}")
        for part in section.parts:
            if isinstance(part, str):
                print_plain(console, part)
            elif isinstance(part, Table):
                print_plain(console, f"\n{part.title}", _table(part), *filter(None, [part.note]))


def _table(table: Table) -> RenderableType:
    first, *rest = table.columns
    shown = plain_table(first, *rest)
    for row in table.rows:
        shown.add_row(*map(text_of, row))
    return shown
