"""Codecs around another codec: a rotation, a subsample, a mechanism, a separately quantized gain."""
