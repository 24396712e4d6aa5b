"""Shared variables on a GPU: cells whose value is in device memory, and on the host only when somebody asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fuse.codegen.cuda_array import DeviceArray, to_device
from fuse.expr import Expr
from fuse.frontend.shared import Container
from fuse.types import TensorType


class DeviceContainer(Container):
    """The cell of a shared variable whose value is on a device; the host's copy is made when somebody asks for it.

    The slot of ``array`` holds the pair (host array or None, device array or None): one of them at least is there.
    ``borrowed`` tells of the host's, which functions on the CPU update; the device's is the cell's alone.
    """

    __slots__ = ()

    def read(self) -> np.ndarray[Any, Any]:
        host, there = _VALUE(self)
        return there.get() if there is not None else host.copy()

    @property
    def array(self) -> Any:
        host, there = _VALUE(self)
        if host is None:
            host = there.get()
            _SET(self, (host, None))  # somebody may write into it
        elif there is not None:
            _SET(self, (host, None))
        return host

    @array.setter
    def array(self, array: Any) -> None:
        _SET(self, (array, None))

    @property
    def there(self) -> DeviceArray:
        """The value on the device."""
        host, there = _VALUE(self)
        if there is None:
            there = to_device(host)
            _SET(self, (host, there))
        return there

    @there.setter
    def there(self, array: DeviceArray) -> None:
        _SET(self, (None, array))


_SLOT: Any = vars(Container)["array"]
_VALUE, _SET = _SLOT.__get__, _SLOT.__set__


def moved(container: Container) -> DeviceContainer:
    """``container`` as one whose value lives on the device."""
    if not isinstance(container, DeviceContainer):
        array = container.array
        container.__class__ = DeviceContainer
        container.array = array
    assert isinstance(container, DeviceContainer)
    return container


def resident(container: Container) -> Callable[[], DeviceArray]:
    """What gives the value of a shared variable on the device."""
    cell = moved(container)
    return lambda: cell.there


def keeping(target: Expr) -> Callable[[Any], None]:
    """What stores an update."""
    if not isinstance(target.type, TensorType):
        def keep_as_is(value: Any) -> None:
            target.container.array = value

        return keep_as_is
    cell = moved(target.container)

    def keep(value: DeviceArray) -> None:
        cell.there = value

    return keep
