"""Models on the command line: from a run's folder or a file, and into files."""

from __future__ import annotations

from pathlib import Path

from gradwire.common.weights.forms import weight_file
from gradwire.common.weights.start import Start
from gradwire.server.export import export_model
from gradwire.server.log.run_log import RunLog


def read_start(path: Path) -> Start:
    """What ``--init`` names: a file of arrays, or the folder of a run, whose last model is taken.

    Raises:
        ConfigError: no such file, or not of a known form.
        LogError: the folder holds no run with a model, or a server is using it.
    """
    if not path.is_dir():
        return Start(str(path), weight_file(path).read())
    with RunLog.open_read_only(path) as log:
        return export_model(log).start(str(path))
