"""Programs that run on the reference interpreter: FAST_COMPILE, DebugMode, NanGuardMode and MonitorMode."""
from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fuse import reference
from fuse.codegen.given import agree
from fuse.errors import DebugModeError, FuseError, MissingInputError, NanGuardError, origin_text, runtime_error
from fuse.expr import Expr, toposort
from fuse.frontend.apply import Apply
from fuse.frontend.fgraph import FunctionGraph
from fuse.op import OPS, USER_REWRITES
from fuse.types import TensorType

Array = Any
Update = tuple[Any, Expr]


def optimized(outputs: Sequence[Expr], rewriting: str) -> list[Expr]:
    """``outputs`` after the rewriting of this name; as they are for ``'none'``."""
    if rewriting == "none":
        return list(outputs)
    from fuse import rules
    from fuse.rules.inlining import without_identities

    return list(rules.optimize(without_identities(outputs), mode=rewriting))


def _plain_step(index: int, node: Expr, args: Sequence[Array]) -> Array:
    return reference.apply(node, args)


class ReferenceProgram:
    """A compiled program's interface on the NumPy interpreter: one operation after the other, nothing compiled.

    ``program(*values)`` gives the outputs as fresh arrays and then stores the updates.
    """

    kernels: tuple[Any, ...] = ()

    def __init__(
        self,
        inputs: Sequence[Expr],
        outputs: Sequence[Expr],
        updates: Sequence[Update] = (),
        mode: str = "FAST_COMPILE",
        step: Callable[[int, Expr, Sequence[Array]], Array] | None = None,
    ) -> None:
        self.inputs = tuple(inputs)
        self.targets = tuple([target for target, _ in updates])
        self.results = tuple(optimized([*outputs, *[value for _, value in updates]], mode))
        self.outputs = self.results[: len(outputs)]
        self.mode = mode
        self._step = step or _plain_step
        self._plan()

    def _plan(self) -> None:
        """Number the nodes: leaves first, then one step per node, and what each step is the last to read."""
        order = toposort(self.results, known=self.inputs)
        self._slot = {node: i for i, node in enumerate([*self.inputs, *order])}
        last: dict[int, int] = {}
        steps: list[Any] = []
        self._shared: list[tuple[int, Any]] = []
        self._fixed: list[tuple[int, Array]] = []
        for node in order:
            slot = self._slot[node]
            if node.op.name == "shared":
                self._shared.append((slot, node.container))
            elif node.op.name == "constant":
                self._fixed.append((slot, node.data))
            elif node.is_leaf:
                raise MissingInputError(f"no value was given for the input {node.name or node}")
            else:
                args = tuple([self._slot[a] for a in node.args])
                for a in args:
                    last[a] = len(steps)
                steps.append((node, slot, args))
        kept = {self._slot[r] for r in self.results} | set(range(len(self.inputs)))
        dead: list[list[int]] = [[] for _ in steps]
        for slot, step in last.items():
            if slot not in kept:
                dead[step].append(slot)
        self._arrays_only = all(isinstance(r.type, TensorType) for r in self.results)
        self._lazy = any(node.op.name == "ifelse" for node, *_ in steps)
        self._steps = [(node, slot, args, tuple(gone)) for (node, slot, args), gone in zip(steps, dead, strict=True)]

    def compute(self, values: Sequence[Any]) -> list[Array]:
        """The outputs and the new values of the shared variables, as fresh arrays; nothing is stored."""
        memory: list[Array] = [None] * len(self._slot)
        for i, (node, value) in enumerate(zip(self.inputs, values, strict=True)):
            memory[i] = node.type.filter(value)
        for slot, container in self._shared:
            memory[slot] = container.array
        for slot, data in self._fixed:
            memory[slot] = data
        held = [m for m in memory if m is not None]
        if self._lazy:
            return self._fresh(self._on_demand(memory), held)
        with np.errstate(all="ignore"):
            for k, (node, slot, args, gone) in enumerate(self._steps):
                memory[slot] = self._step(k, node, [memory[a] for a in args])
                for a in gone:
                    memory[a] = None
        return self._fresh([memory[self._slot[r]] for r in self.results], held)

    def _on_demand(self, memory: Sequence[Array]) -> list[Array]:
        """The results with only the steps that they need, for the given values of leaves."""
        number = {node: k for k, (node, *_) in enumerate(self._steps)}
        known = {node: memory[slot] for node, slot in self._slot.items() if node not in number}
        return reference.on_demand(self.results, known, lambda node, args: self._step(number[node], node, args))

    def _fresh(self, values: Sequence[Array], held: Sequence[Array]) -> list[Array]:
        """The results as arrays, or objects of a user's own types, that share nothing with ``held`` or one another."""
        if self._arrays_only:
            return _fresh(values, held)
        is_array = [isinstance(r.type, TensorType) for r in self.results]
        arrays = iter(_fresh([v for v, yes in zip(values, is_array, strict=True) if yes], held))
        known = {id(h) for h in held}
        fresh = []
        for result, value, yes in zip(self.results, values, is_array, strict=True):
            new = next(arrays) if yes else result.type.copied(value) if id(value) in known else value
            known.add(id(new))
            fresh.append(new)
        return fresh

    def store(self, values: Sequence[Array]) -> None:
        """Give the updated shared variables their new values."""
        for target, value in zip(self.targets, values, strict=True):
            target.container.array = value

    def __call__(self, *values: Any) -> list[Array]:
        results = self.compute(values)
        count = len(self.outputs)
        self.store(results[count:])
        return results[:count]

    @property
    def source(self) -> str:
        """The steps as lines of text: one call per operation."""
        names = {node: f"v{i}" for node, i in self._slot.items()}
        lines = [f"def program({', '.join(names[i] for i in self.inputs)}):"]
        for slot, container in self._shared:
            lines.append(f"    v{slot} = shared  # {container.array.dtype}{container.array.shape}")
        for slot, data in self._fixed:
            lines.append(f"    v{slot} = {np.array2string(data, threshold=8).replace(chr(10), '')}  # {data.dtype}")
        for node, slot, args, _ in self._steps:
            params = [f"{k}={v!r}" for k, v in node.params.items()]
            lines.append(f"    v{slot} = {node.op}({', '.join([*[f'v{a}' for a in args], *params])})")
        lines.append(f"    return [{', '.join(names[o] for o in self.outputs)}]")
        return "\n".join(lines)

    def explain(self) -> str:
        """What runs: the number of operations, and that nothing is fused."""
        return (
            f"{len(self._steps)} operations, run one after the other by NumPy (rewriting: {self.mode}); "
            f"nothing is compiled or fused"
        )


