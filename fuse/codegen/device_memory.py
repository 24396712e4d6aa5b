"""Copies straight by the driver's functions, for the device of numba-cuda.

numba-cuda's own take slices and views of its arrays, which are made anew for each call and take hundreds of
microseconds; the driver wants addresses. Where ``cuda.bindings`` is not there, or another provider's, copies are
numba-cuda's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np


class Span:
    """Part of a block of memory: ``size`` elements of ``dtype`` from ``address`` on."""

    __slots__ = ("address", "block", "dtype", "nbytes", "size", "start")

    def __init__(self, block: Any, address: int, start: int, dtype: np.dtype[Any], size: int) -> None:
        self.block, self.address, self.start = block, address + start, start
        self.dtype, self.size, self.nbytes = dtype, size, size * dtype.itemsize

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def array(self) -> Any:
        """As numba-cuda has it."""
        return self.block[self.start : self.start + self.nbytes].view(self.dtype)

    def __getitem__(self, at: slice) -> Span:
        low, high, _ = at.indices(self.size)
        item = self.dtype.itemsize
        return Span(self.block, self.address - self.start, self.start + low * item, self.dtype, max(high - low, 0))


class Driver:
    """The driver's copies on the stream ``handle``, of which 0 is the default one.

    What the driver refuses raises RuntimeError with its name for that.
    """

    def __init__(self, handle: int) -> None:
        from cuda.bindings import driver

        self.driver, self.handle = driver, handle

    def done(self, found: Any) -> None:
        """Raise where the driver refuses."""
        if found[0]:
            raise RuntimeError(f"the driver says {found[0].name}")

    def write(self, target: Span, array: np.ndarray[Any, Any]) -> None:
        """Copy an array of the host, which may change once this has returned."""
        if self.handle:
            self.send(target, array)
            self.wait()
        else:
            self.done(self.driver.cuMemcpyHtoD(target.address, _address(array), target.nbytes))

    def read(self, source: Span, target: np.ndarray[Any, Any]) -> None:
        """Copy to the host, behind all that is launched."""
        if self.handle:
            self.fetch(source, target)
            self.wait()
        else:
            self.done(self.driver.cuMemcpyDtoH(_address(target), source.address, source.nbytes))

    def send(self, target: Span, array: np.ndarray[Any, Any]) -> None:
        """Begin to copy page-locked memory to the device."""
        self.done(self.driver.cuMemcpyHtoDAsync(target.address, _address(array), target.nbytes, self.handle))

    def fetch(self, source: Span, array: np.ndarray[Any, Any]) -> None:
        """Begin to copy to page-locked memory."""
        self.done(self.driver.cuMemcpyDtoHAsync(_address(array), source.address, source.nbytes, self.handle))

    def wait(self) -> None:
        """Wait until everything on the stream has passed."""
        self.done(self.driver.cuStreamSynchronize(self.handle))

    def copy(self, target: Span, source: Span) -> None:
        """Begin to copy on the device."""
        self.done(self.driver.cuMemcpyDtoDAsync(target.address, source.address, target.nbytes, self.handle))

    def clear(self, target: Span) -> None:
        """Begin to zero every byte."""
        self.done(self.driver.cuMemsetD8Async(target.address, 0, target.nbytes, self.handle))


def _address(array: Any) -> int:
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # a third of the time of the other way
    except (TypeError, ValueError):  # of arrays that nobody may write to, or without elements
        return int(array.__array_interface__["data"][0])


def driver_of(handle: int, agrees: Callable[[Driver], bool]) -> Driver | None:
    """The driver's copies on a stream; None where there are none, or a first one goes wrong."""
    try:
        found = Driver(handle)
        return found if agrees(found) else None
    except Exception:
        return None
