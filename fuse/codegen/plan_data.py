"""What plans are stored as: values, types, nodes and kernels of a wrapper as plain data for JSON, and back."""

from __future__ import annotations

import base64
import importlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen.native import ArgType
from fuse.codegen.runner import Recipe
from fuse.codegen.taped import TapeRecipe
from fuse.expr import INPUT, SHARED, Constant, Expr
from fuse.op import OPS
from fuse.types import TensorType, TupleType

if TYPE_CHECKING:
    from fuse.codegen.program import Program

Array = Any
ARRAY_LIMIT = 1 << 16  # bytes of a constant that planning made; larger ones are not stored


class Unstorable(Exception):
    """Something that cannot be described as data."""


def data_of(value: Any) -> Any:
    """``value`` for JSON, tuples told from lists; raises Unstorable."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is tuple:
        return {"tuple": [data_of(v) for v in value]}
    if type(value) is complex:
        return {"complex": [value.real, value.imag]}
    raise Unstorable(type(value).__name__)


def undata(value: Any) -> Any:
    if isinstance(value, dict):
        if "tuple" in value:
            return tuple([undata(v) for v in value["tuple"]])
        return complex(*value["complex"])
    return value


def data_of_type(type_: Any) -> Any:
    if isinstance(type_, TensorType):
        return [type_.dtype, list(type_.shape)]
    if isinstance(type_, TupleType):
        return {"tuple": [data_of_type(t) for t in type_.elements]}
    raise Unstorable(type(type_).__name__)


def untype(data: Any) -> Any:
    if isinstance(data, dict):
        return TupleType(tuple([untype(t) for t in data["tuple"]]))
    return TensorType(data[0], data[1])


# ---------------------------------------------------------------- what a scope holds
class Describer:
    """Describes values of a wrapper's scope as data, in terms of the formulas as the user wrote them."""

    def __init__(self, program: Program, order: Sequence[Expr]) -> None:
        self.inputs = {v: i for i, v in enumerate(program.inputs)}
        self.index = {node: i for i, node in enumerate(order)}
        self.cells = {id(n.container): i for i, n in enumerate(order) if n.op is SHARED}
        self.constants = {id(n.data): i for i, n in enumerate(order) if isinstance(n, Constant)}
        self.lines = {n.origin: i for i, n in enumerate(order)}

    def __call__(self, value: Any) -> Any:
        made_by = getattr(value, "made_by", None)
        if made_by is not None:
            return ["call", [name_of(made_by[0]), [self(a) for a in made_by[1:]]]]
        if isinstance(value, Expr):
            return ["input", self.inputs[value]] if value in self.inputs else ["node", self.node(value)]
        if isinstance(value, np.dtype):
            return ["dtype", value.name]
        if isinstance(value, np.ndarray):
            if id(value) in self.constants:
                return ["constant", self.constants[id(value)]]
            return ["array", data_of_array(value)]
        if id(value) in self.cells:
            return ["shared", self.cells[id(value)]]
        if type(value) is list and not value:
            return ["list", None]
        if callable(value):
            return ["name", name_of(value)]
        return ["data", data_of(value)]

    def node(self, node: Expr) -> Any:
        """What a call at run time reads of its node: op, parameters, types, and the user's line."""
        if OPS.get(node.op.name) is not node.op:
            raise Unstorable(node.op.name)
        params = [(k, data_of(v)) for k, v in node.params.items()]
        types = [data_of_type(a.type) for a in node.args]
        return [node.op.name, params, data_of_type(node.type), types, self.lines.get(node.origin)]


def stub(data: Any, order: Sequence[Expr]) -> Expr:
    """A node to be read by a call at run time: its arguments are only types."""
    name, params, type_, types, line = data
    origin = None if line is None else order[line].origin
    args = tuple([bare(INPUT, (), {}, untype(t), None) for t in types])
    return bare(OPS[name], args, {k: undata(v) for k, v in params}, untype(type_), origin)


def bare(op: Any, args: tuple[Expr, ...], params: dict[str, Any], type_: Any, origin: Any) -> Expr:
    node = object.__new__(Expr)
    node.op, node.args, node.params, node.type = op, args, MappingProxyType(params), type_
    node.origin, node.name, node._tag, node._cache = origin, None, None, None
    return node


def name_of(value: Any) -> list[str]:
    """Module and qualified name under which ``value`` is imported."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if module is None or name is None or module.split(".")[0] not in ("fuse", "numpy", "builtins"):
        raise Unstorable(repr(value))
    try:
        if named(module, name) is not value:
            raise Unstorable(repr(value))
    except (AttributeError, ImportError):
        raise Unstorable(repr(value)) from None
    return [module, name]


def named(module: str, name: str) -> Any:
    if module.split(".")[0] not in ("fuse", "numpy", "builtins"):
        raise ValueError(module)
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def data_of_array(value: Array) -> list[Any]:
    if value.nbytes > ARRAY_LIMIT or value.dtype.hasobject:
        raise Unstorable("a large array")
    return [value.dtype.name, list(value.shape), base64.b64encode(value.tobytes()).decode()]


def array_of(dtype: str, shape: list[int], text: str) -> Array:
    value = np.frombuffer(base64.b64decode(text), dtype).reshape(shape)
    value.flags.writeable = False
    return value


# ---------------------------------------------------------------- kernels
def data_of_types(argtypes: Sequence[ArgType]) -> list[Any]:
    return [[a.dtype, a.ndim, a.writable] for a in argtypes]


def types_of(data: Sequence[Any]) -> tuple[ArgType, ...]:
    return tuple([ArgType(*t) for t in data])


def data_of_recipe(r: Recipe) -> dict[str, Any]:
    data: dict[str, Any] = {
        "key": r.key, "text": r.text, "entry": r.entry, "types": data_of_types(r.argtypes), "scratch": r.scratch,
    }
    if r.tape is not None:
        t = r.tape
        steps = [[key, text, data_of_types(argtypes)] for key, text, argtypes in t.steps]
        constants = [[dtype, data_of(value)] for dtype, value in t.constants]
        data["tape"] = [steps, t.code, t.registers, t.width, constants, t.slots]
    return data


def recipe_of(data: Mapping[str, Any]) -> Recipe:
    scratch = tuple([(dtype, tuple([(k, d) for k, d in sizes])) for dtype, sizes in data["scratch"]])
    tape = None
    if "tape" in data:
        steps, code, registers, width, constants, slots = data["tape"]
        steps = tuple([(key, text, types_of(types)) for key, text, types in steps])
        constants = tuple([(dtype, undata(value)) for dtype, value in constants])
        tape = TapeRecipe(steps, tuple(code), registers, width, constants, slots)
    return Recipe(data["key"], data["text"], data["entry"], types_of(data["types"]), scratch, tape)
