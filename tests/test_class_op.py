"""Ops as classes: Op, Apply, as_op, ViewOp, and the views of graphs that go with them."""
from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.compile.ops import ViewOp, as_op
from fuse.errors import DTypeError, FuseTypeError, FuseValueError, MethodNotDefined, ShapeError
from fuse.frontend.class_op import PerformError
from fuse.gradient import DisconnectedType, grad_undefined
from fuse.types import TensorType, TupleType

MODES = ["FAST_RUN", "FAST_COMPILE", "DebugMode"]


class Affine(fuse.Op):
    """a x + b."""

    __props__ = ("a", "b")
    calls = 0

    def __init__(self, a, b):
        self.a = a
        self.b = b

    def make_node(self, x):
        x = T.as_tensor_variable(x)
        return fuse.Apply(self, [x], [x.type()])

    def perform(self, node, inputs, output_storage):
        type(self).calls += 1
        output_storage[0][0] = self.a * inputs[0] + self.b

    def infer_shape(self, node, shapes):
        return shapes

    def grad(self, inputs, output_grads):
        return [self.a * output_grads[0]]

    def R_op(self, inputs, eval_points):
        return [None if eval_points[0] is None else self.a * eval_points[0]]


class MinMax(fuse.Op):
    """The smallest and the largest element, and how many there are."""

    __props__ = ()

    def make_node(self, x):
        x = T.as_tensor_variable(x)
        scalar = TensorType(x.dtype, ())
        return fuse.Apply(self, [x], [scalar(), scalar("largest"), T.lscalar()])

    def perform(self, node, inputs, output_storage):
        (x,) = inputs
        for cell, value in zip(output_storage, (x.min(), x.max(), x.size), strict=True):
            cell[0] = np.asarray(value, node.outputs[output_storage.index(cell)].dtype)

    def L_op(self, inputs, outputs, output_grads):
        (x,) = inputs
        low, high, _ = outputs
        return [T.eq(x, low) * output_grads[0] + T.eq(x, high) * output_grads[1]]


class SplitSigns(fuse.Op):
    """Two vectors of other lengths: the negative elements, the others."""

    __props__ = ()

    def make_node(self, x):
        return fuse.Apply(self, [x], [x.type(), x.type()])

    def perform(self, node, inputs, output_storage):
        (x,) = inputs
        output_storage[0][0], output_storage[1][0] = x[x < 0], x[x >= 0]


class Weighted(fuse.Op):
    """x times w; the third input only chooses an algorithm."""

    __props__ = ()

    def make_node(self, x, w, how):
        return fuse.Apply(self, [x, w, how], [x.type()])

    def perform(self, node, inputs, output_storage):
        output_storage[0][0] = inputs[0] * inputs[1]

    def connection_pattern(self, node):
        return [[True], [True], [False]]

    def grad(self, inputs, output_grads):
        _, w, _ = inputs
        return [w * output_grads[0], grad_undefined(self, 1, w, "weights are data"), DisconnectedType()()]


class Halves(fuse.Op):
    """Two outputs; each depends on one of the two inputs."""

    __props__ = ()

    def make_node(self, x, y):
        return fuse.Apply(self, [x, y], [x.type(), y.type()])

    def perform(self, node, inputs, output_storage):
        output_storage[0][0], output_storage[1][0] = 3 * inputs[0], 5 * inputs[1]

    def connection_pattern(self, node):
        return [[True, False], [False, True]]

    def grad(self, inputs, output_grads):
        return [3 * output_grads[0], 5 * output_grads[1]]


def an_op(**members):
    """An op on one vector with these methods."""
    def make_node(self, x):
        return fuse.Apply(self, [x], [x.type()])

    return type("Sample", (fuse.Op,), {"__props__": (), "make_node": make_node, **members})()


def perform_of(function):
    def perform(self, node, inputs, output_storage):
        output_storage[0][0] = function(*inputs)

    return perform