def _fresh(results: Sequence[Array], held: Sequence[Array]) -> list[Array]:
    """``results`` as arrays that share no memory with ``held`` (inputs, shared values, constants) or one another."""
    taken = {id(_root(h)) for h in held}
    fresh = []
    for result in results:
        array = np.asarray(result)
        if id(_root(array)) in taken or not array.flags.writeable:
            array = array.copy()
        taken.add(id(_root(array)))
        fresh.append(array)
    return fresh


def _root(array: Array) -> Any:
    """The object that owns the memory."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


class DebugProgram:
    """A compiled program beside the plain interpreter on the formula as written: raises where they differ.

    ``written`` is what the user computes, outputs before updates; ``stages`` what it is after each of the user's own
    rewrites, by name; ``compiled`` computes the last of these.
    """

    def __init__(
        self, written: Sequence[Expr], stages: Sequence[tuple[str, Sequence[Expr]]], updates: Sequence[Update],
        compiled: Any,
    ) -> None:
        inputs, count = compiled.inputs, len(written) - len(updates)

        def interpreted(roots: Sequence[Expr], mode: str, step: Any = None) -> ReferenceProgram:
            pairs = list(zip([t for t, _ in updates], roots[count:], strict=True))
            return ReferenceProgram(inputs, roots[:count], pairs, mode, step)

        self.plain = interpreted(written, "none", watching_inputs)
        self.stages = [(name, interpreted(roots, "none")) for name, roots in stages]
        self.rewritten_from = list(stages[-1][1] if stages else written)
        self.rewritten = interpreted(self.rewritten_from, compiled.mode)
        self.compiled = compiled
        self.kernels = compiled.kernels
        self.targets = self.plain.targets

    @property
    def source(self) -> str:
        return str(self.compiled.source)

    def explain(self) -> str:
        return f"{self.compiled.explain()}\nevery call is repeated by the interpreter and compared"

    def __call__(self, *values: Any) -> list[Array]:
        return self.into(values, ())

    def into(self, values: Sequence[Any], outs: Sequence[Array | None]) -> list[Array]:
        """The results of a call that raises before anything is stored if the arrays ``outs`` have other shapes."""
        expected = self.plain.compute(values)
        for out, want in zip(outs, expected, strict=False):
            agree(out, want)
        for name, stage in self.stages:
            for k, (want, have) in enumerate(zip(expected, stage.compute(values), strict=True)):
                _compare(self._what(k), self.plain.results[k], want, have, f"after the rewrite {name}")
        for k, (want, have) in enumerate(zip(expected, self.rewritten.compute(values), strict=True)):
            try:
                _compare(self._what(k), self.plain.results[k], want, have, "after rewriting")
            except DebugModeError as error:
                raise DebugModeError(f"{error}{self._blamed(values)}") from None
        got = self.compiled(*values)
        stored = [t.container.array for t in self.targets]
        for i, (want, have) in enumerate(zip(expected, [*got, *stored], strict=True)):
            _compare(self._what(i), self.plain.results[i], want, np.asarray(have), "as compiled")
        return list(got)

    def _what(self, i: int) -> str:
        count = len(self.plain.outputs)
        if i < count:
            return f"output {i}"
        return f"the update of {self.targets[i - count].name or 'a shared variable'}"

    def _blamed(self, values: Sequence[Any]) -> str:
        """The user's rewrite, or the first rule, whose two sides have different values, as the end of a message."""
        from fuse import rules
        from fuse.rules.inlining import without_identities
        from fuse.rules.user import rewritten

        for name, rewrite in USER_REWRITES.items():
            before = self.rewritten_from
            after = rewritten(before, [rewrite])
            known = dict(zip(self.plain.inputs, values, strict=True))
            for old, new, want, have in zip(
                before, after, reference.evaluate(before, known), reference.evaluate(after, known), strict=True
            ):
                try:
                    _compare("", old, want, have, "")
                except DebugModeError:
                    return f"\n  by the rewrite {name}: {old}  →  {new}"
        trace: list[Any] = []
        rules.optimize(without_identities(self.rewritten_from), mode=self.compiled.mode, trace=trace)
        known = dict(zip(self.plain.inputs, values, strict=True))
        for fired in trace:
            try:
                before, after = reference.evaluate([fired.before, fired.after], known)
                _compare("", fired.before, before, after, "")
            except DebugModeError:
                return f"\n  by the rule {fired.name}: {fired.before}  →  {fired.after}"
            except FuseError:
                continue  # a rule within a loop reads what has no value here
        return ""


