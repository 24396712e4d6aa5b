"""Functions for other programs: as Numba's functions, to be called from compiled code, and as files of Python."""
from __future__ import annotations

import base64
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

import fuse.codegen.alone as alone_
from fuse.codegen.alone_calls import support_text
from fuse.codegen.mathlib.scipys import SCIPY
from fuse.errors import FuseTypeError
from fuse.expr import SHARED, Expr

Array = Any


def _checked(function: Any, what: str) -> Any:
    graph = function.maker.signature
    if graph.states:
        raise FuseTypeError(f"{what}: inputs with an update keep their value in the function; use a shared variable")
    if graph.overwritten:
        raise FuseTypeError(f"{what}: ops in place leave their value in arguments, which only the function itself does")
    return graph


def native(function: Any) -> Any:
    """The function for Numba: see ``Function.njit``."""
    from fuse.codegen import bare

    graph = _checked(function, "njit")
    if graph.updates:
        raise FuseTypeError("njit: compiled code cannot update shared variables; give new values as outputs instead")
    shared = function.get_shared()
    alone = alone_.stand_alone(graph.leaves, graph.outputs, function.maker.mode.rewriting, bare.NAMES, native=True)
    names = {leaf: f"x{k}" for k, leaf in enumerate([*graph.leaves, *shared])}
    constants = {f"c{k}": node.data for k, node in enumerate(alone.extra) if node.op is not SHARED}
    lines = [f"def function({', '.join(names.values())}):"]
    lines += [f"    {name} = {_given(leaf, name)}" for leaf, name in names.items()]
    extra = [names[n] if n.op is SHARED else f"c{k}" for k, n in enumerate(alone.extra)]
    lines.append(f"    found = compute({', '.join([*[names[x] for x in graph.leaves], *extra])})")
    lines.append(f"    return {'found[0]' if graph.shape == 'single' else 'found'}")
    constants = {name: value[()] if not value.ndim else value for name, value in constants.items()}
    return bare.native(alone, "\n".join(lines) + "\n", constants)


def _given(leaf: Expr, name: str) -> str:
    """The text of a value in the form that kernels take: contiguous, in the dtype of ``leaf``."""
    return f"given({name}, np.{'bool_' if leaf.type.dtype == 'bool' else leaf.type.dtype}, {leaf.type.ndim})"


_FUNCTION = '''
def _array(dtype, shape, text):
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape).copy()


# Shared variables: their values at present, by name. Constants of the formula.
shared = {shared}
_constants = [{constants}]

_INPUTS = {inputs}
_DEFAULTS = [{defaults}]


def function(*args, **named):
    """{doc}"""
    if len(args) > len(_INPUTS):
        raise TypeError(f"function takes {{len(_INPUTS)}} inputs, not {{len(args)}}")
    values = [*args, *_DEFAULTS[len(args):]]
    for name, value in named.items():
        places = [k for k, (known, _, _) in enumerate(_INPUTS) if known == name]
        if len(places) != 1 or places[0] < len(args):
            raise TypeError(f"function has no input {{name!r}}, several, or got two values for it")
        values[places[0]] = value
    if any(value is None for value in values):
        raise TypeError("function needs a value for each of its inputs: " + ", ".join(str(i[0]) for i in _INPUTS))
    values = [given(value, kind, ndim) for value, (_, kind, ndim) in zip(values, _INPUTS)]
    with np.errstate(all="ignore"):
        found = compute(*values, {extra})
    found = [np.asarray(value, dtype) for value, dtype in zip(found, {dtypes})]
    shared.update(zip({updated}, found[{count}:]))
    return {result}
'''


def source(function: Any) -> str:
    """The text of a file with ``function``: see ``Function.export_source``."""
    from fuse.codegen import bare

    graph = _checked(function, "export_source")
    known = function.get_shared()
    results = graph.roots
    alone = alone_.stand_alone(graph.leaves, results, function.maker.mode.rewriting, bare.NAMES, native=False)
    compiled = sorted(set(re.findall(rf"\b{SCIPY}(\w+)\(", alone.kernels)))
    if compiled:
        raise FuseTypeError(
            f"{', '.join(compiled)} of scipy.special, compiled code, has no form that runs in a file of its own"
        )
    keys = _keys(known)
    read = [n for n in alone.extra if n.op is not SHARED]
    place = {n: k for k, n in enumerate(read)}
    extra = [
        _given(n, f"shared[{keys[n]!r}]") if n.op is SHARED else f"_constants[{place[n]}]" for n in alone.extra
    ]
    count = len(graph.outputs)
    result = {
        "single": "found[0]", "list": f"found[:{count}]", "none": "None",
        "dict": f"dict(zip({list(graph.keys or ())!r}, found[:{count}]))",
    }[graph.shape]
    inputs = [f"({i.name!r}, np.{_kind(i.type.dtype)}, {i.type.ndim})" for i in graph.inputs]
    described = ", ".join(i.type.describe() for i in graph.inputs) or "nothing"
    values = {keys[s]: s.container.array for s in known}
    body = _FUNCTION.format(
        shared="{" + ", ".join(f"{key!r}: {_array_text(value)}" for key, value in values.items()) + "}",
        constants=", ".join(_array_text(n.data) for n in read),
        inputs="[" + ", ".join(inputs) + "]",
        defaults=", ".join("None" if c.value is None else _array_text(c.value) for c in function.input_storage),
        doc=f"Takes {described}; new values of shared variables are stored in ``shared``.",
        extra=", ".join(extra), dtypes=repr([r.type.dtype for r in results]),
        updated=repr([keys[target] for target, _ in graph.updates]), count=count, result=result,
    )
    support = support_text(alone.support, native=False)
    head = '"""A function that fuse wrote: it needs NumPy and Numba. Call ``function(...)``."""\nimport base64\n'
    return f"{head}{bare.prelude_text()}\n\n{alone.kernels}\n{support}\n\n{alone.compute}\n{body}"


def export_source(function: Any, path: Any = None) -> str:
    """The text of ``source``, also written to ``path``."""
    text = source(function)
    if path is not None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    return text


def _keys(known: Sequence[Any]) -> dict[Any, str]:
    """A name for each shared variable; those of one container have one name."""
    keys: dict[Any, str] = {}
    cells: dict[int, str] = {}
    for k, s in enumerate(known):
        name = s.name or f"shared {k}"
        if id(s.container) not in cells:
            cells[id(s.container)] = name if name not in cells.values() else f"{name} {k}"
        keys[s] = cells[id(s.container)]
    return keys


def _kind(dtype: str) -> str:
    return "bool_" if dtype == "bool" else dtype


def _array_text(value: Array) -> str:
    value = np.asarray(value)
    data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
    lines = textwrap.wrap(data, 110)
    text = "\n    ".join(f'"{line}"' for line in lines) if len(lines) > 1 else f'"{data}"'
    return f'_array("{value.dtype.name}", {value.shape}, {text})'
