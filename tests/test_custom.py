"""Formulas with derivatives of the user's own."""
from __future__ import annotations

import numpy as np
import pytest

import fuse
import fuse.tensor as T
from fuse.errors import FuseError, FuseTypeError, FuseValueError, ShapeError
from fuse.gradient import DisconnectedType, NullType, NullTypeGradError
from fuse.reference import evaluate

ONE, TWO = np.full((1, 2), 2.0), np.full((1, 2), 3.0)


def test_without_overrides_it_is_the_formula():
    x, y, z = T.matrices("x", "y", "z")
    op = fuse.OpFromGraph([x, y], [x * y, x + y])
    product, total = op(z, T.exp(z))
    assert product is z * T.exp(z)
    assert total is z + T.exp(z)
    assert op.clone() is not op and op.clone()(z, T.exp(z))[0] is product


def test_what_an_op_was_given_counts_as_used_whichever_result_is():
    x, y, z = T.dvectors("x", "y", "z")
    double, both = fuse.OpFromGraph([x, y], [x * 2, x + y])(x, y + z)
    f = fuse.function([x, y, z], double)
    assert f([1.0], [0.0], [0.0]).tolist() == [2.0]
    with pytest.raises(fuse.errors.UnusedInputError, match="input 2, w, is not used"):
        fuse.function([x, y, T.dscalar("w"), z], [double, both])
    with pytest.raises(fuse.errors.UnusedInputError, match="input 1, y, is not used"):
        fuse.function([x, y], x * 3)


@pytest.mark.parametrize("mode", [None, "FAST_COMPILE", "DebugMode"])
def test_overridden_gradients_of_several_outputs(mode):
    x, y = T.matrices("x", "y")
    op = fuse.OpFromGraph([x, y], [x * y, x + y], grad_overrides=lambda ins, gs: [gs[0] * 0 + 7, gs[1] * ins[0]])
    a, b = op(x, y)
    f = fuse.function([x, y], [a, b, *fuse.grad((a + 3 * b).sum(), [x, y])], mode=mode)
    for got, want in zip(f(ONE, TWO), (6, 5, 7, 6), strict=True):
        np.testing.assert_array_equal(got, np.full((1, 2), want))


def test_one_override_per_input():
    x, y, z = T.vectors("x", "y", "z")
    back = fuse.OpFromGraph([x, y, z], [z * 100])
    for overrides, want in (
        (["default", back], (3, 100)), ([lambda ins, gs: gs[0] * ins[1], "default"], (3, 2)),
        ([DisconnectedType()(), "default"], (0, 2)),
    ):
        op = fuse.OpFromGraph([x, y], [x * y], grad_overrides=overrides)
        gs = fuse.grad(op(x, y).sum(), [x, y], disconnected_inputs="ignore")
        got = fuse.function([x, y], gs, on_unused_input="ignore")([2.0], [3.0])
        assert tuple(float(g[0]) for g in got) == want
    op = fuse.OpFromGraph([x, y], [x * y], grad_overrides=["default", NullType("no")()])
    with pytest.raises(NullTypeGradError):
        fuse.grad(op(x, y).sum(), y)


def test_captured_shared_variables_have_their_gradient():
    x, w = T.matrix("x"), fuse.shared(np.array([[2.0, 5.0]]), "w")
    op = fuse.OpFromGraph([x], [x * w], lop_overrides=lambda ins, outs, gs: [gs[0] * outs[0]])
    at_w, at_x = fuse.grad(op(x).sum(), [w, x])
    np.testing.assert_array_equal(at_w.eval({x: TWO}), TWO)
    np.testing.assert_array_equal(at_x.eval({x: TWO}), [[6.0, 15.0]])


def test_forward_overrides():
    x, v = T.vectors("x", "v")
    op = fuse.OpFromGraph([x], [x**2], rop_overrides=lambda ins, points: [points[0] * 7])
    np.testing.assert_array_equal(fuse.Rop(op(x), x, v).eval({x: [3.0], v: [2.0]}), [14.0])


def test_forward_mode_through_an_overridden_gradient():
    x, v = T.vectors("x", "v")
    op = fuse.OpFromGraph([x], [x**2], grad_overrides=lambda ins, gs: [gs[0] * 5])
    np.testing.assert_array_equal(fuse.Rop(op(x), x, v).eval({v: [2.0]}), [10.0])


