"""Codecs around another codec: a rotation, a subset of coordinates, a mechanism, a separately quantized gain."""
