"""Codings of drawn vertices: a module of this folder registers one by the name that a spec's ``coding`` gives it."""

from gradwire.common.lossless.codings.base import CODINGS, Coding, SignedAxes, coding_class, register_coding
from gradwire.common.registry import import_submodules

import_submodules(__name__, __path__)

__all__ = ["CODINGS", "Coding", "SignedAxes", "coding_class", "register_coding"]
