"""Fixed-length quantizers: ``parse`` builds one from its spec; a new family is a new module in this folder."""

from gradwire.common.codecs.accumulator import Accumulator
from gradwire.common.codecs.base import AnyCodec, Codec, Example
from gradwire.common.codecs.registry import codecs, import_family_modules, parse, register

import_family_modules(__name__, list(__path__))

__all__ = ["Accumulator", "AnyCodec", "Codec", "Example", "codecs", "parse", "register"]
