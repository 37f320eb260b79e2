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


def trained(
    settings: Mapping[str, Any], processes: int, state_dir: Path | None = None, **options: Any
) -> dict[str, Any]:
    """The summary of one ``gradwire run``.

    Args:
        settings: of the run.
        processes: worker processes.
        state_dir: of the run; one in it goes on.
        options: further options of the command.

    Raises:
        TaskError: it failed; its output is on standard error.
    """
    with tempfile.TemporaryDirectory(prefix="gradwire-") as folder:
        file = Path(folder) / "summary.json"
        output, reason = io.StringIO(), "a check failed"
        try:
            with contextlib.redirect_stdout(output):
                code = launch(
                    settings, RunOptions(processes=processes, json=str(file), state_dir=state_dir, **options)
                )
        except CommandFailed as failure:
            code, reason = failure.code, str(failure)
        if code != 0:
            print(output.getvalue(), file=sys.stderr)
            raise TaskError(f"the run with {settings['codec']} failed with exit code {code}: {reason}")
        summary: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return summary