def watching_inputs(index: int, node: Expr, args: Sequence[Array]) -> Array:
    """A step of ReferenceProgram that raises where an op changes its arguments without saying so."""
    if OPS.get(node.op.name) is node.op:
        return reference.apply(node, args)
    before = [np.array(a) for a in args]
    result = reference.apply(node, args)
    for k, (old, new) in enumerate(zip(before, args, strict=True)):
        if old.tobytes() != np.asarray(new).tobytes():
            np.copyto(new, old)
            text = f"{node.op} changed its input {k}; an op that does says so in destroy_map"
            raise runtime_error(DebugModeError, text, str(node.op), map(np.shape, args), node.origin)
    return result


def _compare(what: str, node: Expr, want: Array, have: Array, how: str) -> None:
    want = np.asarray(want)
    have = np.asarray(have)
    where = f"\n  built at {origin_text(node.origin)}"
    if want.dtype != have.dtype or want.shape != have.shape:
        raise DebugModeError(
            f"{what} is {have.dtype}{have.shape} {how} and {want.dtype}{want.shape} by the interpreter{where}"
        )
    if want.dtype.kind in "fc":
        scale = np.finfo(want.dtype).eps
        same = np.isclose(have, want, rtol=2**14 * scale, atol=2**10 * scale, equal_nan=True)
    else:
        same = have == want
    if not same.all():
        first = tuple(map(int, np.argwhere(~np.atleast_1d(same))[0])) if want.ndim else ()
        raise DebugModeError(
            f"{what} differs in {int((~same).sum())} of {same.size} places; at {first} it is {have[first]!r} {how} "
            f"and {want[first]!r} by the interpreter{where}"
        )


