r"""Expressions as LaTeX: the formula that notebooks show, from the ``latex`` templates of the op records."""
from __future__ import annotations

import re
from functools import cache
from typing import Any

from fuse.expr import Constant, Expr
from fuse.printing.tree import Piece, joined, slice_pieces, write_out

LATEX_LIMIT = 300

_GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega "
    "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega".split()
)
# Precedences: those of the records' infix operators, and three for other templates.
_SUM, _OPEN, _CLOSED, _ATOM = 10.0, 10.5, 12.5, 100.0
_INFIX = {"*": r" \, ", "**": "^", "%": r" \bmod ", "&": r" \wedge ", "|": r" \vee ", "~": r"\neg "}


def latex(expr: Expr, limit: int = LATEX_LIMIT) -> str:
    r"""``expr`` as LaTeX text without dollar signs; beyond ``limit`` nodes follows ``\ldots``.

    >>> import fuse, fuse.tensor as T
    >>> x = T.dscalar("x_1")
    >>> print(fuse.printing.latex(T.exp(-x ** 2) / 2))
    \frac{e^{-x_{1}^{2}}}{2}
    """
    return write_out(expr, 0.0, _pieces, limit).replace("...", r"\ldots ")


def repr_latex(expr: Expr) -> str | None:
    """What a notebook asks an expression for."""
    from fuse.types import TensorType

    return f"$\\displaystyle {latex(expr)}$" if isinstance(expr.type, TensorType) else None


def name_latex(name: str) -> str:
    r"""A name as mathematics: ``theta_1`` as ``\theta_{1}``, words upright.

    >>> print(name_latex("theta_1"), name_latex("W"), name_latex("cost"))
    \theta_{1} W \mathrm{cost}
    """
    head, *subscripts = name.split("_")
    parts = [_word(p) for p in (head, *subscripts) if p]
    if not parts:
        return r"\_"
    return parts[0] + (f"_{{{', '.join(parts[1:])}}}" if len(parts) > 1 else "")


def _word(text: str) -> str:
    if text in _GREEK:
        return f"\\{text}"
    numbered = re.fullmatch(r"([A-Za-z]+)(\d+)", text)
    if numbered and (len(numbered[1]) == 1 or numbered[1] in _GREEK):
        return f"{_word(numbered[1])}_{{{numbered[2]}}}"
    safe = re.sub(r"([#$%&{}_])", r"\\\1", re.sub(r"[\\^~]", " ", text))
    return safe if len(text) == 1 or text.isdigit() else rf"\mathrm{{{safe}}}"


# ---------------------------------------------------------------- templates
@cache
def _slots(template: str) -> tuple[tuple[str, int, bool], ...]:
    """The template as (text before, argument number or -1 at the end, whether brackets enclose the argument)."""
    out = []
    position = 0
    for match in re.finditer(r"#(\d)", template):
        before, after = template[: match.start()].rstrip(), template[match.end():].lstrip()
        closed = (
            before.endswith(("{", "(", "|", ",", "floor", "ceil"))
            and after[:1] in ("}", ")", ",", "|", "\\")
            or after[:1] == ")"
        )
        out.append((template[position: match.start()], int(match[1]) - 1, closed))
        position = match.end()
    return (*out, (template[position:], -1, True))


@cache
def _template_precedence(template: str) -> float:
    bare = template
    while (inner := re.sub(r"\{[^{}]*\}|\([^()]*\)", "", bare)) != bare:
        bare = inner
    if re.search(r" [+-] ", bare):
        return _SUM
    return _CLOSED if all(closed for _, _, closed in _slots(template)) else _OPEN


def _precedence(node: Expr) -> float:
    op = node.op
    if op.symbol == "/":
        return _CLOSED
    if op.symbol:
        return float(op.precedence)
    if op.latex:
        return _template_precedence(op.latex)
    return _ATOM


def _is_transparent(node: Expr) -> bool:
    """Whether only the dtype or the shape differs from the argument: the formula is the same."""
    if node.op.name == "dimshuffle":
        pattern = node.params["pattern"]
        kept = [p for p in pattern if p != "x"]
        return kept == sorted(kept) and not _has_new_axes_behind(pattern)
    return node.op.name in ("cast", "fill", "broadcast_to")


def _has_new_axes_behind(pattern: tuple[Any, ...]) -> bool:
    """Whether axes are new that broadcasting would not put in front by itself: a vector stands as a column."""
    old = [k for k, p in enumerate(pattern) if p != "x"]
    return bool(old) and len(pattern) - old[0] > len(old)


def _pieces(node: Expr, outer: float) -> list[Piece]:
    while _is_transparent(node):
        node = node.args[node.op.name == "fill"]
    if isinstance(node, Constant):
        return _constant(node, outer)
    if node.is_leaf:
        return [name_latex(node.name) if node.name else r"\square"]
    inner = _body(node)
    return [r"\left(", *inner, r"\right)"] if _precedence(node) < outer else inner


def _body(node: Expr) -> list[Piece]:
    op, own = node.op, _precedence(node)
    special = _SPECIAL.get(op.name)
    if special is not None:
        return special(node)
    if op.symbol in _INFIX or op.symbol and not op.latex:
        return _infix(node, own)
    if op.latex:
        out: list[Piece] = []
        for text, index, closed in _slots(op.latex):
            out.append(text)
            if index >= 0:
                out.append((node.args[index], 0.0 if closed else own + 0.25))
        return out
    args: list[Piece] = [(a, 0.0) for a in node.args]
    name = str(op)
    axis = node.params.get("axis")
    along = f"_{{{axis}}}" if isinstance(axis, int) and getattr(node.args[0].type, "ndim", 0) > 1 else ""
    return [
        rf"\operatorname{{{name_latex(name) if len(name) == 1 else name.replace('_', ' ')}}}{along}\left(",
        *joined(args),
        r"\right)",
    ]


