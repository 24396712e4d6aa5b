"""DeviceArray: an array in a GPU's memory. Views cost nothing; reading it as a NumPy array copies it to the host."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np

from fuse.codegen import device
from fuse.codegen.cuda_transfers import LARGE, SMALL, apart
from fuse.errors import DeviceError, DTypeError, ShapeError
from fuse.types import BFLOAT16, DTYPES


class Memory:
    """A block of device memory, which goes back to the pool when the last array on it is gone."""

    __slots__ = ("block", "flat", "on", "owner", "pointer", "read_only", "since", "size", "stream")

    def __init__(
        self, count: int, on: device.Device, pointer: int = 0, owner: Any = None, read_only: bool = False,
        stream: int | None = None, soon: bool = False,
    ) -> None:
        self.on = on
        self.owner = owner  # of memory that is not ours
        self.stream = stream  # on which another library may use it again, once it is gone here
        self.read_only = read_only  # for others, whom it is handed on to: programs write to their own memory only
        self.block: Any = None  # of memory that is not ours, made when it is needed
        self.pointer, self.size = pointer, count
        if owner is None:
            self.block, self.pointer, self.size, self.since = on.take(count, soon)
        self.flat: dict[Any, Any] = {}  # what kernels take, by dtype, first byte and count

    def typed(self, dtype: Any, start: int, count: int) -> Any:
        key = dtype, start, count
        found = self.flat.get(key)
        if found is None:
            if len(self.flat) >= 8:
                self.flat.clear()
            if self.block is None:
                self.block = self.on.wrapped(self.pointer, self.size, self.owner)
            found = self.flat[key] = self.on.typed(self.block, self.pointer, dtype, start, count)
        return found

    def part(self, start: int, count: int, on: Any) -> Memory:
        """``count`` bytes from byte ``start`` on, as memory of the device ``on``."""
        if self.block is None:
            self.block = self.on.wrapped(self.pointer, self.size, self.owner)
        found = Memory(count, on, self.pointer + start, owner=self)
        found.block = self.block[start : start + count]
        return found

    def __del__(self) -> None:
        if self.owner is not None:
            if self.stream is not None and not sys.is_finalizing():
                self.on.lead(self.stream)
        elif getattr(self, "block", None) is not None:
            self.on.give(self.block, self.pointer, self.size)


class DeviceArray:
    """An array on a GPU: ``shape``, ``dtype``, and strides and the place of its first element, in elements.

    ``numpy.asarray`` copies it to the host; other libraries take it as it is (``__cuda_array_interface__``,
    ``__dlpack__``). Basic indexing, ``reshape``, ``transpose`` and ``T`` give views.

    >>> from fuse.codegen import device
    >>> device.simulate()
    >>> x = to_device(np.arange(6.0).reshape(2, 3))
    >>> x.T[1], x.T[1].shape
    (DeviceArray([1., 4.]), (2,))
    """

    __slots__ = ("memory", "dtype", "shape", "steps", "start", "_told")
    __array_priority__ = 100

    def __init__(
        self, memory: Memory, dtype: Any, shape: Sequence[int], steps: Sequence[int] | None = None, start: int = 0
    ) -> None:
        self.memory, self.dtype, self.shape, self.start = memory, np.dtype(dtype), tuple(shape), start
        self.steps = contiguous_steps(self.shape) if steps is None else tuple(steps)
        self._told: tuple[Any, ...] | None = None

    # ------------------------------------------------------------ what it is
    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        return int(self.dtype.itemsize)

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        return tuple([s * self.itemsize for s in self.steps])

    @property
    def is_contiguous(self) -> bool:
        expected = 1
        for n, step in zip(reversed(self.shape), reversed(self.steps), strict=True):
            if n != 1 and step != expected:
                return not self.size
            expected *= n
        return True

    @property
    def layout(self) -> str:
        """As kernels name it: "C", or "S<k>" with unit stride along dimension k (-1: none)."""
        if self.is_contiguous:
            return "C"
        for k in reversed(range(self.ndim)):
            if self.steps[k] == 1:
                return f"S{k}"
        return "S-1"

    @property
    def address(self) -> int:
        """Where the first element is."""
        return int(self.memory.pointer + self.start * self.itemsize)

    @property
    def told(self) -> tuple[Any, ...]:
        """What a launch depends on beside values and addresses: layout, shape, how the address is aligned, strides."""
        if self._told is None:
            layout, aligned = self.layout, self.address % 16
            rest = () if layout == "C" else (self.steps, self.start)
            self._told = (layout, self.shape, aligned, *rest)
        return self._told

    @property
    def place(self) -> tuple[Memory, Any, int, int]:
        """What kernels take: memory, dtype, first byte, count; all of the memory, where it is not contiguous."""
        memory, dtype = self.memory, self.dtype
        if self.told[0] == "C":
            return memory, dtype, self.start * dtype.itemsize, math.prod(self.shape)
        return memory, dtype, 0, memory.size // dtype.itemsize

    def flat(self) -> Any:
        """The elements as copies take them."""
        memory, dtype, start, count = self.place
        return memory.typed(dtype, start, count)

    # ------------------------------------------------------------ views
    def _view(self, shape: Sequence[int], steps: Sequence[int], start: int) -> DeviceArray:
        return DeviceArray(self.memory, self.dtype, shape, steps, start)

    def transpose(self, *axes: Any) -> DeviceArray:
        order = axes[0] if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes or None
        order = tuple(range(self.ndim))[::-1] if order is None else tuple([a % self.ndim for a in order])
        return self._view([self.shape[a] for a in order], [self.steps[a] for a in order], self.start)

    @property
    def T(self) -> DeviceArray:
        return self.transpose()

    def broadcast_to(self, shape: Sequence[int]) -> DeviceArray:
        missing = len(shape) - self.ndim
        steps = [0] * missing + [
            0 if n == 1 and m != 1 else step for n, m, step in zip(self.shape, shape[missing:], self.steps, strict=True)
        ]
        for n, m in zip(self.shape, shape[missing:], strict=True):
            if n not in (1, m):
                raise ShapeError(f"an array of shape {self.shape} cannot be broadcast to {tuple(shape)}")
        return self._view(shape, steps, self.start)

    def reshape(self, *shape: Any) -> DeviceArray:
        """A view where the array is contiguous, else a copy of another shape."""
        wanted = [int(n) for n in (shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)]
        if wanted.count(-1) == 1:
            known = -math.prod(wanted)
            wanted[wanted.index(-1)] = self.size // known if known else 0
        if math.prod(wanted) != self.size or any(n < 0 for n in wanted):
            raise ShapeError(f"an array of shape {self.shape} cannot be reshaped to {tuple(wanted)}")
        base = self if self.is_contiguous else self.copy()
        return DeviceArray(base.memory, self.dtype, wanted, None, base.start)

    def __getitem__(self, index: Any) -> DeviceArray:
        index = index if isinstance(index, tuple) else (index,)
        if any(i is Ellipsis for i in index):
            at = next(k for k, i in enumerate(index) if i is Ellipsis)
            used = sum(i is not None and i is not Ellipsis for i in index)
            index = (*index[:at], *[slice(None)] * (self.ndim - used), *index[at + 1 :])
        shape: list[int] = []
        steps: list[int] = []
        start, d = self.start, 0
        for i in index:
            if i is None:
                shape.append(1)
                steps.append(0)
                continue
            if d >= self.ndim:
                raise IndexError(f"too many indices for an array of {self.ndim} dimensions")
            n, step = self.shape[d], self.steps[d]
            if isinstance(i, slice):
                low, _, by = i.indices(n)
                count = len(range(*i.indices(n)))
                start += low * step if count else 0
                shape.append(count)
                steps.append(step * by)
            else:
                k = int(i)
                if not -n <= k < n:
                    raise IndexError(f"index {k} is out of bounds for axis {d} with size {n}")
                start += (k % n) * step
            d += 1
        return self._view([*shape, *self.shape[d:]], [*steps, *self.steps[d:]], start)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> DeviceArray:
        axis1, axis2 = axis1 % self.ndim, axis2 % self.ndim
        rows, columns = max(-offset, 0), max(offset, 0)
        count = max(min(self.shape[axis1] - rows, self.shape[axis2] - columns), 0)
        rest = [d for d in range(self.ndim) if d not in (axis1, axis2)]
        start = self.start + (rows * self.steps[axis1] + columns * self.steps[axis2] if count else 0)
        return self._view(
            [*[self.shape[d] for d in rest], count],
            [*[self.steps[d] for d in rest], self.steps[axis1] + self.steps[axis2]], start,
        )

    # ------------------------------------------------------------ copies
    def copy(self) -> DeviceArray:
        """A contiguous array of its own."""
        made = empty(self.shape, self.dtype)
        if self.size:
            if self.is_contiguous:
                made.memory.on.copy(made.flat(), self.flat())
            else:
                from fuse.codegen.cuda_launch import copy_into

                copy_into(made, self)
        return made

    def get(self, out: np.ndarray[Any, Any] | None = None) -> np.ndarray[Any, Any]:
        """The values as a NumPy array: ``out`` itself, where that can take them as they come."""
        if out is not None and self.size and self.is_contiguous and out.flags.c_contiguous and out.shape == self.shape:
            self.memory.on.download(self.flat(), out.reshape(-1))
            return out
        if not self.size:
            return np.empty(self.shape, self.dtype)
        if self.is_contiguous:
            return np.asarray(self.memory.on.download(self.flat())).reshape(self.shape)
        low = self.start + sum(min(step * (n - 1), 0) for n, step in zip(self.shape, self.steps, strict=True))
        high = self.start + sum(max(step * (n - 1), 0) for n, step in zip(self.shape, self.steps, strict=True))
        if high - low >= 2 * self.size:
            return self.copy().get()
        span = self.memory.on.download(self.memory.typed(self.dtype, low * self.itemsize, high - low + 1))
        view = np.lib.stride_tricks.as_strided(np.asarray(span)[self.start - low :], self.shape, self.strides)
        return np.array(view)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if copy is False:
            raise ValueError("an array on a GPU cannot be a NumPy array without a copy")
        found = self.get()
        return found if dtype is None else found.astype(dtype, copy=False)

    def item(self) -> Any:
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __bool__(self) -> bool:
        return bool(self.get())

    def __index__(self) -> int:
        if self.ndim or self.dtype.kind not in "iu":
            raise TypeError("only integer scalar arrays can be an index")
        return int(self.get())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without dimensions")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"Device{self.get()!r}".replace("Devicearray", "DeviceArray")

    # ------------------------------------------------------------ other libraries
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        address = self.address if self.size else 0
        return {
            "shape": self.shape, "typestr": self.dtype.str, "data": (address, self.memory.read_only), "version": 3,
            "strides": None if self.is_contiguous else self.strides, "stream": 1,  # where kernels run
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        from fuse.codegen.dlpack import device_of

        return device_of(self)

    def __dlpack__(self, **options: Any) -> Any:
        """A DLPack capsule of the array, which the taker keeps alive."""
        from fuse.codegen.dlpack import capsule

        return capsule(self, **options)


@lru_cache(maxsize=1024)
def contiguous_steps(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a C-contiguous array, in elements."""
    steps: list[int] = []
    count = 1
    for n in reversed(shape):
        steps.append(count)
        count *= int(n)  # shapes that are equal share these
    return tuple(reversed(steps))


