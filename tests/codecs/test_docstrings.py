"""The examples in docstrings do what they show."""

import doctest
import importlib
import pkgutil

import pytest

import gradwire.common.codecs
import gradwire.common.kernels

PACKAGES = [gradwire.common.codecs, gradwire.common.kernels]
MODULES = ["gradwire.common.spec", "gradwire.common.randomness", "gradwire.common.update"]
MODULES += [f"{p.__name__}.{m.name}" for p in PACKAGES for m in pkgutil.iter_modules(p.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
