"""Write golden payloads of new codecs: ``python -m tests.common.codecs.make_goldens NAME [NAME …] [--replace]``.

Bytes that are there already are never changed unless ``--replace`` says so: payloads of an earlier release would then
be read differently, which is a change of the wire format and belongs in CHANGELOG.md.
"""

from __future__ import annotations

import argparse
import sys

from gradwire.common.codecs import codecs
from tests.common.codecs import goldens


def update(name: str, *, replace: bool) -> str:
    """Add what is missing; one line on what was done.

    Raises:
        ValueError: a golden payload would change.
    """
    old = {(e["spec"], e["dim"]): e for e in goldens.load(name)} if goldens.file_of(name).is_file() else {}
    new = {case: goldens.make(*case) for case in goldens.cases(name)}
    changed = [case for case in new.keys() & old.keys() if new[case] != old[case]]
    if changed and not replace:
        raise ValueError(
            f"{name}: the bytes of {changed[0]} have changed: correct the codec, or pass --replace"
        )
    goldens.save(name, list(new.values()))
    added, dropped = len(new.keys() - old.keys()), len(old.keys() - new.keys())
    return f"{name}: {added} added, {len(changed)} replaced, {dropped} dropped, {len(new)} in all"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", choices=sorted(codecs()), metavar="NAME")
    parser.add_argument("--replace", action="store_true", help="overwrite golden payloads that differ")
    options = parser.parse_args()
    try:
        for name in options.names:
            print(update(name, replace=options.replace))
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
