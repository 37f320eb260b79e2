"""Fetch data sets and verify their checksums.

Examples:
    gradwire data fetch mnist a9a
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gradwire.common.errors import DataError
from gradwire.common.spec import did_you_mean
from gradwire.deploy.flags import AsJson
from gradwire.worker import data


def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="Data sets of `gradwire data list`.")],
    as_json: AsJson = False,
) -> None:
    """Fetch data sets and verify their checksums; downloads those that are not stored yet."""
    known = [info.name for info in data.available()]
    for name in names:
        if name not in known:
            raise DataError(f"no data set is called {name!r}{did_you_mean(name, known)}")
    folders = {}
    for name in names:
        folders[name] = str(data.fetch(name, progress=True))
        if not as_json:
            print(f"{name}  {folders[name]}", flush=True)
    if as_json:
        print(json.dumps(folders, indent=2))
