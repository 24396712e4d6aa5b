"""For fixtures: small arrays take the paths of large ones, so that every path is met with sizes quick to check."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fuse.codegen import emit_parts, parallel, plans, pool, runner, threads
from fuse.config import config


@contextmanager
def much_work(monkeypatch: pytest.MonkeyPatch, threads_count: int, **thresholds: int) -> Iterator[None]:
    """Every array is much work, for that many threads; ``thresholds`` are other constants of ``emit_parts``.

    Plans are made anew: those made under such constants are not for others.
    """
    for module in (emit_parts, parallel, runner):
        monkeypatch.setattr(module, "MUCH_WORK", 1)
    monkeypatch.setattr(plans, "structure", lambda program, order: None)
    for name, value in thresholds.items():
        monkeypatch.setattr(emit_parts, name, value)
    with config.change_flags(threads=threads_count):
        threads.prepare()
        threads._set(pool.GRAIN_AT, 1)
        try:
            yield
        finally:
            threads._set(pool.GRAIN_AT, threads.grain())
