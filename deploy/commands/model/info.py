"""Show the arrays of a run's model, or of a file.

Examples:
    gradwire model info runs/one
    gradwire model info model.safetensors
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gradwire.common.system.results import to_json
from gradwire.common.training.layout import Layout
from gradwire.common.weights.forms import weight_file
from gradwire.deploy.flags import AsJson
from gradwire.deploy.tables import plain_table, print_plain, wide_console
from gradwire.server.log.run_log import RunLog


def info(
    path: Annotated[Path, typer.Argument(metavar="FILE|DIR", help="File of a model, or folder of a run.")],
    as_json: AsJson = False,
) -> None:
    """Show the arrays of a model: names, shapes and dtypes, of a run also what each is to it."""
    about, rows = _of_run(path) if path.is_dir() else _of_file(path)
    if as_json:
        print(to_json({**about, "arrays": rows}, indent=2))
        return
    table = plain_table("array", "shape", "dtype", "role")
    for row in rows:
        shape = " × ".join(map(str, row["shape"])) or "scalar"
        name = " = ".join([row["name"], *row.get("aliases", [])])
        table.add_row(name, shape, row["dtype"], row.get("role", ""))
    facts = [f"{name}: {value}" for name, value in about.items() if value is not None]
    print_plain(wide_console(), *facts, table)


def _of_run(folder: Path) -> tuple[dict[str, Any], list[Mapping[str, Any]]]:
    with RunLog.open_read_only(folder) as log:
        resolved, layout = log.resolved(), log.layout()
        about = {
            "task": log.config.task,
            "round": log.next_round,
            "rounds": log.config.rounds,
            "best": log.best_round(),
        }
    if layout is None and resolved is not None:
        layout = Layout.flat(resolved.dim)
    arrays = layout.arrays if layout is not None else ()
    return about, [
        {
            "name": array.name,
            "aliases": list(array.aliases),
            "shape": list(array.shape),
            "dtype": array.dtype,
            "role": array.role.value,
        }
        for array in arrays
    ]


def _of_file(path: Path) -> tuple[dict[str, Any], list[Mapping[str, Any]]]:
    file = weight_file(path)
    rows = [{"name": n, "shape": list(a.shape), "dtype": a.dtype} for n, a in file.read().items()]
    return file.metadata(), sorted(rows, key=lambda row: str(row["name"]))
