"""Real runs on this machine, for measurements that compare them."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradwire.common.errors import TaskError
from gradwire.deploy.exit_codes import CommandFailed
from gradwire.deploy.options import RunOptions
from gradwire.deploy.run.launch import launch


def trained(settings: Mapping[str, Any], processes: int) -> dict[str, Any]:
    """The summary of one ``gradwire run``.

    Raises:
        TaskError: it failed; its output is on standard error.
    """
    with tempfile.TemporaryDirectory(prefix="gradwire-") as folder:
        file = Path(folder) / "summary.json"
        output, reason = io.StringIO(), "a check failed"
        try:
            with contextlib.redirect_stdout(output):
                code = launch(settings, RunOptions(processes=processes, json=str(file)))
        except CommandFailed as failure:
            code, reason = failure.code, str(failure)
        if code != 0:
            print(output.getvalue(), file=sys.stderr)
            raise TaskError(f"the run with {settings['codec']} failed with exit code {code}: {reason}")
        summary: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return summary
