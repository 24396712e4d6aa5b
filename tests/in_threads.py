"""For tests: functions called from several threads at once."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def in_threads(work: Callable[[Any], Any], arguments: Sequence[Any]) -> None:
    """Call ``work`` with each argument, all at once, each in a thread; raises what one of them raises."""
    with ThreadPoolExecutor(len(arguments)) as pool:
        for call in [pool.submit(work, argument) for argument in arguments]:
            call.result()
