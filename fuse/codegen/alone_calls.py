"""The calls of text that stands alone: for opaque ops, as Python that may call NumPy, and as functions for Numba."""
from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from fuse.codegen import alone_support
from fuse.codegen.text import numpy_dtype
from fuse.expr import Expr
from fuse.types import COMPLEX, TupleType, real_of

# As Python: text over the texts of arguments, and of parameters by name; a list of results where there are several.
CALLS = {
    "dot": "np.dot({0}, {1})",
    "matmul": "np.matmul({0}, {1})",
    "batched_dot": "np.matmul({0}, {1})",
    "diagonal": "np.diagonal({0}, {offset}, {axis1}, {axis2})",
    "matrix_inverse": "np.linalg.inv({0})",
    "det": "np.linalg.det({0})",
    "slogdet": "np.linalg.slogdet({0})",
    "eigh": "np.linalg.eigh({0}, 'L' if {lower} else 'U')",
    "eigvalsh": "np.linalg.eigvalsh({0}, 'L' if {lower} else 'U')",
    "svd": "np.linalg.svd({0}, full_matrices={full_matrices})",
    "svdvals": "np.linalg.svd({0}, compute_uv=False)",
    "qr": "np.linalg.qr({0}, {mode})",
    "qr_r": "np.linalg.qr({0}, 'r')",
    "pinv": "np.linalg.pinv({0}, {rcond}, {hermitian})",
    "sort": "np.sort({0}, axis={axis}, kind='stable')",
    "argsort": "np.argsort({0}, axis={axis}, kind='stable')",
    "cumsum": "np.cumsum({0}, axis={axis})",
    "cumprod": "np.cumprod({0}, axis={axis})",
    "argmax": "np.argmax({0}, axis={axis})",
    "argmin": "np.argmin({0}, axis={axis})",
    "nonzero": "np.nonzero({0})",
    "correlate": "correlated({0}, {1}, {strides}, {dilation}, {groups})",
    "correlate_wrt_input": "correlated_input({0}, {1}, ({rest}), {strides}, {dilation}, {groups})",
    "correlate_wrt_filters": "correlated_filters({0}, {1}, ({rest}), {strides}, {dilation}, {groups})",
}
# Functions of alone_support that others call, and those that Python would be slow in.
USES = {
    "correlated": ("windows",), "correlated_filters": ("windows",), "distinct": ("sorted_rows",),
    "factors_or_nan": ("lower_factors",),
}
SUPPORT = {name for name, value in vars(alone_support).items() if inspect.isfunction(value)}
_COMPILED = ("triangular_solution", "recurrences")
# For Numba: of stacks of matrices, and of rows; {0}, {1}: the arguments, {kind}: the dtype of their real parts.
_STACKS = {
    "matrix_inverse": "inverses({0})", "det": "determinants({0})", "slogdet": "log_determinants({0}, {kind})",
    "cholesky": "lower_factors({0}, {lower})", "eigh": "eigensystems({0}, {lower}, {kind})",
    "eigvalsh": "eigenvalues({0}, {lower}, {kind})", "svd": "singular_systems({0}, {full_matrices}, {kind})",
    "svdvals": "singular_values({0}, {kind})", "qr": "orthogonal_factors({0})", "qr_r": "orthogonal_factors({0})[1]",
    "pinv": "pseudo_inverses({0}, {rcond})", "expm": "exponentials({0}, {wide})",
}
_ROWS = {
    "sort": "sorted_rows({0})", "argsort": "ordered_rows({0})", "cumsum": "running_sums({0})",
    "cumprod": "running_products({0})", "argmax": "extreme_places({0}, True)", "argmin": "extreme_places({0}, False)",
    "recurrence": "recurrences({0}, {1}, {reverse})",
}
_SUMS = ("cumsum", "cumprod", "recurrence")
_UNORDERED = (*COMPLEX, "bool")


def support_text(names: Sequence[str], native: bool) -> str:
    """The functions of these names and what they call, for Numba where ``native``."""
    wanted = dict.fromkeys([n for name in names for n in (*USES.get(name, ()), name)])
    texts = []
    for name in wanted:
        head = "@compiled\n" if native or name in _COMPILED else ""
        texts.append(head + inspect.getsource(getattr(alone_support, name)).strip())
    return "".join([f"\n\n{text}\n" for text in texts])


def call(writer: Any, node: Expr, arguments: list[str]) -> list[str]:
    """The names of the results of an opaque op, whose lines ``writer`` gets."""
    made = _native(writer, node, arguments) if writer.native else _python(writer, node, arguments)
    if made is None:
        raise writer.refused(node)
    return made


def _types(node: Expr) -> list[Any]:
    return list(node.type.elements) if isinstance(node.type, TupleType) else [node.type]


def _kinds(node: Expr) -> dict[str, str]:
    """The dtypes that functions for stacks are told: of real parts, and of twice the precision of float32."""
    dtype = _types(node)[0].dtype
    own = [t.dtype for t in _types(node)]
    real = own[1] if node.op.name in ("slogdet", "svd") else own[0]
    return {"kind": numpy_dtype(real_of(real)), "wide": "np.complex128" if dtype in COMPLEX else "np.float64"}


def _needs(writer: Any, text: str) -> str:
    name = text.partition("(")[0]
    if name in SUPPORT:
        writer.support[name] = None
    return text


# ---------------------------------------------------------------- Python
def _python(writer: Any, node: Expr, arguments: list[str]) -> list[str] | None:
    name, params = node.op.name, {k: repr(v) for k, v in node.params.items()}
    if name == "nonzero":
        _compare(writer, node, arguments[0])
    text: Any = None
    if name == "unique":
        text = f"np.unique({arguments[0]}{'.ravel()' * (node.params['axis'] is None)}, axis={params['axis']}"
        text += "".join([f", return_{r}=True" for r in node.params["returns"]]) + ")"
    elif name == "searchsorted":
        sorter = "".join([f", sorter={a}" for a in arguments[2:]])
        text = f"np.searchsorted({arguments[0]}, {arguments[1]}, side={params['side']}{sorter})"
    elif name == "solve":
        column = node.args[1].type.ndim == 1
        text = f"np.linalg.solve({arguments[0]}, {arguments[1]}{'[:, None]' * column}){'[:, 0]' * column}"
    elif name == "cholesky" and node.params.get("on_error") == "nan" or name == "expm":
        text = _stacked(writer, node, arguments[0], {**params, **_kinds(node)})
    elif name == "cholesky":
        up = "" if node.params["lower"] else ".swapaxes(-1, -2).conj()"
        text = f"np.linalg.cholesky({arguments[0]}{up}){up}"
    elif name == "solve_triangular":
        text = _triangular(writer, node, arguments)
    elif name == "recurrence":
        return [_along(writer, node, arguments)]
    elif name in CALLS:
        rest = "".join([f"int({a}), " for a in arguments[2:]])
        text = _needs(writer, CALLS[name].format(*arguments, rest=rest, **params))
    if text is None:
        return None
    types = _types(node)
    several = len(types) > 1 or name in ("nonzero", "unique") and isinstance(node.type, TupleType)
    if not several:
        made = writer.named(f"np.asarray({text}, {numpy_dtype(types[0].dtype)})")
        return [made]
    found = writer.named(text if name != "unique" or len(types) > 1 else f"({text},)")
    flat = ".ravel()" if name == "unique" else ""
    texts = [f"{found}[{k}]{flat if k else ''}" for k in range(len(types))]
    return [writer.named(f"np.asarray({x}, {numpy_dtype(t.dtype)})") for x, t in zip(texts, types, strict=True)]


# ---------------------------------------------------------------- Numba
def _native(writer: Any, node: Expr, arguments: list[str]) -> list[str] | None:
    name, params = node.op.name, {k: repr(v) for k, v in node.params.items()}
    first = node.args[0].type
    if name in _STACKS:
        if name == "qr" and node.params["mode"] != "reduced" or node.params.get("on_error") == "nan":
            return None
        if node.params.get("hermitian"):
            return None
        return _results(writer, node, _stacked(writer, node, arguments[0], {**params, **_kinds(node)}), first.ndim - 2,
                        arguments[0])
    if name in _ROWS:
        if first.dtype in _UNORDERED and name not in _SUMS or first.dtype == "bool":
            return None
        return [_along(writer, node, arguments)]
    if name == "solve" and max(a.type.ndim for a in node.args) <= 2:
        a, b = [_cast(writer, x, arg, node.type.dtype) for x, arg in zip(arguments, node.args, strict=True)]
        return [writer.named(f"np.linalg.solve({a}, {b})")]
    if name == "solve_triangular":
        text = _triangular(writer, node, arguments)
        return None if text is None else [writer.named(text)]
    if name == "nonzero":
        _compare(writer, node, arguments[0])
        found = writer.named(f"np.nonzero({arguments[0]})")
        return [writer.named(f"{found}[{k}]") for k in range(len(_types(node)))]
    if name == "unique" and not node.params["returns"] and node.params["axis"] is None and (
        first.dtype not in _UNORDERED
    ):
        flat = writer.lined_up(arguments[0], first.ndim)
        return [writer.named(_needs(writer, f"distinct({flat}.reshape((1, {flat}.size)))"))]
    if name == "searchsorted" and len(arguments) == 2 and not {a.type.dtype for a in node.args} & {*_UNORDERED}:
        x, v = [writer.lined_up(a, arg.type.ndim) for a, arg in zip(arguments, node.args, strict=True)]
        if node.args[1].type.ndim:
            flat = writer.named(f"np.searchsorted({x}, {v}.reshape({v}.size), side={params['side']})")
            return [writer.named(f"{flat}.reshape({v}.shape)")]
        return [writer.filled(f"np.searchsorted({x}, {v}[()], side={params['side']})", "int64")]
    if name in ("matmul", "batched_dot"):
        return _products(writer, node, arguments)
    return None


def _cast(writer: Any, name: str, arg: Expr, dtype: str) -> str:
    """The argument without gaps, in the dtype in which LAPACK computes."""
    if arg.type.dtype != dtype:
        return str(writer.named(f"np.ascontiguousarray({name}).astype({numpy_dtype(dtype)})"))
    return str(writer.lined_up(name, arg.type.ndim))


def _lead(name: str, ndim: int) -> list[str]:
    return [f"{name}.shape[{d}]" for d in range(ndim)]


def _stacked(writer: Any, node: Expr, name: str, words: dict[str, str]) -> str:
    """The call of a function for stacks, on a stack."""
    dtype = _types(node)[0].dtype
    if node.op.name in ("eigh", "svd"):
        dtype = _types(node)[-1].dtype
    elif node.op.name in ("eigvalsh", "svdvals") and node.args[0].type.dtype in COMPLEX:
        dtype = node.args[0].type.dtype
    x = _cast(writer, name, node.args[0], dtype)
    outer = node.args[0].type.ndim - 2
    count = " * ".join(_lead(x, outer)) or "1"
    x = writer.named(f"{x}.reshape(({count}, {x}.shape[{outer}], {x}.shape[{outer + 1}]))")
    pattern = "factors_or_nan({0}, {lower})" if node.params.get("on_error") == "nan" else _STACKS[node.op.name]
    text = _needs(writer, pattern.format(x, **words))
    if writer.native:
        return text
    return f"{text}.reshape({name}.shape)"