def empty(shape: Sequence[int], dtype: Any) -> DeviceArray:
    """A new array with any values."""
    kind = np.dtype(dtype)
    made = DeviceArray(Memory(math.prod(shape) * kind.itemsize, device.current()), kind, shape)
    made._told = ("C", made.shape, made.memory.pointer % 16)
    return made


def to_device(array: Any) -> DeviceArray:
    """A copy of a NumPy array on the device; arrays of other libraries that are there already are not copied."""
    if isinstance(array, DeviceArray):
        return array
    if not isinstance(array, np.ndarray) and hasattr(array, "__cuda_array_interface__"):
        return foreign(array)
    array = np.asarray(array)
    if array.nbytes <= SMALL:
        return _together([array])[0]
    memory = Memory(array.nbytes, device.current(), soon=array.nbytes >= LARGE)
    made = DeviceArray(memory, array.dtype, array.shape)
    memory.on.upload(made.flat(), np.ascontiguousarray(array).reshape(-1), memory.since)
    return made


def all_to_device(arrays: Sequence[np.ndarray[Any, Any]]) -> list[DeviceArray]:
    """Copies of NumPy arrays on the device; small ones share a block of memory, and are one copy."""
    if sum([apart(array.nbytes) for array in arrays]) > SMALL:
        return [to_device(array) for array in arrays]
    return _together(arrays)


