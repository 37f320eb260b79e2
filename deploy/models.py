"""Models on the command line: from a run's folder or a file, and into files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from gradwire.common.errors import ConfigError
from gradwire.common.training.layout import Role
from gradwire.common.weights.arrays import Array
from gradwire.common.weights.forms import weight_file
from gradwire.common.weights.start import Start
from gradwire.deploy.units import counted
from gradwire.server.export import BEST, ExportedModel, export_model
from gradwire.server.log.run_log import RunLog

LAST = "last"
REPORTED = "reported"


def read_start(path: Path) -> Start:
    """What ``--init`` names: a file of arrays, or the folder of a run, whose last model is taken.

    Raises:
        ConfigError: no such file, or not of a known form.
        LogError: the folder holds no run with a model, or a server is using it.
    """
    if not path.is_dir():
        return Start(str(path), weight_file(path).read())
    return read_run(path).start(str(path))


def read_run(folder: Path, round_: str = LAST, iterate: str = REPORTED) -> ExportedModel:
    """The model of the run in a folder.

    Args:
        folder: of the run.
        round_: a number of rounds, ``last`` or ``best``.
        iterate: ``reported``, which is evaluated, or ``last``.

    Raises:
        ConfigError: another round or iterate.
        LogError: that model cannot be had, or a server is using the folder.
    """
    if iterate not in (REPORTED, LAST):
        raise ConfigError(f"iterate is {iterate!r}, expected {REPORTED} or {LAST}")
    wanted = parse_round(round_)
    with RunLog.open_read_only(folder) as log:
        return export_model(log, wanted, last_iterate=iterate == LAST)


def parse_round(text: str) -> int | str | None:
    """The round that ``--round`` names; None for the last one.

    Raises:
        ConfigError: it is no number of rounds, ``last`` or ``best``.
    """
    if text == LAST:
        return None
    if text == BEST:
        return BEST
    if not text.isdecimal() or len(text) > 15:
        raise ConfigError(f"round is {text!r}, expected a number of rounds, {LAST} or {BEST}")
    return int(text)


def save(model: ExportedModel, out: Path, base: Path | None = None) -> list[str]:
    """Write a model to a file; what is to be said of it, a line each.

    Args:
        model: of a run.
        out: its ending says which form the file has.
        base: a file that has the constant arrays which the log does not have.

    Raises:
        ConfigError: the file cannot be written, or the base cannot be read.
        LayoutError: the constant arrays are nowhere, or are not the run's.
    """
    file = weight_file(out)
    file.check()
    arrays = model.arrays(weight_file(base).read() if base is not None else None)
    file.write(arrays, model.about)
    values = sum(array.values.size for array in arrays.values())
    saved = f"saved {out}: {counted(len(arrays), 'array')}, {counted(values, 'value')}"
    return [f"{saved}, after round {model.round}", *file.notes(arrays), *_infinite(model, arrays)]


def _infinite(model: ExportedModel, arrays: Mapping[str, Array]) -> Iterator[str]:
    """The arrays that have values for which the module's dtype is too narrow."""
    for array in model.layout.arrays if model.layout is not None else ():
        if array.role is not Role.CONSTANT and not np.isfinite(arrays[array.name].widened()).all():
            yield f"{array.name} has values beyond {array.dtype}, which are infinite there"
