"""Shared variables: their values are their own, their types hold, and they survive pickling."""
from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.errors import DTypeError, FuseTypeError, ShapeError
from fuse.expr import leaves
from fuse.reference import evaluate


@pytest.mark.parametrize(("value", "dtype", "ndim"), [
    (0, "int64", 0), (1.0, "float64", 0), (True, "bool", 0), (1j, "complex128", 0), (np.float32(1), "float32", 0),
    ([1, 2], "int64", 1), ([[0.5]], "float64", 2), (np.zeros((2, 3), "int8"), "int8", 2), (np.zeros(0), "float64", 1),
])
def test_type_of_a_value(value, dtype, ndim):
    s = fuse.shared(value, name="s")
    assert (s.dtype, s.ndim, s.name) == (dtype, ndim, "s")
    assert s.type.shape == (None,) * ndim
    np.testing.assert_array_equal(s.get_value(), value)
    assert s.get_value().dtype.name == dtype


def test_big_endian_and_strided_values_become_plain_arrays():
    for value in [np.arange(3, dtype=">f8"), np.arange(12.0).reshape(3, 4)[::2, ::-1], np.arange(6.0).reshape(2, 3).T]:
        s = fuse.shared(value)
        np.testing.assert_array_equal(s.get_value(), value)
        assert s.get_value(borrow=True).dtype.isnative


def test_memory_is_shared_only_on_request():
    mine = np.zeros(3)
    s = fuse.shared(mine)
    mine[0] = 1
    assert s.get_value()[0] == 0
    s.get_value()[0] = 2
    assert s.get_value()[0] == 0
    s.set_value(mine)
    mine[1] = 3
    assert s.get_value()[1] == 0
    s.get_value(borrow=True)[2] = 4
    assert s.get_value()[2] == 4
    lent = fuse.shared(mine, borrow=True)
    assert lent.get_value(borrow=True) is mine
    view = np.zeros(10)[2:5]
    assert fuse.shared(view).get_value(borrow=True).base is None
    s.set_value(view, borrow=True)
    assert s.get_value(borrow=True) is view


def test_arrays_of_objects_are_copied():
    """An object that gives its own array to ``np.asarray`` would have it changed by updates in place."""

    class Holder:
        def __init__(self):
            self.array = np.zeros(3)

        def __array__(self, dtype=None, copy=None):
            return self.array

    mine, other = Holder(), Holder()
    s = fuse.shared(mine)
    s.get_value(borrow=True)[0] = 1
    s.set_value(other)
    s.get_value(borrow=True)[0] = 1
    assert not mine.array.any() and not other.array.any()


def test_read_only_arrays_are_copied_even_when_lent():
    fixed = np.zeros(2)
    fixed.flags.writeable = False
    s = fuse.shared(fixed, borrow=True)
    assert s.get_value(borrow=True).flags.writeable


def test_set_value_takes_what_fits():
    s = fuse.shared(np.zeros(2, "float32"))
    s.set_value([1, 2])
    s.set_value(np.arange(5, dtype="int8"))
    assert s.get_value().dtype.name == "float32"
    assert s.get_value().shape == (5,)
    with pytest.raises(DTypeError, match="lose precision"):
        s.set_value(np.array([0.1]))
    with pytest.raises(ShapeError, match="1 dimensions"):
        s.set_value(np.zeros((1, 2), "float32"))
    loose = fuse.shared(np.zeros(2, "float32"), allow_downcast=True)
    loose.set_value(np.array([0.1]))
    assert loose.get_value().dtype.name == "float32"
    strict = fuse.shared(np.zeros(2, "float32"), strict=True)
    with pytest.raises(DTypeError, match="strict"):
        strict.set_value([1.0, 2.0])
    s.zero()
    assert not s.get_value().any()


def test_static_shapes_hold():
    row = fuse.shared(np.zeros((1, 3)), broadcastable=(True, False))
    assert row.broadcastable == (True, False)
    with pytest.raises(ShapeError):
        row.set_value(np.zeros((2, 3)))
    fixed = fuse.shared(np.zeros((2, 3)), shape=(2, None))
    assert fixed.type.shape == (2, None)
    with pytest.raises(ShapeError):
        fuse.shared(np.zeros((2, 3)), shape=(3, 3))


@pytest.mark.parametrize("value",
    [[[1], [1, 2]], [object()], np.array(["a"]), np.ma.array([1.0], mask=[1])])
def test_values_that_are_no_numbers(value):
    with pytest.raises(FuseTypeError):
        fuse.shared(value)


def test_an_expression_is_no_value():
    with pytest.raises(FuseTypeError, match="eval"):
        fuse.shared(T.scalar("x"))


def test_identity_and_use():
    a, b = fuse.shared(1.0), fuse.shared(1.0)
    assert a is not b
    assert a + b is a + b
    assert evaluate([a + 2 * b], {})[0] == 3
    assert copy.copy(a) is a
    twin = a.clone(name="twin")
    twin.set_value(5.0)
    assert a.get_value() == 5
    assert twin is not a
    assert twin.name == "twin"


def test_functions_read_and_update():
    state = fuse.shared(0)
    step = T.iscalar("step")
    count = fuse.function([step], state, updates=[(state, state + step)])
    assert count(1) == 0
    assert count(300) == 1
    assert state.get_value() == 301


