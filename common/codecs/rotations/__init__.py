"""Codecs that rotate at random and then round deterministically, or name a nearby axis privately."""
