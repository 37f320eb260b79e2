"""Train on this machine: one server and its workers.

Examples:
    gradwire run --task 'mlp(digits, hidden=64)' --codec 'cross_polytope(repeats=100)' --workers 4
    gradwire run --config run.toml --state-dir runs/one --json runs/one.json
"""

from __future__ import annotations

from typing import Any

from gradwire.deploy.flags import configured
from gradwire.deploy.options import RunOptions
from gradwire.deploy.run.launch import launch


@configured(RunOptions)
def run(settings: dict[str, Any], options: RunOptions) -> int:
    """Train on this machine: starts one server and its worker processes and supervises them.

    A process that is killed is restarted and the run goes on; Ctrl-C stops all of them. The exit code is 0 only
    if the run finished, every byte was predicted, and all replicas ended with the server's parameters.
    """
    return launch(settings, options)
