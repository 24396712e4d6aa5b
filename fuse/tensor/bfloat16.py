"""bfloat16 as bits: `from_bfloat16` and `to_bfloat16` in formulas, `bfloat16_bits` for arrays that come in."""
from __future__ import annotations

from typing import Any

import numpy as np

from fuse.frontend.bfloat16 import from_bfloat16, to_bfloat16


def bfloat16_bits(array: Any) -> Any:
    """The bits, uint16, of an array of bfloat16, where they are: what functions take for it.

    ``array`` is one of ml_dtypes, PyTorch, JAX or CuPy, on the host or on a GPU; no copy is made. Of an array on the
    host a NumPy array comes. Back: ``bits.view("bfloat16")`` of ml_dtypes, ``torch.from_dlpack(bits)`` and its
    ``view(torch.bfloat16)``. Raises DTypeError for arrays of other dtypes.

    >>> bits = bfloat16_bits(np.array([0x3FC0], "uint16").view("V2"))  # as ml_dtypes keeps it
    >>> from_bfloat16(bits).eval()
    array([1.5], dtype=float32)
    """
    from fuse.codegen.foreign import bits_of_bfloat16

    return bits_of_bfloat16(array)


__all__ = ["bfloat16_bits", "from_bfloat16", "to_bfloat16"]