def test_second_derivatives_go_through_the_override():
    x = T.dscalar("x")
    op = fuse.OpFromGraph([x], [x**2], grad_overrides=lambda ins, gs: [gs[0] * ins[0] ** 3])
    second = fuse.grad(fuse.grad(op(x), x), x)
    assert float(second.eval({x: 2.0})) == 12.0


def test_the_formula_fuses_with_what_is_around_it():
    x = T.dvector("x")
    op = fuse.OpFromGraph([x], [T.exp(x)], grad_overrides=lambda ins, gs: [gs[0]])
    f = fuse.function([x], T.sqr(op(x) + 1) + fuse.grad(op(x).sum(), x))
    assert "from_graph" not in [node.op.name for node in f.maker.fgraph.toposort()]
    np.testing.assert_allclose(f([0.0, 1.0]), [5.0, (np.e + 1) ** 2 + 1])


@pytest.mark.parametrize(("build", "error"), [
    (lambda x: fuse.OpFromGraph([x], x), FuseTypeError),
    (lambda x: fuse.OpFromGraph([1.0], [x]), FuseTypeError),
    (lambda x: fuse.OpFromGraph([x], [x])(x, x), ShapeError),
    (lambda x: fuse.OpFromGraph([x], [x])(T.dmatrix()), FuseTypeError),
    (lambda x: fuse.OpFromGraph([x], [x], grad_overrides="none"), FuseValueError),
    (lambda x: fuse.OpFromGraph([x], [x], grad_overrides=abs, lop_overrides=abs), FuseValueError),
    (lambda x: fuse.custom_vjp(T.exp)(x), FuseValueError),
])
def test_what_is_refused(build, error):
    with pytest.raises(error):
        build(T.dvector("x"))


def test_a_wrong_number_of_gradients():
    x, y = T.dscalars("x", "y")
    op = fuse.OpFromGraph([x, y], [x * y], grad_overrides=lambda ins, gs: [gs[0]])
    with pytest.raises(FuseError, match="1 entries for 2 inputs"):
        fuse.grad(op(x, y), x)


def test_custom_vjp_of_several_arguments_and_results():
    @fuse.custom_vjp
    def polar(x, y):
        return T.sqrt(x * x + y * y), T.arctan2(y, x)

    polar.defvjp(lambda x, y: (polar(x, y), (x, y)), lambda needed, g: (g[0] * needed[1], g[1] + 1))
    x, y = T.dscalars("x", "y")
    r, phi = polar(x, y)
    got = fuse.function([x, y], [r, phi, *fuse.grad(r + 2 * phi, [x, y])])(3.0, 4.0)
    np.testing.assert_allclose([float(g) for g in got], [5.0, np.arctan2(4, 3), 4.0, 3.0])


def test_custom_jvp_in_both_directions():
    @fuse.custom_jvp
    def f(x, y):
        return T.sin(x) * y

    f.defjvp(lambda args, tangents: (f(*args), 10 * tangents[0] * args[1] + tangents[1]))
    x, y = T.dvectors("x", "y")
    at = {x: [1.0, 2.0], y: [3.0, 4.0]}
    np.testing.assert_array_equal(fuse.grad(f(x, y).sum(), x).eval(at), [30.0, 40.0])
    np.testing.assert_array_equal(fuse.Rop(f(x, y), x, x).eval(at), [30.0, 80.0])


def test_rules_are_traced_and_take_trees():
    """The lines of a rule mean what NumPy says where the function is traced, as those of the function do."""
    @fuse.custom_vjp
    def size(x):
        return np.sum(np.abs(x))

    size.defvjp(lambda x: (size(x), x), lambda x, g: (g * np.where(x == 0, 5.0, np.sign(x)),))
    np.testing.assert_array_equal(fuse.grad(size)(np.array([0.0, -1.0, 2.0])), [5, -1, 1])

    @fuse.custom_vjp
    def wave(p):
        return p["a"] * np.sin(p["b"])

    wave.defvjp(lambda p: (wave(p), p), lambda p, g: ({"a": g * np.sin(p["b"]), "b": 10 * g * p["a"]},))
    found = fuse.vmap(fuse.grad(wave))({"a": np.array([2.0, 3.0]), "b": np.array([1.0, 1.0])})
    np.testing.assert_allclose(found["a"], np.sin([1, 1]))
    np.testing.assert_allclose(found["b"], [20, 30])


