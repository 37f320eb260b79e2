"""Commands whose flags are made from dataclass fields, and whose values may also come from a TOML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, replace
from functools import wraps
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, TypeVar

from typer import Option

from gradwire.common.errors import ConfigError
from gradwire.common.spec import did_you_mean
from gradwire.common.training.config import RunConfig
from gradwire.common.training.settings import Setting, merged, read_toml, settings_of
from gradwire.deploy.options import CONFIGURABLE

Options = TypeVar("Options")
Result = TypeVar("Result")
AsJson = Annotated[bool, Option("--json", help="Write JSON.")]
ConfigFile = Annotated[
    Path | None,
    Option("--config", metavar="FILE", help="TOML file, flags' names as keys; flags override it."),
]


def configured(
    options: type[Options], settings: type = RunConfig
) -> Callable[[Callable[[dict[str, Any], Options], Result]], Callable[..., Result]]:
    """Make a command of a function that takes the run's settings that were given, and the command's own options.

    Every field of both classes becomes a flag, and a key of the file that ``--config`` names; flags override the file.
    Keys that are options of another command are left to that command.

    Args:
        options: the dataclass of the command's own options.
        settings: the dataclass of the run's settings.
    """

    def decorate(function: Callable[[dict[str, Any], Options], Result]) -> Callable[..., Result]:
        @wraps(function)
        def command(config: Path | None = None, **flags: Any) -> Result:
            given = {name: value for name, value in flags.items() if value is not None}
            file = read_toml(config)
            _refuse_unknown(file, settings, options)
            values = (_chosen(settings, file), _chosen(settings, given))
            own = merged(options, _chosen(options, file), _chosen(options, given))
            return function(merged(settings, *values), options(**own))

        parameters = [_parameter(s) for cls in (settings, options) for s in settings_of(cls).values()]
        file = Parameter("config", Parameter.KEYWORD_ONLY, default=None, annotation=ConfigFile)
        parameters.append(file)
        command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def read_settings(path: Path) -> dict[str, Any]:
    """The run's settings in a configuration file, without the options of commands.

    Raises:
        ConfigError: no such file, not TOML, or an unknown key.
    """
    file = read_toml(path)
    _refuse_unknown(file, RunConfig)
    return _chosen(RunConfig, file)


def _chosen(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    known = settings_of(cls)
    return {name: value for name, value in values.items() if name in known}


def _refuse_unknown(file: Mapping[str, Any], *classes: type) -> None:
    known = {name for cls in (*classes, *CONFIGURABLE) for name in settings_of(cls)}
    for key in file:
        if key not in known:
            raise ConfigError(f"unknown setting {key!r}{did_you_mean(key, known)}")


def _parameter(setting: Setting) -> Parameter:
    """The command's parameter; None where the flag is not given, so that the file's value is not overridden."""
    kind: Any = list[str] if setting.kind is tuple else setting.kind
    if setting.about.range_from is not None:
        kind = str
    option = Option(*_flags(setting), help=_help(setting), metavar=setting.about.metavar)
    return Parameter(
        setting.name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _flags(setting: Setting) -> list[str]:
    name = setting.name.replace("_", "-")
    both = f"--{name}/--no-{name}" if setting.kind is bool else f"--{name}"
    return [both, *filter(None, [setting.about.short])]


def _help(setting: Setting) -> str:
    """The help text, the choices and the default."""
    about = setting.about
    choices = f": {', '.join(about.choices)}" if about.choices else ""
    shown = about.unset if about.unset is not None else _shown(setting.default)
    return f"{about.help}{choices}" + (f" [{shown}]" if shown else ".")


def _shown(default: Any) -> str:
    return "" if default is None or isinstance(default, bool | tuple) else str(default)


def given_settings(config: Any) -> dict[str, Any]:
    """The settings that have to be given for an equal configuration: those whose default would change it."""
    pairs = ((field, getattr(config, field.name)) for field in fields(config))
    return {f.name: value for f, value in pairs if f.default is MISSING or not _is_default(config, f, value)}


def _is_default(config: Any, field: Field[Any], value: Any) -> bool:
    if value == field.default:
        return True
    try:
        return bool(replace(config, **{field.name: field.default}) == config)
    except ConfigError:  # another setting needs this one
        return False


def as_flags(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """A command line's words that give these settings."""
    return tuple(_as_flag(name.replace("_", "-"), value) for name, value in settings.items())


def _as_flag(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name}={value}"
