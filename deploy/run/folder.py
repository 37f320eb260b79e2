"""The folder of a run on this machine: the one that was named, or a temporary one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from gradwire.deploy.options import RunOptions
from gradwire.deploy.tables import print_plain


@dataclass
class RunFolder:
    """A run's folder.

    Attributes:
        kept: whether it outlives the command.
    """

    path: Path
    kept: bool


@contextmanager
def run_folder(options: RunOptions, console: Console) -> Iterator[RunFolder]:
    """The folder that the options name; else a temporary one, which is removed at the end unless it is to be kept."""
    if options.state_dir is not None:
        yield RunFolder(options.state_dir, True)
        return
    folder = RunFolder(Path(tempfile.mkdtemp(prefix="gradwire-")), options.keep_state)
    try:
        yield folder
    finally:
        if folder.kept:
            print_plain(console, f"the run is kept in {folder.path}")
        else:
            shutil.rmtree(folder.path, ignore_errors=True)
