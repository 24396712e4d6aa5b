"""Explanations: what was rewritten, fused and cut, and what each kernel reads, writes and computes, as text."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen.kernel import Combine, Compute, Kernel, Load, Loop, Store
from fuse.codegen.loop_run import loop_texts
from fuse.codegen.region import Region
from fuse.codegen.sizes import Size
from fuse.codegen.stores import STORES
from fuse.codegen.swept import LARGE, ROW
from fuse.codegen.tape import bodies, is_long
from fuse.errors import origin_text
from fuse.expr import Expr
from fuse.printing.debug import inner_lines

if TYPE_CHECKING:
    from fuse.codegen.launch import Launcher
    from fuse.codegen.planning import Planned

LIMIT = 60  # lines of one section


def explain(program: Planned) -> str:
    """The text of ``f.explain()``."""
    lines = [*_rules(program), "", *_steps(program)]
    if program.plan.cuts:
        lines += ["", "Not fused with what it uses:"]
        lines += _limited([f"  {_name(node)}: {reason}" for node, reason in program.plan.cuts])
    if program.matrices:
        names = ", ".join([m.leaf.name or "a matrix" for m in program.matrices])
        lines += ["", f"Products of vectors with {names}, where that is larger than {LARGE >> 20} MiB, with rows of"]
        lines += [f"{ROW[0]} to {ROW[1]} elements, are sums in the kernels of another plan."]
    return "\n".join(lines)


def _rules(program: Planned) -> list[str]:
    if not program.trace:
        return ["Rules that fired: none"]
    first: dict[str, Any] = {}
    counts: Counter[str] = Counter()
    for fired in program.trace:
        counts[fired.name] += 1
        first.setdefault(fired.name, fired)
    lines = [f"Rules that fired ({len(program.trace)}):"]
    for name, fired in first.items():
        times = f" (×{counts[name]})" if counts[name] > 1 else ""
        lines.append(f"  {name}{times}: {_short(fired.before)}  →  {_short(fired.after)}")
    return _limited(lines)


def _short(expr: Expr) -> str:
    text = " ".join(str(expr).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _limited(lines: list[str]) -> list[str]:
    return lines if len(lines) <= LIMIT else [*lines[:LIMIT], f"  ... and {len(lines) - LIMIT} more"]


def _steps(program: Planned) -> list[str]:
    lines = ["Steps:"]
    launchers = iter(program.launchers)
    loops = iter(loop_texts(program.wrapper_source, program.scope).values())
    number = 0
    for unit in program.plan.units:
        if isinstance(unit, Region):
            lines += explain_kernel(number, next(launchers), unit)
            number += 1
        else:
            shapes = ", ".join(a.type.describe() if hasattr(a.type, "describe") else "tuple" for a in unit.args)
            if unit.op.name == "part":
                continue
            if unit.op.name == "loop":
                lines += _loop(unit, next(loops, ""))
                continue
            kind = "view" if unit.op.kind == "view" else "store" if unit.op.name in STORES else "call"
            lines.append(f"  {kind} {unit.op}({shapes}), at {origin_text(unit.origin)}")
    if len(lines) == 1:
        lines.append("  none: the outputs are inputs, constants or sizes")
    return lines


def _loop(unit: Expr, text: str) -> list[str]:
    """What a loop computes in each step."""
    body = unit.params["body"]
    parts = {"sequence": body.sequences, "state": body.states, "fixed value": body.fixed, "result": body.ys}
    counted = ", ".join([_count(len(inputs), word) for word, inputs in parts.items() if inputs])
    how = text.lstrip("# ").rstrip() if text.startswith("#") else "one compiled function"
    word = "branch" if unit.params.get("branch") else "loop"
    lines = [f"  {word} with {counted}, at {origin_text(unit.origin)}: {how}"]
    return [*lines, *[f"    {line}" for line in inner_lines(body, LIMIT)]]


def explain_kernel(number: int, launcher: Launcher, region: Region) -> list[str]:
    """What one kernel computes, reads and writes."""
    kernel = launcher.default
    operations, sweeps = _work(kernel)
    reads = [_array(b, launcher) for b in launcher.bases if b not in region.outputs]
    writes = [_array(b, launcher) for b in region.outputs]
    computed = Counter(str(n.op) for n in region.amap)
    names = ", ".join(f"{name}×{count}" if count > 1 else name for name, count in computed.items())
    fused = f"{_count(len(region.amap), 'operation')} fused into {_count(sweeps, 'sweep')} of loops"
    return [
        f"  kernel {number}: {fused} ({names})",
        f"    reads {', '.join(reads) or 'no arrays'}",
        f"    writes {', '.join(writes)}",
        f"    arithmetic per innermost iteration: {operations}",
        *_tape(launcher),
    ]


def _tape(launcher: Launcher) -> list[str]:
    """How a long loop body is run."""
    if not any(is_long(body) for body in bodies(launcher.default)):
        return []
    tape = launcher.source().tape
    if tape is None:
        return []
    return [
        f"    too long to compile: a tape of block operations ({_count(len(tape.steps), 'kind')}, "
        f"{_count(tape.registers, 'register')} in cache) runs it"
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _work(kernel: Kernel) -> tuple[int, int]:
    """(operations in innermost loops, number of innermost loops)."""
    operations = sweeps = 0
    straight = not any(isinstance(c, Loop) for c in kernel.body)
    stack: list[Any] = list(kernel.body)
    while stack:
        s = stack.pop()
        if isinstance(s, Loop):
            if not any(isinstance(c, Loop) for c in s.body):
                if any(isinstance(c, (Compute, Combine, Load)) for c in s.body):
                    sweeps += 1
                operations += sum(isinstance(c, (Compute, Combine)) for c in s.body)
            stack.extend(s.body)
        elif straight and isinstance(s, (Compute, Store)):
            operations += isinstance(s, Compute)
    return operations, sweeps


def _array(node: Expr, launcher: Launcher) -> str:
    sizes = [_size(launcher.sizes.find(n)) for n in launcher.sizes.of[node]]
    width = np.dtype(node.type.dtype).itemsize
    bytes_text = " × ".join([*[s for s in sizes if s != "1"], f"{width} B"])
    return f"{_name(node)} ({bytes_text})"


def _size(size: Size) -> str:
    if isinstance(size, int):
        return str(size)
    if size.op.name == "shape_i":
        return f"{_name(size.args[0])}.shape[{size.params['axis']}]"
    return _short(size)


def _name(node: Expr) -> str:
    return node.name or str(node.op)
