"""Theano's classes of scalar ops, names of its inside, and modules that few programs use."""
from __future__ import annotations

import importlib
import pickle

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse import scalar
from fuse.gof.opt import NavigatorOptimizer
from fuse.internals import INTERNALS, Internal, InternalError, internal
from fuse.tensor.elemwise import Elemwise, Sum

rng = np.random.default_rng(0)


def test_composites_of_scalars():
    a, b = scalar.floats("ab")
    both = scalar.Composite([a, b], [a + b, a / b])
    node = both.make_node(b, a)
    assert node.op is both and node.inputs == [b, a] and node.outputs == [b + a, b / a] == both(b, a)
    assert scalar.Composite([a], [a]).make_node(b).out is b
    with pytest.raises(TypeError, match="takes 2 arguments, not 1"):
        both(a)


def test_casts_are_scalar_ops():
    x = T.dvector("x")
    for made in (scalar.Cast(scalar.int8), scalar.convert_to_int8):
        y = Elemwise(made)(x)
        assert y is T.cast(x, "int8") and isinstance(y.owner.op, scalar.Cast)


class Scaled(scalar.UnaryScalarOp):
    """``factor * x``: an op with a parameter."""

    def __init__(self, factor, *args, **kwargs):
        self.factor = factor
        scalar.UnaryScalarOp.__init__(self, *args, **kwargs)

    def impl(self, x):
        return self.factor * x

    def grad(self, inputs, output_grads):
        return [output_grads[0] * self.factor]


class Hypot(scalar.BinaryScalarOp):
    nfunc_spec = ("numpy.hypot", 2, 1)

    def impl(self, x, y):
        return (x * x + y * y) ** 0.5

    def L_op(self, inputs, outputs, output_grads):
        (x, y), (out,), (g,) = inputs, outputs, output_grads
        return [g * x / out, g * y / out]


class SumAndProduct(scalar.ScalarOp):
    nin, nout = 2, 2

    def output_types(self, types):
        return [*scalar.upcast_out(*types), *scalar.float_out(*types)]

    def impl(self, x, y):
        return x + y, x * y

    def grad(self, inputs, output_grads):
        (x, y), (g, h) = inputs, output_grads
        return [g + h * y, g + h * x]


hypot = Elemwise(Hypot(scalar.upgrade_to_float, name="hypot"))


def test_a_scalar_op_broadcasts_and_has_gradients_and_tangents():
    v, m = T.dvector("v"), T.dmatrix("m")
    x, y = rng.uniform(1, 2, 3), rng.uniform(1, 2, (2, 3))
    out = hypot(v, m)
    np.testing.assert_allclose(out.eval({v: x, m: y}), np.hypot(x, y), rtol=1e-15)
    fuse.gradient.verify_grad(hypot, [x, y], rng=np.random)
    tangent = fuse.Rop(out, [v, m], [v, m]).eval({v: x, m: y})
    np.testing.assert_allclose(tangent, np.hypot(x, y))  # homogeneous of degree 1
    one = fuse.function([v, m], [out, *fuse.grad(out.sum(), [v, m])])
    found = one(x[:1], y)
    np.testing.assert_allclose(found[1], [(x[0] / np.hypot(x[0], y)).sum()])
    assert isinstance(out.owner.op, Elemwise) and not isinstance(out.owner.op, Sum)
    assert fuse.function([v, m], out.shape, on_unused_input="ignore")(x, y).tolist() == [2, 3]


def test_several_results_have_dtypes_of_their_own():
    a, b = T.lvector("a"), T.bvector("b")
    total, product = SumAndProduct()(a, b)
    assert (total.dtype, product.dtype) == ("int64", "float64")
    values = {a: [1, 2], b: [3, 4]}
    assert total.eval(values).tolist() == [4, 6] and product.eval(values).tolist() == [3.0, 8.0]
    x, y = T.dvector("x"), T.dscalar("y")
    total, product = SumAndProduct()(x, y)
    dx, dy = fuse.grad((total + 2 * product).sum(), [x, y])
    at = {x: [1.0, 2.0], y: 3.0}
    assert dx.eval(at, on_unused_input="ignore").tolist() == [7.0, 7.0] and float(dy.eval(at)) == 8.0


def test_parameters_tell_scalar_ops_apart():
    x = T.dvector("x")
    twice, thrice, again = (Scaled(n, scalar.upgrade_to_float, name="scaled") for n in (2, 3, 2))
    assert twice == again != thrice and twice(x) is again(x) is not thrice(x)
    assert thrice(twice(x)).eval({x: [1.0]}) == [6.0]
    copy = pickle.loads(pickle.dumps(twice))
    assert copy == twice


@pytest.mark.parametrize("preference, dtypes, found", [
    (scalar.upgrade_to_float, ["int32"], "float64"), (scalar.upgrade_to_float, ["int16"], "float32"),
    (scalar.upcast_out, ["int8", "uint8"], "int16"), (scalar.same_out, ["float16"], "float16"),
    (scalar.transfer_type(1), ["int8", "float32"], "float32"), (scalar.upgrade_to_float64, ["int8"], "float64"),
    (scalar.specific_out(scalar.int32), ["float64"], "int32"), (scalar.int_out, ["float32"], "int64"),
    (scalar.upcast_out_min8, ["bool"], "int8"), (scalar.same_out_min8, ["bool"], "int8"),
])
def test_preferences_give_dtypes(preference, dtypes, found):
    assert [t.dtype for t in preference(*[T.TensorType(d, ()) for d in dtypes])] == [found]


