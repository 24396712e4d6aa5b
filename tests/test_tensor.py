"""Constructors, operators, methods, and NumPy's protocol."""
from __future__ import annotations

import math
import operator
import subprocess
import sys

import numpy as np
import pytest
from op_checks import check_value, random_array

import fuse
import fuse.tensor as T
from fuse.errors import FuseError, FuseTypeError, ShapeError
from fuse.expr import Expr
from fuse.frontend import methods
from fuse.frontend.tensor import CONSTRUCTORS, PLURALS, PREFIXES, SHAPES
from fuse.types import DTYPES


# ---------------------------------------------------------------- constructors
@pytest.mark.parametrize("kind", SHAPES)
def test_constructors(kind):
    plain = getattr(T, kind)
    assert plain("v").name == "v"
    assert plain().name is None
    assert plain("v").type == T.TensorType("float64", SHAPES[kind])
    assert plain("v", dtype=np.int32).dtype == plain("v", "int32").dtype == plain(dtype="i4").dtype == "int32"
    assert plain("v") is not plain("v")
    for letter, dtype in PREFIXES.items():
        type_ = getattr(T, letter + kind)
        assert type_ == T.TensorType(dtype, SHAPES[kind])
        assert type_("v").type is not None
        assert type_("v").type == type_
    with fuse.config.change_flags(floatX="float32"):
        assert plain("v").dtype == "float32"


@pytest.mark.parametrize("kind", SHAPES)
def test_plural_constructors(kind):
    for prefix in ("", *PREFIXES):
        many = getattr(T, prefix + PLURALS[kind])
        a, b = many("a", "b")
        assert (a.name, b.name) == ("a", "b")
        assert a.type == b.type == getattr(T, prefix + kind)().type
        assert len(many(3)) == 3
        assert many("a").name == "a" and [v.name for v in many("ab")] == ["a", "b"]


def test_shape_and_rank_of_a_named_constructor():
    assert T.matrix("m", shape=(None, 3)).type.shape == (None, 3)
    with pytest.raises(ShapeError, match="2 dimensions"):
        T.matrix("m", shape=(3,))
    with pytest.raises(FuseTypeError, match="dtype="):
        T.vector(np.float32)


@pytest.mark.parametrize(("args", "options", "dtype", "shape", "name"), [
    (("float32", (True, False)), {}, "float32", (1, None), None),
    (("float32", (True, False), "x"), {}, "float32", (1, None), "x"),
    (("float32", (None, 3), "x"), {}, "float32", (None, 3), "x"),
    ((), {"dtype": "int8", "shape": (2, None)}, "int8", (2, None), None),
    ((), {"dtype": np.int16, "broadcastable": (False,), "name": "n"}, "int16", (None,), "n"),
    (("x",), {"shape": (3, None)}, "float64", (3, None), "x"),
    (("x", "int32", (3,)), {}, "int32", (3,), "x"),
    (("x",), {"dtype": "int32", "shape": ()}, "int32", (), "x"),
    ((np.uint8, ()), {}, "uint8", (), None),
    (("floatX", ()), {}, "float64", (), None),
    (("b",), {"dtype": "int32", "shape": (3,)}, "int32", (3,), "b"),
])
def test_tensor(args, options, dtype, shape, name):
    x = T.tensor(*args, **options)
    assert (x.dtype, x.type.shape, x.name) == (dtype, shape, name)


def test_tensor_needs_a_shape():
    with pytest.raises(FuseTypeError, match="shape"):
        T.tensor("float32")


def test_as_tensor_variable():
    x = T.vector("x")
    assert T.as_tensor_variable(x) is x
    assert T.as_tensor_variable(x, ndim=3).broadcastable == (True, True, False)
    assert T.as_tensor_variable(T.row(), ndim=1).ndim == 1
    with pytest.raises(ShapeError):
        T.as_tensor_variable(T.matrix(), ndim=1)
    assert T.as_tensor_variable(3).dtype == "int8"
    assert T.as_tensor_variable(3, dtype="float32").dtype == "float32"
    assert T.as_tensor_variable([x, x]).ndim == 2
    assert T.as_tensor_variable([1.5, 2]).type == T.TensorType("float64", (2,))
    with pytest.raises(FuseTypeError):
        T.as_tensor_variable("text")
    assert T.get_scalar_constant_value(T.constant(2.0).dimshuffle("x")) == 2
    with pytest.raises(FuseTypeError):
        T.get_scalar_constant_value(x)


