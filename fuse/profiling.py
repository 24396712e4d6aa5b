"""Profiles: where the time of a compiled function goes, step by step, as a table and as records."""
from __future__ import annotations

import atexit
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from html import escape
from typing import Any

from fuse.config import config

_COLUMNS = ("share", "time", "calls", "each", "GB/s", "compiling", "from cache", "step")
_ON_DEVICE = ("of a copy", "launches", "MB there", "MB back", "allocations")
_at_exit: list[Profile] = []


class Profile:
    """The profile of a function made with ``profile=True``, or of all functions that were given this object.

    ``summary()`` prints a table with a row for each kernel, loop and call; ``records()`` are the same rows as dicts.
    Profiles of functions that ran are printed to standard error when the process ends, as Theano does, unless
    ``summary`` was called; ``config.profiling.destination`` may name 'stdout' or a file instead.

    ``fct_callcount`` and ``fct_call_time`` count and time calls, ``vm_call_time`` is the part of that time spent in
    steps, ``compile_time`` the time that making the function took.

    >>> import numpy as np, fuse, fuse.tensor as T
    >>> x = T.dvector("x")
    >>> f = fuse.function([x], T.exp(x).sum(), profile=True, name="total")
    >>> for _ in range(10):
    ...     result = f(np.ones(1000))
    >>> row = f.profile.records()[0]
    >>> row["kind"], row["calls"], row["bytes"], row["seconds"] > 0
    ('kernel', 10, 80080, True)
    >>> print(row["step"])
    kernel 0: exp, sum
    >>> print(str(f.profile).splitlines()[0])
    Profile of 'total': 10 calls, ...
    """

    def __init__(
        self, atexit_print: bool = True, flag_time_thunks: Any = None, message: str | None = None, **_: Any
    ) -> None:
        self.message = message
        self.compile_time = 0.0
        self.fct_callcount = 0
        self.fct_call_time = 0.0
        self.made: dict[str, float] = {"planned": 0, "plan_hits": 0, "compiles": 0, "disk_hits": 0, "memory_hits": 0}
        self._steps: list[list[Any]] = []
        self._shown = False
        if atexit_print:
            if not _at_exit:
                atexit.register(print_at_exit)
            _at_exit.append(self)

    @property
    def name(self) -> str | None:
        return self.message

    # ---------------------------------------------------------------- taking part in a function
    def making(self, build: Callable[[], Any]) -> Any:
        """The program that ``build`` makes, which is watched from now on."""
        from fuse.codegen.load import stats
        from fuse.codegen.watching import watch

        start, before = time.perf_counter(), stats()
        program = build()
        self.compile_time += time.perf_counter() - start
        after = stats()
        for name in self.made:
            self.made[name] += after[name] - before[name]
        self._steps.append(watch(program))
        return program

    def around(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """``run`` counted and timed."""

        def call(*args: Any) -> Any:
            start = time.perf_counter()
            results = run(*args)
            self.fct_call_time += time.perf_counter() - start
            self.fct_callcount += 1
            return results

        return call

    # ---------------------------------------------------------------- what was seen
    @property
    def vm_call_time(self) -> float:
        """Seconds in steps."""
        return sum(s.seconds for steps in self._steps for s in steps)

    def records(self) -> list[dict[str, Any]]:
        """A dict for each step that ran, the one that took most time first, and at last what lies between steps.

        Its entries: ``step``, ``line`` (of the user's program), ``kind`` ('kernel', 'loop', 'call', 'copy' or 'rest'),
        ``calls``, ``seconds`` (without compiling), ``share`` of the time of all calls, ``bytes`` (of the arrays read
        and written, in all calls), ``gb_per_s``, ``compile_seconds``, ``compiles``, and ``cache_hits``: kernels that
        were compiled before, by this process or another one.

        Steps of a GPU also have ``launches``, ``bytes_to_device`` and ``bytes_to_host`` (copied), ``allocations`` (of
        memory that the pool did not have), and kernels ``bandwidth_share``: of the bytes that the card copies in that
        time, None in the simulator.
        """
        total = self.fct_call_time
        found = []
        compiling = 0.0
        for step in [s for steps in self._steps for s in steps]:
            # A loop is compiled when its function is made, kernels when they are first called.
            compiling += step.compile_seconds if step.kind == "kernel" else 0.0
            if not step.calls:
                continue
            text, line = step.told()
            found.append({
                "step": text, "line": line, "kind": step.kind, "calls": step.calls, "seconds": step.seconds,
                "share": step.seconds / total if total else 0.0, "bytes": step.bytes,
                "gb_per_s": step.bytes / step.seconds / 1e9 if step.seconds else 0.0,
                "compile_seconds": step.compile_seconds, "compiles": step.compiles, "cache_hits": step.cache_hits,
                **step.further(),
            })
        found.sort(key=lambda row: -row["seconds"])
        rest = max(total - sum(row["seconds"] for row in found) - compiling, 0.0)
        if self.fct_callcount:
            found.append({
                "step": "the rest: checks, sizes, memory, views", "line": "", "kind": "rest",
                "calls": self.fct_callcount, "seconds": rest, "share": rest / total if total else 0.0, "bytes": 0,
                "gb_per_s": 0.0, "compile_seconds": 0.0, "compiles": 0, "cache_hits": 0,
            })
        return found

    def as_dict(self) -> dict[str, Any]:
        """The totals, and ``steps``: the records."""
        return {
            "name": self.message, "calls": self.fct_callcount, "seconds": self.fct_call_time,
            "compile_seconds": self.compile_time, **self.made, "steps": self.records(),
        }

    # ---------------------------------------------------------------- as text
    def summary(self, file: Any = None, n_ops_to_print: int | None = None, n_apply_to_print: int | None = None) -> None:
        """Print the table, to standard error unless ``file`` is given, with so many steps at most."""
        self._shown = True
        print(self._text(n_apply_to_print or n_ops_to_print), file=file or sys.stderr)

    def __str__(self) -> str:
        return self._text(None)

    def __repr__(self) -> str:
        return f"<profile of {self._title()}: {self.fct_callcount} calls, {_seconds(self.fct_call_time)}>"

    def _title(self) -> str:
        return repr(self.message) if self.message else "a function"

    def _head(self) -> list[str]:
        count = self.fct_callcount
        each = f", {_seconds(self.fct_call_time / count)} each" if count else ""
        made = self.made
        plans = f"planned {_times(made['planned'])}" if made["planned"] else "plan from the cache"
        return [
            f"Profile of {self._title()}: {count} calls, {_seconds(self.fct_call_time)} in all{each}",
            f"  made in {_seconds(self.compile_time)}: {plans}; kernels and loops in that time: {made['compiles']:.0f} "
            f"compiled, {made['disk_hits'] + made['memory_hits']:.0f} from the cache",
        ]

    def _rows(self, limit: int | None) -> list[tuple[str, ...]]:
        records = self.records()
        shown = records if limit is None or len(records) <= limit + 1 else [*records[:limit], records[-1]]
        rows = [_row(r) for r in shown]
        if any("launches" in r for r in records):
            rows = [(*row[:5], *_on_device(r), *row[5:]) for row, r in zip(rows, shown, strict=True)]
        if len(shown) < len(records):
            seconds = sum(r["seconds"] for r in records[limit:-1])
            left = len(records) - len(shown)
            blank = [""] * (len(rows[-1]) - 3)
            rows.insert(-1, ("", _seconds(seconds), *blank, f"{left} further step{'s' if left > 1 else ''}"))
        return rows

    def _text(self, limit: int | None) -> str:
        lines = self._head()
        rows = self._rows(limit)
        if not rows:
            return "\n".join(lines)
        table = [_titles(rows), *rows]
        widths = [max(len(row[k]) for row in table) for k in range(len(rows[0]) - 1)]
        for row in table:
            cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=False)]
            lines.append(f"  {'  '.join(cells)}  {row[-1]}".rstrip())
        compiling = sum(s.compile_seconds for steps in self._steps for s in steps if s.kind == "kernel")
        if compiling:
            lines.append(f"  {_seconds(compiling)} of the calls' time went into making kernels, at first calls")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<div>{escape(line.strip())}</div>" for line in self._head())
        table = self._rows(None)
        titles = "".join(f"<th>{escape(c)}</th>" for c in _titles(table))
        last = len(_titles(table)) - 1
        rows = "".join(
            "<tr>" + "".join(
                f'<td style="text-align: {"left" if k == last else "right"}">{escape(cell)}</td>'
                for k, cell in enumerate(row)
            ) + "</tr>"
            for row in table
        )
        return f"{head}<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>"