def test_wrong_scalar_ops_say_so():
    with pytest.raises(TypeError, match="expected 2"):
        hypot(1.0)
    with pytest.raises(NotImplementedError, match="output_types"):
        scalar.UnaryScalarOp()(T.dscalar())
    with pytest.raises(TypeError, match="complex"):
        scalar.upgrade_to_float_no_complex(T.TensorType("complex128", ()))
    with pytest.raises(TypeError, match="bits"):
        scalar.UnaryBitOp()(T.dscalar())


def test_names_of_the_inside_import_and_refuse_use():
    assert isinstance(NavigatorOptimizer, Internal) and not isinstance(fuse.Mode(), NavigatorOptimizer)
    with pytest.raises(InternalError, match=r"gof\.opt\.NavigatorOptimizer"):
        NavigatorOptimizer(1)
    with pytest.raises(AttributeError, match="inside"):
        _ = internal("fuse.gof", "NavigatorOptimizer").query
    for module in [m for m, (names, _) in INTERNALS.items() if names != "*"]:
        found = importlib.import_module(module)
        with pytest.raises(AttributeError, match="no attribute"):
            _ = found.no_such_name


@pytest.mark.parametrize("shape, odd", [((2, 6), False), ((2, 5), True), ((3, 4, 6), False)])
@pytest.mark.parametrize("norm", [None, "ortho", "no_norm"])
def test_real_transforms(shape, odd, norm):
    x = T.TensorType("float64", (None,) * len(shape))("x")
    value = rng.normal(size=shape)
    axes = tuple(range(1, len(shape)))
    want = np.fft.rfftn(value, axes=axes, norm="ortho" if norm == "ortho" else None)
    spectrum = T.fft.rfft(x, norm)
    back = T.fft.irfft(spectrum, norm, is_odd=odd)
    found, again = fuse.function([x], [spectrum, back])(value)
    np.testing.assert_allclose(found[..., 0] + 1j * found[..., 1], want, atol=1e-12)
    np.testing.assert_allclose(again, value * (value[0].size if norm == "no_norm" else 1), atol=1e-12)
    fuse.gradient.verify_grad(lambda a: T.fft.rfft(a, norm), [value], rng=np.random)
    fuse.gradient.verify_grad(lambda a: T.fft.irfft(a, norm, is_odd=odd), [found], rng=np.random)


def test_checkpointed_scans_keep_some_steps():
    a = T.dvector("a")
    kept, _ = fuse.scan_checkpoints(lambda p, a: p * a, outputs_info=T.ones_like(a), non_sequences=a, n_steps=7,
                                    save_every_N=3)
    f = fuse.function([a], [kept, fuse.grad(kept[-1].sum(), a)])
    values, slope = f([1.0, 2.0])
    assert values.tolist() == [[1.0, 8.0], [1.0, 64.0], [1.0, 128.0]] and slope.tolist() == [7.0, 448.0]
    with pytest.raises(RuntimeError, match="taps"):
        fuse.scan_checkpoints(lambda p, q: p + q, outputs_info={"initial": a, "taps": [-2, -1]}, n_steps=3)


@pytest.mark.parametrize("function, text", [
    (T.add, "add"), (T.inv, "inv"), (T.fill, "second"), (T.true_div, "true_div"), (T.conj, "conj"), (T.exp, "exp"),
])
def test_elementwise_functions_print_as_theanos_ops(function, text):
    assert str(function) == f"Elemwise{{{text},no_inplace}}"
    assert pickle.loads(pickle.dumps(function)) is function and function.scalar_op is function.op
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = function.nonsense


def test_losses_have_their_gradients_as_functions():
    x, y = T.dmatrix("x"), T.lvector("y")
    p = T.nnet.softmax_op(x)
    losses = T.nnet.crossentropy_categorical_1hot(p, y)
    ones = T.ones_like(losses)
    by_p = T.nnet.CrossentropyCategorical1HotGrad()(ones, p, y)
    found = [T.nnet.softmax_grad(by_p, p), T.nnet.crossentropy_softmax_1hot_with_bias_dx(ones, p, y)]
    value, at = rng.normal(size=(3, 4)), np.array([0, 3, 1])
    results = fuse.function([x, y], [fuse.grad(losses.sum(), x), *found])(value, at)
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], atol=1e-14)


def test_functions_share_a_state_through_its_container():
    x, s = T.dscalars("x", "s")
    up = fuse.function([x, fuse.In(s, value=10.0, update=s + x)], s)
    down = fuse.function([x, fuse.In(s, value=up.container[s], update=s - x)], s)
    assert [float(f(n)) for f, n in ((up, 5.0), (down, 1.0), (up, 0.0))] == [10.0, 15.0, 14.0]
    assert up[s] is down[s] and up.container[1] is down.container["s"] and "nothing" not in up.container
    up.value[s] = 2.0
    assert float(down.value[s]) == 2.0
    alone = up.copy()
    alone(1.0)
    assert float(up[s]) == 2.0 and float(alone[s]) == 3.0
    with pytest.raises(TypeError, match="container"):
        fuse.function([fuse.In(T.dvector("v"), value=up.container[s])], [], on_unused_input="ignore")
