"""Numbers for people: decimal prefixes, three digits."""

from __future__ import annotations

_PREFIXES = ("", "k", "M", "G", "T", "P")


def human(value: float, unit: str) -> str:
    """A size with its prefix.

    >>> human(267, "B"), human(3_180_040, "B"), human(2132, "bit")
    ('267 B', '3.18 MB', '2.13 kbit')
    """
    size, prefix = float(value), 0
    while abs(size) >= 999.5 and prefix < len(_PREFIXES) - 1:
        size, prefix = size / 1000, prefix + 1
    whole = prefix == 0 and size.is_integer()
    digits = 0 if whole or abs(size) >= 99.95 else 1 if abs(size) >= 9.995 else 2
    return f"{size:.{digits}f} {_PREFIXES[prefix]}{unit}"


def number(value: float | None) -> str:
    """A loss or a metric, four significant digits.

    >>> number(0.53217), number(None)
    ('0.5322', '—')
    """
    return "—" if value is None else f"{value:.4g}"


def short(value: float) -> str:
    """A number with three digits or more.

    >>> short(0.012345), short(16384), short(1.5e6)
    ('0.0123', '16,384', '1.500e+06')
    """
    if abs(value) >= 1e6:
        return f"{value:.3e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """A time span.

    >>> duration(8.31), duration(75), duration(7265)
    ('8.3 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def counted(count: int, noun: str) -> str:
    """A count and its noun.

    >>> counted(1, "worker"), counted(4, "process"), counted(60, "late push")
    ('1 worker', '4 processes', '60 late pushes')
    """
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun}{'es' if noun.endswith(('s', 'sh', 'ch', 'x')) else 's'}"
