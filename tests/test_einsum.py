"""einsum against NumPy's: values, dtypes and gradients for every kind of subscripts; what it is made of; errors."""
from __future__ import annotations

import numpy as np
import pytest
from op_checks import check_gradient, check_value, inputs_like, random_array

import fuse
import fuse.tensor as T
from fuse.errors import FuseTypeError, FuseValueError, ShapeError
from fuse.expr import toposort


def draw(shape, dtype="float64"):
    """Some array of that shape, the same in every run."""
    return random_array(np.random.default_rng(4), shape, dtype)


CASES = [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ii->i", (3, 3)), ("ii", (3, 3)), ("ij->ji", (2, 3)),
    ("ba", (2, 3)), ("i,i", (3,), (3,)), ("i,j->ij", (3,), (2,)), ("i,j->ji", (3,), (2,)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), ("bij,bjk->kbi", (2, 3, 4), (2, 4, 5)),
    ("...ij,...jk->...ik", (2, 3, 4), (2, 4, 5)), ("...ij,jk", (5, 2, 3, 4), (4, 2)), ("bij,bj->bi", (2, 3, 4), (2, 4)),
    ("b,bj->j", (2,), (2, 4)), ("b,b,bj->bj", (2,), (2,), (2, 4)), ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    ("ij,jk,kl,lm", (2, 3), (3, 4), (4, 5), (5, 2)), ("ijk->", (2, 3, 4)), ("ijk,ijk->", (2, 3, 4), (2, 3, 4)),
    ("iji->j", (3, 2, 3)), ("iij,jk->ik", (3, 3, 2), (2, 4)), ("ab,cd->", (2, 3), (4, 5)),
    ("i,i,i->", (3,), (3,), (3,)),
    ("i,i,i->i", (3,), (3,), (3,)), ("pi,qj,ijkl,rk,sl->pqrs", (2, 3), (2, 3), (3, 3, 2, 2), (3, 2), (2, 2)),
    ("...,...->...", (2, 3), (3,)), ("...i->...", (2, 3)), ("i...->...i", (2, 3, 4)), ("ij,ij->ij", (1, 3), (2, 3)),
    ("ij,jk->ik", (2, 1), (3, 4)), (",->", (), ()), ("a,->a", (3,), ()), ("iii->i", (3, 3, 3)),
    ("ijij->ij", (2, 3, 2, 3)), ("ij,jk->ik", (0, 3), (3, 2)), ("ij,jk->ik", (2, 0), (0, 3)),
    ("i j , j k", (2, 3), (3, 4)),
    ("nij,njk,nkl->nil", (2, 3, 2), (2, 2, 3), (2, 3, 2)), ("ijab,jkab->ikab", (2, 3, 2, 2), (3, 2, 2, 2)),
]


@pytest.mark.parametrize("static", [True, False], ids=["sizes known", "sizes unknown"])
@pytest.mark.parametrize(("subscripts", "shapes"), [(s, shapes) for s, *shapes in CASES],
                         ids=[f"{s} {shapes}" for s, *shapes in CASES])
def test_values_and_gradients_are_numpys(subscripts, shapes, static):
    arrays = [draw(s) for s in shapes]
    broadcasts = any(1 in s for s in shapes)
    inputs = inputs_like(arrays, static or broadcasts)  # sizes of 1 broadcast where they are known
    check_value(T.einsum(subscripts, *inputs), np.einsum(subscripts, *arrays), dict(zip(inputs, arrays, strict=True)))
    check_gradient(lambda *xs: T.einsum(subscripts, *xs), inputs, arrays)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "float32", "complex64", "complex128"])
@pytest.mark.parametrize("subscripts", ["ij,jk->ik", "ij,jk->", "ij,jk->j", "ij,kl->i"])
def test_dtypes_are_numpys(subscripts, dtype):
    arrays = [draw((2, 3), dtype), draw((3, 4), dtype)]
    inputs = inputs_like(arrays, False)
    have = fuse.function(inputs, T.einsum(subscripts, *inputs))(*arrays)
    want = np.einsum(subscripts, *arrays)
    assert have.dtype == want.dtype
    np.testing.assert_allclose(have, want, rtol=1e-5)


def test_mixed_dtypes_and_interleaved_axes():
    x, y = T.fmatrix("x"), T.dmatrix("y")
    out = T.einsum(x, [0, 1], y, [1, 2], [0, 2])
    assert out.dtype == "float64" and out is T.einsum("ab,bc->ac", x, y)
    assert T.einsum(y, [0, 1], y, [1, 2]) is T.einsum("ab,bc", y, y)
    assert T.einsum(y, [Ellipsis, 0], [Ellipsis]) is T.einsum("...a->...", y)


def ops(out):
    return [n.op.name for n in toposort([out]) if n.op.kind != "leaf"]


def test_contractions_are_products_of_matrices_in_a_good_order():
    x, y, b = T.dmatrix("x"), T.dmatrix("y"), T.dtensor3("b")
    assert T.einsum("ij,jk->ik", x, y) is T.dot(x, y)
    assert "matmul" in ops(T.einsum("bij,bjk->bik", b, b)) and "sum" not in ops(T.einsum("bij,bjk->bik", b, b))
    big, thin = T.tensor("float64", shape=(100, 100)), T.tensor("float64", shape=(100,))
    chain = T.einsum("ij,jk,k->i", big, big, thin)  # from the right: two products of a matrix with a vector
    assert [n.type.ndim for n in toposort([chain]) if n.op.name == "dot"] == [1, 1]
    given = T.einsum("ij,jk,k->i", big, big, thin, optimize=False)
    assert [n.type.ndim for n in toposort([given]) if n.op.name == "dot"] == [2, 1]
    path = np.einsum_path("ij,jk,k->i", np.ones((2, 2)), np.ones((2, 2)), np.ones(2))[0]
    assert T.einsum("ij,jk,k->i", big, big, thin, optimize=path).type == chain.type


def test_compiled_second_derivatives():
    x, v = T.dmatrix("x"), T.dvector("v")
    energy = T.einsum("i,ij,j->", v, x, v)
    hessian = fuse.gradient.hessian(energy, v)
    a = draw((3, 3))
    np.testing.assert_allclose(fuse.function([x, v], hessian)(a, np.ones(3)), a + a.T)


@pytest.mark.parametrize(("build", "error", "message"), [
    (lambda x: T.einsum("ij,jk", x), FuseValueError, "names 2 operands and got 1"),
    (lambda x: T.einsum("ij->ii", x), FuseValueError, "each axis of the result stands there once"),
    (lambda x: T.einsum("ij->k", x), FuseValueError, "each axis of the result stands there once"),
    (lambda x: T.einsum("i", x), ShapeError, "names the axes 'i' of an operand of 2 dimensions"),
    (lambda x: T.einsum("i1", x), FuseValueError, "takes letters, commas"),
    (lambda x: T.einsum(x, [0, 99]), FuseTypeError, "lists of integers from 0 to 51"),
    (lambda x: T.einsum("ij,jk", T.tensor("float64", shape=(2, 3)), T.tensor("float64", shape=(4, 3))), ShapeError,
     "axis 'j' has sizes 3 and 4"),
])
def test_what_is_refused(build, error, message):
    with pytest.raises(error, match=message):
        build(T.dmatrix("x"))


def test_sizes_that_do_not_meet_at_run_time():
    x, y = T.dmatrices("x", "y")
    with pytest.raises(ShapeError):
        T.einsum("ij,jk->ik", x, y).eval({x: np.ones((2, 3)), y: np.ones((2, 3))})
