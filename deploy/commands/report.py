"""Show runs and experiments as one page for a browser.

Examples:
    gradwire report runs/one
    gradwire report runs/one runs/two --out compared.html
    gradwire report experiments/vqsgd-figure-2.json
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradwire.common.errors import ConfigError
from gradwire.common.system.results import ResultFile, to_json
from gradwire.deploy.flags import AsJson
from gradwire.deploy.report.html import page
from gradwire.deploy.report.sources import documents_of

OUT = "report.html"


def report(
    targets: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Folders of runs, summaries of `gradwire run --json`, or documents of `gradwire paper`.",
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help=f"Where the page is written [{OUT}; with --json nowhere]."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write one HTML file with the curves, bytes, metrics, privacy, checks and settings of runs.

    Several runs are drawn into the same charts. The file needs no network and no script. A run may go on meanwhile:
    its page shows what is done so far. With --json, what the page is made from is printed.
    """
    path = out or (None if as_json else OUT)
    if path is not None:
        _check(path, targets)
    documents = documents_of(targets)
    if path is not None:
        ResultFile(path).write(page(documents))
    if as_json:
        shown = [document.to_json() for document in documents]
        print(to_json(shown if len(shown) > 1 else shown[0], indent=1))
    else:
        print(f"written: {path}")


def _check(path: str, targets: list[Path]) -> None:
    """Check that the page can be written before anything is read.

    Raises:
        ConfigError: it cannot, or its file is one of those that are read.
    """
    ResultFile(path).check()
    for target in targets:
        if target.resolve() == Path(path).resolve():
            raise ConfigError(f"--out is {path}, which is to be read: name another file")
