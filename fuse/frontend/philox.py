"""philox: the counter-based random generator Philox4x32-10 as an elementwise op.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The draw at position i is a pure
function of (i, key, count): there is no state to carry through a loop, so a draw fuses into any kernel and is the same
for any chunking, number of threads and device.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from fuse.op import DISCONNECTED, elementwise

MULTIPLY_0, MULTIPLY_1 = 0xD2511F53, 0xCD9E8D57
BUMP_0, BUMP_1 = 0x9E3779B9, 0xBB67AE85  # golden ratio and sqrt(3) - 1, as the key schedule wants
LOW = 0xFFFFFFFF


def _all_uint64(*dtypes: str, **_: Any) -> tuple[tuple[str, ...], str]:
    return ("uint64",) * len(dtypes), "uint64"


def philox4x32(counter: Any, key: Any) -> Any:
    """Ten rounds on counters of four and keys of two 32-bit words, arrays (4, ...) and (2, ...): four words.

    >>> [hex(word) for word in philox4x32(np.zeros(4, "uint32"), np.zeros(2, "uint32"))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c = np.array(counter, dtype=np.uint32)
    k = np.array(key, dtype=np.uint32)
    multipliers = (np.uint64(MULTIPLY_0), np.uint64(MULTIPLY_1))
    for _ in range(10):
        first, second = c[0] * multipliers[0], c[2] * multipliers[1]
        high = [(p >> np.uint64(32)).astype(np.uint32) for p in (first, second)]
        c = np.stack([
            high[1] ^ c[1] ^ k[0], second.astype(np.uint32), high[0] ^ c[3] ^ k[1], first.astype(np.uint32),
        ])
        k = k + np.array([BUMP_0, BUMP_1], dtype=np.uint32).reshape(2, *[1] * (k.ndim - 1))
    return c


def _reference(position: Any, key: Any, count: Any, half: int) -> Any:
    position, key, count = np.broadcast_arrays(position, key, count)
    with np.errstate(over="ignore"):
        words = philox4x32(_words(position) + _words(count), _words(key)).astype(np.uint64)
    low, high = (words[0], words[1]) if half == 0 else (words[2], words[3])
    return low | high << np.uint64(32)


def _words(value: Any) -> list[Any]:
    return [(value & np.uint64(LOW)).astype(np.uint32), (value >> np.uint64(32)).astype(np.uint32)]


# The words are held in 64 bits: a product of two fits exactly, and nothing else overflows.
@elementwise(
    name="philox", dtype=_all_uint64, numpy=_reference, grad=(DISCONNECTED,) * 3, ufunc=False, builtin=True,
    meta={"params": ("half",), "examples": ({"half": 0}, {"half": 1}), "cost": 60},
)
def philox(position, key, count, half):
    """64 random bits for (position, key, count), each a uint64: half 0 or 1 of the 128 that Philox4x32-10 makes.

    ``position`` is the low, ``count`` the high half of the counter.
    """
    c0 = position & LOW
    c1 = position >> 32
    c2 = count & LOW
    c3 = count >> 32
    k0 = key & LOW
    k1 = key >> 32
    a = c0 * MULTIPLY_0
    b = c2 * MULTIPLY_1
    c0 = (b >> 32) ^ c1 ^ k0
    c1 = b & LOW
    c2 = (a >> 32) ^ c3 ^ k1
    c3 = a & LOW
    k0 = (k0 + BUMP_0) & LOW
    k1 = (k1 + BUMP_1) & LOW
    a = c0 * MULTIPLY_0
    b = c2 * MULTIPLY_1
    c0 = (b >> 32) ^ c1 ^ k0
    c1 = b & LOW
    c2 = (a >> 32) ^ c3 ^ k1
    c3 = a & LOW
    k0 = (k0 + BUMP_0) & LOW
    k1 = (k1 + BUMP_1) & LOW
    a = c0 * MULTIPLY_0
    b = c2 * MULTIPLY_1
    c0 = (b >> 32) ^ c1 ^ k0
    c1 = b & LOW
    c2 = (a >> 32) ^ c3 ^ k1
    c3 = a & LOW
    k0 = (k0 + BUMP_0) & LOW
    k1 = (k1 + BUMP_1) & LOW
    a = c0 * MULTIPLY_0
    b = c2 * MULTIPLY_1
    c0 = (b >> 32) ^ c1 ^ k0
    c1 = b & LOW
    c2 = (a >> 32) ^ c3 ^ k1
    c3 = a & LOW
    k0 = (k0 + BUMP_0) & LOW
    k1 = (k1 + BUMP_1) & LOW
    a = c0 * MULTIPLY_0
    b = c2 * MULTIPLY_1
    c0 = (b >> 32) ^ c1 ^ k0
    c1 = b & LOW
    c2 = (a >> 32) ^ c3 ^ k1
    c3 = a & LOW
    k0 = (k0 + BUMP_0) & LOW
    k1 = (k1 + BUMP_1) & LOW
    a = c0 * MULTIPLY_0
    b = c2 * MULTIPLY_1
    c0 = (b >> 32) ^ c1 ^ k0
    c1 = b & LOW
    c2 = (a >> 32) ^ c3 ^ k1
    c3 = a & LOW
    k0 = (k0 + BUMP_0) & LOW
    k1 = (k1 + BUMP_1) & LOW
    a = c0 * MULTIPLY_0
    b = c2 * MULTIPLY_1
    c0 = (b >> 32) ^ c1 ^ k0
    c1 = b & LOW
    c2 = (a >> 32) ^ c3 ^ k1
    c3 = a & LOW
    k0 = (k0 + BUMP_0) & LOW
    k1 = (k1 + BUMP_1) & LOW
    a = c0 * MULTIPLY_0
    b = c2 * MULTIPLY_1
    c0 = (b >> 32) ^ c1 ^ k0
    c1 = b & LOW
    c2 = (a >> 32) ^ c3 ^ k1
    c3 = a & LOW
    k0 = (k0 + BUMP_0) & LOW
    k1 = (k1 + BUMP_1) & LOW
    a = c0 * MULTIPLY_0
    b = c2 * MULTIPLY_1
    c0 = (b >> 32) ^ c1 ^ k0
    c1 = b & LOW
    c2 = (a >> 32) ^ c3 ^ k1
    c3 = a & LOW
    k0 = (k0 + BUMP_0) & LOW
    k1 = (k1 + BUMP_1) & LOW
    a = c0 * MULTIPLY_0
    b = c2 * MULTIPLY_1
    c0 = (b >> 32) ^ c1 ^ k0
    c1 = b & LOW
    c2 = (a >> 32) ^ c3 ^ k1
    c3 = a & LOW
    return (c1 << 32 | c0) if half == 0 else (c3 << 32 | c2)


__all__ = ["philox", "philox4x32"]
