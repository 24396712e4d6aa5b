"""Theano's ``tests.unittest_tools``: tools for tests of a user's own ops, with unittest or pytest."""
from __future__ import annotations

import functools
import sys
import unittest
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any
from unittest import SkipTest as SkipTest

import numpy as np

from fuse.autodiff.check import verify_grad as _verify_grad
from fuse.compiled import function
from fuse.errors import GradientError
from fuse.frontend.class_op import Op
from fuse.frontend.sizes import shape
from fuse.mode import get_default_mode
from fuse.rules.user import same_op

_SEED = 666


def fetch_seed(pseed: int | None = None) -> int:
    """``pseed``, or the seed that tests share.

    >>> fetch_seed(3)
    3
    """
    return _SEED if pseed is None else int(pseed)


def seed_rng(pseed: int | None = None) -> int:
    """Seed NumPy's global generator; the seed."""
    seed = fetch_seed(pseed)
    np.random.seed(seed)  # noqa: NPY002 - what programs then draw from
    return seed


def verify_grad(
    op: Callable[..., Any], pt: Sequence[Any], n_tests: int = 2, rng: Any = None, *args: Any, **kwargs: Any
) -> None:
    """As ``fuse.gradient.verify_grad``, with a generator of its own; raises GradientError.

    >>> import fuse.tensor as T
    >>> verify_grad(T.tanh, [np.array([0.5, -1.0])])
    """
    _verify_grad(op, pt, n_tests, np.random.RandomState(fetch_seed()) if rng is None else rng, *args, **kwargs)


verify_grad.E_grad = GradientError  # type: ignore[attr-defined]


def str_diagnostic(expected: Any, value: Any, rtol: float | None = None, atol: float | None = None) -> str:
    """In words how two arrays differ."""
    try:
        np.testing.assert_allclose(value, expected, rtol=1e-5 if rtol is None else rtol, atol=atol or 0)
    except AssertionError as error:
        return str(error)
    return "the values are equal up to rounding"


class WrongValue(AssertionError):
    """Two arrays that should be equal differ."""

    def __init__(self, expected_val: Any, val: Any, rtol: float | None = None, atol: float | None = None) -> None:
        super().__init__(str_diagnostic(expected_val, val, rtol, atol))
        self.val1, self.val2, self.rtol, self.atol = expected_val, val, rtol, atol


def assert_allclose(expected: Any, value: Any, rtol: float | None = None, atol: float | None = None) -> None:
    """Raise WrongValue unless the values are close; the tolerance is that of the coarser dtype, and shapes broadcast.

    >>> assert_allclose([1.0, 1.0], 1.0 + 1e-12)
    """
    first, second = np.asarray(expected), np.asarray(value)
    coarse = any(a.dtype in (np.float32, np.complex64, np.float16) for a in (first, second))
    tolerance = (1e-5, 1e-5) if coarse else (1e-5, 1e-8)
    rtol, atol = (tolerance[0] if rtol is None else rtol), (tolerance[1] if atol is None else atol)
    try:
        close = np.allclose(first, second, rtol=rtol, atol=atol, equal_nan=True)
    except ValueError:  # shapes that do not broadcast
        close = False
    if not close:
        raise WrongValue(expected, value, rtol, atol)


class InferShapeTester(unittest.TestCase):
    """Base of tests that compare what an op says of its results' shapes with their shapes."""

    def setUp(self) -> None:
        seed_rng()
        self.mode = get_default_mode()

    def _compile_and_check(
        self, inputs: Sequence[Any], outputs: Sequence[Any], numeric_inputs: Sequence[Any], cls: Any,
        excluding: Sequence[str] | None = None, warn: bool = True, check_topo: bool = True,
    ) -> None:
        """The outputs' shapes as computed alone are theirs; they do not run ops of the user's own class ``cls``."""
        options: Any = {"on_unused_input": "ignore", "mode": self.mode}
        found = function(inputs, outputs, **options)(*numeric_inputs)
        shapes = function(inputs, [shape(o) for o in outputs], **options)
        told = [tuple(s.tolist()) for s in shapes(*numeric_inputs)]
        assert told == [np.shape(f) for f in found], f"infer_shape tells {told}, but the results have other shapes"
        classes = cls if isinstance(cls, (list, tuple)) else [cls]
        kinds = [c for c in classes if isinstance(c, type) and issubclass(c, Op)]
        if check_topo and kinds:
            assert not any(isinstance(node.op, tuple(kinds)) for node in shapes.maker.fgraph.toposort())


class OptimizationTestMixin:
    """Assertions about the operations of a function after rewriting."""

    def assertFunctionContains(self, f: Any, op: Any, min: int = 1, max: int = sys.maxsize) -> None:
        """``op`` (an op, a function such as ``T.exp``, or a class of ops) stands there so many times."""
        count = sum(same_op(node.op, op) for node in f.maker.fgraph.toposort())
        assert min <= count <= max, f"{op} stands {count} times in the function, not {min} to {max} times"

    def assertFunctionContains0(self, f: Any, op: Any) -> None:
        return self.assertFunctionContains(f, op, 0, 0)

    def assertFunctionContains1(self, f: Any, op: Any) -> None:
        return self.assertFunctionContains(f, op, 1, 1)

    def assertFunctionContainsN(self, f: Any, op: Any, N: int) -> None:
        return self.assertFunctionContains(f, op, N, N)

    assertFunctionContainsClass = assertFunctionContains
    assertFunctionContainsClassN = assertFunctionContainsN


class T_OpContractMixin:
    """Tests of equality, hash and text of the ops in ``self.ops``, against ``self.other_op``."""

    ops: Sequence[Any]
    other_op: Any

    def clone(self, op: Any) -> Any:
        """Another op that should be equal."""
        return copy(op)

    def test_eq(self) -> None:
        for i, first in enumerate(self.ops):
            assert first == self.clone(first) and first != self.other_op
            assert all(first != other for j, other in enumerate(self.ops) if i != j)

    def test_hash(self) -> None:
        for op in self.ops:
            assert hash(op) == hash(self.clone(op))

    def test_name(self) -> None:
        for op in self.ops:
            assert str(op)


class AttemptManyTimes:
    """A decorator: a test with random numbers may fail in some of ``n_attempts`` runs with new seeds.

    >>> @AttemptManyTimes(3, n_req_successes=1)
    ... def attempt(runs=[]):
    ...     runs.append(1)
    ...     assert len(runs) == 2
    >>> attempt()
    """

    def __init__(self, n_attempts: int, n_req_successes: int = 1) -> None:
        self.n_attempts, self.n_req_successes = n_attempts, n_req_successes

    def __call__(self, fct: Callable[..., Any]) -> Callable[..., None]:
        @functools.wraps(fct)
        def attempted(*args: Any, **kwargs: Any) -> None:
            successes, last = 0, None
            for attempt in range(self.n_attempts):
                seed_rng(_SEED + attempt)
                try:
                    fct(*args, **kwargs)
                except AssertionError as error:
                    last = error
                else:
                    successes += 1
                if successes == self.n_req_successes:
                    return
            assert last is not None
            raise last

        return attempted

