"""Where programs run: what ``device=`` and ``config.device`` may say, and whether there is a GPU."""

from __future__ import annotations

import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from fuse.errors import DeviceError

LEAST = 7, 0  # compute capability
_NAMES = re.compile(r"(cpu|cuda|gpu|auto)(\d*)")
_warned: list[str] = []
_here = threading.local()


def canonical(name: str) -> str:
    """``"cpu"``, ``"cuda"`` or ``"auto"`` for a device as Theano's programs name them too (``"gpu"``, ``"cuda0"``).

    Raises ValueError for any other name, and for a number other than 0: a process works on its first GPU, which
    ``CUDA_VISIBLE_DEVICES`` chooses.

    >>> canonical("gpu0"), canonical("cpu")
    ('cuda', 'cpu')
    """
    found = _NAMES.fullmatch(str(name).lower())
    if found is None:
        raise ValueError(f"a device is 'cpu', 'cuda' or 'auto', not {name!r}")
    kind, number = found.groups()
    if number and int(number):
        raise ValueError(f"{name!r}: a process works on its first GPU; set CUDA_VISIBLE_DEVICES={number} to choose it")
    return "cuda" if kind == "gpu" else kind


def resolve(name: str) -> str:
    """``"cpu"`` or ``"cuda"`` for a device by name.

    ``"auto"`` is the GPU where there is one that can be used; else it is the CPU, with one warning. ``"cuda"`` without
    such a GPU raises DeviceError, which says what is missing.
    """
    kind = canonical(name)
    if kind == "cpu" or is_simulated() or getattr(_here, "assumed", False):
        return "cpu" if kind == "cpu" else "cuda"
    usable, text = gpu()
    if usable:
        return "cuda"
    if kind == "cuda":
        raise DeviceError(
            f"device='cuda' needs an NVIDIA GPU: {text}. device='auto' takes the CPU where there is none; "
            "NUMBA_ENABLE_CUDASIM=1 runs kernels in the simulator, slowly, for tests"
        )
    if not _warned:
        _warned.append(text)
        warnings.warn(f"device='auto' is the CPU here: {text}", stacklevel=3)
    return "cpu"


@contextmanager
def assumed() -> Iterator[None]:
    """Take a GPU to be there inside a block, in this thread: for looking at what would run on it."""
    before = getattr(_here, "assumed", False)
    _here.assumed = True
    try:
        yield
    finally:
        _here.assumed = before


def is_simulated() -> bool:
    """Whether kernels for GPUs run in the simulator in this process."""
    known = sys.modules.get("numba.core.config")
    if known is not None:
        return bool(known.ENABLE_CUDASIM)
    return os.environ.get("NUMBA_ENABLE_CUDASIM", "0").strip() not in ("", "0")


def gpu() -> tuple[bool, str]:
    """Return whether kernels can run on an NVIDIA GPU here, and its name or what is missing."""
    found, text = _driver()
    if found and find_spec("numba_cuda") is None:
        return False, f"{text}, but numba-cuda is missing: pip install 'fuse[cuda]'"
    return found, text


def _driver() -> tuple[bool, str]:
    import ctypes

    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return False, f"no NVIDIA driver ({library})"
    count, name = ctypes.c_int(), ctypes.create_string_buffer(96)
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if status:
        return False, f"the NVIDIA driver answers with error {status}"
    if not count.value:
        return False, "the NVIDIA driver sees no device"
    driver.cuDeviceGetName(name, len(name), 0)
    told = name.value.decode()
    major, minor = ctypes.c_int(), ctypes.c_int()
    if not (driver.cuDeviceGetAttribute(ctypes.byref(major), 75, 0)  # CUDA's numbers for these two
            or driver.cuDeviceGetAttribute(ctypes.byref(minor), 76, 0)):  # fmt: skip
        capability = major.value, minor.value
        if capability < LEAST:
            return False, f"{told} {too_old(capability)}"
    return True, f"{told} ({count.value} device{'s' if count.value > 1 else ''})"


def too_old(capability: tuple[int, ...]) -> str:
    """What is to be said of a GPU of such a compute capability.

    >>> too_old((6, 1))
    'has compute capability 6.1: kernels need 7.0 or more'
    """
    told, least = [".".join(map(str, c)) for c in (capability, LEAST)]
    return f"has compute capability {told}: kernels need {least} or more"
