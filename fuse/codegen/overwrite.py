"""Inputs that a call may overwrite (``In(mutable=True)``): results take the memory of one, where nothing else would.

The plan says which result could stand in which input; each call looks whether its array is one that may be written to
and shares no memory with anything else that is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuse.codegen.inplace import alike_operands, fails_later
from fuse.codegen.launch import Launcher
from fuse.codegen.region import Region
from fuse.expr import Expr

if TYPE_CHECKING:
    from fuse.codegen.wrapper import Writer


def over_input(writer: Writer, region: Region, position: int, launcher: Launcher, node: Expr) -> str | None:
    """The text of the memory of ``node`` where that may be an input's; such an input serves once."""
    for base in alike_operands(writer, region, position, launcher, node) if writer.mutable else ():
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


def _text(writer: Writer, base: Expr, otherwise: str, shape: str) -> str:
    writer.mutable.discard(base)
    name = writer.env[base]
    test = f"{name}.flags.writeable and fits({name}, {shape}, {writer.apart([base])}, ({name},))"
    return f"{name} if {test} else {otherwise}"