# ---------------------------------------------------------------- operators
SYMBOLS = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "**": operator.pow, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "@": operator.matmul, "divmod": lambda a, b: divmod(a, b)[0] + divmod(a, b)[1],
}
BITS = {"&": operator.and_, "|": operator.or_, "^": operator.xor, "<<": operator.lshift, ">>": operator.rshift}


NUMBERS = ("float", "int", "numpy scalar")  # which have no matrix product


@pytest.mark.parametrize(("symbol", "other"), [
    (symbol, other) for other in ("expression", "array", "list", *NUMBERS) for symbol in SYMBOLS
    if symbol != "@" or other not in NUMBERS
])
def test_binary_operators_both_ways(symbol, other):
    apply = SYMBOLS[symbol]
    rng = np.random.default_rng(1)
    a, b = rng.uniform(0.5, 2, 4), rng.uniform(0.5, 2, 4)
    x, y = T.dvectors("x", "y")
    operands = {"expression": (y, b), "array": (b, b), "list": (b.tolist(), b), "float": (1.5, 1.5), "int": (2, 2)}
    ours, theirs = operands.get(other, (np.float64(1.5), np.float64(1.5)))
    values = {x: a, y: b}
    for out, want in [(apply(x, ours), apply(a, theirs)), (apply(ours, x), apply(theirs, a))]:
        assert isinstance(out, Expr)
        check_value(out, want, values)


@pytest.mark.parametrize("symbol", BITS)
def test_bit_operators_both_ways(symbol):
    a, b = np.array([5, 3, 0], "int32"), np.array([1, 2, 3], "int32")
    x, y = T.ivectors("x", "y")
    apply = BITS[symbol]
    for left, right, want in [(x, y, apply(a, b)), (b, x, apply(b, a)), (2, x, apply(np.int32(2), a))]:
        check_value(apply(left, right), want, {x: a, y: b})


def test_unary_operators():
    x, i = T.dvector("x"), T.ivector("i")
    a, n = np.array([-1.5, 2.5, 0.0]), np.array([1, -2], "int32")
    cases = [
        (-x, -a), (+x, a), (abs(x), abs(a)), (math.floor(x), np.floor(a)), (math.ceil(x), np.ceil(a)),
        (math.trunc(x), np.trunc(a)), (round(x), np.round(a)), (~i, ~n),
    ]
    for out, want in cases:
        check_value(out, want, {x: a, i: n})


def test_integer_division_is_true_division():
    i, j = T.iscalars("i", "j")
    check_value(i / j, 0.5, {i: np.int32(1), j: np.int32(2)}, dtype="float64")


def test_equality_is_identity():
    x, y = T.vectors("x", "y")
    assert (x == y) is False
    assert x != y
    assert x in [y, x]
    assert {x: 1}[x] == 1


# ---------------------------------------------------------------- methods
# The names that Theano programs use on variables (feature table E and the usage counts).
EXPECTED = """
    abs all any argmax argmin argsort astype ceil choose clip compress conj conjugate copy cos cosh cumprod cumsum
    deg2rad diagonal dimshuffle dot exp exp2 expm1 fill flatten floor log log10 log1p log2 max mean min nonzero
    nonzero_values norm ones_like prod ptp rad2deg ravel repeat reshape round searchsorted sin sinh sort sqrt squeeze
    std sum swapaxes take tan tanh trace transpose trunc var zeros_like arccos arccosh arcsin arcsinh arctan arctanh
    T broadcastable dtype imag name ndim owner real shape size tag type eval clone set inc __getitem__ __len__ __iter__
""".split()


@pytest.mark.parametrize("name", EXPECTED)
def test_expressions_have_the_names_that_programs_use(name):
    assert hasattr(Expr, name)


