"""The file in a run's folder that says where its server listens, for those who watch the run by its folder.

A server that is killed leaves it: an address where nobody answers means that no server uses the folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gradwire.common.errors import ConfigError
from gradwire.common.system import atomic
from gradwire.common.transport.address import Address, parse_address

NAME = "server.json"
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class AddressFile:
    """Written when the server listens, removed when it ends. It never fails the run."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._written = False

    def note(self, event: Mapping[str, Any]) -> None:
        """An event of the server."""
        if event["event"] == "listening":
            with suppress(OSError):
                atomic.write(self._path, [json.dumps({"address": event["address"]}).encode()])
                self._written = True

    def remove(self) -> None:
        """The server ends."""
        if self._written:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def address_in(folder: Path) -> Address | None:
    """Where the folder's server listens, or did; None where none has."""
    try:
        address = parse_address(json.loads((folder / NAME).read_text())["address"])
    except (OSError, ValueError, KeyError, TypeError, ConfigError):
        return None
    return Address(_ANYWHERE.get(address.host, address.host), address.port)
