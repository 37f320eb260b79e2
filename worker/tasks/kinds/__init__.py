"""Kinds of tasks: a module of this folder registers one under the name that a spec gives it, which is the module's."""

from gradwire.common.registry import import_submodules

import_submodules(__name__, __path__)
