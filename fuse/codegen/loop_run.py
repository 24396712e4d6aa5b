"""Running loops: the compiled function of a body with its memory, or the body's program called for each step."""
from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fuse.codegen.loop_emit import NotCompiled
from fuse.codegen.loop_entry import compiled, nonempty
from fuse.codegen.loop_plan import compile_loop
from fuse.expr import Expr, make
from fuse.frontend.loops import Body, stepwise
from fuse.looping.branches import is_deep
from fuse.op import OPS

Array = Any


def write_loop(writer: Any, node: Expr, name: str, arguments: Sequence[str]) -> None:
    """The lines of a wrapper that run a loop, or take one of the results of a node that has several."""
    if node.op.name == "part":
        writer.line(f"{name} = {arguments[0]}[{node.params['i']}]")
        return
    call = loop_call(node, writer.program.exact)
    writer.owned.update(make(OPS["part"], (node,), {"i": i}) for i, own in enumerate(getattr(call, "owned", ())) if own)
    writer.line(f"try: {name} = {writer.give('loop', call)}({', '.join(arguments)})")
    writer.line(f"except SizeMismatch: return serve(({writer.arguments}))")


def loop_call(node: Expr, exact: bool) -> Callable[..., list[Array]]:
    """What computes a loop in a wrapper; ``exact``: with every operation rounded as it is written."""
    body: Body = node.params["body"]
    if node.params.get("branch"):
        return _branch(body, node.params["mode"])
    start = time.perf_counter()
    try:
        recipe = compile_loop(body, exact)
    except NotCompiled as reason:
        return _by_program(node, str(reason))
    from dataclasses import astuple

    run: Any = compiled(*_plain(astuple(recipe)))
    if node.params.get("nonempty"):
        run = nonempty(run)
    run.made_in = time.perf_counter() - start  # for profiles
    return run


def loop_texts(wrapper: str, scope: Mapping[str, Any]) -> dict[str, str]:
    """The text of each loop of a wrapper by its name there; of one without a compiled form, why that is so."""
    texts = {}
    for name in dict.fromkeys(re.findall(r"\bloop\d+\b", wrapper)):
        call = scope[name]
        made_by = getattr(call, "made_by", ())
        while made_by and callable(made_by[1]):  # a loop with a condition around it
            made_by = made_by[1].made_by
        if made_by:
            texts[name] = str(made_by[2])
        else:
            why = getattr(call, "why", None)
            how = f"not compiled as a whole, each step is a call: {why}" if why else "computed where it is chosen"
            texts[name] = f"# {how}\n"
    return texts


def _plain(value: Any) -> Any:
    return tuple([_plain(v) for v in value]) if isinstance(value, (tuple, list)) else value


def _branch(body: Body, mode: str) -> Callable[..., list[Any]]:
    """The values of a branch, each as the only element of a list; empty lists where it is not taken.

    Nothing but choices and branches of the same side read them.
    """
    from fuse import reference
    from fuse.codegen.program import Program

    deep = is_deep(body.outputs)
    program: list[Any] = []
    sequences = len(body.sequences)
    nothing: list[Any] = [[]] * len(body.ys)

    def run(steps: Any, *given: Any) -> list[Any]:
        if not steps:
            return nothing
        values = [*[x[0] for x in given[:sequences]], *given[sequences:]]
        if deep:
            return [[v] for v in reference.evaluate(body.outputs, dict(zip(body.inputs, values, strict=True)))]
        if not program:
            program.append(Program(body.inputs, body.outputs, (), mode))
        return [[v] for v in program[0](*values)]

    return run


def _by_program(node: Expr, reason: str) -> Callable[..., list[Array]]:
    """The body's own program, called for each step."""
    from fuse import reference
    from fuse.codegen.program import Program

    body: Body = node.params["body"]
    program: list[Any] = []

    def step(*values: Array) -> Any:
        if not program:
            program.append(Program(body.inputs, body.outputs, (), "strict"))  # it is simplified already
        return program[0](*values)

    run = reference.guarded(node, stepwise(step))
    run.why = reason
    return run
