"""Slices at known places: read by kernels as views, stored into without a temporary; NumPy is the oracle."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.codegen import call_plan
from fuse.codegen.call_plan import native_call
from fuse.codegen.program import compile_program
from fuse.codegen.sizes import Sizes
from fuse.errors import FuseError, FuseIndexError

RNG = np.random.default_rng(5)
BOUNDS = (None, 0, 1, 2, -1, -2, 3, -3)


def quick(f, *args):
    """The last of several calls: the fourth and later ones are made at C level."""
    results = [f(*args) for _ in range(6)]
    for r in results[:-1]:
        np.testing.assert_array_equal(r, results[-1])
    return results[-1]


def is_native(f):
    """Whether the whole call can be made at C level."""
    return native_call(f.fn.wrapper_source, f.fn.scope, "single", None, f) is not None


def value_of(size, n):
    if isinstance(size, int):
        return size
    if size.op.name == "shape_i":
        return n
    args = [value_of(a, n) for a in size.args]
    return int(size.data) if not args else eval(size.op.host.format(*args))


@pytest.mark.parametrize("first", [(a, b) for a in BOUNDS for b in BOUNDS])
def test_the_sizes_of_slices_of_slices(first):
    x = T.vector("x")
    for second in [(a, b) for a in BOUNDS for b in BOUNDS]:
        part = x[slice(*first)][slice(*second)]
        size = Sizes([part]).of[part][0]
        for n in range(8):
            assert value_of(size, n) == len(range(n)[slice(*first)][slice(*second)]), (second, n)


def test_slices_of_one_length_need_no_guard():
    x = T.vector("x")
    parts = [x[1:-1], x[:-2], x[2:], x[1:][:-1], x[:-1][1:], x[1:-1][:], x[1:][1:]]
    assert len({Sizes(parts).of[p] for p in parts}) == 1
    pair = [x[1:], x[: x[1:].shape[0]]]
    assert len({Sizes(pair).of[p] for p in pair}) == 1


@pytest.mark.parametrize("first", [(a, b) for a in BOUNDS[:5] for b in BOUNDS[:5]])
def test_as_many_elements_as_another_slice_has(first):
    """Slices that end at the length of another one, as those of sequences of a loop do."""
    x = T.vector("x")
    other = x[slice(*first)]
    count = other.shape[0]
    parts = [
        (x[:count], lambda r, k: r[:k]),
        (x[count:], lambda r, k: r[k:]),
        (x[1:][:count], lambda r, k: r[1:][:k]),
        (x[: -count - 1], lambda r, k: r[: -k - 1]),
    ]
    for part, taken in parts:
        size = Sizes([part]).of[part][0]
        for n in range(8):
            assert value_of(size, n) == len(taken(range(n), len(range(n)[slice(*first)]))), n


def random_index(rng, shape):
    entries = []
    for n in shape[: rng.integers(1, len(shape) + 1)]:
        if n and rng.random() < 0.3:
            entries.append(int(rng.integers(-n, n)))
        else:
            start, stop = [None if rng.random() < 0.4 else int(rng.integers(-n - 1, n + 2)) for _ in range(2)]
            entries.append(slice(start, stop, [None, 1, 2, -1, -2][rng.integers(5)]))
    return tuple(entries)


@pytest.mark.parametrize("seed", range(10))
def test_random_slices_are_numpys(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(0, 6, rng.integers(1, 4)))
    one, two = random_index(rng, shape), random_index(rng, shape)
    value = rng.normal(size=shape)
    x = T.tensor("float64", shape=tuple(n if rng.random() < 0.3 else None for n in shape))
    y = T.dscalar("y")
    got = fuse.function([x, y], [T.exp(x[one]) * y, T.set_subtensor(x[one], T.exp(x[one]) * y),
                                 T.inc_subtensor(x[one], y), T.inc_subtensor((x * 2)[two], T.exp((x * 2)[two])),
                                 T.set_subtensor(T.set_subtensor(T.exp(x)[one], y * x[one])[two], 7.0)])
    want = [np.exp(value[one]) * 1.5, value.copy(), value.copy(), value * 2, np.exp(value)]
    want[1][one] = np.exp(value[one]) * 1.5
    want[2][one] += 1.5
    want[3][two] += np.exp(want[3][two])
    want[4][one] = 1.5 * value[one]
    want[4][two] = 7.0
    for layout in (value, np.asfortranarray(value), np.repeat(value, 2, axis=-1)[..., ::2], value):
        kept = layout.copy()
        for _ in range(5):
            for g, w in zip(got(layout, 1.5), want, strict=True):
                np.testing.assert_allclose(g, w, rtol=1e-14)
                assert isinstance(g, np.ndarray) and not np.may_share_memory(g, layout)
        np.testing.assert_array_equal(layout, kept)


def test_a_stencil_is_stored_by_one_kernel_into_the_copy():
    a = T.dmatrix("a")
    moved = T.set_subtensor(a[1:-1, 1:-1], (a[:-2, 1:-1] + a[2:, 1:-1]) / 2 - a[1:-1, :-2])
    f = fuse.function([a], moved)
    text = compile_program([a], [moved]).wrapper_source
    assert text.count("kernel0(") == 1 and "copyto" not in text and "copied" not in text, text
    value = RNG.normal(size=(9, 12))
    want = value.copy()
    want[1:-1, 1:-1] = (value[:-2, 1:-1] + value[2:, 1:-1]) / 2 - value[1:-1, :-2]
    np.testing.assert_allclose(quick(f, value), want, rtol=1e-15)
    assert is_native(f)
    for size in [(2, 2), (1, 5), (0, 3), (3, 3)]:  # nothing, or one element, to store
        value = RNG.normal(size=size)
        want = value.copy()
        want[1:-1, 1:-1] = (value[:-2, 1:-1] + value[2:, 1:-1])[:, : max(size[1] - 2, 0)] / 2 - value[1:-1, :-2]
        np.testing.assert_allclose(f(value), want, rtol=1e-15)


def test_elements_out_of_bounds_are_told_and_harm_nothing():
    m, w = T.tensor3("m"), fuse.shared(np.zeros(3))
    f = fuse.function([m], m[:, 1, 2] * m[:, 0, -3] + w[0], updates=[(w, w + 1)])
    value = RNG.normal(size=(4, 2, 3))
    for _ in range(6):
        before = w.get_value()
        np.testing.assert_allclose(f(value), value[:, 1, 2] * value[:, 0, 0] + before[0], rtol=1e-15)
        with pytest.raises(FuseIndexError, match="index 2 is out of bounds for axis 2 with size 2"):
            f(value[:, :, :2])
        np.testing.assert_array_equal(w.get_value(), before + 1)


def test_values_that_do_not_fit_are_told():
    x, y = T.dvector("x"), T.dvector("y")
    for f in (fuse.function([x, y], T.set_subtensor(x[1:], y)), fuse.function([x, y], T.inc_subtensor((x * 2)[1:], y))):
        for _ in range(6):
            f(np.ones(4), np.ones(3))
            np.testing.assert_array_equal(f(np.ones(4), np.ones(1)).shape, (4,))  # broadcasts
            with pytest.raises(FuseError):
                f(np.ones(4), np.ones(2))


def test_a_given_array_and_an_update_take_slices():
    x, w = T.dvector("x"), fuse.shared(np.arange(5.0))
    f = fuse.function([x], T.set_subtensor(x[1:-1], x[2:] * 2), updates=[(w, T.set_subtensor(w[1:], w[:-1] + x[0]))])
    value, out, state = RNG.normal(size=6), np.empty(6), np.arange(5.0)
    want = value.copy()
    want[1:-1] = value[2:] * 2
    for k in range(6):
        got = f(value, out=out) if k % 2 else f(value)
        np.testing.assert_allclose(got, want, rtol=1e-15)
        state[1:] = state[:-1] + value[0]
        np.testing.assert_allclose(w.get_value(), state, rtol=1e-14)


def stencil_gradient(v):
    o = v[:-2, 1:-1] + v[2:, 1:-1] * 2 - v[1:-1, :-2] * v[1:-1, 2:] - 4 * v[1:-1, 1:-1]
    g = np.zeros(v.shape)
    g[:-2, 1:-1] += 2 * o
    g[2:, 1:-1] += 4 * o
    g[1:-1, :-2] -= 2 * o * v[1:-1, 2:]
    g[1:-1, 2:] -= 2 * o * v[1:-1, :-2]
    g[1:-1, 1:-1] -= 8 * o
    return g


def test_the_gradient_of_a_stencil_reads_multiples_of_one_value_from_one_array():
    a = T.dmatrix("a")
    out = a[:-2, 1:-1] + a[2:, 1:-1] * 2 - a[1:-1, :-2] * a[1:-1, 2:] - 4 * a[1:-1, 1:-1]
    gradient = T.grad(T.sqr(out).sum(), a)
    text = compile_program([a], [gradient]).wrapper_source
    # Three of the five summands are multiples of one value; no array is added to, or copied.
    assert text.count("if frame") == 3 and text.count("if kernel") == 2, text
    assert "copied" not in text and "increase" not in text and "copyto" not in text, text
    f = fuse.function([a], gradient)
    for size in [(7, 9), (3, 3), (2, 5), (0, 1), (1, 4)]:
        v = RNG.normal(size=size)
        if min(size) > 1:
            np.testing.assert_allclose(quick(f, v), stencil_gradient(v), rtol=1e-12, atol=1e-13)
        else:
            np.testing.assert_array_equal(quick(f, v), np.zeros(size))
    assert is_native(f)


def heat_step(m, x, put):
    inner = x[1:-1, 1:-1]
    bend = x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] - 4 * inner
    return put(x, inner + 0.1 * bend)


def test_a_step_and_its_gradient_take_a_kernel_for_what_is_stored_and_one_for_the_sum():
    x = T.dmatrix("x")
    y = heat_step(T, x, lambda a, v: T.set_subtensor(a[1:-1, 1:-1], v))
    gradient = T.grad(T.sqr(y).sum(), x)
    text = compile_program([x], [gradient]).wrapper_source
    assert text.count("if kernel") == 2 and text.count("if frame") == 1, text
    f = fuse.function([x], gradient)
    for size in [(6, 8), (3, 3), (2, 4), (1, 1), (0, 3)]:
        v = RNG.normal(size=size)
        moved = v.copy()
        if min(size) > 1:
            moved[1:-1, 1:-1] = heat_step(np, v, lambda a, inner: inner)
        g = 2 * moved
        inner = g[1:-1, 1:-1].copy()
        g[1:-1, 1:-1] -= 0.4 * inner
        for s in (np.s_[:-2, 1:-1], np.s_[2:, 1:-1], np.s_[1:-1, :-2], np.s_[1:-1, 2:]):
            if inner.size:
                g[s] += 0.1 * inner
        np.testing.assert_allclose(quick(f, v), g, rtol=1e-12, atol=1e-13)


def cut(rng, ndim, widths):
    """Slices that leave out as many elements along each axis, at random ends."""
    entries = []
    for w in widths[:ndim]:
        low = int(rng.integers(0, w + 1))
        entries.append(slice(low or None, low - w or None))
    return tuple(entries)


@pytest.mark.parametrize("seed", range(8))
def test_gradients_of_random_stencils_are_those_of_the_interpreter(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 7, rng.integers(1, 4)))
    widths = rng.integers(0, 4, len(shape)).tolist()
    dtype = ("float64", "float32")[seed % 2]
    x = T.tensor(dtype, shape=tuple(n if rng.random() < 0.2 else None for n in shape))
    u = x
    for _ in range(int(rng.integers(1, 4))):
        parts = [u[cut(rng, u.ndim, widths)] for _ in range(rng.integers(1, 5))]
        v = parts[0] * 3
        for k, part in enumerate(parts[1:]):
            v = (v + part * 2, v - T.sin(part), T.switch(v > part, -v, part), v * part)[rng.integers(4) if k else 0]
        v, place, kind = T.cast(v, dtype), u[cut(rng, u.ndim, widths)], rng.integers(4)
        if kind == 0:
            u = v
            break
        u = (T.set_subtensor(place, v), T.inc_subtensor(place, v), T.set_subtensor(place, place - v / 4))[kind - 1]
    if rng.random() < 0.3:
        u = T.set_subtensor((u * 2)[(slice(1, -1),) * u.ndim], 2.0)
    cost = T.sqr(u).sum() if rng.random() < 0.6 else (T.cos(u) - u).sum()
    outputs = [T.grad(cost, x), u][: int(rng.integers(1, 3))]
    f, plain = fuse.function([x], outputs), fuse.function([x], outputs, mode="FAST_COMPILE")
    for more in (0, 3):
        size = [n + more if m is None else n for n, m in zip(shape, x.type.shape, strict=True)]
        value = rng.standard_normal(size).astype(dtype)
        want = plain(value)
        tolerance = 1e-10 if dtype == "float64" else 5e-3
        for layout in (value, np.asfortranarray(value), value, value):
            for g, w in zip(f(layout), want, strict=True):
                assert g.dtype == w.dtype and g.shape == w.shape
                np.testing.assert_allclose(g, w, rtol=tolerance, atol=tolerance)


PARTS = [np.s_[1:-1], np.s_[2:], np.s_[:-2], np.s_[..., 1:-1], np.s_[3:-3, ..., 3:], np.s_[1:3], np.s_[:0], np.s_[-2:]]
STORED = ["float64", "float32", "int64", "int32", "complex128"]


@pytest.mark.parametrize(("spec", "dtype"), [
    (s, STORED[(k + j) % 5]) for k, s in enumerate(PARTS) for j in (0, 3)[: 2 - k % 2]
])
def test_what_lies_around_a_stored_part(spec, dtype):
    made = {}
    for shape in [(7,), (1,), (0,), (5, 6), (1, 3), (0, 3), (4, 5, 6), (3, 300, 300), (200_000,)]:
        if len(shape) == 1 and isinstance(spec, tuple) and len(spec) > 2:
            continue
        if len(shape) not in made:
            x = T.tensor(dtype, shape=(None,) * len(shape))
            made[len(shape)] = [fuse.function([x], T.set_subtensor(x[spec], 2 * x[spec] + 1)),
                                fuse.function([x], T.set_subtensor(T.zeros_like(x)[spec], x[spec]))]
        f, g = made[len(shape)]
        value = (RNG.standard_normal(shape) * 9).astype(dtype)
        for layout in (value, np.asfortranarray(value), value[::-1]):
            kept, cleared = layout.copy(), np.zeros_like(layout)
            kept[spec] = 2 * layout[spec] + 1
            cleared[spec] = layout[spec]
            np.testing.assert_array_equal(quick(f, layout), kept)
            np.testing.assert_array_equal(quick(g, layout), cleared)


@pytest.mark.parametrize("seed", range(8))
def test_slices_and_places_given_at_run_time(seed):
    rng = np.random.default_rng(seed)
    x, bounds = T.tensor("float64", shape=(None, None, None)), [T.lscalar() for _ in range(6)]
    numbers, entries = iter(bounds), []
    for _ in range(3):
        kind = rng.integers(5)
        if kind == 0:
            entries.append(next(numbers))
        else:
            parts = [next(numbers) if rng.random() < 0.7 and k < 2 else None for k in range(2)]
            entries.append(slice(*parts, [None, 2, -1, -2][kind - 1]))
    index = tuple(entries)
    used = [b for e in entries for b in ((e.start, e.stop) if isinstance(e, slice) else (e,)) if b is not None]
    outputs = [x[index] * 2, T.exp(x[index]).sum(), T.set_subtensor(x[index], 1.5),
               T.inc_subtensor((x + 1)[index], x[0, 0, 0])]
    functions = [fuse.function([x, *used], out) for out in outputs]
    for _ in range(25):
        value = rng.normal(size=rng.integers(1, 5, 3))
        given = [int(n) for n in rng.integers(-6, 7, len(used))]
        if rng.random() < 0.2 and given:
            given[0] = [2**62, -(2**62), 2**63 - 1, -(2**63)][rng.integers(4)]
        row = iter(given)
        place = tuple([
            slice(*[None if b is None else next(row) for b in (e.start, e.stop)], e.step)
            if isinstance(e, slice) else next(row) for e in entries
        ])
        try:
            part = value[place]
        except IndexError:
            for f in functions:
                with pytest.raises(FuseError):
                    f(value, *given)
            continue
        stored, added = value.copy(), value + 1
        stored[place] = 1.5
        added[place] += value[0, 0, 0]
        for f, want in zip(functions, (part * 2, np.exp(part).sum(), stored, added), strict=True):
            got = f(value, *given)
            assert isinstance(got, np.ndarray) and got.shape == np.shape(want)
            np.testing.assert_allclose(got, want, rtol=1e-13)
    assert all(map(is_native, functions))


SOURCE = """
def program(x0):
    if type(x0) is not ndarray or x0.dtype is not dtype_float64 or x0.ndim != 3: x0 = filter0(x0)
    n1 = x0.shape[1]
    t1 = x0[{0}]
    t2 = t1[{1}]
    return [t2]