METHOD_CASES = [
    (lambda x: x.sum(axis=0), lambda a: a.sum(axis=0)),
    (lambda x: x.mean(1, keepdims=True), lambda a: a.mean(1, keepdims=True)),
    (lambda x: x.max(), lambda a: a.max()), (lambda x: x.min(-1), lambda a: a.min(-1)),
    (lambda x: x.prod(), lambda a: a.prod()),
    (lambda x: x.argmax(axis=1), lambda a: a.argmax(axis=1)), (lambda x: x.clip(-1, 1), lambda a: a.clip(-1, 1)),
    (lambda x: x.dot(x.T), lambda a: a.dot(a.T)), (lambda x: x.reshape(3, 2), lambda a: a.reshape(3, 2)),
    (lambda x: x.reshape((6,)), lambda a: a.reshape(6)), (lambda x: x.astype("int32"), lambda a: a.astype("int32")),
    (lambda x: x.copy(), lambda a: a), (lambda x: x.norm(2), lambda a: np.sqrt((a**2).sum())),
    (lambda x: x.round(), np.round),
    (lambda x: x.flatten(), np.ravel), (lambda x: x.std(axis=0), lambda a: a.std(axis=0)),
    (lambda x: x.T, lambda a: a.T),
    (lambda x: x.real, lambda a: a), (lambda x: x.imag, np.zeros_like),
    (lambda x: x.repeat(2, axis=0), lambda a: a.repeat(2, axis=0)),
    (lambda x: x.nonzero()[0], lambda a: a.nonzero()[0]),
    (lambda x: x.take([0, 1], axis=1), lambda a: a.take([0, 1], axis=1)),
    (lambda x: x[1:, ::-1], lambda a: a[1:, ::-1]), (lambda x: x[0].set(1.0)[0], lambda a: np.ones(3)),
    (lambda x: (x > 0).any(axis=0), lambda a: (a > 0).any(axis=0)), (lambda x: (x > 0).all(), lambda a: (a > 0).all()),
    (lambda x: x.fill(2.0), lambda a: np.full_like(a, 2)), (lambda x: x.exp(), np.exp),
    (lambda x: x.cumsum(axis=1), lambda a: a.cumsum(axis=1)),
    (lambda x: x.trace(), lambda a: a.trace()), (lambda x: x.swapaxes(0, 1), lambda a: a.T),
    (lambda x: x.ptp(), np.ptp),
]


@pytest.mark.parametrize(("ours", "numpys"), METHOD_CASES, ids=range(len(METHOD_CASES)))
def test_methods(ours, numpys):
    x, a = T.dmatrix("x"), random_array(np.random.default_rng(4), (2, 3))
    check_value(ours(x), numpys(a), {x: a})


def test_the_method_table_is_complete():
    for name, value in methods.table().items():
        assert getattr(Expr, name) is value or isinstance(value, property) or callable(value), name


# ---------------------------------------------------------------- what Python asks
def test_length_and_iteration_of_known_size():
    x = T.tensor("float64", shape=(3, None))
    assert len(x) == 3
    rows = list(x)
    assert rows[1] is x[1]
    a, b = T.tensor("float64", shape=(2,))
    assert a.ndim == b.ndim == 0


@pytest.mark.parametrize(("use", "text"), [
    (lambda x: len(x), "x.shape[0]"), (lambda x: list(x), "scan"), (lambda x: x[0, 0] in x, "any(eq(x"),
    (lambda x: bool(x > 0), "switch"), (lambda x: int(x), "cast(x, 'int64')"), (lambda x: float(x), "x.eval"),
    (lambda x: complex(x), "x.eval"), (lambda x: range(x), "arange"), (lambda x: np.asarray(x), "stack"),
    (lambda x: np.zeros(3)[x], "as_tensor_variable(a)[x]"), (lambda x: pow(x, 2, 3), "% m"),
    (lambda x: round(x, 2), "100"),
    (lambda x: len(x.sum()), "0-d"), (lambda x: iter(x.sum()), "0-d"), (lambda x: math.sin(x), "x.eval"),
])
def test_what_has_no_meaning_says_what_to_write(use, text):
    with pytest.raises(FuseError) as caught:
        use(T.dmatrix("x"))
    assert text in str(caught.value)


def test_variables_are_true_as_objects_are():
    x, w = T.matrix("x"), fuse.shared(np.zeros(2))
    assert (x or 1) is x
    assert bool(T.tanh(x)) and bool(w)
    with pytest.raises(FuseError, match="switch"):
        bool(T.all(x > 0))
    with pytest.raises(FuseError, match="switch"):
        fuse.jit(lambda a: a if a.sum() else -a)(np.zeros(2))


def test_constants_have_values():
    assert int(T.constant(3)) == 3
    assert float(T.constant(0.5)) == 0.5
    assert list(range(T.constant(3))) == [0, 1, 2]
    assert T.tensor("float64", shape=(4, None)).shape[0].__index__() == 4
    assert np.asarray(T.constant([1, 2])).tolist() == [1, 2]


