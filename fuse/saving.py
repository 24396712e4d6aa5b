"""Functions in files without pickle: the graph as JSON, arrays as npy, both in one uncompressed zip file.

A file is data and nothing else. Loading it builds a graph of ops that fuse knows by name, with checked parameters, and
compiles it; whatever does not look like what ``save`` writes is refused. The arrays are those of constants, of shared
variables and of inputs with values.
"""
from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fuse.compiled import Function
from fuse.config import config
from fuse.errors import FuseTypeError, FuseValueError, origin_text
from fuse.expr import CONSTANT, INPUT, SHARED, Expr, constant, make, toposort, variable
from fuse.frontend.loops import Body
from fuse.frontend.shared import Container, SharedVariable, shared_leaf
from fuse.mode import Mode, NanGuard
from fuse.op import OPS, by_name
from fuse.signature import In, Signature
from fuse.types import TensorType

Array = Any
FORMAT, VERSION = "fuse function", 1
TEXTS = {("assert", "msg"), ("loop", "label")}  # ops and parameters that are for people to read, in any words
_WORD = re.compile(r"[\w.+\-]{0,100}", re.ASCII)  # strings in parameters of ops name axes, dtypes, sides and the like


class _Unknown(FuseTypeError):
    """Something that has no description as data."""


# ---------------------------------------------------------------- plain data
def _data(value: Any) -> Any:
    """A parameter of an op for JSON; tuples are lists, complex numbers dicts."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str) and not _WORD.fullmatch(value):
        raise _Unknown(f"text {value!r:.40}")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is tuple:
        return [_data(v) for v in value]
    if type(value) is complex:
        return {"complex": [value.real, value.imag]}
    raise _Unknown(type(value).__name__)


def _undata(value: Any) -> Any:
    if isinstance(value, list):
        return tuple([_undata(v) for v in value])
    if isinstance(value, dict):
        real, imaginary = value["complex"]
        return complex(float(real), float(imaginary))
    return _word(value) if isinstance(value, str) else value


def _word(value: str) -> str:
    if not _WORD.fullmatch(value):
        raise ValueError(f"the parameter {value!r:.60}")
    return value


def _type(data: Any) -> TensorType:
    dtype, shape = data
    if not isinstance(dtype, str) or not all(n is None or type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"the type {data!r:.60}")
    return TensorType(dtype, shape)


def _mode_data(mode: Mode) -> dict[str, Any]:
    check: Any = mode.check
    if isinstance(check, NanGuard):
        check = [check.nan_is_error, check.inf_is_error, check.big_is_error]
    if not isinstance(mode.linker, str) or not (check is None or isinstance(check, (str, list))):
        raise FuseTypeError(f"the mode {mode!r:.80} cannot be saved: its linker or check is an object")
    tags = sorted(mode.tags)
    return {"linker": mode.linker, "optimizer": mode.optimizer, "name": mode.name, "check": check, "tags": tags}


def _mode(data: Mapping[str, Any]) -> Mode:
    check = data["check"]
    if isinstance(check, list):
        check = NanGuard(*[bool(c) for c in check])
    return Mode(data["linker"], data["optimizer"], _text(data["name"]), check, frozenset(map(str, data["tags"])))


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"a name is a string, not {value!r:.40}")
    return value


# ---------------------------------------------------------------- writing
class _Writer:
    """Gathers nodes and arrays; each node is described once, arguments before what uses them."""

    def __init__(self, arrays: list[Array] | None = None) -> None:
        self.nodes: list[Any] = []
        self.arrays: list[Array] = [] if arrays is None else arrays
        self.index: dict[Expr, int] = {}
        self.cells: dict[int, int] = {}

    def array(self, value: Array) -> int:
        self.arrays.append(np.asarray(value))
        return len(self.arrays) - 1

    def add(self, roots: Sequence[Expr]) -> list[int]:
        """The numbers of ``roots``."""
        for node in toposort(roots, known=set(self.index)):
            if node not in self.index:
                self.nodes.append(self.described(node))
                self.index[node] = len(self.nodes) - 1
        return [self.index[r] for r in roots]

    def described(self, node: Any) -> list[Any]:
        type_ = [node.type.dtype, list(node.type.shape)] if isinstance(node.type, TensorType) else None
        if node.op is INPUT:
            return ["input", type_, node.name]
        if node.op is CONSTANT:
            return ["constant", self.array(node.data), node.name]
        if node.op is SHARED:
            key = id(node.container)
            if key not in self.cells:
                self.cells[key] = self.array(node.container.array)
            return ["shared", type_, node.name, self.cells[key], bool(node.strict), node.allow_downcast]
        name = node.op.name
        where = f"{name}, used at {origin_text(node.origin)}"
        if OPS.get(name) is not node.op:
            raise FuseTypeError(f"the function cannot be saved: {where}, is not an op of fuse's own; use pickle for it")
        try:
            params = {k: self.param((name, k), v) for k, v in node.params.items()}
        except _Unknown as error:
            raise FuseTypeError(f"the function cannot be saved: {where}, holds a {error}; use pickle for it") from None
        return ["op", name, [self.index[a] for a in node.args], params, node.name]

    def param(self, place: tuple[str, str], value: Any) -> Any:
        if isinstance(value, Body):
            return self.body(value)
        return value if place in TEXTS and isinstance(value, str) else _data(value)

    def body(self, body: Body) -> dict[str, Any]:
        """What a loop repeats: a graph of its own."""
        inner = _Writer(self.arrays)
        places = inner.add([*body.inputs, *body.outputs])
        counts = [len(body.sequences), len(body.states), len(body.ys), body.until is not None]
        count = len(body.inputs)
        return {"nodes": inner.nodes, "inputs": places[:count], "outputs": places[count:], "counts": counts}

    def default_updates(self) -> list[list[int]]:
        """Pairs (shared variable, its default update); these may need further shared variables."""
        found: dict[int, int] = {}
        known = 0
        while known < len(self.index):
            new = [n for n in list(self.index)[known:] if n.op is SHARED and n.default_update is not None]
            known = len(self.index)
            for node in new:
                found[self.index[node]] = self.add([node.default_update])[0]
        return [[k, v] for k, v in found.items()]


def save(function: Function, path: Any) -> None:
    """Write ``function`` to a file (a path or a binary file object); see ``Function.save``."""
    graph = function.maker.signature
    if graph.overwritten:
        raise FuseTypeError("a function whose ops in place leave their value in arguments cannot be saved: use pickle")
    writer = _Writer()
    inputs = []
    for item, leaf, cell in zip(graph.inputs, graph.leaves, function.input_storage, strict=True):
        place, own = writer.add([item.variable, leaf])
        inputs.append({
            "variable": place, "leaf": own, "name": item.name, "strict": bool(item.strict),
            "mutable": bool(item.mutable), "allow_downcast": item.allow_downcast,
            "value": None if cell.value is None else writer.array(cell.value),
            "update": None if item.update is None else writer.add([item.update])[0],
        })
    header = {
        "format": FORMAT, "version": VERSION, "nodes": writer.nodes, "inputs": inputs,
        "outputs": writer.add(graph.outputs), "keys": graph.keys, "shape": graph.shape,
        "updates": [writer.add(pair) for pair in graph.updates], "default_updates": writer.default_updates(),
        "mode": _mode_data(function.maker.mode), "name": function.name, "profile": function.profile is not None,
        "trust_input": bool(function.trust_input),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr("function.json", json.dumps(header))
        for number, value in enumerate(writer.arrays):
            data = io.BytesIO()
            np.lib.format.write_array(data, value, allow_pickle=False)
            file.writestr(f"{number}.npy", data.getvalue())


# ---------------------------------------------------------------- reading
class _Reader:
    """Builds the nodes of a file again: new inputs, new shared variables."""

    def __init__(self, file: zipfile.ZipFile, header: Mapping[str, Any]) -> None:
        self.file = file
        self.cells: dict[int, Container] = {}
        self.nodes: list[Expr] = []
        for entry in header["nodes"]:
            kind, *rest = entry
            self.nodes.append(_KINDS[kind](self, *rest))

    def at(self, index: Any) -> Expr:
        if type(index) is not int or not 0 <= index < len(self.nodes):
            raise ValueError(f"there is no node {index!r:.40}")
        return self.nodes[index]

    def array(self, number: Any) -> Array:
        if type(number) is not int:
            raise ValueError(f"there is no array {number!r:.40}")
        info = self.file.getinfo(f"{number}.npy")
        value = np.lib.format.read_array(io.BytesIO(_stored(self.file, info)), allow_pickle=False)
        if value.dtype.kind not in "biufc":
            raise ValueError(f"an array of {value.dtype}")
        return value

    def input(self, type_: Any, name: Any) -> Expr:
        return variable(_type(type_), _text(name))

    def constant(self, number: Any, name: Any) -> Expr:
        return constant(self.array(number), name=_text(name))

    def shared(self, type_: Any, name: Any, number: Any, strict: Any, allow_downcast: Any) -> Expr:
        found = _type(type_)
        if number not in self.cells:
            self.cells[number] = Container(found.filter(self.array(number), strict=True))
        cell = self.cells[number]
        found.filter(cell.array, strict=True)
        downcast = None if allow_downcast is None else bool(allow_downcast)
        return shared_leaf(found, _text(name), cell, bool(strict), downcast)

    def op(self, name: str, args: list[Any], params: dict[str, Any], label: Any) -> Expr:
        op = by_name(name)
        if op.kind == "leaf" or op.nargs is not None and len(args) != op.nargs:
            raise ValueError(f"{name} of {len(args)} operands")
        given = {_word(k): self.param((name, k), v) for k, v in params.items()}
        node = make(op, tuple([self.at(a) for a in args]), given)
        if node.name is None:
            node.name = _text(label)
        return node

    def param(self, place: tuple[str, str], value: Any) -> Any:
        if place in TEXTS and isinstance(value, str):
            return value
        if not isinstance(value, dict) or "nodes" not in value:
            return _undata(value)
        inner = _Reader(self.file, value)
        ins, outs = [inner.at(i) for i in value["inputs"]], [inner.at(o) for o in value["outputs"]]
        if any(n.op is SHARED for n in inner.nodes) or {n for n in toposort(outs) if n.op is INPUT} - set(ins):
            raise ValueError("a loop that reads what it does not have")
        a, b, c, has_until = value["counts"]
        if not (a >= 0 and b >= 0 and c >= 0 and a + b <= len(ins) and b + c + bool(has_until) == len(outs)):
            raise ValueError("a loop with other numbers of inputs and outputs")
        until = outs[-1] if has_until else None
        return Body(ins[:a], ins[a:a + b], ins[a + b:], outs[:b], outs[b:b + c], until)


_KINDS: dict[str, Any] = {
    "input": _Reader.input, "constant": _Reader.constant, "shared": _Reader.shared, "op": _Reader.op,
}


def _stored(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The bytes of a member; only uncompressed ones, so that a small file cannot become a large one."""
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise ValueError("a compressed member")
    return file.read(info)


