"""The page that ``gradwire run --report`` writes when its run is over, finished or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradwire.common.system.results import ResultFile
from gradwire.deploy.report.html import page
from gradwire.deploy.report.run_page import run_document
from gradwire.deploy.report.stored import stored_run


def write_report(path: str, folder: Path, name: str, summary: Mapping[str, Any] | None, failure: str) -> None:
    """Write the page of one run.

    Args:
        path: of the page.
        folder: of the run.
        name: of the run.
        summary: of the finished run, which knows more than the log; None where it ended before.
        failure: why it ended before, or empty.

    Raises:
        ConfigError: the run has no model yet, or the page cannot be written.
        LogError: the run's log cannot be read.
    """
    run = stored_run(folder, name)
    shown = replace(run, summary={**run.summary, **(summary or {})}, failure=failure)
    ResultFile(path).write(page([run_document([shown])]))
