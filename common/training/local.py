"""Local steps: what a worker computes between the run's model and the update that it sends.

A worker starts from the model w, takes ``steps`` steps of an optimizer of its own on its own data, and sends the
pseudo-gradient w - w_i ([FedAvg]; theory 10).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import SpecError
from gradwire.common.spec import Spec, bind_arguments, parse_spec, spec_of
from gradwire.common.training.optimizers import Optimizer, parse_optimizer
from gradwire.common.training.optimizers.sgd import SGD

MAX_STEPS = 1 << 20
INNER_STATES = ("reset", "kept")
MARGIN = (
    1 - 2.0**-20
)  # a variance that is rounded otherwise by another machine must not decide a power of two


@dataclass(frozen=True, kw_only=True)
class LocalSteps:
    """``steps`` steps of ``optimizer`` from the run's model.

    Attributes:
        steps: H, at least 1.
        optimizer: of the worker, any optimizer by its spec; its rounds are the steps of the run, from 0.
        clip: largest l2 norm of a step's gradient over the trained arrays; 0 for none.
        prox: mu of FedProx: each step's gradient gets mu (x - w) added ([FedProx] equation 2).
        scaffold: control variates, option II of [Scaffold]; needs plain ``sgd`` with a constant rate.
        inner: whether the optimizer's state is ``reset`` in every round or ``kept`` by the worker.

    Raises:
        SpecError: a value outside its range, or parameters that do not go together.
    """

    steps: int
    optimizer: Spec = field(default=Spec("sgd"))
    clip: float = 0.0
    prox: float = 0.0
    scaffold: bool = False
    inner: str = "reset"

    name = "local"

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= MAX_STEPS:
            raise SpecError(f"local: steps is {self.steps}, expected 1 to {MAX_STEPS}")
        for name in ("clip", "prox"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SpecError(f"local: {name} is {getattr(self, name)}, expected a number of at least 0")
        if self.inner not in INNER_STATES:
            raise SpecError(f"local: inner is {self.inner!r}, expected {' or '.join(INNER_STATES)}")
        built = parse_optimizer(self.optimizer)
        object.__setattr__(self, "optimizer", parse_spec(built.spec))
        if self.scaffold and not _is_plain_sgd(built):
            raise SpecError(
                f"local: scaffold with {built.spec}: its control variates are those of plain SGD, "
                "write optimizer=sgd(lr=…) with a constant rate and no momentum"
            )

    def build_optimizer(self) -> Optimizer:
        """The worker's optimizer."""
        return parse_optimizer(self.optimizer)

    @property
    def control_rate(self) -> float | None:
        """1 / (H lr), by which the mean update enters the server's control variate; None without ``scaffold``."""
        optimizer = self.build_optimizer()
        if not self.scaffold or not isinstance(optimizer, SGD):
            return None
        return 1 / (self.steps * optimizer.lr)

    @property
    def spec(self) -> str:
        """The canonical spelling."""
        return str(spec_of(self))


def _is_plain_sgd(optimizer: Optimizer) -> bool:
    return isinstance(optimizer, SGD) and optimizer == SGD(lr=optimizer.lr)


def control_damping(local: LocalSteps | None, codec: AnyCodec, *, feedback: bool) -> float:
    """The factor alpha of a round's change of SCAFFOLD's control variates, a power of two.

    Payloads without error feedback carry updates with a squared error of omega times their squared norm. Control
    variates that followed them in full would amplify it in every round; with alpha of at most about 1 / (1 + omega)
    they converge ([DIANA], [Scallion]; theory 10). With error feedback the errors of all rounds add up to the
    memory, and alpha is 1; so it is where payloads are exact.

    Args:
        local: the run's local steps; without ``scaffold`` it is 1.
        codec: the run's.
        feedback: whether workers keep an error feedback.

    Raises:
        SpecError: the codec's variance has no bound.
    """
    if feedback or local is None or not local.scaffold:
        return 1.0
    omega = codec.variance(1.0)
    if not math.isfinite(omega):
        raise SpecError(
            f"local: scaffold with {codec.spec}, whose variance has no bound: use another codec, or no scaffold"
        )
    return 2.0 ** -math.ceil(math.log2(max(1.0, MARGIN * (1 + omega))))


def parse_local(text: str | Spec) -> LocalSteps:
    """Local steps from their spec.

    Raises:
        SpecError: another name, an unknown argument or a value outside its range.

    >>> parse_local("local(steps=50, optimizer=sgd(lr=0.05))").steps
    50
    """
    spec = parse_spec(text) if isinstance(text, str) else text
    if spec.name != LocalSteps.name:
        raise SpecError(f"local is {spec}, expected local(steps=…, optimizer=…)")
    return LocalSteps(**bind_arguments(spec, LocalSteps))
