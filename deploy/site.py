"""The site of a worker process, from its flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gradwire.common.errors import ConfigError
from gradwire.worker.site import Site


def site_from(
    data: Path | None, schema: Path | None, option: Sequence[str] | None, device: str | None
) -> Site:
    """The site that the flags of ``gradwire worker`` describe.

    Raises:
        ConfigError: an option that is no key=value, or is given twice.
    """
    return Site(data=data, schema=schema, options=options_from(option or ()), device=device or "auto")


def options_from(words: Sequence[str]) -> Mapping[str, str]:
    """Options by name, each from a word ``key=value``.

    Raises:
        ConfigError: one is written otherwise, or given twice.

    >>> options_from(["test=site/test.csv"])
    {'test': 'site/test.csv'}
    """
    options: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            raise ConfigError(f"--option {word!r} cannot be read: write key=value")
        if key in options:
            raise ConfigError(f"--option {key} is given twice: pass it once")
        options[key] = value
    return options
