"""Procedures: of a loop's values only the last one is asked for."""
from __future__ import annotations

from fuse.expr import Constant, Expr, make
from fuse.frontend.loops import LOOP, Body
from fuse.frontend.slices import trimmed, unmarked
from fuse.op import OPS
from fuse.rewrite import Context, procedure


@procedure("loops: the last value", "subtensor", below="part", same_shape=True)
def last_value(node: Expr, context: Context) -> Expr | None:
    """x[-1] of all values of a state is its final value; no steps stay an error."""
    values, *dynamic = node.args
    loop = values.args[0] if values.op.name == "part" else values
    spec = unmarked(node.params["spec"])
    if loop.op is not LOOP or not spec or spec[0] != ("int", -1):
        return None
    if loop in context.frozen or values in context.frozen:  # they are asked for as they are
        return None
    body: Body = loop.params["body"]
    number = values.params["i"] - len(body.states)
    if not 0 <= number < len(body.ys) or body.ys[number] not in body.nexts:
        return None
    if isinstance(loop.args[0], Constant) and int(loop.args[0].data) < 1:
        return None
    state = body.nexts.index(body.ys[number])
    whole = make(LOOP, loop.args, {**loop.params, "nonempty": True})
    final = make(OPS["part"], (whole,), {"i": state})
    rest = trimmed(spec[1:])
    return make(OPS["subtensor"], (final, *dynamic), {"spec": rest}) if rest else final


LOOPS = (last_value,)
