"""Watching: a program whose steps are timed, for profiles. Programs that nobody watches know nothing of it.

The wrapper of a watched program is written again with a clock around each of its steps, in the same scope, so that
kernels take their places in it as ever.
"""

from __future__ import annotations

import ast
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fuse.codegen import load
from fuse.codegen.interpreted import DebugProgram, ReferenceProgram
from fuse.codegen.region import Region
from fuse.codegen.runner import Runner
from fuse.errors import origin_text
from fuse.expr import Expr, toposort

_STEP = re.compile(r"(kernel|small|call|loop|copied|copyto|increase)(\d*)")
_COPIES = {"copied": "copy of an array", "copyto": "store into a part of an array", "increase": "sum into a part"}


@dataclass
class Step:
    """What is known of one step of a program: how often it ran, for how long, and the bytes of its arrays."""

    kind: str  # kernel, loop, call or copy
    told: Callable[[], tuple[str, str]]  # what it computes, and the user's line
    calls: int = 0
    seconds: float = 0.0  # without compiling
    bytes: int = 0
    compile_seconds: float = 0.0
    compiles: int = 0
    cache_hits: int = 0
    inside: float = field(default=0.0, repr=False)  # compile seconds of the call that is running

    def seen(self, seconds: float, arrays: tuple[Any, ...]) -> None:
        self.calls += 1
        self.seconds += max(seconds - self.inside, 0.0)
        self.inside = 0.0
        self.bytes += sum([_bytes(a) for a in arrays])

    def further(self) -> dict[str, Any]:
        """Entries of its record that only some kinds of steps have."""
        return {}


def _bytes(value: Any) -> int:
    """Bytes of memory that reading all of a value touches: a dimension of stride 0 is one element."""
    if isinstance(value, (list, tuple)):
        return sum([_bytes(v) for v in value])
    if not hasattr(value, "strides") or isinstance(value, type):
        return 0
    if 0 not in value.strides:
        return int(value.nbytes)
    count = value.itemsize if value.size else 0
    for n, stride in zip(value.shape, value.strides, strict=True):
        count *= n if stride else 1
    return int(count)


def watch(program: Any) -> list[Step]:
    """The steps of ``program``, timed from now on; those of programs that it makes for other sizes join them."""
    steps: list[Step] = []
    _watch(program, steps, "")
    return steps


def _watch(program: Any, steps: list[Step], note: str) -> None:
    if isinstance(program, DebugProgram):
        _watch(program.compiled, steps, note)
        _interpreted(program.plain, steps, " (interpreter)")
    elif isinstance(program, ReferenceProgram):
        _interpreted(program, steps, note)
    elif hasattr(program, "watched"):
        program.watched(steps, note)
    else:
        _compiled(program, steps, note)


watch_further = _watch  # a program that a watched one made


def _interpreted(program: ReferenceProgram, steps: list[Step], note: str) -> None:
    plain = program._step
    own = [Step("call", partial(_node, node, note)) for node, *_ in program._steps]
    steps += own

    def timed(index: int, node: Any, args: Any) -> Any:
        start = time.perf_counter()
        value = plain(index, node, args)
        own[index].seen(time.perf_counter() - start, (*args, value))
        return value

    program._step = timed


def _node(node: Expr, note: str) -> tuple[str, str]:
    return node.op.name + note, origin_text(node.origin)


def _compiled(program: Any, steps: list[Step], note: str) -> None:
    scope = program.scope
    tree = ast.parse(program.wrapper_source)
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    body: list[ast.stmt] = []
    for statement in definition.body:
        found = _step_of(statement)
        if found is None:
            body.append(statement)
            continue
        name, arrays = found
        step = _described(program, name, note)
        steps.append(step)
        seen = f"seen_{len(steps)}"
        scope[seen] = step.seen
        body += ast.parse("started_at = clock()").body
        body.append(statement)
        body += ast.parse(f"{seen}(clock() - started_at, ({''.join(f'{a}, ' for a in arrays)}))").body
    definition.body = body
    scope["clock"] = time.perf_counter
    plain = scope["program"]
    exec(compile(ast.fix_missing_locations(tree), "<fuse wrapper>", "exec"), scope)
    program._run, scope["program"] = scope["program"], plain
    program.made = lambda other, why: _watch(other, steps, f"{note} ({why})")