def load(path: Any) -> Function:
    """The function that ``f.save(path)`` wrote, compiled again (from the kernel cache, as a rule).

    It gives the same bits. Its shared variables are new ones (``f.get_shared()``, ``f["name"]``) with the values and
    names that they had. The file is data: nothing of it is executed, and FuseValueError is raised where it is not what
    ``save`` writes; a file of a later version of fuse says so.

    >>> import os, tempfile, fuse, fuse.tensor as T
    >>> x, total = T.dvector("x"), fuse.shared(0.0, name="total")
    >>> f = fuse.function([x], {"double": 2 * x}, updates={total: total + x.sum()})
    >>> path = os.path.join(tempfile.mkdtemp(), "model.fuse")
    >>> f.save(path)
    >>> again = load(path)
    >>> again([1.0, 2.0]), again["total"], total.get_value()
    ({'double': array([2., 4.])}, array(3.), array(0.))
    """
    try:
        with zipfile.ZipFile(path) as file, config.change_flags(compute_test_value="off"):
            header = json.loads(_stored(file, file.getinfo("function.json")))
            if header["format"] != FORMAT:
                raise ValueError("another format")
            version = header["version"]
            if version == VERSION:
                return _function(_Reader(file, header), header)
    except OSError:
        raise
    except Exception as error:  # whatever is wrong in there, the file is what caused it
        text = f"{type(error).__name__}: {error}"
        raise FuseValueError(f"{path} does not hold a function that was saved ({text:.200})") from error
    raise FuseValueError(f"{path} was saved in version {version!r:.20} of the format; this fuse reads {VERSION}")