# ---------------------------------------------------------------- identity
def test_props_make_equality_hash_and_text():
    assert Affine(4, 5) == Affine(4, 5) != Affine(4, 6) and hash(Affine(4, 5)) == hash(Affine(4, 5))
    assert str(Affine(4, 5)) == "Affine{a=4, b=5}" and str(MinMax()) == "MinMax"
    with pytest.raises(FuseTypeError) as caught:
        hash(Affine([1], 2))
    assert str(caught.value) == (
        "the __props__ of Affine{a=[1], b=2} must be hashable (tuples, not lists or arrays): unhashable type: 'list'"
    )
    with pytest.raises(FuseTypeError) as caught:
        type("Wrong", (fuse.Op,), {"__props__": "a"})
    assert str(caught.value) == "Wrong.__props__ is a tuple of attribute names, not 'a'"


def test_ops_without_props_are_equal_to_themselves_only():
    class Plain(fuse.Op):
        def make_node(self, x):
            return fuse.Apply(self, [x], [x.type()])

    x = T.dvector("x")
    one, two = Plain(), Plain()
    assert one != two and one(x) is one(x) and one(x) is not two(x)


@pytest.mark.parametrize("mode", MODES)
def test_equal_ops_on_equal_inputs_run_once(mode):
    x = T.dvector("x")
    y = Affine(2, 1)(x) * 10 + Affine(2, 1)(x)
    f = fuse.function([x], y, mode=mode)
    Affine.calls = 0
    assert f([1.0, 2.0]).tolist() == [33, 55]
    assert Affine.calls == (3 if mode == "DebugMode" else 1)
    assert sum(isinstance(a.op, Affine) for a in f.maker.fgraph.toposort()) == 1


def test_a_subclass_with_its_own_parameter_is_not_merged_by_inherited_props():
    """The gradient reversal layer of many a Theano program: a ViewOp with a strength."""
    class Reversal(ViewOp):
        def __init__(self, strength):
            self.strength = strength

        def grad(self, inputs, output_grads):
            return [-self.strength * output_grads[0]]

    x = T.dvector("x")
    weak, strong = Reversal(0.5)(x), Reversal(2.0)(x)
    assert weak is not strong
    f = fuse.function([x], [weak, T.grad(weak.sum(), x), T.grad((strong * x).sum(), x)])
    value, first, second = f([1.0, 3.0])
    assert value.tolist() == [1, 3] and first.tolist() == [-0.5, -0.5] and second.tolist() == [-1, -3]


