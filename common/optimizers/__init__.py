"""The optimizer step that server and replicas replay: pure functions of parameters, state, update and round."""

from gradwire.common.optimizers.averaged import Averaged
from gradwire.common.optimizers.base import Optimizer, optimizers, parse_optimizer
from gradwire.common.optimizers.mirror import MirrorDescent
from gradwire.common.optimizers.projected import ProjectedSGD
from gradwire.common.optimizers.sgd import SGD

__all__ = [
    "SGD",
    "Averaged",
    "MirrorDescent",
    "Optimizer",
    "ProjectedSGD",
    "optimizers",
    "parse_optimizer",
]