def _function(reader: _Reader, header: Mapping[str, Any]) -> Function:
    ins, leaves = [], []
    for item in header["inputs"]:
        value, update, downcast = item["value"], item["update"], item["allow_downcast"]
        found = In(
            reader.at(item["variable"]), name=_text(item["name"]), strict=bool(item["strict"]),
            value=None if value is None else reader.array(value), mutable=bool(item["mutable"]),
            update=None if update is None else reader.at(update),
            allow_downcast=None if downcast is None else bool(downcast),
        )
        found.name = _text(item["name"])
        ins.append(found)
        leaves.append(reader.at(item["leaf"]))
    if any(leaf.op is not INPUT for leaf in leaves) or len(set(leaves)) < len(leaves):
        raise ValueError("an input that is none")
    for target, value in header["default_updates"]:
        _shared(reader, target).default_update = reader.at(value)
    outputs = tuple([reader.at(o) for o in header["outputs"]])
    updates = tuple([(_shared(reader, t), reader.at(v)) for t, v in header["updates"]])
    for target, value in updates:
        if target.type.dtype != value.type.dtype or target.type.ndim != value.type.ndim:
            raise ValueError("an update of another type")
    keys, shape = header["keys"], header["shape"]
    if shape not in ("single", "list", "dict", "none") or shape == "single" and len(outputs) != 1:
        raise ValueError("outputs of an unknown kind")
    if shape == "dict":
        keys = tuple([str(k) for k in keys])
        if len(keys) != len(outputs):
            raise ValueError("keys that do not fit the outputs")
    graph = Signature(tuple(ins), tuple(leaves), outputs, keys, shape, updates)
    _check_closed(graph)
    profile, trust = bool(header["profile"]), bool(header["trust_input"])
    return Function(graph, _mode(header["mode"]), _text(header["name"]), profile, trust)


def _shared(reader: _Reader, index: Any) -> SharedVariable:
    found = reader.at(index)
    if not isinstance(found, SharedVariable):
        raise ValueError("an update of what is no shared variable")
    return found


def _check_closed(graph: Signature) -> None:
    """Every input of the graph is among the function's; every result is an array."""
    order = toposort(graph.roots)
    if {n for n in order if n.op is INPUT} - set(graph.leaves):
        raise ValueError("an input that the function does not have")
    if not all(isinstance(root.type, TensorType) for root in graph.roots):
        raise ValueError("an output that is no array")
