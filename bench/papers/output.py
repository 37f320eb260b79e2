"""An experiment's files: the document as JSON, a page of tables, and a picture for each chart."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from gradwire.bench.papers.experiment import Experiment, Measured
from gradwire.bench.timing import machine
from gradwire.common.system.results import ResultFile, to_json
from gradwire.deploy.report.document import Document
from gradwire.deploy.report.markdown import charts_of, markdown
from gradwire.deploy.report.svg import chart_svg


def finished_document(experiment: Experiment, results: list[Measured], *, full: bool) -> Document:
    """The experiment's document with its facts and data."""
    document = experiment.document(results, full=full)
    facts = {
        "source": experiment.source,
        "scale": "full" if full else "quick",
        "gradwire": version("gradwire"),
        "machine": machine(),
        "again": f"gradwire paper {experiment.name}{' --full' if full else ''}",
        **document.facts,
    }
    data = [{"params": dict(each.params), "result": each.result} for each in results]
    return replace(document, facts=facts, data=data)


def write(document: Document, name: str, folder: Path) -> list[Path]:
    """Write the files of a document; their paths.

    Raises:
        ConfigError: the folder cannot be written.
    """
    charts = charts_of(document)
    pictures = [f"{name}{f'-{i}' if len(charts) > 1 else ''}.svg" for i in range(1, len(charts) + 1)]
    texts = {
        f"{name}.json": to_json(document.to_json(), indent=1) + "\n",
        f"{name}.md": markdown(document, pictures),
        **{file: chart_svg(chart, standalone=True) for file, chart in zip(pictures, charts, strict=True)},
    }
    for file, text in texts.items():
        ResultFile(str(folder / file)).write(text)
    return [folder / file for file in texts]
