"""Compiled random programs against the reference interpreter (a fixed selection; tests/fuzz.py tries others)."""
from __future__ import annotations

import numpy as np
import pytest
from fuzz import described, failure, minimised
from random_programs import make_program

import fuse
import fuse.tensor as T


@pytest.mark.parametrize("mode, kernels", [("strict", False), ("default", False), ("strict", True)])
@pytest.mark.parametrize("block", range(4))
def test_random_programs_equal_the_reference(block, mode, kernels):
    first = {"strict": 1000, "default": 2000}[mode] + block * 10 + 500 * kernels
    for seed in range(first, first + 3):
        case = make_program(seed)
        why = failure(case, mode, kernels)
        if why is not None:
            small = minimised(case, mode, kernels, seconds=20)
            pytest.fail(f"seed {seed}, mode {mode}: {why}\n{described(small)}", pytrace=False)


def test_a_gather_reads_from_a_formula_over_sizes():
    """The sum of a broadcast constant is such a formula; it has no array before one is read."""
    x = T.lmatrix("x")
    index = np.array([[-1, -1, -1], [-1, -1, 0]])
    value = T.alloc(np.int8(2), x.shape[0], 2).sum().dimshuffle("x", "x")[index]
    f = fuse.function([x], value, mode="strict")
    for rows in (0, 1, 3):
        np.testing.assert_array_equal(f(np.ones((rows, 2), "int64")), np.full((2, 3, 1), 4 * rows))