def _infix(node: Expr, own: float) -> list[Piece]:
    symbol = node.op.symbol or ""
    text = _INFIX.get(symbol, f" {symbol} ")
    if len(node.args) == 1:
        return [text.strip() + " " if symbol == "~" else text.strip(), (node.args[0], own)]
    left, right = node.args
    if symbol == "**":
        return [(left, own + 0.25), "^{", (right, 0.0), "}"]
    if symbol == "*" and isinstance(right, Constant):
        text = r" \cdot "
    return [(left, own), text, (right, own + 0.25)]


def _constant(node: Constant, outer: float) -> list[Piece]:
    data = node.data
    if data.ndim == 0:
        value = data[()].item()
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e16:
            text = f"{value:.1f}"
        else:
            text = str(value)
        text = {"inf": r"\infty", "-inf": r"-\infty", "nan": r"\mathrm{NaN}", "True": r"\mathrm{true}",
                "False": r"\mathrm{false}"}.get(text, re.sub(r"^(-?[\d.]+)e\+?(-?)0*(\d+)$", _power_of_ten, text))
        low = text.startswith("-") and outer > _SUM or "^" in text and outer > 12
        return [rf"\left({text}\right)" if low else text]
    if data.ndim <= 2 and data.size <= 16:
        rows = data if data.ndim == 2 else data.reshape(1, -1)
        body = r" \\ ".join(" & ".join(str(v) for v in row.tolist()) for row in rows)
        return [rf"\begin{{bmatrix}} {body} \end{{bmatrix}}"]
    sizes = r" \times ".join(map(str, data.shape))
    return [rf"\mathrm{{{data.dtype.name}}}_{{{sizes}}}"]


def _power_of_ten(match: re.Match[str]) -> str:
    mantissa, exponent = match[1], f"10^{{{match[2]}{match[3]}}}"
    return rf"{mantissa} \cdot {exponent}" if mantissa not in ("1", "-1") else mantissa[:-1] + exponent


# ---------------------------------------------------------------- ops that are no functions of their elements
def _reduction(symbol: str) -> Any:
    def pieces(node: Expr) -> list[Piece]:
        axes = node.params["axis"]
        full = len(axes) == node.args[0].type.ndim
        below = "" if full else f"_{{{', '.join(map(str, axes))}}}"
        return [f"{symbol}{below} ", r"\left(", (node.args[0], 0.0), r"\right)"]

    return pieces


def _dimshuffle(node: Expr) -> list[Piece]:
    pattern = node.params["pattern"]
    kept = [p for p in pattern if p != "x"]
    turned = [r"^{\mathsf{T}}"] if kept != sorted(kept) else []
    if not _has_new_axes_behind(pattern):
        return [(node.args[0], _ATOM), *turned]
    axes = ", ".join(r"\ast" if p == "x" else ":" for p in pattern)
    inner: list[Piece] = [(node.args[0], 0.0)]
    inner = inner if node.args[0].is_leaf else [r"\left(", *inner, r"\right)"]
    return [*inner, *turned, f"_{{{axes}}}"]


def _subtensor(node: Expr) -> list[Piece]:
    return [(node.args[0], _ATOM), "_{", *slice_pieces(node.params["spec"], node.args[1:], 0.0), "}"]


def _part(node: Expr) -> list[Piece]:
    return [(node.args[0], _ATOM), f"_{{{node.params['i']}}}"]


def _changed(word: str) -> Any:
    """What is stored, and where: ``set(x_{0}, 1)``."""

    def pieces(node: Expr) -> list[Piece]:
        spec = node.params.get("spec")
        index = joined([(a, 0.0) for a in node.args[2:]]) if spec is None else slice_pieces(spec, node.args[2:], 0.0)
        place: list[Piece] = [(node.args[0], _ATOM), "_{", *index, "}"]
        return [rf"\operatorname{{{word}}}\left(", *place, ", ", (node.args[1], 0.0), r"\right)"]

    return pieces


_SPECIAL: dict[str, Any] = {
    "iota": lambda node: [r"\operatorname{arange}\left(", *joined([(a, 0.0) for a in node.args]), r"\right)"],
    "part": _part,
    "set_subtensor": _changed("set"),
    "inc_subtensor": _changed("inc"),
    "set_gather": _changed("set"),
    "inc_gather": _changed("inc"),
    "dimshuffle": _dimshuffle,
    "subtensor": _subtensor,
    "gather": lambda node: [(node.args[0], _ATOM), "_{", *joined([(a, 0.0) for a in node.args[1:]]), "}"],
    "dot": lambda node: [(node.args[0], 11.25), r" \, ", (node.args[1], 11.5)],
    "matmul": lambda node: [(node.args[0], 11.25), r" \, ", (node.args[1], 11.5)],
    "sum": _reduction(r"\sum"),
    "prod": _reduction(r"\prod"),
    "max": _reduction(r"\max"),
    "min": _reduction(r"\min"),
    "shape_i": lambda node: [
        r"\operatorname{size}_{",
        str(node.params["axis"]),
        r"}\left(",
        (node.args[0], 0.0),
        r"\right)",
    ],
    "make_vector": lambda node: [r"\left[", *joined([(a, 0.0) for a in node.args]), r"\right]"],
}
