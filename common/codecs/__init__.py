"""Fixed-length quantizers: ``parse`` builds one from its spec; a new family is a new module in this folder."""

from gradwire.common.codecs.accumulator import Accumulator
from gradwire.common.codecs.base import AnyCodec, Codec, Example
from gradwire.common.codecs.registry import codecs, parse, register
from gradwire.common.registry import import_submodules

import_submodules(__name__, __path__)

__all__ = ["Accumulator", "AnyCodec", "Codec", "Example", "codecs", "parse", "register"]
