"""Tables of plain text: as wide as the terminal, and never cut or wrapped in a file or a pipe."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.table import Table

# A file has no width: every row stays on one line.
FILE_WIDTH = 1000


def plain_table(first: str, *numbers: str, min_width: int | None = None) -> Table:
    """A table without lines: a column of text that may wrap, then columns of numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first, overflow="fold", min_width=min_width)
    for title in numbers:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def wide_console() -> Console:
    """Standard output."""
    console = Console()
    return console if console.is_terminal else Console(width=FILE_WIDTH)


def print_plain(console: Console, *lines: RenderableType) -> None:
    """Print text as it is: no markup, no colours of numbers; long lines are not wrapped."""
    for line in lines:
        console.print(line, soft_wrap=isinstance(line, str), markup=False, highlight=False)
