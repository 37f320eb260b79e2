"""The optimizer step that server and replicas replay: pure functions of parameters, state, update and round."""

from gradwire.common.training.optimizers.averaged import Averaged
from gradwire.common.training.optimizers.base import Optimizer, optimizers, parse_optimizer
from gradwire.common.training.optimizers.mirror import MirrorDescent
from gradwire.common.training.optimizers.projected import ProjectedSGD
from gradwire.common.training.optimizers.sgd import SGD

__all__ = [
    "SGD",
    "Averaged",
    "MirrorDescent",
    "Optimizer",
    "ProjectedSGD",
    "optimizers",
    "parse_optimizer",
]
