"""Loops on a GPU: the body's launches step after step, without a look at the host in between.

The body is a program of its own, called for each step on device arrays: elements of sequences are views, what is kept
of each step is copied into its place of the result. Launches run in order and the host does not wait for them, so it
is ahead of the device where a step computes for longer than its launches take. Only a loop with a condition to end it
reads one number per step.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse.codegen.cuda_array import DeviceArray, empty, to_device
from fuse.codegen.cuda_loop_run import Unsuited, device_loop_of
from fuse.expr import Expr
from fuse.frontend.loops import Body, checked
from fuse.frontend.sizes import shape_of

if TYPE_CHECKING:
    from fuse.codegen.cuda_program import DeviceProgram


class NoSteps(Exception):
    """A loop without steps keeps values whose sizes only a step knows: the host computes it."""


def device_loop(node: Expr) -> Callable[..., tuple[Any, ...]]:
    """What computes a loop of (steps, sequences, initial states, fixed values): its results by number.

    ``whole`` of it is the loop as one launch, or None; ``how`` says which, in words.
    """
    body: Body = node.params["body"]
    branch, nonempty = node.params.get("branch"), bool(node.params.get("nonempty"))
    whole, why = (None, "a choice") if branch else device_loop_of(body)
    program: list[DeviceProgram] = []

    def step(values: list[Any]) -> list[Any]:
        if not program:
            from fuse.codegen.cuda_program import DeviceProgram

            program.append(DeviceProgram(body.inputs, body.outputs, (), "strict"))  # rewritten with the whole
        return [_there(v) for v in program[0].launched(values)]

    def run(steps: Any, *arrays: DeviceArray, status: DeviceArray | None = None) -> tuple[Any, ...]:
        count = checked(int(steps), arrays, body, nonempty)
        a, b = len(body.sequences), len(body.sequences) + len(body.states)
        states, fixed = list(arrays[a:b]), arrays[b:]
        kept: list[Any] = [None] * len(body.ys)
        if whole is not None and count > 1:
            with suppress(Unsuited):
                return whole(count, arrays, status)
        if branch:
            values = [*[s[0] for s in arrays[:a]], *states, *fixed]
            return tuple([v.reshape((1, *v.shape)) for v in step(values)]) if count else ((),) * len(body.ys)
        done = 0
        while done < count:
            found = step([*[s[done] for s in arrays[:a]], *states, *fixed])
            new = found[: len(states)]
            if any(x.shape != y.shape for x, y in zip(new, states, strict=True)):
                raise ValueError  # told by the host
            states = new
            for k, value in enumerate(found[len(states) : len(states) + len(kept)]):
                kept[k] = _room(kept[k], value, done, count, body.until is not None)
                _copy(kept[k][done], value)
            done += 1
            if body.until is not None and bool(found[-1]):
                break
        if not done:
            kept = [_nothing(y) for y in body.ys]
        finals = [s.copy() for s in states]
        ends = [to_device(np.asarray(done, np.int64))] if body.until is not None else []
        return (*finals, *[k[:done] for k in kept], *ends)

    run.whole = whole  # type: ignore[attr-defined]
    run.how = whole.described if whole else f"step by step ({why})"  # type: ignore[attr-defined]
    return run


def _there(value: Any) -> DeviceArray:
    return value if isinstance(value, DeviceArray) else to_device(np.asarray(value))


def _copy(target: DeviceArray, source: DeviceArray) -> None:
    from fuse.codegen.cuda_launch import copy_into

    if target.shape != source.shape:
        raise ValueError
    if target.is_contiguous and source.is_contiguous and target.size:
        target.memory.on.copy(target.flat(), source.flat())
    else:
        copy_into(target, source)


def _room(kept: DeviceArray | None, value: DeviceArray, done: int, count: int, ends: bool) -> DeviceArray:
    """Memory for the values of all steps; of an unknown number of them it grows."""
    if kept is None:
        return empty((min(count, 64) if ends else count, *value.shape), value.dtype.name)
    if done == kept.shape[0]:
        longer = empty((min(count, 2 * done), *value.shape), value.dtype.name)
        _copy(longer[:done], kept)
        return longer
    return kept


def _nothing(y: Expr) -> DeviceArray:
    """What is kept of no steps."""
    sizes = [n if isinstance(n, int) else None for n in shape_of(y)]
    if any(n is None for n in sizes):
        raise NoSteps
    return empty((0, *[int(n or 0) for n in sizes]), y.type.dtype)
