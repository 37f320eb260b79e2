"""A payload and a spec string are all that a decoder needs: another process, started bare, reads the same numbers."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from gradwire.common.codecs import AnyCodec
from tests.common.codecs import checks
from tests.common.codecs.examples import EXAMPLES, build, is_quick

DECODE = """
import hashlib, json, sys
from gradwire.common.codecs import parse
for case in json.load(sys.stdin):
    codec = parse(case["spec"], case["dim"])
    xhat = codec.decode(bytes.fromhex(case["payload"]), shared=case["shared"])
    print(json.dumps([hashlib.sha256(xhat.tobytes()).hexdigest(), codec.fingerprint.hex(), codec.nbits]))
"""


def case_of(codec: AnyCodec) -> dict[str, Any]:
    payload = checks.typical_payload(codec)
    return {"spec": codec.spec, "dim": codec.dim, "payload": payload.hex(), "shared": checks.shared_of(codec)}


def decoded_elsewhere(cases: list[dict[str, Any]]) -> list[list[Any]]:
    """What another process makes of each case."""
    # Another hash seed: no set or dict order may reach the numbers.
    env = {**os.environ, "PYTHONHASHSEED": "12345"}
    command = [sys.executable, "-W", "error", "-c", DECODE]
    done = subprocess.run(
        command, input=json.dumps(cases), env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("quick", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_decoded_in_another_process(quick: bool) -> None:
    built = [build(example) for example in EXAMPLES if is_quick(example) is quick]
    for codec, elsewhere in zip(built, decoded_elsewhere([case_of(c) for c in built]), strict=True):
        xhat = checks.decode(codec, checks.typical_payload(codec))
        here = [hashlib.sha256(xhat.tobytes()).hexdigest(), codec.fingerprint.hex(), codec.nbits]
        assert elsewhere == here, f"{codec} d={codec.dim}"
