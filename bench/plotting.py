"""Pictures: matplotlib is imported only when one is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradwire.common.errors import ConfigError


def check_plot(path: Path) -> None:
    """Refuse a picture that could not be drawn, before anything is measured for it.

    Raises:
        ConfigError: matplotlib is missing, the folder does not exist, or the file name does not end like a picture's.
    """
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as error:
        raise ConfigError("--plot needs matplotlib: pip install 'gradwire[plot]'") from error
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix[1:].lower() not in known:
        raise ConfigError(f"--plot is {path}, expected a file name that ends in one of {', '.join(known)}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--plot is {path}, and there is no folder {path.parent}: make it first")


@contextmanager
def figure(path: Path, rows: int = 1, columns: int = 1, size: tuple[float, float] = (9, 6)) -> Iterator[Any]:
    """A figure's axes, an array of them if there are several; the figure is written unless the context raises.

    Args:
        path: its suffix selects the format.
        rows: of axes; ``columns`` of them each.
        size: in inches.
    """
    from matplotlib.figure import Figure

    drawn = Figure(figsize=size, layout="constrained")
    yield drawn.subplots(rows, columns)
    drawn.savefig(path, dpi=120)
