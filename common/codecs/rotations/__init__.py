"""Codecs that rotate at random and then round deterministically."""
