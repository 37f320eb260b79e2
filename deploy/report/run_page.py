"""Runs as a document: outcome, curves, bytes, privacy, checks and configuration."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from gradwire.deploy.report.byte_part import byte_section
from gradwire.deploy.report.curves import curve_sections
from gradwire.deploy.report.document import Document
from gradwire.deploy.report.facts_part import checks_section, outcome_section, settings_section, sites_part
from gradwire.deploy.report.privacy_part import privacy_section
from gradwire.deploy.report.shown_run import ShownRun
from gradwire.deploy.run.report import rounds_in_words
from gradwire.deploy.units import counted


def run_document(runs: Sequence[ShownRun]) -> Document:
    """The document of some runs, all in the same charts and tables.

    Args:
        runs: at least one; their names differ.
    """
    sections = [
        outcome_section(runs),
        *curve_sections(runs),
        sites_part(runs),
        byte_section(runs),
        privacy_section(runs),
        checks_section(runs),
        settings_section(runs),
    ]
    return Document(
        _title(runs),
        _about(runs),
        [section for section in sections if section is not None],
        _facts(runs),
        {run.name: _data(run) for run in runs},
    )


def _title(runs: Sequence[ShownRun]) -> str:
    names = [run.name for run in runs]
    if len(names) == 1:
        return f"Run {names[0]}"
    return f"Runs {', '.join(names)}" if len(names) <= 4 else f"{len(names)} runs: {', '.join(names[:3])}, …"


def _about(runs: Sequence[ShownRun]) -> str:
    return "; ".join(_in_words(run) for run in runs) + "." if len(runs) <= 4 else ""


def _in_words(run: ShownRun) -> str:
    """A run in one phrase: what is trained, by whom, and how far it is."""
    summary = run.summary
    where = f" in {counted(summary['processes'], 'process')}" if summary.get("processes") else ""
    end = "" if run.finished else f", not finished: {run.round:,} are done"
    settings = dict(run.config) or summary
    return (
        f"`{settings['task']}` with `{settings['codec']}`, {counted(summary['workers'], 'worker')}{where}, "
        f"{rounds_in_words(run.rounds, summary.get('local'))}{end}"
    )


def _facts(runs: Sequence[ShownRun]) -> dict[str, str]:
    facts = {"report": f"gradwire {version('gradwire')}"}
    for run in runs:
        of = f" of {run.name}" if len(runs) > 1 else ""
        if run.run_id:
            facts[f"run id{of}"] = run.run_id
        if run.releases:
            written = (f"{number} from round {round_:,} on" for round_, number in run.releases)
            facts[f"written by{of}"] = f"gradwire {', '.join(written)}"
        layout = (run.summary.get("layout") or {}).get("fingerprint")
        if layout:
            facts[f"layout{of}"] = layout
    return facts


def _data(run: ShownRun) -> dict[str, Any]:
    """For programs: the summary, and what else the source had."""
    return {
        "run_id": run.run_id,
        "round": run.round,
        "config": dict(run.config),
        "digests": dict(run.digests),
        "summary": dict(run.summary),
    }