def _step_of(statement: ast.stmt) -> tuple[str, list[str]] | None:
    """The name of what a statement of a wrapper runs, and the names of the arrays that this reads and writes."""
    calls = [n for n in ast.walk(statement) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    named = [(n.func.id, n) for n in calls if isinstance(n.func, ast.Name) and _STEP.fullmatch(n.func.id)]
    if not named:
        return None
    name, call = named[0]
    if name.startswith("small"):  # a loop of ours, and the call of BLAS where that refuses: one step
        name = next(other for other, _ in named if other.startswith("call"))
    arrays = [a.id for a in call.args if isinstance(a, ast.Name)]
    for inner in ast.walk(statement):
        if isinstance(inner, ast.Assign) and not name.startswith("kernel"):
            arrays += [t.id for t in inner.targets if isinstance(t, ast.Name)]
    return name, arrays


def _described(program: Any, name: str, note: str) -> Step:
    match = _STEP.fullmatch(name)
    assert match is not None
    word, number = match.groups()
    scope = program.scope
    if word == "kernel":
        k = int(number)
        step = Step("kernel", lambda: _kernel(program, k, note))
        _time_compiling(scope[f"launch{k}"], step)
        return step
    if word in _COPIES:
        return Step("copy", lambda: (_COPIES[word] + note, ""))
    value = scope[name]
    step = Step("loop" if word == "loop" else "call", lambda: _call(program, name, note))
    if word == "loop":
        seconds = getattr(value, "made_in", None)
        step.compiles, step.compile_seconds = (1, seconds) if seconds is not None else (0, 0.0)
        step.cache_hits = 1 - step.compiles
    return step


def _time_compiling(runner: Runner, step: Step) -> None:
    plain = runner.compiled
    step.cache_hits = len(runner.variants)  # those of a stored plan

    def compiled(layouts: Any) -> Any:
        if layouts in runner.variants:
            return plain(layouts)
        before, start = load.stats(), time.perf_counter()
        found = plain(layouts)
        seconds, after = time.perf_counter() - start, load.stats()
        made = after["compiles"] > before["compiles"]
        step.compiles += made
        step.cache_hits += not made
        step.compile_seconds += seconds
        step.inside += seconds
        return found

    runner.compiled = compiled  # type: ignore[method-assign]


def _kernel(program: Any, number: int, note: str) -> tuple[str, str]:
    """What a kernel computes; a stored plan does not say, so it is made again."""
    title = f"kernel {number}{note}"
    planned = program.planned
    if planned.wrapper_source != program.wrapper_source:
        return title, ""
    region = [unit for unit in planned.plan.units if isinstance(unit, Region)][number]
    nodes = toposort(region.outputs, known=read_around(region))
    return f"{title}: {counted(nodes)}", origin_text(region.outputs[-1].origin)


def _call(program: Any, name: str, note: str) -> tuple[str, str]:
    """What a call computes: the op of the node that it was made for."""
    made_by = getattr(program.scope[name], "made_by", ())
    node = next((a for a in made_by[1:] if hasattr(a, "op")), None)
    if name.startswith("loop"):
        loops = list(dict.fromkeys(re.findall(r"\bloop\d+", program.wrapper_source)))
        planned = program.planned
        if planned.wrapper_source == program.wrapper_source:
            node = [u for u in planned.plan.units if isinstance(u, Expr) and u.op.name == "loop"][loops.index(name)]
    if node is None:  # of several nodes: what made it says what it is
        factory = getattr(made_by[0], "__name__", name) if made_by else name
        return factory.rstrip("0123456789").replace("_", " ") + note, ""
    if node.op.name == "loop":
        body = node.params["body"]
        described = f"loop: {counted([n for n in toposort(body.outputs, known=body.inputs) if not n.is_leaf])}"
    else:
        types = ", ".join([a.type.describe() if hasattr(a.type, "describe") else "tuple" for a in node.args])
        described = f"{node.op.name}({types})"
    return described + note, origin_text(node.origin)


def read_around(region: Region) -> set[Expr]:
    """The nodes from which a region gets its values."""
    return {a for n in region.amap for a in n.args if a not in region.amap}


def counted(nodes: Sequence[Expr]) -> str:
    """The names of ops with their numbers, the eight most frequent ones."""
    counts = Counter([n.op.name for n in nodes])
    names = [f"{name}×{count}" if count > 1 else name for name, count in counts.most_common(8)]
    return ", ".join([*names, *["..."] * (len(counts) > 8)])