"""
VIEWS = "... | 1::2 | -100:100:3, None, -1 | ..., 2 | :n1, 0, None | n1:0 | 1:1, ..., None, ::2 | 0, 1, : | 5:"


@pytest.mark.parametrize("index", VIEWS.split(" | "))
def test_views_made_at_c_level_are_numpys(index, monkeypatch):
    """Elements, strides, flags and base of views of views, and what is out of bounds left to Python."""
    monkeypatch.setattr(call_plan._Translator, "call", None)  # so that NumPy does not make them
    scope = {"ndarray": np.ndarray, "dtype_float64": np.dtype("float64"), "filter0": None}
    whole = np.arange(60.0)
    frozen = np.arange(60.0)
    frozen.setflags(write=False)
    for second in ("...", "None, -1:", "..., :0"):
        call = native_call(SOURCE.format(index, second), scope, "single", None, lambda x: "Python")
        turned = whole.reshape(5, 4, 3).T, frozen.reshape(3, 4, 5)[::-1, :, ::2]
        for x in (whole.reshape(3, 4, 5), *turned, np.ones((3, 0, 5))):
            try:
                n1 = x.shape[1]  # noqa: F841
                want = eval(f"x[{index}][{second}]")
            except IndexError:
                assert call(x) == "Python"
                continue
            got = call(x)
            assert got.__array_interface__ == want.__array_interface__ and got.base is want.base
            assert repr(got.flags) == repr(want.flags)
        assert call(np.ones(3)) == call(np.ones((3, 4, 5), "f4")) == "Python"