def _results(writer: Any, node: Expr, text: str, outer: int, argument: str) -> list[str]:
    """The results of a function for stacks, in their shapes."""
    found = writer.named(text)
    types = _types(node)
    made = []
    for k, t in enumerate(types):
        whole = writer.named(f"{found}[{k}]") if len(types) > 1 else found
        if not t.ndim:
            made.append(writer.filled(f"{whole}[0]", t.dtype))
            continue
        rest = [f"{whole}.shape[{d + 1}]" for d in range(t.ndim - outer)]
        made.append(writer.named(f"{whole}.reshape(({''.join([n + ', ' for n in [*_lead(argument, outer), *rest]])}))"))
    return made


def _along(writer: Any, node: Expr, names: Sequence[str]) -> str:
    """The call of a function for rows, on the rows along an axis."""
    ndim, axis = node.args[0].type.ndim, node.params["axis"]
    others = [a for a in range(ndim) if a != axis]
    rows = []
    for name in names:
        if axis != ndim - 1:
            name = writer.named(f"{name}.transpose(({', '.join(map(str, [*others, axis]))}))")
            writer.contiguous.discard(name)
        x = writer.lined_up(name, ndim)
        rows.append(f"{x}.reshape(({' * '.join(_lead(x, ndim - 1)) or '1'}, {x}.shape[{ndim - 1}]))")
    found = writer.named(_needs(writer, _ROWS[node.op.name].format(*rows, **node.params)))
    if node.type.ndim < ndim:
        if not node.type.ndim:
            return str(writer.filled(f"{found}[0]", node.type.dtype))
        return str(writer.named(f"{found}.reshape(({''.join([n + ', ' for n in _lead(x, ndim - 1)])}))"))
    found = writer.named(f"{found}.reshape({x}.shape)")
    if axis == ndim - 1:
        return str(found)
    back = [others.index(a) if a != axis else ndim - 1 for a in range(ndim)]
    return str(writer.named(f"np.ascontiguousarray({found}.transpose(({', '.join(map(str, back))})))"))


def _triangular(writer: Any, node: Expr, arguments: list[str]) -> str | None:
    if max(a.type.ndim for a in node.args) > 2:
        return None
    a, b = [_cast(writer, x, arg, node.type.dtype) for x, arg in zip(arguments, node.args, strict=True)]
    writer.compare(f"{a}.shape[0]", f"{b}.shape[0]")
    columns = "1" if node.args[1].type.ndim == 1 else f"{b}.shape[1]"
    flags = f"{node.params['lower']}, {node.params['unit_diagonal']}"
    text = _needs(writer, f"triangular_solution({a}, {b}.reshape(({b}.shape[0], {columns})), {flags})")
    return f"{text}.reshape({b}.shape)"


def _products(writer: Any, node: Expr, arguments: list[str]) -> list[str] | None:
    ndim = node.type.ndim
    if ndim < 3 or any(a.type.ndim != ndim or a.type.dtype != node.type.dtype for a in node.args) or (
        node.type.dtype not in ("float32", "float64", *COMPLEX)
    ):
        return None
    x, y = [writer.lined_up(a, ndim) for a in arguments]
    for left, right in zip([*_lead(x, ndim - 2), f"{x}.shape[{ndim - 1}]"], _lead(y, ndim - 1), strict=True):
        writer.compare(left, right)
    count = " * ".join(_lead(x, ndim - 2))
    flat = [f"{z}.reshape(({count}, {z}.shape[{ndim - 2}], {z}.shape[{ndim - 1}]))" for z in (x, y)]
    found = writer.named(_needs(writer, f"products({flat[0]}, {flat[1]})"))
    rest = [*_lead(x, ndim - 1), f"{y}.shape[{ndim - 1}]"]
    return [writer.named(f"{found}.reshape(({', '.join(rest)}))")]


def _compare(writer: Any, node: Expr, name: str) -> None:
    for d, wanted in enumerate(node.args[1:]):
        writer.compare(f"{name}.shape[{d}]", writer.whole(wanted))
