"""Updates: sums of terms, dense and sparse, that add in the order given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwire.common.arrays.update import Sparse, Terms, as_dense, concatenate

LISTS = st.lists(st.tuples(st.integers(0, 9), st.floats(-1e9, 1e9)), max_size=30)


def terms(size: int, pairs: list[tuple[int, float]]) -> Terms:
    return Terms(size, np.array([i for i, _ in pairs], np.int64), np.array([w for _, w in pairs], np.float64))


def slow(size: int, pairs: list[tuple[int, float]]) -> list[float]:
    out = [0.0] * size
    for index, weight in pairs:
        out[index] += weight
    return out


@given(LISTS)
def test_gather_adds_in_order(pairs: list[tuple[int, float]]) -> None:
    """Few terms of many coordinates stay sparse, many become dense, and the bits are the same."""
    dense, sparse = terms(10, pairs).gather(), terms(1000, pairs).gather()
    assert isinstance(sparse, Sparse)
    assert as_dense(dense).tolist() == slow(10, pairs) and as_dense(sparse)[:10].tolist() == slow(10, pairs)
    assert (np.diff(sparse.indices) > 0).all() and sparse.indices.size == len({i for i, _ in pairs})
    assert not as_dense(sparse)[10:].any()


def test_gather_is_sparse_while_that_is_smaller() -> None:
    pairs = [(i, 1.0) for i in range(5)]
    assert isinstance(terms(21, pairs).gather(), Sparse)
    assert isinstance(terms(20, pairs).gather(), np.ndarray)


@given(LISTS, LISTS)
def test_concatenate(one: list[tuple[int, float]], two: list[tuple[int, float]]) -> None:
    both = concatenate([terms(10, one), terms(10, two)])
    assert both.size == 10 and as_dense(both.gather()).tolist() == slow(10, one + two)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dense_keeps_its_type(dtype: type) -> None:
    sparse = Sparse(5, np.array([1, 4]), np.array([2.0, -1.0], dtype))
    assert sparse.dense().dtype == dtype and sparse.dense().tolist() == [0, 2, 0, 0, -1]
    array = np.arange(3, dtype=dtype)
    assert as_dense(array) is array