def test_arguments_that_are_fixed_and_rules_one_by_one():
    power = fuse.custom_vjp(lambda x, n: np.sum(x**n), nondiff_argnums=(1,))
    power.defvjp(lambda x, n: (np.sum(x**n), x), lambda n, x, g: (100 * g * n * x ** (n - 1),))
    np.testing.assert_allclose(fuse.grad(lambda x: power(x, 3))(np.array([1.0, 2.0])), [300, 1200])
    product = fuse.custom_jvp(lambda a, b: a * b)
    product.defjvps(lambda t, out, a, b: 7 * t * b, None)
    np.testing.assert_allclose(fuse.grad(product, (0, 1))(2.0, 3.0), [21, 0])


def test_arguments_by_name_defaults_and_plain_arrays():
    @fuse.custom_vjp
    def passed(x, limit=1.0):
        return x * 2

    passed.defvjp(lambda x, limit: (x * 2, limit), lambda limit, g: (np.clip(2 * g, -limit, limit), None))
    x = np.array([0.1, 5.0, -3.0])
    for given, limit in (({}, 1.0), ({"limit": 2.0}, 2.0)):
        found = fuse.grad(lambda v, given=given: np.sum(passed(v, **given) ** 2))(x)
        np.testing.assert_allclose(found, np.clip(8 * x, -limit, limit))
    np.testing.assert_array_equal(passed(x), 2 * x)  # an array, as of any function of arrays
    with pytest.raises(FuseTypeError, match="passed: got an unexpected keyword argument 'limits'"):
        passed(x, limits=1.0)


def _twice(how):
    """A function of two arguments with derivatives of its own in one of the three ways."""
    a, b = T.dscalars("ab")
    if how == "OpFromGraph":
        rules = ["default", lambda inputs, gs: [gs[0] * inputs[0] * T.cos(inputs[1])]]
        return fuse.OpFromGraph([a, b], [a * T.sin(b)], grad_overrides=rules)
    if how == "custom_jvp":
        made = fuse.custom_jvp(lambda a, b: a * T.sin(b))
        made.defjvp(lambda args, dots: (
            args[0] * T.sin(args[1]), dots[0] * T.sin(args[1]) + dots[1] * args[0] * T.cos(args[1])
        ))
        return made
    made = fuse.custom_vjp(lambda a, b: a * T.sin(b))
    made.defvjp(lambda a, b: (a * T.sin(b), (a, b)), lambda kept, g: (g * T.sin(kept[1]), g * kept[0] * T.cos(kept[1])))
    return made


@pytest.mark.parametrize("how", ["OpFromGraph", "custom_jvp", "custom_vjp"])
def test_arguments_that_are_given_twice_or_made_of_one_another(how):
    """What flows to one argument was taken at all places where the same variable was an argument, or a part of one."""
    f, x = _twice(how), T.dscalar("x")
    at = 0.7
    for second, value, slope in [(x, at, 1.0), (T.exp(x), np.exp(at), np.exp(at)), (x * x, at * at, 2 * at)]:
        want = np.sin(value) + at * np.cos(value) * slope
        for got in (fuse.grad(f(x, second), x), fuse.Rop(f(x, second), x, T.ones_like(x))):
            np.testing.assert_allclose(evaluate([got], {x: at})[0], want)


@pytest.mark.parametrize("how", ["custom_jvp", "custom_vjp"])
def test_what_a_function_reads_besides_its_arguments_has_its_own_slope(how):
    """It was counted again through an argument made of it, or not at all."""
    w = T.dscalar("w")
    f = getattr(fuse, how)(lambda a: a * w)
    if how == "custom_jvp":
        f.defjvp(lambda args, dots: (args[0] * w, dots[0] * w))
    else:
        f.defvjp(lambda a: (a * w, None), lambda kept, g: (g * w,))
    for argument, want in [(w * 2, 12.0), (w, 6.0), (T.constant(5.0), 5.0)]:
        for got in (fuse.grad(f(argument), w), fuse.Rop(f(argument), w, T.ones_like(w))):
            np.testing.assert_allclose(evaluate([got], {w: 3.0})[0], want)
