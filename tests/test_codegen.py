"""Generated kernels against the reference interpreter, and what regions are made of."""
from __future__ import annotations

import numpy as np
import pytest
from random_programs import make_program

import fuse.tensor as T
from fuse import reference
from fuse.codegen.program import compile_program
from fuse.expr import toposort


def precision(outputs):
    """The coarsest precision that a program computes in."""
    dtypes = {n.type.dtype for n in toposort(outputs)}
    return np.finfo("float32" if dtypes & {"float32", "float16"} else "float64").eps


def assert_same(got, want, eps):
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape, (a.dtype, b.dtype, a.shape, b.shape)
        if a.dtype.kind in "fc":
            scale = np.nanmax(np.abs(np.where(np.isfinite(b), b, 0)), initial=1.0)
            np.testing.assert_allclose(a, b, rtol=2000 * eps, atol=2000 * eps * scale, equal_nan=True)
        else:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("block", range(10))
@pytest.mark.parametrize("mode", ["strict"])
def test_random_programs_equal_the_reference(block, mode):
    for seed in range(block * 12, block * 12 + 12):
        case = make_program(seed)
        want = reference.evaluate(case.outputs, dict(zip(case.inputs, case.values, strict=True)))
        got = compile_program(case.inputs, case.outputs, (), mode)(*case.values)
        try:
            assert_same(got, want, precision(case.outputs))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, mode {mode}: {error}") from error
