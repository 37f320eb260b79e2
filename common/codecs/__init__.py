"""Fixed-length quantizers: ``parse`` builds one from its spec; a new family is a new module in this folder.

``codec.py`` is the contract for callers, ``hooks.py`` the contract for families.
"""

from gradwire.common.codecs.accumulator import Accumulator
from gradwire.common.codecs.codec import AnyCodec, Codec
from gradwire.common.codecs.hooks import Example
from gradwire.common.codecs.registry import allow_codecs, codecs, find_codec, parse, register
from gradwire.common.registry import import_submodules

import_submodules(__name__, __path__)

__all__ = [
    "Accumulator",
    "AnyCodec",
    "Codec",
    "Example",
    "allow_codecs",
    "codecs",
    "find_codec",
    "parse",
    "register",
]
