"""What the processor has: the size of its largest cache, as the system tells it."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path

USUAL = 32 << 20  # bytes, where the system does not tell
SMALLEST, LARGEST = 4 << 20, 256 << 20  # what is believed
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@cache
def cache_bytes() -> int:
    """Bytes of the last cache before memory; several cores may share it.

    >>> SMALLEST <= cache_bytes() <= LARGEST
    True
    """
    try:
        found = _windows() if sys.platform == "win32" else _macos() if sys.platform == "darwin" else _linux()
    except (OSError, AttributeError, ValueError):
        found = 0
    return min(max(found, SMALLEST), LARGEST) if found else USUAL


def _linux(root: str = "/sys/devices/system/cpu/cpu0/cache") -> int:
    texts = [path.read_text().strip() for path in Path(root).glob("index*/size")]
    return max([int(t.rstrip("KMG")) * _UNITS.get(t[-1:], 1) for t in texts], default=0)


def _macos() -> int:
    library = ctypes.CDLL(None)
    sizes = []
    for name in ("hw.l3cachesize", "hw.perflevel0.l2cachesize", "hw.l2cachesize"):
        value, length = ctypes.c_int64(0), ctypes.c_size_t(8)
        if library.sysctlbyname(name.encode(), ctypes.byref(value), ctypes.byref(length), None, 0) == 0:
            sizes.append(value.value)
    return max(sizes, default=0)


def _windows() -> int:
    class Information(ctypes.Structure):  # SYSTEM_LOGICAL_PROCESSOR_INFORMATION
        _fields_ = [("mask", ctypes.c_size_t), ("relationship", ctypes.c_int), ("level", ctypes.c_uint8),
                    ("associativity", ctypes.c_uint8), ("line", ctypes.c_uint16), ("size", ctypes.c_uint32),
                    ("kind", ctypes.c_int), ("rest", ctypes.c_uint8 * 4)]

    ask = ctypes.windll.kernel32.GetLogicalProcessorInformation  # type: ignore[attr-defined]
    length = ctypes.c_uint32(0)
    ask(None, ctypes.byref(length))
    table = (Information * (length.value // ctypes.sizeof(Information)))()
    ask(table, ctypes.byref(length))
    return max([entry.size for entry in table if entry.relationship == 2], default=0)
