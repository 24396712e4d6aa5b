"""Theano's ``configdefaults``: the flags, and how wide Python's and the machine's integers are."""
from __future__ import annotations

import struct

from fuse.config import config as config


def local_bitwidth() -> int:
    """The bits of an address: 32 or 64.

    >>> local_bitwidth() in (32, 64)
    True
    """
    return struct.calcsize("P") * 8


def python_int_bitwidth() -> int:
    """The bits of the integers that Python's numbers become where no dtype is said: 64.

    >>> python_int_bitwidth()
    64
    """
    return 64


LOCAL_BITWIDTH, PYTHON_INT_BITWIDTH = local_bitwidth(), python_int_bitwidth()

__all__ = ["LOCAL_BITWIDTH", "PYTHON_INT_BITWIDTH", "config", "local_bitwidth", "python_int_bitwidth"]