def _row(r: dict[str, Any]) -> tuple[str, ...]:
    speed = f"{r['gb_per_s']:.2f}" if r["gb_per_s"] else ""
    compiling = _seconds(r["compile_seconds"]) if r["compiles"] else ""
    where = f"   [{_shortened(r['line'], 60)}]" if r["line"] else ""
    return (
        f"{100 * r['share']:.1f} %", _seconds(r["seconds"]), str(r["calls"]), _seconds(r["seconds"] / r["calls"]),
        speed, compiling, str(r["cache_hits"] or ""), f"{_shortened(r['step'], 70)}{where}",
    )


def _titles(rows: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The titles of the columns: those of a GPU where the rows have them."""
    longer = rows and len(rows[0]) > len(_COLUMNS)
    return (*_COLUMNS[:5], *_ON_DEVICE, *_COLUMNS[5:]) if longer else _COLUMNS


def _on_device(r: dict[str, Any]) -> tuple[str, ...]:
    share = r.get("bandwidth_share")
    sizes = [f"{r.get(name, 0) / 1e6:.3g}" if r.get(name) else "" for name in ("bytes_to_device", "bytes_to_host")]
    return (
        f"{100 * share:.0f} %" if share else "", str(r.get("launches") or ""), *sizes, str(r.get("allocations") or "")
    )


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _times(number: float) -> str:
    return "once" if number == 1 else f"{number:.0f} times"


def _seconds(value: float) -> str:
    """A time with three digits: ``1.23 s``, ``45.6 ms``, ``789 µs``, ``0.12 µs``."""
    unit, scale = next(((u, s) for u, s in (("s", 1.0), ("ms", 1e-3)) if value >= s), ("µs", 1e-6))
    number = value / scale
    return f"{number:.{0 if number >= 100 else 1 if number >= 10 else 2}f} {unit}"


def print_at_exit(profiles: Sequence[Profile] = _at_exit) -> None:
    """Print the profiles that nobody has looked at, and what they add up to."""
    shown = [p for p in profiles if p.fct_callcount and not p._shown]
    if not shown:
        return
    shown.sort(key=lambda p: -(p.compile_time + p.fct_call_time))
    target = config.profiling.destination
    known = {"stderr": sys.stderr, "stdout": sys.stdout}
    with nullcontext(known[target]) if target in known else open(target, "w", encoding="utf-8") as file:
        for profile in shown:
            profile.summary(file, config.profiling.n_ops)
        if len(shown) > 1:
            calls, seconds = sum(p.fct_callcount for p in shown), sum(p.fct_call_time for p in shown)
            made = sum(p.compile_time for p in shown)
            total = f"{len(shown)} functions: {calls} calls, {_seconds(seconds)} in all"
            print(f"{total}; made in {_seconds(made)}", file=file)


ProfileStats = Profile
