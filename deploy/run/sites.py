"""The data and device of each worker process of ``gradwire run``, and what is checked of them before it starts."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from gradwire.common.errors import ConfigError, DataError, TaskError
from gradwire.common.training.config import RunConfig
from gradwire.deploy.options import RunOptions
from gradwire.deploy.site import options_from
from gradwire.worker.data.own import read_schema
from gradwire.worker.tasks import parse_task
from gradwire.worker.tasks.own_data import FILE

PROCESS = "{process}"  # in paths: the number of the process, from 0


def site_flags(options: RunOptions, number: int) -> list[str]:
    """Flags of one ``gradwire worker``.

    Args:
        options: their paths and values may hold ``{process}``.
        number: of the process.
    """
    devices = _devices(options)
    words = {
        "--data": options.data,
        "--schema": options.schema,
        "--device": devices[number % len(devices)] if devices else None,
    }
    flags = [word for flag, value in words.items() if value for word in (flag, value)]
    flags += [word for option in options.option for word in ("--option", option)]
    return [word.replace(PROCESS, str(number)) for word in flags]


def shown_flags(options: RunOptions) -> list[str]:
    """The same options as flags of ``gradwire run``."""
    words = {"--data": options.data, "--schema": options.schema, "--devices": options.devices}
    flags = [word for flag, value in words.items() if value for word in (flag, value)]
    return flags + [word for option in options.option for word in ("--option", option)]


def processes_asked(config: RunConfig, options: RunOptions) -> int | None:
    """How many processes the options ask for: one per worker, where each has a path of its own; None for any."""
    each_its_own = options.processes is None and PROCESS in (options.data or "")
    return config.workers if each_its_own else options.processes


def check_sites(config: RunConfig, options: RunOptions, processes: int) -> None:
    """Check that the own data of each process are there, before anything starts.

    Raises:
        ConfigError: an option that is no key=value, or an empty device.
        DataError: a file or folder is missing, or a schema is none.
        TaskError: the task needs data and has none, or takes none and was given some.
    """
    named = options_from(options.option)
    dataset = getattr(parse_task(config.task), "dataset", None)
    _devices(options)
    if dataset == FILE and options.data is None:
        raise TaskError(
            f"{config.task} trains on the sites' own data: pass --data, e.g. 'site-{PROCESS}/train.csv'"
        )
    if dataset not in (None, FILE) and (options.data or options.schema or named):
        raise TaskError(
            f"{config.task} takes no data of a site: leave out --data, --schema and --option, or train on {FILE}"
        )
    paths = {"--data": options.data, "--schema": options.schema}
    if dataset == FILE:
        paths["--option test"] = named.get("test")
    for number, (flag, path) in product(range(processes), paths.items()):
        if path is not None:
            _check_path(Path(path.replace(PROCESS, str(number))), flag, number)


def _check_path(path: Path, flag: str, number: int) -> None:
    if not path.exists():
        raise DataError(f"{flag} of process {number}: there is no {path}")
    if flag == "--schema":
        read_schema(path)


def _devices(options: RunOptions) -> list[str]:
    devices = [name.strip() for name in options.devices.split(",")] if options.devices is not None else []
    if not all(devices):
        raise ConfigError(f"devices is {options.devices!r}, expected names such as cuda:0,cuda:1")
    return devices
