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
from tests.common.codecs.examples import EXAMPLES, build, every_codec

DECODE = """
import hashlib, json, sys
from gradwire.common.codecs import parse
for case in json.load(sys.stdin):
    codec = parse(case["spec"], case["dim"])
    xhat = codec.decode(bytes.fromhex(case["payload"]), shared=case["shared"])
    print(json.dumps([hashlib.sha256(xhat.tobytes()).hexdigest(), codec.fingerprint.hex(), codec.nbits]))
"""


def case_of(codec: AnyCodec) -> dict[str, Any]:
    payload = checks.encode(codec, checks.typical(codec))
    return {"spec": codec.spec, "dim": codec.dim, "payload": payload.hex(), "shared": checks.shared_of(codec)}


@pytest.fixture(scope="module")
def elsewhere() -> dict[tuple[str, int], list[Any]]:
    """(spec, dim) -> what the other process made of it."""
    cases = [case_of(build(example)) for example in EXAMPLES]
    # Another hash seed: no set or dict order may reach the numbers.
    env = {**os.environ, "PYTHONHASHSEED": "12345"}
    command = [sys.executable, "-W", "error", "-c", DECODE]
    done = subprocess.run(
        command, input=json.dumps(cases), env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {(case["spec"], case["dim"]): line for case, line in zip(cases, lines, strict=True)}


@every_codec
def test_decoded_elsewhere(codec: AnyCodec, elsewhere: dict[tuple[str, int], list[Any]]) -> None:
    xhat = checks.decode(codec, checks.encode(codec, checks.typical(codec)))
    here = [hashlib.sha256(xhat.tobytes()).hexdigest(), codec.fingerprint.hex(), codec.nbits]
    assert elsewhere[codec.spec, codec.dim] == here
