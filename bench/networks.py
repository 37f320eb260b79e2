"""Parameters of the two networks of [V], section 7, which measurements take as gradients."""

from __future__ import annotations

from gradwire.deploy.commands.codecs import DIM

MNIST = DIM
CIFAR = 12_332_010
