"""Write a first schema of a file: columns, label, classes, scaling.

Examples:
    gradwire data schema patients.csv --label diagnosis
    gradwire data schema scans/ --out scans.toml
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gradwire.common.errors import ConfigError
from gradwire.worker.data.own import Schema, first_schema, to_toml

NOTE = """\
# The columns, classes and scaling of {name}. Review them, then use this same file at every site.
# - classes: add those that only other sites have. A label that is not listed is refused.
# - features: remove what must not be learned from, such as an id. A value x becomes (x - offset) / scale.
"""


def schema(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV, NPZ, LIBSVM, Parquet, or a folder of images.")
    ],
    label: Annotated[
        str | None, typer.Option(help="Name of the label's column, or of its array in NPZ [the last; y]")
    ] = None,
    out: Annotated[Path, typer.Option(help="File to write; -: standard output.")] = Path("schema.toml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a first schema of a file: columns in order, label, classes, and scaling by mean and standard deviation.

    It describes one site's file. Review it, then use the same schema at every site: nothing is inferred there.
    """
    if str(out) != "-" and out.exists() and not force:
        raise ConfigError(f"{out} exists: pass --force to overwrite it, or another --out")
    found, left_out = first_schema(file, label or "")
    text = _text(file, found, left_out)
    if str(out) == "-":
        sys.stdout.write(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}") from error
    print(f"{out}: {len(found.names)} features, {len(found.classes)} classes; review it before you use it")


def _text(file: Path, schema: Schema, left_out: tuple[str, ...]) -> str:
    without = f"# Left out, not numbers: {', '.join(left_out)}\n" if left_out else ""
    return NOTE.format(name=file.name) + without + to_toml(schema)
