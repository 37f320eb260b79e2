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
from gradwire.worker.data.own import FirstSchema, first_schema, to_toml

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

    LIBSVM files are not scaled, pixels are divided by 255. It describes one site's file. Review it, then use the same
    schema at every site: nothing is inferred there.
    """
    if str(out) != "-" and out.exists() and not force:
        raise ConfigError(f"{out} exists: pass --force to overwrite it, or another --out")
    found = first_schema(file, label or "")
    remarks = _remarks(found)
    text = NOTE.format(name=file.name) + "".join(f"# {line}\n" for line in remarks) + to_toml(found.schema)
    if str(out) == "-":
        sys.stdout.write(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}") from error
    features, classes = len(found.schema.names), len(found.schema.classes)
    print(
        "\n".join([f"{out}: {features} features, {classes} classes; review it before you use it", *remarks])
    )


def _remarks(found: FirstSchema) -> list[str]:
    """What a reviewer should see at once."""
    reasons: dict[str, list[str]] = {}
    for name, reason in found.left_out.items():
        reasons.setdefault(reason, []).append(name)
    lines = [f"Left out, {reason}: {', '.join(names)}" for reason, names in reasons.items()]
    notes = {"Another whole number in each row, as an id has": found.like_ids}
    notes["Missing in some rows, where the mean takes its place"] = tuple(sorted(found.schema.gaps))
    return lines + [f"{note}: {', '.join(names)}" for note, names in notes.items() if names]
