"""Members of numba's structures as LLVM values: numba's own way puts each structure in memory, which LLVM has to undo.

A kernel unpacks its arrays at each load and store, and LLVM spent half its time on such memory.
"""
from __future__ import annotations

from typing import Any

from llvmlite import ir


def member(context: Any, builder: Any, type_: Any, value: Any, name: str) -> Any:
    """The member ``name`` of a structure of numba's type ``type_``; what was put in there is at hand."""
    return extracted(builder, value, context.data_model_manager[type_].get_field_position(name))


def extracted(builder: Any, value: Any, position: int) -> Any:
    """Element ``position`` of an LLVM structure or array."""
    inner = value
    while isinstance(inner, ir.instructions.InsertValue):
        if list(inner.indices) == [position]:
            return inner.value
        if inner.indices[0] == position:
            break
        inner = inner.aggregate
    return builder.extract_value(value, position)


def elements(builder: Any, value: Any) -> list[Any]:
    """All elements of an LLVM structure or array."""
    return [extracted(builder, value, k) for k in range(len(value.type))]


def structure(context: Any, builder: Any, type_: Any, **members: Any) -> Any:
    """A structure of numba's type ``type_`` with all its members."""
    model = context.data_model_manager[type_]
    return changed(context, builder, type_, model.get_value_type()(ir.Undefined), **members)


def changed(context: Any, builder: Any, type_: Any, value: Any, **members: Any) -> Any:
    """The structure ``value`` with other members."""
    model = context.data_model_manager[type_]
    for name, part in members.items():
        value = builder.insert_value(value, part, model.get_field_position(name))
    return value
