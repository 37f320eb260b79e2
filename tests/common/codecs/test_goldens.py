"""Payloads of earlier releases: today's encoders write the same bytes, and today's decoders read the same numbers."""

from pathlib import Path

import pytest

from gradwire.common.codecs import codecs, parse
from tests.common.codecs import goldens, make_goldens

NAMES = sorted(codecs())


@pytest.mark.parametrize("name", NAMES)
def test_golden_payloads_are_complete(name: str) -> None:
    if not goldens.file_of(name).is_file():
        pytest.fail(
            f"tests/common/codecs/golden_payloads/{name}.json is missing: {goldens.how_to_make(name)}"
        )
    kept = {(e["spec"], e["dim"]) for e in goldens.load(name)}
    missing = sorted(set(goldens.cases(name)) - kept)
    if missing:
        pytest.fail(
            f"tests/common/codecs/golden_payloads/{name}.json lacks {missing}: {goldens.how_to_make(name)}"
        )


@pytest.mark.parametrize("name", NAMES)
def test_golden_payloads(name: str) -> None:
    for entry in goldens.load(name):
        now = goldens.make(entry["spec"], entry["dim"])
        decoded, was = now.pop("decoded"), {k: v for k, v in entry.items() if k != "decoded"}
        assert now == was, f"{entry['spec']} d={entry['dim']} no longer gives the bytes of earlier releases"
        assert decoded == pytest.approx(entry["decoded"], rel=1e-12, abs=0)
        if "payload" in entry:
            codec = parse(entry["spec"], entry["dim"])
            codec.validate(bytes.fromhex(entry["payload"]))


def test_every_golden_file_has_a_codec() -> None:
    assert sorted(path.stem for path in goldens.FOLDER.glob("*.json")) == NAMES


def test_missing_golden_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(goldens, "FOLDER", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"python -m tests\.common\.codecs\.make_goldens simq`"):
        goldens.load("simq")
    assert not list(tmp_path.iterdir()), "a golden file must never make itself"


def test_goldens_are_replaced_on_request_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(goldens, "FOLDER", tmp_path)
    monkeypatch.setattr(goldens, "cases", lambda name: [(name, 3), (name, 5)])
    assert make_goldens.update("simq", replace=False) == "simq: 2 added, 0 replaced, 0 dropped, 2 in all"
    assert make_goldens.update("simq", replace=False) == "simq: 0 added, 0 replaced, 0 dropped, 2 in all"
    entries = goldens.load("simq")
    entries[0]["payload"] = "00" * 5
    goldens.save("simq", entries)
    with pytest.raises(
        ValueError, match=r"the bytes of .* have changed: correct the codec, or pass --replace"
    ):
        make_goldens.update("simq", replace=False)
    assert goldens.load("simq")[0]["payload"] == "00" * 5
    assert make_goldens.update("simq", replace=True) == "simq: 0 added, 1 replaced, 0 dropped, 2 in all"
