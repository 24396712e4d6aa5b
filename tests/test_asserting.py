"""Assert: conditions checked while a function runs, in every mode, and what rests on it."""
from __future__ import annotations

import pickle

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.frontend import neighbours

MODES = ("FAST_RUN", "FAST_COMPILE", "strict", "DebugMode")
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("mode", MODES)
def test_a_call_whose_condition_is_false_is_an_error_with_the_message(mode):
    x, limit = T.dvector("x"), T.dscalar("limit")
    y = fuse.Assert("the sum is too large")(T.exp(x), T.exp(x).sum() < limit, x.shape[0] > 1)
    f = fuse.function([x, limit], y * 2 + 1, mode=mode)
    for _ in range(6):  # the later calls are entered at C level
        np.testing.assert_allclose(f([0.0, 1.0], 5.0), 2 * np.exp([0.0, 1.0]) + 1)
        with pytest.raises(AssertionError, match="the sum is too large"):
            f([0.0, 1.0], 3.0)
        with pytest.raises(fuse.errors.FuseAssertionError):
            f([0.0], 5.0)


def test_results_are_arrays_of_their_own():
    x = T.dvector("x")
    f = fuse.function([x], fuse.Assert()(x, T.ge(x.sum(), 0)))
    value = np.ones(3)
    for _ in range(5):
        assert not np.shares_memory(f(value), value)


def test_gradients_pass_and_do_not_reach_conditions():
    x, y = T.dvectors("x", "y")
    cost = (fuse.Assert()(x, y.sum() > 0) ** 2).sum()
    f = fuse.function([x, y], fuse.grad(cost, x))
    np.testing.assert_allclose(f([1.0, 2.0], [1.0]), [2.0, 4.0])
    with pytest.raises(AssertionError):
        f([1.0, 2.0], [-1.0])
    with pytest.raises(fuse.errors.DisconnectedInputError):
        fuse.grad(cost, y)
    np.testing.assert_allclose(fuse.Rop(cost, x, x).eval({x: [1.0, 2.0], y: [1.0]}), 10.0)


def test_an_update_that_fails_leaves_the_shared_variable():
    total, x = fuse.shared(np.zeros(3)), T.dvector("x")
    f = fuse.function([x], [], updates={total: total + fuse.Assert("negative")(x, T.all(x >= 0))})
    f(np.ones(3))
    for _ in range(5):
        with pytest.raises(AssertionError, match="negative"):
            f(-np.ones(3))
    np.testing.assert_array_equal(total.get_value(), np.ones(3))


def test_conditions_are_scalars():
    x = T.dvector("x")
    with pytest.raises(fuse.errors.ShapeError, match="all"):
        fuse.Assert()(x, x > 0)


def test_a_condition_known_to_be_true_leaves_a_constant():
    check = T.opt.Assert("never")
    assert int(fuse.simplify(check(T.constant(3), T.constant(True))).data) == 3
    assert check == fuse.Assert("never") and hash(check) == hash(fuse.Assert("never")) and check != fuse.Assert()
    x = T.dvector("x")
    again = pickle.loads(pickle.dumps(check(x, x.sum() > 0)))
    assert again is check(x, x.sum() > 0)


@pytest.mark.parametrize("shape, fits", [((1, 1, 4, 6), True), ((2, 3, 2, 3), True), ((1, 1, 5, 6), False),
                                         ((1, 1, 4, 7), False), ((1, 1, 1, 3), False)])
def test_patches_cover_images_exactly_or_a_call_is_an_error(shape, fits):
    x, value = T.tensor4("x"), RNG.normal(size=shape)
    f = fuse.function([x], neighbours.images2neibs(x, (2, 3)))
    if not fits:
        with pytest.raises(TypeError, match="ignore_borders"):
            f(value)
        return
    n, c, rows, columns = shape
    want = value.reshape(n, c, rows // 2, 2, columns // 3, 3).transpose(0, 1, 2, 4, 3, 5).reshape(-1, 6)
    np.testing.assert_array_equal(f(value), want)


def test_bincount_and_raveled_indices_check_their_numbers():
    x = T.lvector("x")
    f = fuse.function([x], T.bincount(x, assert_nonneg=True))
    np.testing.assert_array_equal(f([0, 2, 2]), [1, 0, 2])
    with pytest.raises(AssertionError):
        f([0, -1])
    g = fuse.function([x], T.ravel_multi_index((x, x), (2, 3)))
    np.testing.assert_array_equal(g([0, 1]), [0, 4])
    with pytest.raises(IndexError):
        g([0, 2])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 4, 5)])
def test_positions_in_both_orders(shape, order):
    positions = np.arange(np.prod(shape))
    p = T.lvector("p")
    found = fuse.function([p], T.unravel_index(p, shape, order=order))(positions)
    for have, want in zip(found, np.unravel_index(positions, shape, order), strict=True):
        np.testing.assert_array_equal(have, want)
    for mode in ("raise", "wrap", "clip"):
        index = [w - 1 if mode != "raise" else w for w in np.unravel_index(positions, shape, order)]
        have = T.ravel_multi_index([T.constant(i) for i in index], shape, mode, order).eval()
        np.testing.assert_array_equal(have, np.ravel_multi_index(index, shape, mode, order))
