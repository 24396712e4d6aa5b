"""bfloat16 as the upper half of the bits of a float32: both ways."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fuse.codegen.scalars import f2i32 as to_bits
    from fuse.codegen.scalars import i2f32 as from_bits

    lower_half = wide = int

CONSTANTS: dict[str, dict[str, Any]] = {
    "uint16": {"from_bits": "i2f32", "lower_half": "int32"}, "float32": {"to_bits": "f2i32", "wide": "int64"},
}


def from_bfloat16(x):
    return from_bits(lower_half(x << 16))


def to_bfloat16(x):
    """The nearest one; of two the even one. Not a number stays that."""
    bits = wide(to_bits(x)) & 0xFFFFFFFF
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return ((bits >> 16) & 0x8000) | 0x7FC0 if x != x else nearest