# ---------------------------------------------------------------- NumPy's protocol
UNARY_UFUNCS = [
    np.exp, np.log, np.sin, np.tanh, np.sqrt, np.square, np.absolute, np.negative, np.floor, np.isnan, np.log1p,
    np.reciprocal,
    np.sign, np.rint, np.conjugate, np.deg2rad, np.radians, np.positive, np.logical_not, np.cbrt, np.exp2,
    np.isfinite, np.trunc,
]
BINARY_UFUNCS = [
    np.add, np.subtract, np.multiply, np.divide, np.floor_divide, np.remainder, np.power, np.maximum, np.minimum,
    np.arctan2,
    np.less, np.equal, np.not_equal, np.greater_equal, np.hypot, np.logaddexp, np.logical_and, np.logical_xor,
]
NUMPY_CALLS = [
    lambda x: np.sum(x, axis=0), lambda x: np.sum(x, axis=1, keepdims=True), lambda x: np.mean(x),
    lambda x: np.prod(x, axis=-1),
    lambda x: np.max(x), lambda x: np.min(x, axis=0), lambda x: np.any(x > 0), lambda x: np.all(x > 0, axis=0),
    lambda x: np.var(x, axis=1),
    lambda x: np.std(x, ddof=1), lambda x: np.argmax(x), lambda x: np.argmin(x, axis=0), lambda x: np.ptp(x, axis=0),
    lambda x: np.cumsum(x),
    lambda x: np.cumprod(x, axis=1), lambda x: np.dot(x, x.T), lambda x: np.where(x > 0, x, -x),
    lambda x: np.concatenate([x, x], axis=1),
    lambda x: np.concatenate((x, np.ones((1, 3)))), lambda x: np.stack([x, x], axis=1),
    lambda x: np.reshape(x, (3, 2)), lambda x: np.reshape(x, -1),
    lambda x: np.transpose(x), lambda x: np.transpose(x, (1, 0)), lambda x: np.clip(x, -1, 1),
    lambda x: np.expand_dims(x, 0), lambda x: np.squeeze(x[:1], 0),
    lambda x: np.ravel(x), lambda x: np.tile(x, (2, 1)), lambda x: np.repeat(x, 2, axis=0),
    lambda x: np.roll(x, 1, axis=1), lambda x: np.flip(x, 0),
    lambda x: np.zeros_like(x), lambda x: np.ones_like(x), lambda x: np.full_like(x, 3.0), lambda x: np.diag(x),
    lambda x: np.trace(x), lambda x: np.outer(x, x),
    lambda x: np.tensordot(x, x, 2), lambda x: np.tril(x), lambda x: np.triu(x, 1),
    lambda x: np.broadcast_to(x, (2, 2, 3)), lambda x: np.swapaxes(x, 0, 1),
    lambda x: np.moveaxis(x, 0, 1), lambda x: np.diagonal(x), lambda x: np.linalg.norm(x),
    lambda x: np.linalg.norm(x, axis=1), lambda x: np.vstack([x, x]),
    lambda x: np.hstack([x, x]), lambda x: np.split(x, [1])[1], lambda x: np.shape(x), lambda x: np.size(x),
    lambda x: np.round(x), lambda x: np.real(x),
    lambda x: np.add.reduce(x), lambda x: np.maximum.reduce(x, axis=None), lambda x: np.add.accumulate(x),
    lambda x: np.add.outer(np.arange(2.0), x),
    lambda x: np.matmul(x, x.T), lambda x: np.take(x, [1, 0], axis=1), lambda x: np.meshgrid(x[0], x[1])[0],
    lambda x: np.amax(x, axis=1),
    lambda x: np.linspace(x[0, 0], 1.0, 3), lambda x: np.atleast_3d(x), lambda x: np.isclose(x, x + 1e-12),
    lambda x: np.nonzero(x)[1],
]


@pytest.mark.parametrize("ufunc", UNARY_UFUNCS + BINARY_UFUNCS, ids=lambda u: u.__name__)
def test_ufuncs_build_graphs(ufunc):
    x, a = T.dvector("x"), np.array([0.5, 1.5, 2.5])
    args = [x, np.array([1.0, 1.5, 2.0])][: ufunc.nin]
    check_value(ufunc(*args), ufunc(a, *args[1:]), {x: a})
    if ufunc.nin == 2:
        check_value(ufunc(args[1], x), ufunc(args[1], a), {x: a})


