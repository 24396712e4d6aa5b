"""The machine a run was made on, for the head of its report."""

from __future__ import annotations

import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["machine", "processor_time"]


def processor_time() -> float:
    """Return the seconds that processors have spent on this process and on compilers it has waited for."""
    return time.process_time() + sum(os.times()[2:4])


def machine() -> dict[str, Any]:
    """Return processor, cores, memory, load, system, and the time, as far as the system tells.

    >>> sorted(machine())
    ['cores', 'load', 'memory_gib', 'processor', 'python', 'system', 'time']
    """
    return {
        "processor": _processor(),
        "cores": _cores(),
        "memory_gib": _memory(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    lines = _lines("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    widths = [name for name in ("avx2", "avx512f") if name in flags]
    return " ".join([names[0] if names else platform.processor() or platform.machine(), *widths])


def _cores() -> int:
    """The cores this process may use, which are fewer than the machine's inside a container."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _memory() -> float | None:
    sizes = [line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    return round(int(sizes[0]) / 2**20, 1) if sizes else None


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []
