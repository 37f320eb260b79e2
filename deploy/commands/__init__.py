"""Gradients over the wire in a fixed number of bits.

Every module of this package is a command: see ``gradwire.deploy.command_group``.

Examples:
    gradwire run --task 'mlp(digits, hidden=64)' --codec 'cross_polytope(repeats=100)' --workers 4
"""
