"""The run in a state directory: its log is opened once, read and closed, because it is locked while open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gradwire.common.errors import ConfigError
from gradwire.common.training.config import RunConfig, load_config
from gradwire.server.log.run_log import RunLog
from gradwire.server.shutdown import all_checked


@dataclass(frozen=True)
class StoredRun:
    """A run that was started earlier.

    Attributes:
        finished: all rounds are in the log.
        over: finished, and every worker's replica was checked: no worker is needed any more.
    """

    folder: Path
    config: RunConfig
    run_id: bytes
    finished: bool
    over: bool

    def continued(self, config: RunConfig) -> StoredRun:
        """This run as it is before it goes on to the rounds of a configuration, which may be more than it had."""
        if config.rounds <= self.config.rounds:
            return self
        return replace(self, config=config, finished=False, over=False)


def stored_run(folder: Path | None) -> StoredRun | None:
    """The run in a state directory; None where there is none.

    Raises:
        LogError: it cannot be read, or a server is using it.
    """
    if folder is None or not RunLog.exists(folder):
        return None
    with RunLog.open(folder) as log:
        return StoredRun(folder, log.config, log.run_id, log.finished, all_checked(log))


def resolve(settings: Mapping[str, Any], stored: StoredRun | None) -> RunConfig:
    """The run's configuration: the one that the settings give, or that of the stored run where nothing is given.

    Beside a stored run the number of rounds may be given alone: the run goes on to that many. Whether the two
    configurations fit each other is left to the server.

    Raises:
        ConfigError: no task, settings that cannot be used, or settings without a task beside a stored run.
    """
    if stored is None or "task" in settings:
        return load_config(settings)
    if not settings:
        return stored.config
    given = load_config(settings, {"task": stored.config.task})  # what else is wrong with them comes first
    if settings.keys() == {"rounds"}:
        return replace(stored.config, rounds=given.rounds)
    raise ConfigError(
        f"{stored.folder} holds a run of {stored.config.task}: give no settings to go on with it, more --rounds alone "
        "to go on beyond its end, or all of its own, --task too"
    )
