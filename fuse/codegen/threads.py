"""The pool's state in this process: its memory, how many threads it has, and its start on the first work worth it."""
from __future__ import annotations

import ctypes
import hashlib
import os
import time

import numpy as np

from fuse.codegen import pool
from fuse.codegen.pool import (
    CPYTHON,
    DONE,
    GRAIN,
    GRAIN_AT,
    INDEX,
    LINE,
    LOCK,
    MAX_WORKERS,
    PREPARED,
    QUIET,
    RUN,
    SLEEPING,
    SLOTS,
    THREADS,
    WORKERS,
)
from fuse.config import config

memory = (ctypes.c_int64 * ((SLOTS + LINE * (MAX_WORKERS + 2)) // 8))()
address = (ctypes.addressof(memory) + LINE - 1) // LINE * LINE
SMALLEST_GRAIN, LARGEST_GRAIN = 1 << 18, 1 << 21
_kept: list[tuple[int, int, int]] = []
_grain: list[int] = []


def _get(offset: int) -> int:
    return ctypes.c_int64.from_address(address + offset).value


def _set(offset: int, value: int) -> None:
    ctypes.c_int64.from_address(address + offset).value = value


def hush() -> None:
    """BLAS comes next, with threads of its own: spinning workers leave the cores to them."""
    _set(QUIET, 1)


def prepare() -> None:
    """Make the pool ready, on the first call that has much work (kernels call this themselves)."""
    from fuse.codegen import native
    with native.lock:
        if not _get(PREPARED):
            apply(config.threads, first=True)


def apply(threads: int, first: bool = False) -> None:
    """Let kernels use so many threads (0: `available`), starting workers where there are too few."""
    from fuse.codegen import native
    with native.lock:
        if not (first or _get(PREPARED)):
            return                                  # prepare will read the configuration
        count = min(threads or available(), MAX_WORKERS + 1)
        if count > 1:
            try:
                run, worker, _ = _linked()
            except (RuntimeError, OSError):         # no code for threads on this machine: everything runs in the caller
                count = 1
            else:
                _start(worker, count - 1)
                _set(THREADS, count)
                _set(GRAIN_AT, grain())
                _set(RUN, run)
        _set(THREADS, count)
        _set(PREPARED, 1)


def _start(worker: int, count: int) -> None:
    """Start workers until there are `count`, or as many as the system allows."""
    api = ctypes.pythonapi
    allocate = ctypes.CFUNCTYPE(ctypes.c_void_p)(("PyThread_allocate_lock", api))
    acquire = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)(("PyThread_acquire_lock", api))
    begin = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p, ctypes.c_void_p)(("PyThread_start_new_thread", api))
    if not _get(DONE):
        done = allocate()
        acquire(done, 0)
        _set(DONE, done)
    for index in range(_get(WORKERS), count):
        slot = SLOTS + LINE * index
        lock = allocate()
        if not lock:
            return
        acquire(lock, 0)
        _set(slot + LOCK, lock)
        _set(slot + SLEEPING, 0)
        _set(slot + INDEX, index)
        if begin(worker, address + slot) == ctypes.c_ulong(-1).value:
            return
        _set(WORKERS, index + 1)


def _linked() -> tuple[int, int, int]:
    """Addresses of the pool's functions; their code stays in memory for good, as workers never end."""
    if not _kept:
        from fuse.codegen import assembly, native
        processor = native.machine().triple.split("-")[0]
        imports = {name: ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0 for name in CPYTHON}
        text = pool.assembly(pool.PAUSE.get(processor, ""))
        names = ("fuse_run", "fuse_worker", "fuse_nothing")
        code = assembly.load("fuse_pool", text, imports | {"fuse_pool": address}, names)
        run, worker, nothing = (code[name] for name in names)
        _kept.append((run, worker, nothing))
    return _kept[0]


# -- when it is worth it -----------------------------------------------------------------------------------------------

