"""How committed rounds reach the replicas: one object for each form, built from its spec, e.g. ``log``."""

from gradwire.common.downlinks.base import CommittedRound, Downlink, PayloadSize
from gradwire.common.downlinks.choice import AUTO, check_downlink, check_replicas, resolve_downlink
from gradwire.common.downlinks.registry import announced, downlinks, entry_readers, parse, register
from gradwire.common.registry import import_submodules
from gradwire.common.training.optimizers.base import State

import_submodules(__name__, __path__)

__all__ = [
    "AUTO",
    "CommittedRound",
    "Downlink",
    "PayloadSize",
    "State",
    "announced",
    "check_downlink",
    "check_replicas",
    "downlinks",
    "entry_readers",
    "parse",
    "register",
    "resolve_downlink",
]