def _together(arrays: Sequence[np.ndarray[Any, Any]]) -> list[DeviceArray]:
    """Copies of small NumPy arrays in one block of memory."""
    places = list(accumulate([apart(array.nbytes) for array in arrays], initial=0))
    total = places.pop()
    memory = Memory(total, device.current())
    if total:
        memory.on.upload_all(memory.typed(np.uint8, 0, total), arrays, places)
    made = []
    for array, place in zip(arrays, places, strict=True):
        there = DeviceArray(memory, array.dtype, array.shape, None, place // array.dtype.itemsize)
        there._told = ("C", there.shape, memory.pointer % 16)  # places in a block are at multiples of more
        made.append(there)
    return made


def all_to_host(arrays: Sequence[Any]) -> list[Any]:
    """Arrays on the device as NumPy arrays, for whose small ones the host waits once; anything else as it is."""
    found = list(arrays)
    near = [k for k, a in enumerate(found) if isinstance(a, DeviceArray) and 0 < a.nbytes <= SMALL and a.told[0] == "C"]
    if len(near) > 1 and sum([apart(found[k].nbytes) for k in near]) <= SMALL:
        copied = found[near[0]].memory.on.download_all([found[k].flat() for k in near])
        for k, array in zip(near, copied, strict=True):
            found[k] = array.reshape(found[k].shape)
    return [a.get() if isinstance(a, DeviceArray) else a for a in found]


def is_on_device(value: Any) -> bool:
    """Whether a value is an array in the memory of a GPU, ours or another library's."""
    if type(value) is np.ndarray:
        return False
    return isinstance(value, DeviceArray) or (
        not isinstance(value, (np.ndarray, np.generic, int, float)) and hasattr(value, "__cuda_array_interface__")
    )


def foreign(array: Any) -> DeviceArray:
    """An array of another library, where it stands. Raises DTypeError for what fuse has no dtype for.

    Raises DeviceError for an array on another GPU than the one that the process works on.
    """
    on = device.current()
    told = array.__cuda_array_interface__
    if hasattr(array, "__dlpack_device__"):
        _, number = array.__dlpack_device__()
        if number != on.index:
            raise DeviceError(
                f"an array on GPU {int(number)}, where this process works on GPU {on.index}: copy it there with the "
                "library that made it, or choose the GPU by CUDA_VISIBLE_DEVICES"
            )
    kind = np.dtype(told["typestr"])
    if kind.name not in DTYPES or not kind.isnative:
        what = "bfloat16, or another type of two bytes" if kind.str[1:] == "V2" else "a dtype that fuse does not have"
        hint = BFLOAT16 if kind.str[1:] == "V2" else "convert it with the library that made it"
        raise DTypeError(f"an array on a GPU with elements {told['typestr']!r}, {what}: {hint}")
    if told.get("mask") is not None:
        raise DTypeError("a masked array has no meaning in a compiled function; fill it first")
    stream = told.get("stream")
    if stream is not None:  # what computes it on another stream may not have ended
        on.follow(int(stream))
    elif not on.simulated and hasattr(array, "__dlpack__"):  # PyTorch and JAX say it there only
        try:
            array.__dlpack__(stream=1)
        except Exception:  # what it may not export: then the host waits for whatever runs
            on.synchronize()
    address, read_only = told["data"]
    return placed(address, kind, told["shape"], told.get("strides"), array, read_only, stream)


def placed(
    address: int, kind: Any, shape: Sequence[int], strides: Sequence[int] | None, owner: Any, read_only: bool,
    stream: int | None = None,
) -> DeviceArray:
    """Memory of another library as an array; ``strides`` in bytes, None where it is contiguous."""
    shape = tuple(shape)
    steps = contiguous_steps(shape)
    if strides is not None:
        if any(s % kind.itemsize for s in strides):
            raise DTypeError("an array whose strides are no multiples of its items' size cannot be used on a GPU")
        steps = tuple([s // kind.itemsize for s in strides])
    if not math.prod(shape):
        return empty(shape, kind)
    low = sum(min(step * (n - 1), 0) for n, step in zip(shape, steps, strict=True))
    high = sum(max(step * (n - 1), 0) for n, step in zip(shape, steps, strict=True))
    count = (high - low + 1) * kind.itemsize
    memory = Memory(count, device.current(), address + low * kind.itemsize, owner, read_only, stream)
    return DeviceArray(memory, kind, shape, steps, -low)
