"""The length of every codec's payload is theory's, at toy dimensions and at those of the papers' networks."""

import pytest

from gradwire.common.codecs import codecs, parse
from gradwire.common.errors import SpecError
from tests.common.codecs.formulas import FORMULAS, Formula

DIMS = (3, 128, 1000, 795_010, 12_332_010)


def test_every_codec_has_a_formula() -> None:
    assert FORMULAS.keys() == codecs().keys(), (
        "add the codec's length to tests/common/codecs/formulas.py, from its source"
    )


@pytest.mark.parametrize(
    ("spec", "formula"), [pytest.param(s, f, id=s) for specs in FORMULAS.values() for s, f in specs.items()]
)
def test_nbits_is_that_of_the_formula(spec: str, formula: Formula) -> None:
    for dim in DIMS:
        expected = formula(dim)
        if expected is None:
            with pytest.raises(SpecError):
                parse(spec, dim)
        else:
            assert parse(spec, dim).nbits == expected, f"d={dim}"


# What the papers and theory print.
PRINTED = [
    ("cross_polytope(100, gain=bound(1.0), coding=joint)", 795_010, 2061),  # [V] section 7: 2060.06 (V12)
    ("cross_polytope(100, gain=bound(1.0), coding=joint)", 12_332_010, 2456),  # 2455.59 (V12)
    ("cross_polytope(100, gain=bound(1.0))", 795_010, 2100),
    ("cross_polytope(100, gain=bound(1.0))", 12_332_010, 2500),
    ("simq_plus(gain=bound(1.0), coding=type_signs)", 65_536, 196_600),  # theory 2.1: 3.000 bits a coordinate
    ("simq_plus(gain=bound(1.0), coding=l1_ball)", 65_536, 166_657),
    ("ratq(gain=bound(1.0))", 1024, 4 * 1024),  # theory 2.3: 4 bits a coordinate
    ("gain_shape(aguq(1.0, 1000), ratq)", 1024, 4 * 1024 + 7),
    ("hadamard(gain=bound(1.0))", 127, 7),  # log2(d + 1)
]


@pytest.mark.parametrize(("spec", "dim", "bits"), PRINTED)
def test_printed_numbers(spec: str, dim: int, bits: int) -> None:
    assert parse(spec, dim).nbits == bits