class Thunk:
    """What MonitorMode shows of one operation: cells of its inputs and outputs; calling it computes the outputs."""

    def __init__(self, node: Expr, args: Sequence[Array]) -> None:
        self._node = node
        self.inputs = [[a] for a in args]
        self.outputs: list[list[Any]] = [[None] for _ in getattr(node.type, "elements", (node.type,))]

    def __call__(self) -> None:
        found = reference.apply(self._node, [cell[0] for cell in self.inputs])
        for cell, value in zip(self.outputs, found if isinstance(found, (tuple, list)) else [found], strict=True):
            cell[0] = value


def _of_three(function: Any) -> Any:
    """A user's function of (index, apply, thunk), as Theano calls it, from one of (graph, index, apply, thunk)."""
    if function is None:
        return None
    try:
        inspect.signature(function).bind(None, None, None)
    except TypeError:
        return lambda index, apply, thunk: function(FunctionGraph(None, apply.outputs), index, apply, thunk)
    except ValueError:  # a built-in function that does not say
        pass
    return function


def monitored(before: Any, after: Any) -> Callable[[int, Expr, Sequence[Array]], Array]:
    """A step of ReferenceProgram between calls of the user's functions; parts of results are no operations."""

    before, after = _of_three(before), _of_three(after)

    def step(index: int, node: Expr, args: Sequence[Array]) -> Array:
        if node.op.name == "part":
            return reference.apply(node, args)
        thunk, view = Thunk(node, args), Apply._view(node)
        if before is not None:
            before(index, view, thunk)
        thunk()
        if after is not None:
            after(index, view, thunk)
        values = [cell[0] for cell in thunk.outputs]
        return values if hasattr(node.type, "elements") else values[0]

    return step


_BAD: dict[str, Callable[[Array], Any]] = {
    "NaN": np.isnan,
    "infinity": np.isinf,
    "a number beyond 1e10": lambda value: np.isfinite(value) & (abs(value) > 1e10),
}


def nan_guard(nan: bool, inf: bool, big: bool) -> Callable[[int, Expr, Sequence[Array]], Array]:
    """A step of ReferenceProgram that raises where an operation makes NaN, infinity or a huge number."""

    looked_for = [(word, test) for (word, test), wanted in zip(_BAD.items(), (nan, inf, big), strict=True) if wanted]

    def found_in(value: Any) -> str | None:
        value = np.asarray(value)
        if value.dtype.kind not in "fc" or not value.size:
            return None
        return next((word for word, test in looked_for if test(value).any()), None)

    def step(index: int, node: Expr, args: Sequence[Array]) -> Array:
        for arg, value in zip(node.args, args, strict=True):
            found = found_in(value) if arg.op.name in ("input", "shared") else None
            if found:
                raise NanGuardError(
                    f"the {'input' if arg.op.name == 'input' else 'shared variable'} {arg.name or 'without a name'} "
                    f"({arg.type.describe()}) holds {found}\n  made at {origin_text(arg.origin)}"
                )
        result = reference.apply(node, args)
        for value in result if isinstance(result, (tuple, list)) else (result,):
            found = found_in(value)
            if found:
                text = f"{node.op} made {found}"
                raise runtime_error(NanGuardError, text, str(node.op), map(np.shape, args), node.origin)
        return result

    return step
