"""The configuration of a run: one TOML file, flags override it, the resolved form is stored with the run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gradwire.common.errors import ConfigError
from gradwire.common.privacy.accounting import check_delta, check_epsilon
from gradwire.common.randomness import check_seed
from gradwire.common.spec import parse_spec
from gradwire.common.training.best import parse_keep_best
from gradwire.common.training.local import parse_local
from gradwire.common.training.settings import Shorthand, check_between, check_limits, described, merged

WEIGHTINGS = ("equal", "examples", "size")
FEEDBACKS = ("none", "error")
MAX_WORKERS = 1 << 20
MAX_ROUNDS = 1 << 40
MAX_INTERVAL = 1 << 31

OPTIMIZER = "sgd(lr=0.1)"
OPTIMIZER_OF_LOCAL_STEPS = "sgd(lr=1.0)"  # the mean of the workers' models: FedAvg
CODEC = "cross_polytope(repeats=100)"
CODEC_OF_UPDATES = (
    "drive"  # a site's model goes to the mean of them in one step: about one bit per coordinate
)
OWN = "own"  # the task of sites that train in loops of their own

LR = Shorthand("lr", float, "Short for --optimizer 'sgd(lr=…)'", "sgd(lr={!r})")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What a run computes; not where the server listens, nor which processes take part.

    Each field is a flag of ``gradwire run`` and ``gradwire server`` and a key of their TOML file.
    """

    task: str = field(metadata=described("Task, e.g. 'mlp(digits, hidden=64)'"))
    codec: str = field(
        default="",
        metadata=described(
            "Codec, see `gradwire codecs`", unset=f"{CODEC}; {CODEC_OF_UPDATES} with --task {OWN}"
        ),
    )
    optimizer: str = field(
        default="",
        metadata=described(
            "Optimizer of the server",
            shorthand=LR,
            unset=f"{OPTIMIZER}; {OPTIMIZER_OF_LOCAL_STEPS} with --local or --task {OWN}",
        ),
    )
    local: str = field(
        default="",
        metadata=described(
            "Local steps per round, e.g. 'local(steps=50, optimizer=adamw(lr=0.001))'", unset="one gradient"
        ),
    )
    workers: int = field(
        default=4,
        metadata=described(
            "Logical workers, each with its own data; MIN..MAX lets them join and leave",
            least=1,
            most=MAX_WORKERS,
            metavar="[MIN..]MAX",
            range_from="min_workers",
        ),
    )
    min_workers: int = field(
        default=0,
        metadata=described(
            "Connected workers with which rounds go on: MIN of --workers", least=0, unset="all"
        ),
    )
    cohort: int = field(
        default=0,
        metadata=described("Workers drawn for each round", least=0, unset="all that are connected"),
    )
    rounds: int = field(default=100, metadata=described("Rounds", least=1, most=MAX_ROUNDS))
    seed: int = field(default=0, metadata=described("Seed of initial model, batches and non-private coins"))
    downlink: str = field(
        default="auto", metadata=described("Downlink, e.g. log, sum or model; auto chooses one for the codec")
    )
    quorum: int = field(
        default=0,
        metadata=described("Pushes that a round needs at least", least=0, unset="all workers, or the cohort"),
    )
    deadline: float = field(
        default=0.0,
        metadata=described("Seconds after which a round commits with its quorum", unset="wait for all"),
    )
    weighting: str = field(
        default="equal",
        metadata=described(
            "Weight of each worker in the mean (examples: used in the round; size: of its training set)",
            choices=WEIGHTINGS,
        ),
    )
    partition: str = field(
        default="",
        metadata=described(
            "Deals one data set, the same at every process, to the workers: iid, dirichlet(alpha) or shards(k)",
            unset="iid for data sets of the catalogue; a site's own data is not dealt",
        ),
    )
    feedback: str = field(
        default="none", metadata=described("Error feedback, for biased codecs", choices=FEEDBACKS)
    )
    max_epsilon: float = field(
        default=0.0,
        metadata=described("Privacy budget per worker process, enforced by its ledger", unset="none"),
    )
    delta: float = field(
        default=0.0,
        metadata=described("Delta at which the budget is accounted for", unset="none: epsilons add up"),
    )
    report_metrics: bool = field(
        default=False, metadata=described("Send losses and metrics of private runs too")
    )
    digest_every: int = field(
        default=10,
        metadata=described("Rounds between comparisons of replicas and server", least=1, most=MAX_INTERVAL),
    )
    evaluate_every: int = field(
        default=10,
        metadata=described("Rounds between evaluations; 0: at the end only", least=0, most=MAX_INTERVAL),
    )
    keep_best: str = field(
        default="",
        metadata=described(
            "Keep the model with the best evaluation, by this metric: accuracy; test_loss:min", unset="none"
        ),
    )
    keep_log: bool = field(
        default=False, metadata=described("Keep every round in the log, also beyond 1 GiB of payloads")
    )

    def __post_init__(self) -> None:
        if not self.codec:
            codec = CODEC_OF_UPDATES if parse_spec(self.task).name == OWN else CODEC
            object.__setattr__(self, "codec", codec)
        if not self.optimizer:
            updates = self.local or parse_spec(self.task).name == OWN
            default = OPTIMIZER_OF_LOCAL_STEPS if updates else OPTIMIZER
            object.__setattr__(self, "optimizer", default)
        for name in ("task", "codec", "optimizer", "downlink"):
            parse_spec(getattr(self, name))
        if self.partition:
            parse_spec(self.partition)
        if parse_spec(self.task).name == OWN and (self.local or self.partition):
            raise ConfigError(
                f"the task {OWN} has its steps and data in the sites' own loops: leave --local and --partition out"
            )
        if self.keep_best:
            parse_keep_best(self.keep_best)
        check_limits(self)
        self._check_who_takes_part()
        if self.local and parse_local(self.local).scaffold:
            self._check_scaffold()
        check_seed(self.seed)
        if not 0 <= self.deadline < math.inf:
            raise ConfigError(f"deadline is {self.deadline}, expected seconds, 0 for none")
        if self.max_epsilon:
            check_epsilon(self.max_epsilon, "max_epsilon")
        if self.delta:
            check_delta(self.delta)
            if not self.max_epsilon:
                raise ConfigError("delta without max_epsilon limits nothing: set both")

    def _check_who_takes_part(self) -> None:
        """Refuse numbers of workers with which no round could commit."""
        if self.min_workers > self.workers:
            raise ConfigError(
                f"workers is {self.min_workers}..{self.workers}, expected MIN..MAX with MIN at most MAX"
            )
        if self.min_workers == self.workers:  # all of them: nobody joins late or leaves
            object.__setattr__(self, "min_workers", 0)
        if self.cohort > self.workers:
            raise ConfigError(
                f"cohort is {self.cohort}, the run has {self.workers} workers: draw at most those"
            )
        check_between("quorum", self.quorum, 0, self.workers)
        if self.cohort and self.quorum > self.cohort:
            raise ConfigError(f"quorum is {self.quorum}, expected at most the cohort, {self.cohort}")
        if self.min_workers and self.quorum > self.min_workers:
            raise ConfigError(
                f"quorum is {self.quorum}, and rounds open with {self.min_workers} workers: expected at most those"
            )
        if 0 < self.quorum < self.workers and not self.deadline and not self.changing:
            raise ConfigError(
                f"a quorum of {self.quorum} without a deadline is never used: set deadline, in seconds"
            )

    def _check_scaffold(self) -> None:
        """Refuse rounds in which the control variate would not be the workers' weighted mean, as whose it moves."""
        if self.weighted and self.needed < self.workers:
            raise ConfigError(
                f"scaffold with weighting {self.weighting} needs all workers in every round, and rounds here commit "
                f"with {self.needed} of {self.workers}: leave out quorum, cohort and MIN, or weigh equally"
            )

    @property
    def weighted(self) -> bool:
        """Whether pushes carry a weight for each worker."""
        return self.weighting != "equal"

    @property
    def changing(self) -> bool:
        """Whether a round draws who takes part in it: there is a cohort, or workers may join late and leave."""
        return bool(self.cohort or self.min_workers)

    @property
    def needed(self) -> int:
        """Pushes that a round needs at least."""
        return self.quorum or min(filter(None, (self.cohort, self.min_workers)), default=self.workers)

    @property
    def opening(self) -> int:
        """Live workers with which the first round of a server opens."""
        return self.min_workers or self.workers

    @property
    def least(self) -> int:
        """Live workers without whom no round opens: ``min_workers``, else as many as a round needs."""
        return self.min_workers or self.needed

    @property
    def largest_round(self) -> int:
        """The most payloads that a round has."""
        return self.cohort or self.workers

    def to_json(self) -> str:
        """The resolved configuration as one line of JSON; ``from_json`` reads it back to an equal one."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> RunConfig:
        """Read back what ``to_json`` wrote."""
        return cls(**json.loads(text))


def load_config(*sources: Mapping[str, Any]) -> RunConfig:
    """The configuration that the sources give, a file's values and flags for example; later ones override earlier ones.

    Raises:
        ConfigError: an unknown key, no task, a value of the wrong type or out of range.
    """
    values = merged(RunConfig, *sources)
    if "task" not in values:  # after the keys: a misspelt task is a misspelling
        raise ConfigError(
            "no task: pass --task, e.g. 'mlp(digits, hidden=64)', or write task = \"…\" in the file"
        )
    # A default of zero means none; zero is no value to give.
    if "max_epsilon" in values:
        check_epsilon(values["max_epsilon"], "max_epsilon")
    if "delta" in values:
        check_delta(values["delta"])
    return RunConfig(**values)
