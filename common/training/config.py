"""The configuration of a run: one TOML file, flags override it, the resolved form is stored with the run."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from gradwire.common.errors import ConfigError
from gradwire.common.privacy.accounting import check_delta, check_epsilon
from gradwire.common.randomness import check_seed
from gradwire.common.spec import did_you_mean, parse_spec

WEIGHTINGS = ("equal", "examples")
FEEDBACKS = ("none", "error")
MAX_WORKERS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What a run does; where it listens and which processes take part is not its business.

    Attributes:
        task: spec of the task, e.g. ``mlp(mnist, hidden=1000)``.
        codec: spec of the codec, e.g. ``cross_polytope(repeats=100)``.
        optimizer: spec of the optimizer, e.g. ``sgd(lr=0.1)``.
        workers: logical workers N.
        rounds: rounds T.
        seed: of initial model, data shards, batches and non-private coins.
        downlink: spec of the downlink, e.g. ``log``; ``auto`` chooses one for the codec.
        quorum: pushes that a round needs at least; 0 means all workers.
        deadline: seconds after which a round commits with its quorum; 0 means it waits for everyone.
        weighting: ``equal``, or ``examples`` to weigh each worker by its example count.
        feedback: ``none``, or ``error`` to add what a round's payload left out to the next gradient.
        max_epsilon: privacy budget of each worker process in this run, which its ledger enforces; 0 for none.
        delta: at which the budget is accounted for; 0 adds up pure epsilons.
        report_metrics: workers send losses and metrics even where the codec is private.
        digest_every: rounds between comparisons of the replicas with the server.
        evaluate_every: rounds between evaluations; 0 evaluates at the end alone.
    """

    task: str
    codec: str = "cross_polytope(repeats=100)"
    optimizer: str = "sgd(lr=0.1)"
    workers: int = 4
    rounds: int = 100
    seed: int = 0
    downlink: str = "auto"
    quorum: int = 0
    deadline: float = 0.0
    weighting: str = "equal"
    feedback: str = "none"
    max_epsilon: float = 0.0
    delta: float = 0.0
    report_metrics: bool = False
    digest_every: int = 10
    evaluate_every: int = 10

    def __post_init__(self) -> None:
        for name in ("task", "codec", "optimizer", "downlink"):
            parse_spec(getattr(self, name))
        _between("workers", self.workers, 1, MAX_WORKERS)
        _between("rounds", self.rounds, 1, 1 << 40)
        _between("quorum", self.quorum, 0, self.workers)
        _between("digest_every", self.digest_every, 1, 1 << 31)
        _between("evaluate_every", self.evaluate_every, 0, 1 << 31)
        check_seed(self.seed)
        if not 0 <= self.deadline < math.inf:
            raise ConfigError(f"deadline is {self.deadline}, expected seconds, 0 for none")
        if 0 < self.quorum < self.workers and not self.deadline:
            raise ConfigError(
                f"a quorum of {self.quorum} without a deadline is never used: set deadline, in seconds"
            )
        _one_of("weighting", self.weighting, WEIGHTINGS)
        _one_of("feedback", self.feedback, FEEDBACKS)
        if self.max_epsilon:
            check_epsilon(self.max_epsilon, "max_epsilon")
        if self.delta:
            check_delta(self.delta)
            if not self.max_epsilon:
                raise ConfigError("delta without max_epsilon limits nothing: set both")

    @property
    def needed(self) -> int:
        """Pushes that a round needs at least."""
        return self.quorum or self.workers

    def to_json(self) -> str:
        """The resolved configuration as one line of JSON; ``from_json`` reads it back to an equal one."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> RunConfig:
        """Read back what ``to_json`` wrote."""
        return cls(**json.loads(text))


KINDS = {field.name: str(field.type) for field in fields(RunConfig)}
# Flags of `gradwire run` and `gradwire server` that are not the run's: where it listens, where its files are.
COMMAND_KEYS = {
    "allow_task": "list", "await_workers": "bool", "certs": "str", "dim": "int", "insecure": "bool", "json": "str",
    "keep_state": "bool", "listen": "str", "processes": "int", "progress": "str", "state_dir": "str", "summary": "str",
    "tls_cert": "str", "tls_client_ca": "str", "tls_key": "str", "verbose": "bool",
}  # fmt: skip


def _between(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value}, expected {low} to {high}")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} is {value!r}{did_you_mean(value, known)}")


def load_config(path: Path | None, flags: Mapping[str, Any]) -> RunConfig:
    """A configuration from a TOML file (optional) and the flags that were given (those not None override it).

    ``lr`` is a short way to write ``optimizer = "sgd(lr=…)"``, in the file and as a flag. Keys of the file that are
    flags of a command, such as ``json``, are the command's business and left alone here.

    Raises:
        ConfigError: no such file, not TOML, an unknown key, a value of the wrong type or out of range.
    """
    values = {
        **_with_optimizer(read_toml(path)),
        **_with_optimizer({k: v for k, v in flags.items() if v is not None}),
    }
    for key in COMMAND_KEYS.keys() & values.keys() - flags.keys():
        del values[key]  # the commands have taken them: see config_file
    for key, value in values.items():
        if key not in KINDS:
            raise ConfigError(
                f"unknown setting {key!r}{did_you_mean(key, {**KINDS, **COMMAND_KEYS, 'lr': ''})}"
            )
        values[key] = typed(key, value, KINDS[key])
    if "task" not in values:  # after the keys: a misspelt task is a misspelling
        raise ConfigError(
            "no task: pass --task, e.g. 'mlp(digits, hidden=64)', or write task = \"…\" in the file"
        )
    _check_given(values)
    return RunConfig(**values)


def _check_given(values: Mapping[str, Any]) -> None:
    """Zero means none where nothing was given; who gives it means something else."""
    if "max_epsilon" in values:
        check_epsilon(values["max_epsilon"], "max_epsilon")
    if "delta" in values:
        check_delta(values["delta"])


def _with_optimizer(source: Mapping[str, Any]) -> dict[str, Any]:
    """One source's settings with ``lr`` written out, so that a later source's optimizer overrides it."""
    values = dict(source)
    if "lr" in values:
        lr = typed("lr", values.pop("lr"), "float")
        if "optimizer" in values:
            raise ConfigError(
                "lr and optimizer are both given: write the rate into the optimizer, e.g. sgd(lr=0.1)"
            )
        values["optimizer"] = f"sgd(lr={lr!r})"
    return values


def typed(key: str, value: Any, kind: str) -> Any:
    """A setting's value, a whole number made a float where one is expected.

    Raises:
        ConfigError: it is not of that kind: ``int``, ``float``, ``str``, ``bool``, or a ``list`` of texts.
    """
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value).__name__ != kind or (kind == "list" and not all(isinstance(v, str) for v in value)):
        raise ConfigError(f"{key} is {value!r}, expected {_IN_WORDS.get(kind, kind)}")
    return value


_IN_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "[text, …]",
}


def read_toml(path: Path | None) -> dict[str, Any]:
    """The settings in a file, none where there is no path.

    Raises:
        ConfigError: no such file, or not TOML.
    """
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
