"""Inputs that a call may overwrite (``In(mutable=True)``): results take the memory of one, where nothing else would.

The plan says which result could stand in which input; each call looks whether its array is one that may be written to
and shares no memory with anything else that is read. New values of shared variables stay out of it: the user has the
array, and may fill it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen.inplace import alike_operands, fails_later
from fuse.codegen.launch import Launcher
from fuse.codegen.region import Region
from fuse.expr import Expr

if TYPE_CHECKING:
    from fuse.codegen.wrapper import Writer


def over_input(writer: Writer, region: Region, position: int, launcher: Launcher, node: Expr) -> str | None:
    """The text of the memory of ``node`` where that may be an input's; such an input serves once."""
    if not writer.mutable or node in writer.results[len(writer.program.outputs) :]:
        return None
    for base in alike_operands(writer, region, position, launcher, node):
        if base in writer.mutable:
            return _text(writer, base, writer.empty_text(node), writer.shape_text(node))
    return None


def changed_input(writer: Writer, base: Expr, position: int, launcher: Launcher | None) -> str | None:
    """The text of an input that a store may change as it is, or of a copy."""
    if base not in writer.mutable or writer.last_use.get(base) != position or fails_later(writer, position):
        return None
    if launcher is not None and base in launcher.bases:
        return None
    name = writer.env[base]
    return _text(writer, base, f"copied({name})", f"{name}.shape")


def kept_text(writer: Writer, name: str) -> str:
    """The text of a new value of a shared variable: a copy where it was made in an input, one step over another."""
    inputs = [writer.program.inputs[k] for k in writer.program.overwrites]
    overwritten = [writer.env[base] for base in inputs if base not in writer.mutable]
    return f"outside({', '.join([name, *overwritten])})" if overwritten else name


def outside(array: Any, *inputs: Any) -> Any:
    """``array``, or a copy where it is in the memory of one of the ``inputs``."""
    return array.copy() if any(np.may_share_memory(array, x) for x in inputs) else array


def _text(writer: Writer, base: Expr, otherwise: str, shape: str) -> str:
    writer.mutable.discard(base)
    name = writer.env[base]
    test = f"{name}.flags.writeable and fits({name}, {shape}, {writer.apart([base])}, ({name},))"
    return f"{name} if {test} else {otherwise}"