def grain() -> int:
    """Units of work worth one thread on this machine: measured once, and kept beside the kernels.

    `GRAIN` where nothing can be kept: a measurement in every process would cost more than it tells.
    """
    if not _grain:
        from fuse.codegen import load
        store = load.store()
        request = repr(("grain of threads", os.cpu_count(), load.surroundings()))
        key = hashlib.sha256(request.encode()).hexdigest()
        known = None if store.reason else store.load(key)
        value = known[0].get("grain") if known else None
        if not isinstance(value, int) or not SMALLEST_GRAIN <= value <= LARGEST_GRAIN:
            value = GRAIN if store.reason else _measured()
            store.save(key, {"grain": value}, b"")
        _grain.append(value)
    return _grain[0]


def _measured() -> int:
    """The work of the time that waking workers takes (lower quartile of a few milliseconds of trials)."""
    run, _, nothing = _linked()
    shared = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(run)
    plan = (ctypes.c_int64 * 10)(1, 0, 64, 0, 1 << 40, 0, 1, 0, 1, 0)       # one segment: items, work, unit, pieces
    values = np.zeros(1 << 13)                                              # in the first- and second-level caches
    waking, adding = [], []
    _set(GRAIN_AT, 1)
    for _ in range(12):
        time.sleep(2e-4)                                                    # workers sleep by now
        start = time.perf_counter_ns()
        shared(nothing, None, plan)
        waking.append(time.perf_counter_ns() - start)
        start = time.perf_counter_ns()
        np.add(values, 1.0, out=values)
        adding.append(time.perf_counter_ns() - start)
    waking.sort()
    adding.sort()
    rate = 19 * values.size / max(adding[3], 1)                             # units of x + 1 in a nanosecond
    return int(min(max(waking[3] * rate, SMALLEST_GRAIN), LARGEST_GRAIN))


# -- how many ----------------------------------------------------------------------------------------------------------

def available() -> int:
    """Threads that this process may use: its cores, less where a quota or an environment variable says so.

    ``OMP_NUM_THREADS`` and ``NUMBA_NUM_THREADS`` are how joblib, Dask and batch systems tell their workers.
    """
    counts = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    counts += _quotas()
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        text = os.environ.get(name, "").split(",")[0].strip()
        if text.isdecimal() and int(text) > 0:
            counts.append(int(text))
    return max(1, min(counts))


def _quotas(root: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> list[int]:
    """Cores that the control groups of this process allow it (Linux: containers and batch systems)."""
    places = {""}
    for line in _read(own).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers or "cpu" in controllers.split(","):
            parts = path.strip("/").split("/")
            places |= {"/".join(parts[:k]) for k in range(len(parts) + 1)}
    found = []
    for place in places:
        quota, _, period = _read(os.path.join(root, place, "cpu.max")).strip().partition(" ")
        if not period:
            quota = _read(os.path.join(root, "cpu", place, "cpu.cfs_quota_us")).strip()
            period = _read(os.path.join(root, "cpu", place, "cpu.cfs_period_us")).strip()
        if quota.isdecimal() and period.isdecimal() and int(period):
            found.append(max(1, -(-int(quota) // int(period))))
    return found


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def set_num_threads(threads: int) -> None:
    """Let every function use so many threads from now on; 0 for as many as the process may have.

    The same as ``fuse.config.threads = threads``. Results do not depend on it, to the last bit. Raises ValueError for
    a negative number.

    >>> import fuse
    >>> fuse.set_num_threads(2)
    >>> fuse.get_num_threads()
    2
    >>> fuse.set_num_threads(0)
    """
    config.threads = threads


def get_num_threads() -> int:
    """How many threads a function with much work uses: ``config.threads``, or what the process may have.

    >>> import fuse
    >>> fuse.get_num_threads() >= 1
    True
    """
    return min(config.threads or available(), MAX_WORKERS + 1)


def _forget() -> None:
    """In a forked child: the workers are the parent's, and so may be a job in progress."""
    ctypes.memset(address, 0, SLOTS + LINE * MAX_WORKERS)


config.watch("threads", apply)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
