"""What a user names on the command line: a run's folder, a run's summary, or a document of an experiment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradwire.common.errors import ConfigError
from gradwire.deploy.report.document import DOCUMENT, Document
from gradwire.deploy.report.html import page
from gradwire.deploy.report.run_page import run_document
from gradwire.deploy.report.shown_run import ShownRun
from gradwire.deploy.report.stored import stored_run
from gradwire.server.log.run_log import RunLog

_EXPECTED = "expected a run's folder, a summary of `gradwire run --json`, or a document of `gradwire paper`"
# What damaged values raise while they are rendered.
_DAMAGE = (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError)
_NEEDED = ("rounds", "task", "codec", "uplink", "downlink", "history")  # of a summary


def documents_of(targets: Sequence[Path]) -> list[Document]:
    """The documents of what was named: one for all runs, which stand first, and one for each experiment.

    Raises:
        ConfigError: something that was named cannot be shown.
        LogError: a folder's log cannot be read.
    """
    found = [each for target in targets for each in source(target)]
    runs = _distinct(each for each in found if isinstance(each, ShownRun))
    documents = [each for each in found if isinstance(each, Document)]
    return [*([run_document(runs)] if runs else []), *documents]


def source(target: Path) -> Sequence[ShownRun | Document]:
    """What one argument names: a run, or the documents of a file.

    Raises:
        ConfigError: it cannot be shown.
        LogError: the folder's log cannot be read.
    """
    if target.is_dir():
        if not RunLog.exists(target):
            raise ConfigError(f"there is no run in {target}: expected run.db in it; {_EXPECTED}")
        return [stored_run(target, target.resolve().name or str(target))]
    value = _json(target)
    values = value if isinstance(value, list) else [value]
    try:
        if values and all(isinstance(each, dict) and DOCUMENT in each for each in values):
            return _documents(values)
        if isinstance(value, dict) and all(name in value for name in _NEEDED):
            return [_summary(value, target.stem)]
    except ConfigError as error:
        raise ConfigError(f"{target} cannot be shown: {error}") from error
    except _DAMAGE as error:
        raise ConfigError(f"{target} is damaged ({type(error).__name__}: {error}): write it again") from error
    raise ConfigError(f"{target} is no summary of a run: {_EXPECTED}")


def _documents(values: Sequence[Any]) -> list[Document]:
    """The documents, of which a page can be made."""
    documents = [Document.from_json(value) for value in values]
    page(documents)
    return documents


def _summary(value: Mapping[str, Any], name: str) -> ShownRun:
    """The run, of which a page can be made."""
    run = ShownRun(name, value, int(value["rounds"]))
    page([run_document([run])])
    return run


def _json(target: Path) -> Any:
    try:
        return json.loads(target.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"there is no {target}: {_EXPECTED}") from error
    except OSError as error:
        raise ConfigError(f"cannot read {target}: {error.strerror}") from error
    except ValueError as error:  # also what is not UTF-8, and numbers with too many digits
        raise ConfigError(f"{target} is not JSON: {_EXPECTED}") from error
    except RecursionError as error:
        raise ConfigError(f"{target} is nested too deeply: {_EXPECTED}") from error


def _distinct(runs: Iterable[ShownRun]) -> list[ShownRun]:
    """The runs, of those with one name the later ones numbered."""
    named: dict[str, ShownRun] = {}
    for run in runs:
        name, number = run.name, 1
        while name in named:
            number += 1
            name = f"{run.name} ({number})"
        named[name] = replace(run, name=name)
    return list(named.values())
