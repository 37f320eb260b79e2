"""``gradwire bench``: measurements that anyone can repeat."""

from __future__ import annotations

from gradwire.bench.audit import audit_command
from gradwire.bench.codecs import speeds
from gradwire.bench.encode import encode
from gradwire.bench.hadamard import hadamard
from gradwire.bench.privacy import privacy
from gradwire.bench.private_run import private_run
from gradwire.bench.server_round import server_round
from gradwire.bench.time_to_loss import time_to_loss
from gradwire.bench.variance import variance
from gradwire.bench.wire import wire
from gradwire.deploy.lazy import example, plain_typer

# Name, function, one line for the list that is never cut, a command line to copy.
_MEASUREMENTS = (
    ("codecs", speeds, "Speed of every codec, on NumPy and torch.", "--codec 'cuq(levels=15)' --dim 1000000"),
    ("encode", encode, "Speed of encoding beside numpy.copyto.", "--dim 12332010"),
    ("hadamard", hadamard, "Speed of the transform.", "--size 1048576"),
    ("server-round", server_round, "A server's round at several model sizes.", "--workers 100"),
    ("variance", variance, "Errors at equal bits, beside theory.", "--bits 1000"),
    ("privacy", privacy, "Errors at equal epsilon, beside theory.", "--dim 128 --epsilon 4"),
    ("audit", audit_command, "Evidence against a codec's epsilon.", "--codec 'private_top(4)' --dim 1024"),
    ("private-run", private_run, "Test errors under one privacy budget.", "--epsilon 8 --epsilon 2"),
    ("wire", wire, "Bytes through every layer of a network.", "--hosts netns --workers 4 --plot wire.png"),
    (
        "time-to-loss",
        time_to_loss,
        "Training over slow and fast links.",
        "--rate 1mbit --rate 10mbit --plot t.svg",
    ),
)

bench = plain_typer(no_args_is_help=True, help="Measure speed, variances, privacy, and bytes on the wire.")
for _name, _function, _line, _words in _MEASUREMENTS:
    bench.command(_name, short_help=_line, epilog=example(f"gradwire bench {_name} {_words}"))(_function)
