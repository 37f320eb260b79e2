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

bench = plain_typer(no_args_is_help=True, help="Measure speed, variances, privacy, and bytes on the wire.")
bench.command("audit", epilog=example("gradwire bench audit --codec 'private_top(4)' --dim 1024"))(
    audit_command
)
bench.command("codecs", epilog=example("gradwire bench codecs --codec 'cuq(levels=15)' --dim 1000000"))(
    speeds
)
bench.command("encode", epilog=example("gradwire bench encode --dim 12332010"))(encode)
bench.command("hadamard", epilog=example("gradwire bench hadamard --size 1048576"))(hadamard)
bench.command("privacy", epilog=example("gradwire bench privacy --dim 128 --epsilon 4"))(privacy)
bench.command("server-round", epilog=example("gradwire bench server-round --workers 100"))(server_round)
bench.command("variance", epilog=example("gradwire bench variance --bits 1000"))(variance)
bench.command("wire", epilog=example("gradwire bench wire --hosts netns --workers 4 --plot wire.png"))(wire)
bench.command(
    "time-to-loss", epilog=example("gradwire bench time-to-loss --rate 1mbit --rate 10mbit --plot t.svg")
)(time_to_loss)
bench.command("private-run", epilog=example("gradwire bench private-run --epsilon 8 --epsilon 2"))(
    private_run
)