def test_subclasses_of_view_op_have_the_types_that_they_state():
    class Narrow(ViewOp):
        def make_node(self, x):
            return fuse.Apply(self, [x], [T.fvector()])

        def perform(self, node, inputs, outputs):
            outputs[0][0] = inputs[0].astype("float32")

    class Odd(ViewOp):
        """Another number of elements than its input, whose size is known."""

        def perform(self, node, inputs, outputs):
            outputs[0][0] = inputs[0][1::2]

        def infer_shape(self, node, shapes):
            return [(shapes[0][0] // 2,)]

    x, known = T.dvector("x"), T.constant([1.0, 2.0, 3.0, 4.0])
    narrow, odd = fuse.function([x], [Narrow()(x), Odd()(known) + x])([0.1, 10.0])
    assert narrow.dtype == np.float32 and narrow.tolist() == np.float32([0.1, 10.0]).tolist()
    assert odd.tolist() == [2.1, 14.0]


# ---------------------------------------------------------------- values
@pytest.mark.parametrize("mode", MODES)
def test_several_outputs(mode):
    x = T.dmatrix("x")
    low, high, count = MinMax()(x)
    assert isinstance(low.args[0].type, TupleType) and high.name == "largest" and low.owner == count.owner
    assert [v.index for v in (low, high, count)] == [0, 1, 2] and count.dtype == "int64"
    f = fuse.function([x], [high - low, count, low], mode=mode)
    value = np.array([[3.0, -1.0], [2.0, 5.0]])
    assert f(value) == [6, 4, -1]
    assert fuse.function([x], high, mode=mode)(value) == 5
    g = fuse.function([x], T.grad(high * 2 + low, x), mode=mode)
    assert g(value).tolist() == [[0, 1], [0, 2]]
    assert fuse.function([x], T.grad(high ** 2, x), mode=mode)(value).tolist() == [[0, 0], [0, 10]]


@pytest.mark.parametrize("mode", MODES)
def test_outputs_of_run_time_sizes(mode):
    x = T.dvector("x")
    negative, other = SplitSigns()(x)
    f = fuse.function([x], [negative.shape[0], other.sum(), T.exp(other), negative.shape, other * 2 + 1], mode=mode)
    n, total, e, shape, twice = f([-1.0, 2.0, 3.0])
    assert (n, total, shape.tolist(), twice.tolist()) == (1, 5, [1], [5, 7])
    np.testing.assert_allclose(e, np.exp([2.0, 3.0]), rtol=1e-15)
    single, line = SplitSigns()(x, return_list=True), None
    assert single == [negative, other] and line is None


@pytest.mark.parametrize("mode", MODES)
def test_a_view_handed_back_is_copied(mode):
    same = an_op(perform=perform_of(lambda x: x), view_map={0: [0]})
    flipped = an_op(perform=perform_of(lambda x: x[::-1]))
    x = T.dvector("x")
    f = fuse.function([x], [same(x), flipped(x), flipped(same(x)) + 1], mode=mode)
    value = np.array([1.0, 2.0])
    a, b, c = f(value)
    a[:] = b[:] = 9
    assert value.tolist() == [1, 2] and c.tolist() == [3, 2]


@pytest.mark.parametrize("mode", MODES)
def test_a_destroyed_input_is_a_copy(mode):
    def perform(self, node, inputs, output_storage):
        inputs[0] += 1
        output_storage[0][0] = inputs[0]

    grow = an_op(perform=perform, destroy_map={0: [0]})
    x, s = T.dvector("x"), fuse.shared(np.zeros(2), "s")
    value = np.array([1.0, 2.0])
    f = fuse.function([x], [grow(x), x * 2, grow(s)], mode=mode)
    got = f(value)
    assert [g.tolist() for g in got] == [[2, 3], [2, 4], [1, 1]] and value.tolist() == [1, 2]
    assert s.get_value().tolist() == [0, 0]


def test_python_numbers_and_narrower_kinds_become_the_stated_type():
    x = T.fvector("x")
    f = fuse.function([x], an_op(perform=perform_of(lambda v: v.astype("float64") + 0.5))(x))
    assert f(np.array([1], "float32")).dtype == "float32"


def test_perform_sees_types():
    seen = []

    def perform(self, node, inputs, output_storage):
        seen.append((node.op, node.inputs[0].type, node.outputs[0].dtype, len(node.outputs)))
        output_storage[0][0] = inputs[0]

    op = an_op(perform=perform)
    x = T.TensorType("float32", (None, 1))("x")
    op(x).eval({x: np.zeros((2, 1), "float32")})
    assert seen == [(op, x.type, "float32", 1)]


# ---------------------------------------------------------------- types
def test_sizes_of_an_input_say_nothing_about_the_result():
    first_two = an_op(perform=perform_of(lambda v: v[:2]))
    y = first_two(T.constant(np.arange(5.0)))
    assert y.type.shape == (None,)
    assert (y * 2).eval().tolist() == [0, 2] and y.shape.eval().tolist() == [2]


def test_itypes_and_otypes():
    class Norm(fuse.Op):
        __props__ = ()
        itypes = [T.dvector, T.dscalar]
        otypes = [T.dscalar]

        def perform(self, node, inputs, output_storage):
            x, p = inputs
            output_storage[0][0] = np.asarray((np.abs(x) ** p).sum() ** (1 / p))

    x = T.dvector("x")
    assert Norm()(x, 2).eval({x: [3, 4]}) == 5  # the constant 2 becomes float64
    for call, message in [
        (lambda: Norm()(x), "Norm takes 2 inputs, not 1"),
        (lambda: Norm()(x, x), "input 1 of Norm is a float64 scalar, not a float64 vector"),
    ]:
        with pytest.raises(FuseTypeError) as caught:
            call()
        assert str(caught.value) == message


def test_replacing_inputs_by_others_of_another_type_asks_make_node_again():
    x, f = T.dvector("x"), T.fvector("f")
    y = fuse.clone(Affine(2, 1)(x), replace={x: f}, strict=False)
    assert y.dtype == "float32" and y is Affine(2, 1)(f)
    assert y.eval({f: [1, 2]}).dtype == "float32"


# ---------------------------------------------------------------- gradients
def test_gradients():
    x = T.dvector("x")
    value = np.array([1.0, 2.0])
    y = Affine(3, 1)(x) ** 2
    np.testing.assert_allclose(T.grad(y.sum(), x).eval({x: value}), 2 * (3 * value + 1) * 3)
    v = T.dvector("v")
    got = T.Rop(Affine(3, 1)(x) * x, x, v).eval({x: value, v: [1.0, 10.0]})
    np.testing.assert_allclose(got, (6 * value + 1) * [1, 10])
    T.verify_grad(Affine(3, 1), [value], rng=np.random.RandomState(0))
    # forward mode without R_op goes by the reverse rules
    low_high = MinMax()(x)[:2]
    got = T.Rop(low_high[0] + 10 * low_high[1], x, v).eval({x: value, v: [1.0, 2.0]})
    assert got == 21


def test_undefined_disconnected_and_missing_gradients():
    x, w, how = T.dvector("x"), T.dvector("w"), T.dscalar("how")
    y = Weighted()(x, w, how).sum()
    assert T.grad(y, x).eval({x: [1, 2], w: [3, 4], how: 0}, on_unused_input="ignore").tolist() == [3, 4]
    with pytest.raises(fuse.errors.NullTypeGradError, match="weights are data"):
        T.grad(y, w)
    with pytest.raises(fuse.errors.DisconnectedInputError):
        T.grad(y, how)
    with pytest.raises(fuse.errors.NullTypeGradError, match="SplitSigns"):
        T.grad(SplitSigns()(x)[0].sum(), x)


@pytest.mark.parametrize(("grad", "message"), [
    (lambda self, inputs, grads: [None],
     "Sample.grad returned None for input 0: return zeros_like(input), DisconnectedType()() where the output does not "
     "depend on it, or grad_undefined(self, 0, input) where there is no gradient"),
    (lambda self, inputs, grads: [grads[0], grads[0]],
     "Sample.grad returned 2 gradients for 1 inputs: it returns a list with one for each"),
    (lambda self, inputs, grads: grads[0],
     "Sample.grad returned TensorVariable for 1 inputs: it returns a list with one for each"),
])
def test_wrong_gradients(grad, message):
    x = T.dvector("x")
    with pytest.raises((TypeError, ValueError)) as caught:
        T.grad(an_op(perform=perform_of(np.copy), grad=grad)(x).sum(), x)
    assert str(caught.value) == message


def test_shapes_without_computing():
    x = T.dmatrix("x")
    f = fuse.function([x], Affine(2, 3)(x).shape)
    Affine.calls = 0
    assert f(np.zeros((2, 5))).tolist() == [2, 5] and Affine.calls == 0


def test_wrong_infer_shape():
    x = T.dvector("x")
    with pytest.raises(FuseValueError) as caught:
        an_op(perform=perform_of(np.copy), infer_shape=lambda self, node, shapes: [])(x).shape.eval({x: [1.0]})
    assert str(caught.value) == "Sample.infer_shape gave 0 shapes for 1 outputs"


# ---------------------------------------------------------------- errors at run time
@pytest.mark.parametrize("mode", ["FAST_RUN", "FAST_COMPILE"])
def test_an_error_in_perform_names_the_users_line(mode):
    def solve(x):
        raise np.linalg.LinAlgError("no solution")

    x = T.dvector("x")
    y, line = an_op(perform=perform_of(solve))(x), inspect.currentframe().f_lineno
    f = fuse.function([x], y + 1, mode=mode)
    with pytest.raises(np.linalg.LinAlgError) as caught:
        f([1.0, 2.0])
    assert isinstance(caught.value, PerformError) and isinstance(caught.value.__cause__, np.linalg.LinAlgError)
    assert str(caught.value) == (
        "Sample.perform raised LinAlgError: no solution\n  in Sample of operands with shapes (2,)\n  built at "
        f"test_class_op.py:{line}: y, line = an_op(perform=perform_of(solve))(x), inspect.currentframe().f_lineno"
    )
    with pytest.raises(KeyError, match=r"^Sample\.perform raised KeyError: 'k'"):
        fuse.function([x], an_op(perform=perform_of(lambda v: {}["k"]))(x), mode=mode)([1.0])


@pytest.mark.parametrize(("function", "kind", "message"), [
    (lambda v: None, ValueError, "perform left output 0 of Sample empty: store the result in output_storage[0][0]"),
    (lambda v: v * 1j, DTypeError, "output 0 of Sample is complex128, make_node said float64"),
    (lambda v: v.sum(), ShapeError, "output 0 of Sample has shape (), make_node said a float64 vector"),
    (lambda v: v[:, None], ShapeError, "output 0 of Sample has shape (2, 1), make_node said a float64 vector"),
])
def test_results_are_checked_against_make_node(function, kind, message):
    x = T.dvector("x")
    with pytest.raises(kind) as caught:
        an_op(perform=perform_of(function))(x).eval({x: [1.0, 2.0]})
    assert str(caught.value).splitlines()[0] == message


def test_missing_methods_say_what_to_write():
    x = T.dvector("x")
    for call, message in [
        (lambda: an_op()(x).eval({x: [1.0]}),
         "Sample has no perform(node, inputs, output_storage): write it with NumPy, or write the op as a function "
         "under @fuse.elementwise (C code is not used)"),
        (lambda: fuse.Op()(x), "Op needs make_node, or both itypes and otypes"),
    ]:
        with pytest.raises(MethodNotDefined) as caught:
            call()
        assert str(caught.value).splitlines()[0] == message
    for make_node, message in [
        (lambda self, x: [x], "Bad.make_node returned list; it returns an Apply"),
        (lambda self, x: fuse.Apply(self, x, [x]), "the inputs of Apply(Bad, ...) are a list, not TensorVariable"),
        (lambda self, x: fuse.Apply(self, [x], [3]), "the outputs of Apply(Bad, ...) are variables (x.type()), not 3"),
    ]:
        bad = type("Bad", (fuse.Op,), {"__props__": (), "make_node": make_node})()
        with pytest.raises(FuseTypeError) as caught:
            bad(x)
        assert str(caught.value) == message
    with pytest.raises(FuseTypeError) as caught:
        MinMax().make_node(T.dvector("x")).out
    assert str(caught.value) == "MinMax: Multi-output Op without default_output: take one of its 3 outputs"


# ---------------------------------------------------------------- as_op
@as_op(itypes=[T.dmatrix, T.dvector], otypes=[T.dvector, T.lscalar], infer_shape=lambda node, shapes: [shapes[1], ()])
def weighted_rows(x, w):
    return x.T @ w if x.shape[0] == len(w) else x @ w, np.int64(x.size)


@as_op(T.dvector, T.dscalar)
def median(x):
    return np.median(x)


def test_as_op():
    x, w = T.dmatrix("x"), T.dvector("w")
    y, n = weighted_rows(x, w)
    f = fuse.function([x, w], [y * 2, n])
    value = np.arange(4.0).reshape(2, 2)
    got = f(value, [1.0, 2.0])
    assert got[0].tolist() == (2 * value.T @ [1, 2]).tolist() and got[1] == 4
    assert str(median) == "FromFunctionOp{median}" and median(w) is median(w)
    assert median(w).eval({w: [1, 5, 9]}) == 5
    with pytest.raises(FuseTypeError) as caught:
        median(x)
    assert str(caught.value) == "input 0 of FromFunctionOp{median} is a float64 vector, not a float64 matrix"
    assert pickle.loads(pickle.dumps(median(w))) is median(w)


# ---------------------------------------------------------------- views of graphs
def test_owner_is_theanos_view():
    x, y = T.dvectors("x", "y")
    z = T.exp(x) * y
    assert x.owner is None and T.constant(1).owner is None and x.index is None
    node = z.owner
    assert str(node.op) == "mul" and node.inputs == [T.exp(x), y] and node.outputs == [z] and node.out is z
    assert node.inputs[0].owner.op.scalar_op.name == "exp" and node.nin == 2 and node.nout == 1
    assert node == z.owner and hash(node) == hash(z.owner) and z.index == 0
    op = Affine(1, 2)
    assert op(x).owner.op is op and op(x).owner.inputs == [x] and op.make_node(x).outputs == [op(x)]
    assert op(x, name="named").name == "named"
    assert node.clone_with_new_inputs([y, y]).outputs == [y * y]


def test_gof():
    from fuse.gof import graph

    x, y = T.dvectors("x", "y")
    z = T.exp(x) * y + 1
    assert [v for v in graph.inputs([z]) if v.op.name == "input"] == [x, y]
    assert graph.inputs([z], blockers=[T.exp(x)]) == [y, T.constant(1)]
    assert [str(a.op) for a in graph.io_toposort([x, y], [z])][:2] == ["exp", "mul"]
    assert {x, y, z} <= set(graph.ancestors([z])) and {x, z} <= graph.variables([x, y], [z])
    new_inputs, (new,) = graph.clone([x, y], [z])
    assert new is not z and new_inputs[0] is not x and new.eval(dict(zip(new_inputs, [[0.0], [2.0]], strict=True))) == 3
    assert graph.is_same_graph(z, new, givens=dict(zip([x, y], new_inputs, strict=True)))
    assert graph.equal_computations([z], [new], [x, y], new_inputs) and not graph.is_same_graph(z, new)
    assert isinstance(z, fuse.gof.Variable) and isinstance(T.constant(1), fuse.gof.Constant)
    fresh = x.clone()
    assert fresh is not x and fresh.name == "x" and fresh.type == x.type


def test_pickled_graphs_keep_their_ops():
    x = T.dvector("x")
    y = Affine(2, 3)(x) + MinMax()(x)[1]
    again = pickle.loads(pickle.dumps(y))
    assert again is y
    f = pickle.loads(pickle.dumps(fuse.function([x], y)))
    assert f([1.0, 2.0]).tolist() == [7, 9]


def test_an_output_without_a_gradient_spoils_what_it_depends_on_only():
    x, y, how = T.dvector("x"), T.dvector("y"), T.dvector("how")
    first, second = Halves()(x, y)
    cost = Weighted()(first, second, how).sum()  # without a gradient for its second input
    assert fuse.function([x, y, how], fuse.grad(cost, x))([1.0], [2.0], [0.0]) == 30
    with pytest.raises(fuse.errors.NullTypeGradError, match="weights are data"):
        fuse.grad(cost, y)


def test_subclasses_of_classes_of_ops_compute_what_they_say():
    class Twice(T.nlinalg.Eig):
        """As programs do that take a class of Theano's for the properties of its ops."""

        def __init__(self):
            super().__init__()

        def make_node(self, x):
            x = T.as_tensor_variable(x)
            return fuse.Apply(self, [x], [T.vector(dtype=x.dtype), T.matrix(dtype=x.dtype)])

        def perform(self, node, inputs, outputs):
            outputs[0][0], outputs[1][0] = inputs[0].sum(axis=0), 2 * inputs[0]

        def grad(self, inputs, output_grads):
            return [T.zeros_like(inputs[0]) + output_grads[0] + 2 * output_grads[1]]

    m = T.dmatrix("m")
    sums, double = Twice()(m)
    slope = fuse.grad(T.sum(sums * [1.0, 2.0]) + T.sum(double), m)
    for got, want in zip(fuse.function([m], [sums, double, slope])([[1, 2], [3, 4]]), (
        [4, 6], [[2, 4], [6, 8]], [[3, 4], [3, 4]]), strict=True):
        np.testing.assert_array_equal(got, want)
    with pytest.raises(TypeError, match=r"Own\.grad would not be asked, as Dot has a gradient"):
        class Own(T.Dot):
            def grad(self, inputs, output_grads):
                return output_grads
