"""The device of numba-cuda on a stand-in for numba-cuda: what it asks for, and what it makes of errors."""
from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fuse.codegen import device_code, device_numba
from fuse.codegen.device_memory import Span, driver_of
from fuse.errors import DeviceError


class Attributes:
    """A device whose attributes have the names that numba-cuda 0.30 hands on to CUDA: those of the driver's enum."""

    id, name, compute_capability = 2, b"Stand-in", (9, 0)
    known = {"MULTIPROCESSOR_COUNT": 132, "MAX_THREADS_PER_MULTIPROCESSOR": 1536}

    def __getattr__(self, name):
        if name not in self.known:
            raise AttributeError(f"CU_DEVICE_ATTRIBUTE_{name}")
        return self.known[name]


@pytest.fixture
def cuda(monkeypatch):
    """What stands for ``numba.cuda``; ``named`` is the device."""
    pending = [[1, 2], [3]]
    context = SimpleNamespace(deallocations=pending[0], memory_manager=SimpleNamespace(deallocations=pending[1]))
    made = SimpleNamespace(
        named=Attributes(), pending=pending, current_context=lambda: context, legacy_default_stream=lambda: "legacy"
    )
    made.get_current_device = lambda: made.named
    monkeypatch.setattr(device_numba, "numba_cuda", lambda: made)
    monkeypatch.delenv("CUDA_PYTHON_CUDA_PER_THREAD_DEFAULT_STREAM", raising=False)
    return made


def test_attributes_have_the_driver_s_names_or_numba_s(cuda):
    on = device_numba.NumbaDevice()
    assert (on.index, on.name, on.capability) == (2, "Stand-in", (9, 0))
    assert (on.multiprocessors, on.threads) == (132, 1536)
    cuda.named.known = {"MULTIPROCESSOR_COUNT": 4, "MAX_THREADS_PER_MULTI_PROCESSOR": 1024}
    assert device_numba.NumbaDevice().threads == 1024
    cuda.named.known = {}
    with pytest.raises(DeviceError, match="no NVIDIA GPU that fuse can use: CU_DEVICE_ATTRIBUTE_MULTI"):
        device_numba.NumbaDevice()


def test_too_old_a_card_is_refused(cuda):
    cuda.named.compute_capability = (6, 1)
    with pytest.raises(DeviceError, match=r"Stand-in has compute capability 6\.1: kernels need 7\.0 or more"):
        device_numba.NumbaDevice()


def test_launches_are_on_the_legacy_stream_where_threads_have_streams_of_their_own(cuda, monkeypatch):
    assert device_numba.NumbaDevice().stream == 0
    monkeypatch.setenv("CUDA_PYTHON_CUDA_PER_THREAD_DEFAULT_STREAM", "1")
    assert device_numba.NumbaDevice().stream == "legacy"


def test_memory_that_is_given_back_does_not_wait_for_more(cuda):
    on = device_numba.NumbaDevice()
    on.give("block", 512, 512)
    on.drop()
    assert not on.free and cuda.pending == [[], []]


def test_what_a_provider_refuses_is_no_error_of_the_call(cuda, monkeypatch):
    """A ValueError of a call sends it to the CPU, whose words for it are better; nothing of a device may do so."""
    on = device_numba.NumbaDevice()

    def refuses(*given):
        raise ValueError("no such grid\nand more")

    with pytest.raises(DeviceError, match=r"\(70000, 1\) blocks of 256 threads fails: no such grid$"):
        on.launch(refuses, (70000, 1), 256, [])
    monkeypatch.setattr(device_numba, "function_of", refuses)
    with pytest.raises(DeviceError, match=r"for Stand-in: ValueError: no such grid\. Here are .*numpy \d"):
        on.compile("", "part0", {}, (), ())


def test_names_that_numpy_has_no_more_are_there_while_numba_cuda_is_imported(monkeypatch):
    monkeypatch.delattr(np, "row_stack", raising=False)
    with device_code._older_names():
        assert getattr(np, "row_stack") is np.vstack  # noqa: B009
    assert not hasattr(np, "row_stack")


class Moves:
    """What stands for ``cuda.bindings.driver``: copies on the host. ``stale``: one of them does nothing."""

    def __init__(self, stale=""):
        self.stale, self.asked, self.code = stale, [], 0

    def __getattr__(self, name):
        def call(*given):
            self.asked.append((name, given[3:]))
            if name == self.stale:
                return (0,)
            if name.startswith("cuMemcpy"):
                ctypes.memmove(*given[:3])
            elif name.startswith("cuMemset"):
                ctypes.memset(*given[:3])
            return (self.code,)

        return call


@pytest.fixture
def moves(monkeypatch):
    made = Moves()
    monkeypatch.setitem(sys.modules, "cuda", SimpleNamespace(bindings=SimpleNamespace(driver=made)))
    monkeypatch.setitem(sys.modules, "cuda.bindings", SimpleNamespace(driver=made))
    return made


@pytest.mark.parametrize("handle", [0, device_numba.LEGACY])
def test_copies_by_the_driver(moves, handle):
    room = np.zeros(12, "f4")
    span = Span(room.view(np.uint8), room.ctypes.data, 8, np.dtype("f4"), 10)
    driver = driver_of(handle, lambda found: True)
    driver.write(span, np.arange(10, dtype="f4"))
    driver.copy(span[:2], span[8:])
    driver.clear(span[2:4])
    found = np.zeros(5, "f4")
    driver.read(span[:5], found)
    np.testing.assert_array_equal(found, [8, 9, 0, 0, 4])
    np.testing.assert_array_equal(room, [0, 0, 8, 9, 0, 0, 4, 5, 6, 7, 8, 9])
    np.testing.assert_array_equal(span[1:3].array, [9, 0])
    waits = [name for name, _ in moves.asked].count("cuStreamSynchronize")
    assert waits == (2 if handle else 0) and ("cuMemcpyDtoDAsync", (handle,)) in moves.asked


def test_a_driver_that_refuses_or_copies_otherwise(moves):
    room = np.zeros(4, np.uint8)
    span = Span(room, room.ctypes.data, 0, room.dtype, 4)

    def agrees(found):
        found.write(span, np.arange(4, dtype=np.uint8))
        return (room == np.arange(4)).all()

    assert driver_of(0, agrees) is not None
    room[:], moves.stale = 0, "cuMemcpyHtoD"
    assert driver_of(0, agrees) is None
    moves.stale, moves.code = "", SimpleNamespace(name="CUDA_ERROR_INVALID_VALUE")
    assert driver_of(0, agrees) is None
    driver = driver_of(0, lambda found: True)
    with pytest.raises(RuntimeError, match="CUDA_ERROR_INVALID_VALUE"):
        driver.clear(span)
