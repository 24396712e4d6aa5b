"""Results without dimensions, made field by field: they are what NumPy would have made."""

from __future__ import annotations

import ctypes
import gc
import sys
import tracemalloc
import weakref

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import memory, zero_d

handler_of = np._core.multiarray.get_handler_name  # type: ignore[attr-defined]


@pytest.fixture
def sums():
    """The first two elements and a sum as a function that is entered at C level, and its argument."""
    memory.addresses()
    x = T.dvector("x")
    f, given = fuse.function([x], [x[0], x[1], x.sum()]), np.array([1.5, 2.5, 3.0])
    for _ in range(8):
        f(given)
    return f, given


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float16", "float32", "complex64", "complex128"])
def test_they_are_numpy_s(dtype):
    memory.addresses()
    x = T.TensorType(dtype, (None,))("x")
    f, given = fuse.function([x], x[1]), np.arange(3).astype(dtype)
    for _ in range(8):
        found = f(given)
    wanted = np.empty((), dtype)
    assert found == given[1] and found.dtype is given.dtype and found.base is None
    assert (found.shape, found.strides, found.nbytes) == ((), (), wanted.nbytes)
    assert repr(found.flags) == repr(wanted.flags) and sys.getsizeof(found) == sys.getsizeof(wanted)
    assert handler_of(found) == handler_of(wanted) == "default_allocator"


def test_they_can_be_changed_and_die(sums):
    f, given = sums
    first, second, total = f(given)
    first.resize((3,))  # which nobody else may hold
    second.resize((1, 1))
    second[...] += 1.0
    assert first.tolist() == [1.5, 0.0, 0.0] and second.tolist() == [[3.5]] and second.strides == (8, 8)
    watch = weakref.ref(total)
    view = total[None]
    del total
    assert watch() is not None and view.tolist() == [7.0]
    del view
    assert watch() is None
    gc.collect()
    counts = [sys.getrefcount(each) for each in (given.dtype, given)]
    kept = [f(given) for _ in range(1000)]
    assert all([float(r) for r in each] == [1.5, 2.5, 7.0] for each in kept)
    del kept
    gc.collect()
    assert [sys.getrefcount(each) for each in (given.dtype, given)] == counts


def test_their_memory_is_traced(sums):
    f, given = sums
    tracemalloc.start()
    kept = [f(given) for _ in range(10)]
    found = [t for t in tracemalloc.take_snapshot().traces if t.domain == zero_d.TRACED]
    del kept
    left = [t for t in tracemalloc.take_snapshot().traces if t.domain == zero_d.TRACED]
    tracemalloc.stop()
    assert (len(found), sum(t.size for t in found), left) == (30, 240, [])


def test_who_takes_memory_elsewhere_is_asked(sums):
    f, given = sums
    change = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(memory.numpy_function("PyDataMem_SetHandler"))
    ours = ctypes.c_void_p.from_address(memory.addresses()["capsule"])
    usual = change(ctypes.cast(ours.value, ctypes.py_object).value)
    try:
        found = f(given)
    finally:
        change(usual)
    assert [handler_of(r) for r in found] == ["fuse"] * 3 and [float(r) for r in found] == [1.5, 2.5, 7.0]
    assert [handler_of(r) for r in f(given)] == ["default_allocator"] * 3


def test_where_arrays_are_others_numpy_makes_them(sums, monkeypatch):
    """What NumPy's arrays must be is looked at: a place that is not as expected is enough."""
    f, given = sums
    cells = {name: ctypes.c_void_p(7) for name in zero_d.EXPORTS}
    places = {name: ctypes.addressof(cell) for name, cell in cells.items()}
    monkeypatch.setattr(zero_d, "OWN", 0x500)
    zero_d.prepare(places, 1, zero_d.Allocator())
    assert [cell.value for cell in cells.values()] == [7, 7, 7]
    usual = ctypes.c_void_p.from_address(memory.addresses()["usual"])
    before = usual.value
    usual.value = zero_d.NONE
    try:
        assert [float(r) for r in f(given)] == [1.5, 2.5, 7.0]
    finally:
        usual.value = before


def test_places_of_one_number_in_an_ordered_vector():
    """A 0-d place that is computed as the only element of an array is read as an index."""
    points = np.arange(5.0) ** 2
    at = fuse.jit(lambda x, v: np.interp(x, points, v))
    found = fuse.jit(fuse.vmap(lambda x: np.digitize(x, points)))
    v = np.cos(points)
    for x in (0.3, 8.0, 99.0):
        np.testing.assert_allclose(at(x, v), np.interp(x, points, v))
    several = fuse.vmap(lambda x, v: np.interp(x, points, v), in_axes=(0, None))(points + 0.5, v)
    np.testing.assert_allclose(several, np.interp(points + 0.5, points, v))
    np.testing.assert_array_equal(found(points + 0.5), np.digitize(points + 0.5, points))
    assert "each" not in found.compiled(points).explain()
