"""Parts of complex numbers, and complex numbers from parts.

Gradients: a cotangent ``g`` stands for the real-linear map dz -> real(g * dz), so that the rule of a holomorphic
function is the one of the real function (``g * cos(x)``) with nothing conjugated. The gradient as a direction of
steepest ascent, dL/d(real) + i dL/d(imag), is its conjugate. Records of other functions say ``holomorphic`` is False:
what their rules make of a tangent is no derivative (`fuse.autodiff.forward`).
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse import types as ty
from fuse.errors import FuseTypeError
from fuse.expr import Expr, as_expr
from fuse.frontend.arithmetic import abs, cast, fill, neg
from fuse.frontend.logic import literal, switch
from fuse.frontend.transcendental import cos, sin
from fuse.op import elementwise, public

if TYPE_CHECKING:
    from fuse.codegen import mathlib


def pair(first: str, second: str) -> tuple[tuple[str, ...], str]:
    """complex64 for parts no wider than float32, else complex128."""
    part = ty.promote(ty.inexact(first), ty.inexact(second))
    if part in ty.COMPLEX:
        raise FuseTypeError("the parts of a complex number are real")
    part = "float32" if part == "float16" else part
    return (part, part), "complex64" if part == "float32" else "complex128"


def part(dtype: str) -> tuple[tuple[str, ...], str]:
    """The dtype of a part of a complex number; the builders answer for real ones."""
    if dtype not in ty.COMPLEX:
        raise FuseTypeError(f"a {dtype} has no real and imaginary part: cast it to complex first")
    return (dtype,), ty.real_of(dtype)


def mirrored(dtype: str) -> tuple[tuple[str, ...], str]:
    """As ``part``, but the result is complex."""
    return part(dtype)[0], dtype


def phase(dtype: str) -> tuple[tuple[str, ...], str]:
    """float64, whatever the argument (as in Theano)."""
    return ("complex128" if dtype in ty.COMPLEX else "float64",), "float64"


def _of_complex(build: Any, of_real: Any) -> Callable[[Any], Expr]:
    """A builder that makes the node for complex arguments and ``of_real(x)`` for others."""
    @functools.wraps(build)
    def builder(x: Any) -> Expr:
        x = as_expr(x)
        return build(x) if x.dtype in ty.COMPLEX else of_real(x)

    return public(builder)


@elementwise(name="real", dtype=part, numpy=np.real, sympy="re(x)", latex=r"\operatorname{Re} #1", linear=True,
             grad=(lambda g, out, x: complex(g, literal(0, g)),), meta={"holomorphic": False}, builtin=True)
def _real(x):
    """The real part of ``x``; a real ``x`` itself.

    >>> real([1 + 2j]).eval()
    array([1.])
    """
    return mathlib.real(x)


@elementwise(name="imag", dtype=part, numpy=np.imag, sympy="im(x)", latex=r"\operatorname{Im} #1", linear=True,
             grad=(lambda g, out, x: complex(literal(0, g), neg(g)),), meta={"holomorphic": False}, builtin=True)
def _imag(x):
    """The imaginary part of ``x``; zeros for a real ``x``.

    >>> imag([1 + 2j]).eval()
    array([2.])
    """
    return mathlib.imag(x)


@elementwise(name="conj", dtype=mirrored, numpy=np.conjugate, sympy="conjugate(x)", latex=r"\overline{#1}", linear=True,
             grad=(lambda g, out, x: _conj(g),), meta={"holomorphic": False}, builtin=True)
def _conj(x):
    """The complex conjugate of ``x``; a real ``x`` itself, a bool as int8.

    >>> conj([1 + 2j]).eval()
    array([1.-2.j])
    """
    return mathlib.conjugate(x)


real = _of_complex(_real, lambda x: x)
imag = _of_complex(_imag, lambda x: fill(x, literal(0, x)))
conj = _of_complex(_conj, lambda x: cast(x, "int8") if x.dtype == "bool" else x)


def _angle_rule(g: Any, out: Any, x: Any) -> Any:
    if x.dtype not in ty.COMPLEX:
        return fill(x, literal(0, g))
    radius = abs(x)
    turned = complex(neg(imag(x)), neg(real(x)))
    return switch(radius > 0, g * turned / radius / radius, 0)


@elementwise(dtype=phase, numpy=np.angle, sympy="arg(x)", latex=r"\arg #1", grad=(_angle_rule,),
             meta={"holomorphic": False}, builtin=True)
def angle(x):
    """The angle of ``x`` in the complex plane, in (-pi, pi], always float64; its derivative at 0 is taken as 0.

    >>> angle([1j, -1.0]).eval()
    array([1.57079633, 3.14159265])
    """
    return mathlib.angle(x)


def _from_parts(x: Any, y: Any) -> Any:
    out = np.empty(np.broadcast_shapes(np.shape(x), np.shape(y)), np.result_type(x, y, np.complex64))
    out.real, out.imag = x, y
    return out


@elementwise(name="complex", dtype=pair, numpy=_from_parts, sympy="x + I*y", latex="#1 + #2 i",
             grad=(lambda g, out, x, y: real(g), lambda g, out, x, y: neg(imag(g))), meta={"holomorphic": False},
             builtin=True)
def complex(real, imag):
    """The complex number with the given real and imaginary parts: complex64 for float32 parts.

    >>> complex([1.0, 2.0], 3.0).eval()
    array([1.+3.j, 2.+3.j])
    """
    return mathlib.complex(real, imag)


def complex_from_polar(radius: Any, angle: Any) -> Expr:
    """``radius * exp(1j * angle)``.

    >>> complex_from_polar([2.0], 0.0).eval()
    array([2.+0.j])
    """
    radius, angle = as_expr(radius), as_expr(angle)
    return complex(radius * cos(angle), radius * sin(angle))
