"""The optimizer step that server and replicas replay: pure functions of parameters, state, update and round.

A module of this folder registers its optimizers under the names that specs give them.
"""

from gradwire.common.registry import import_submodules
from gradwire.common.training.optimizers.base import Optimizer, allow_optimizers, optimizers, parse_optimizer

import_submodules(__name__, __path__)

__all__ = ["Optimizer", "allow_optimizers", "optimizers", "parse_optimizer"]