@pytest.mark.parametrize("call", NUMPY_CALLS, ids=range(len(NUMPY_CALLS)))
def test_numpy_functions_build_graphs(call):
    x, a = T.dmatrix("x"), random_array(np.random.default_rng(4), (2, 3))
    out = call(x)
    assert isinstance(out, Expr)
    check_value(out, call(a), {x: a}, rtol=1e-10)


@pytest.mark.parametrize(("use", "text"), [
    (lambda x: np.exp(x, out=np.zeros(3)), "out="), (lambda x: np.exp(x, where=np.ones(3, bool)), "switch"),
    (lambda x: np.isnat(x), "no counterpart"), (lambda x: np.hypot.accumulate(x), "no counterpart"),
    (lambda x: np.add.at(x, [0], 1), "no counterpart"), (lambda x: np.sum(x, out=np.zeros(())), "out="),
])
def test_numpy_calls_without_meaning_are_refused(use, text):
    with pytest.raises(FuseTypeError) as caught:
        use(T.dvector("x"))
    assert text in str(caught.value)


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_scalars_and_arrays_keep_their_dtype(dtype):
    x = T.tensor(dtype, shape=(None,))
    other = np.ones(2, dtype)
    assert (x * other).dtype == (other * x).dtype == (x * other[0]).dtype == (other[0] * x).dtype == dtype


# ---------------------------------------------------------------- the packages
def test_star_imports():
    scope: dict = {}
    exec("from fuse.tensor import *", scope)
    assert set(CONSTRUCTORS) <= set(scope)
    assert {"dot", "exp", "grad", "nnet", "switch", "set_subtensor", "concatenate"} <= set(scope)
    scope = {}
    exec("from fuse import *", scope)
    assert scope["fuse"] is scope["theano"] is fuse  # a program says either, after its import line was changed
    names = {"function", "shared", "grad", "pp", "config", "tensor", "printing", "gradient", "Op", "Apply", "gof"}
    assert names <= set(scope)


def test_every_public_name_exists():
    for module in (fuse, T):
        for name in module.__all__:
            assert getattr(module, name) is not None, name


def test_functions_stay_callable_beside_modules_of_their_name():
    """The modules fuse.config, fuse.tensor.var and fuse.tensor.sort exist, and do not hide the names."""
    import fuse.config
    import fuse.tensor.sort
    import fuse.tensor.var

    assert all(map(callable, (fuse.tensor.var, fuse.tensor.sort)))
    assert fuse.config.floatX == "float64"


DEEP = """
    compat.python2x.OrderedDict compile.SharedVariable compile.ops.as_op compile.mode.Mode gof.Apply gof.graph.inputs
    gradient.grad printing.pp sandbox.rng_mrg.MRG_RandomStreams scalar.upcast scalar.basic.identity
    tensor.basic.concatenate tensor.elemwise.Elemwise tensor.extra_ops.to_one_hot tensor.extra_ops.repeat
    tensor.nlinalg.trace tensor.nnet.sigmoid tensor.shared_randomstreams.RandomStreams tensor.sharedvar.shared
    tensor.sort.argsort tensor.subtensor.set_subtensor tensor.type.TensorType tensor.var.TensorVariable
    updates.OrderedUpdates
""".split()


@pytest.mark.parametrize("path", DEEP)
def test_deep_paths_of_theano(path):
    module, name = path.rsplit(".", 1)
    scope: dict = {}
    exec(f"from fuse.{module} import {name}", scope)
    assert scope[name] is not None


def test_modules_of_tensor_are_attributes():
    code = "import fuse.tensor as T; T.extra_ops.repeat, T.nlinalg.trace, T.elemwise.Elemwise, T.basic.dot, T.nnet"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_families_of_ops():
    x = T.matrix()
    assert isinstance((x + 1).owner.op, T.elemwise.Elemwise)
    assert isinstance(x.T.owner.op, T.elemwise.DimShuffle)
    assert isinstance(x.sum().owner.op, T.elemwise.CAReduce)
    with pytest.raises(TypeError, match="bits of its numbers"):
        T.elemwise.CAReduce(fuse.scalar.or_, axis=0)(T.lvector())
    assert not isinstance(x.sum().owner.op, T.Elemwise)