# ---------------------------------------------------------------- pickling
def round_trip(value):
    return pickle.loads(pickle.dumps(value))


def test_a_pickled_variable_comes_back_as_one_with_a_value_of_its_own():
    w = fuse.shared(np.arange(3.0), name="w")
    again, cost = round_trip((w, (w * 2).sum()))
    assert again is not w and again.name == "w"
    assert cost is (again * 2).sum()
    w.set_value([7.0, 7.0, 7.0])
    assert again.get_value().tolist() == [0, 1, 2]
    again.set_value([8.0, 8.0, 8.0])
    assert w.get_value().tolist() == [7, 7, 7]


def test_parts_of_one_pickle_share_their_variables():
    w = fuse.shared(np.arange(3.0), name="w")
    saved = pickle.dumps((w, w.sum(), {"double": w * 2}))
    old, total, rest = pickle.loads(saved)
    variables = [leaf for leaf in leaves([total, rest["double"]]) if leaf.op.name == "shared"]
    assert variables == [old]
    assert pickle.loads(saved)[0] is not old


def test_deep_copies_are_independent_of_the_original_and_agree_with_each_other():
    w = fuse.shared(np.arange(3.0), name="w")
    x = fuse.tensor.vector("x")
    w.default_update = w * 2
    model = {"params": [w], "output": w * x, "f": fuse.function([x], w * x)}
    twin = copy.deepcopy(model)
    (v,) = twin["params"]
    assert v is not w and twin["output"] is v * x
    assert v.default_update is v * 2
    w.set_value([0.0, 0.0, 0.0])
    assert v.get_value().tolist() == [0, 1, 2]
    assert twin["f"]([1.0, 1.0, 1.0]).tolist() == [0, 1, 2]  # and the default update follows
    assert v.get_value().tolist() == [0, 2, 4] and w.get_value().tolist() == [0, 0, 0]
    assert copy.copy(w) is w


def test_default_updates_are_kept():
    count = fuse.shared(0, name="count")
    other = fuse.shared(10, name="other")
    count.default_update = count + other
    other.default_update = other * count
    saved = pickle.dumps(count + 1)
    del count, other
    gc.collect()
    loaded = next(leaf for leaf in leaves([pickle.loads(saved)]) if leaf.op.name == "shared")
    assert evaluate([loaded.default_update], {})[0] == 10
    (partner,) = [leaf for leaf in leaves([loaded.default_update]) if leaf is not loaded]
    assert partner.name == "other"
    assert set(leaves([partner.default_update])) == {loaded, partner}


def test_another_process_finds_values_and_structure():
    w = fuse.shared(np.arange(3.0), name="w", shape=(3,))
    saved = pickle.dumps((w, (w + w).sum()))
    code = (
        "import pickle, sys\n"
        f"w, total = pickle.loads({saved!r})\n"
        "print(w.name, w.type.shape, w.get_value().tolist(), total is (w + w).sum())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "w (3,) [0.0, 1.0, 2.0] True", done.stderr


HANDED_OUT = {
    "get_value": lambda s: s.get_value(borrow=True),
    "container.value": lambda s: s.container.value,
    "container.data": lambda s: s.container.data,
    "container.storage": lambda s: s.container.storage[0],
    "get_test_value": fuse.gof.op.get_test_value,
}


@pytest.mark.parametrize("hand_out", HANDED_OUT.values(), ids=HANDED_OUT)
def test_an_array_that_was_handed_out_is_not_updated_in_place(hand_out):
    s, x = fuse.shared(np.arange(3.0)), T.dvector("x")
    step = fuse.function([x], updates=[(s, s + x)])
    step(np.ones(3))
    held = hand_out(s)
    held[0] = 7.0  # which the next call reads
    step(held[::-1])
    assert held.tolist() == [7.0, 2.0, 3.0] and s.get_value().tolist() == [10.0, 4.0, 10.0]
    own = s.container.array
    step(np.ones(3))
    assert s.container.array is own  # nobody else has it


def test_an_array_that_was_put_into_the_container_is_not_updated_in_place():
    mine, s = np.zeros(3), fuse.shared(np.ones(3))
    s.container.value = mine
    fuse.function([], updates=[(s, s + 1)])()
    assert not mine.any() and s.get_value().tolist() == [1.0, 1.0, 1.0]


def test_arrays_of_shared_variables_are_theirs_alone():
    """What updates store shares no memory with inputs, results or other variables: only then may they be in place."""
    x = T.dmatrix("x")
    a, b, c, d, e = [fuse.shared(np.full((3, 3), k + 1.0)) for k in range(5)]
    f = fuse.function([x], [x, a, a.T, x + 1, b], updates=[(a, b), (b, a), (c, x), (d, x + 1), (e, x.T)])
    g = fuse.function([x], [e * 2], updates=[(d, e * 2), (c, e * 2), (e, a[::-1])], on_unused_input="ignore")
    given = np.arange(9.0).reshape(3, 3)
    for k in range(6):
        held = [given, *(f if k % 2 else g)(given), *[s.container.array for s in (a, b, c, d, e)]]
        for i, array in enumerate(held):
            assert not any(np.may_share_memory(array, other) for other in held[:i])
