"""A loop taken apart, so that passes can change it, and put together again."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fuse.expr import Constant, Expr, substitute, toposort, variable
from fuse.frontend.lengths import has_rows, uncut
from fuse.frontend.loops import Body, arguments, loop_node, results
from fuse.frontend.windows import normal


class Opened:
    """The parts of one loop: leaves of its body with the arguments that they stand for, and what is wanted of it.

    ``sequences`` and ``fixed`` map leaves to arguments; ``states`` maps leaves to [initial value, next value];
    ``finals`` and ``kept`` are what is asked for: for each number of a result the state, or the value of the body.
    ``outside`` has the results that are known without the loop.
    """

    def __init__(self, node: Expr, used: set[int]) -> None:
        opened: Body = node.params["body"].opened()
        sequences, inits, fixed = arguments(node)
        self.steps = node.args[0]
        self.params = {k: v for k, v in node.params.items() if k != "body"}
        self.sequences: dict[Expr, Expr] = dict(zip(opened.sequences, sequences, strict=True))
        self.states: dict[Expr, list[Expr]] = {
            x: [start, after] for x, start, after in zip(opened.states, inits, opened.nexts, strict=True)
        }
        self.fixed: dict[Expr, Expr] = dict(zip(opened.fixed, fixed, strict=True))
        self.until = opened.until
        count = len(opened.states)
        self.results = len(node.type.elements)  # type: ignore[attr-defined]
        self.finals = {i: x for i, x in enumerate(opened.states) if i in used}
        self.kept = {count + m: y for m, y in enumerate(opened.ys) if count + m in used}
        self.wants_done = self.until is not None and self.results - 1 in used
        self.outside: dict[int, Callable[[Any], Expr]] = {}
        self.extra: dict[int, Expr] = {}  # values that are kept for what was pushed out, by number

    # ------------------------------------------------------------ what there is
    @property
    def roots(self) -> list[Expr]:
        ends = [] if self.until is None else [self.until]
        return [*[after for _, after in self.states.values()], *self.kept.values(), *self.extra.values(), *ends]

    def replace(self, changes: dict[Expr, Expr]) -> None:
        """Put other values in place of values of the body."""
        if not changes:
            return
        self._take(substitute(self.roots, changes))

    def _take(self, roots: Sequence[Expr]) -> None:
        new = iter(roots)
        for pair in self.states.values():
            pair[1] = next(new)
        self.kept = {i: next(new) for i in self.kept}
        self.extra = {i: next(new) for i in self.extra}
        if self.until is not None:
            self.until = next(new)

    def keep(self, value: Expr) -> int:
        """Keep a value of every step (an element of a sequence is there anyway); its number."""
        number = len(self.extra)
        self.extra[number] = value
        return number

    def add_fixed(self, value: Expr, like: Expr) -> Expr:
        """The leaf that stands for an outer value in every step."""
        for x, known in self.fixed.items():
            if known is value:
                return x
        x = variable(like.type, value.name)
        self.fixed[x] = value
        return x

    def add_sequence(self, value: Expr, like: Expr) -> Expr:
        """The leaf that stands for an element of an outer array of one row per step."""
        x = variable(like.type)
        self.sequences[x] = value
        return x

    # ------------------------------------------------------------ less of it
    def simplify(self, optimize: Callable[[Sequence[Expr]], list[Expr]]) -> None:
        """Simplify the body."""
        self._take(optimize(self.roots))
        arrays = [n for n in toposort(self.roots) if isinstance(n, Constant) and n.data.size != 1]
        self.replace({n: self.add_fixed(n, n) for n in arrays})

    def windows(self) -> None:
        """Write windows of numbers, which take in one in each step, in one way."""
        self.replace({
            after: new for x, (_, after) in self.states.items() if (new := normal(x, after)) is not after
        })

    def prune(self) -> None:
        """Let go of states, sequences and fixed values that nothing wanted reads."""
        constants = {
            x: v for x, v in self.fixed.items() if isinstance(v, Constant) and v.type.ndim == 0 and v.type == x.type
        }
        self.replace(dict(constants))
        same = {x: pair[0] for x, pair in self.states.items() if pair[1] is x and pair[0].type == x.type}
        for x, start in same.items():  # a state that never changes
            self.fixed[x] = start
            del self.states[x]
            for i in [i for i, f in self.finals.items() if f is x]:
                del self.finals[i]
                self.outside[i] = always(start)
        wanted = [*self.kept.values(), *self.extra.values(), *([self.until] if self.until is not None else [])]
        needed = set(self.finals.values())
        while True:
            order = set(toposort([*wanted, *[self.states[x][1] for x in needed]]))
            more = {x for x in self.states if x in order} - needed
            if not more:
                break
            needed |= more
        self.states = {x: pair for x, pair in self.states.items() if x in needed}
        order = set(toposort(self.roots))
        self.sequences = {x: v for x, v in self.sequences.items() if x in order}
        self.fixed = {x: v for x, v in self.fixed.items() if x in order}

    # ------------------------------------------------------------ together again
    def closed(self) -> list[Expr | None]:
        """The results; None for those that nobody asked for."""
        found: list[Expr | None] = [None] * self.results
        closed = Closed(self)
        for i, x in self.finals.items():
            found[i] = closed.finals[x]
        for i, y in self.kept.items():
            found[i] = closed.kept[y]
        for i, make in self.outside.items():
            found[i] = make(closed)
        if self.wants_done:
            found[-1] = closed.done
        return found


def always(value: Expr) -> Callable[[Any], Expr]:
    """A result that is known without the loop."""
    return lambda closed: value


class Closed:
    """The results of a loop that was put together: by state, and by value of the body."""

    def __init__(self, loop: Opened) -> None:
        self.loop = loop
        extra = [y for y in loop.extra.values() if y not in loop.sequences]
        ys = list(dict.fromkeys([*loop.kept.values(), *extra]))
        self.finals: dict[Expr, Expr] = {}
        self.kept: dict[Expr, Expr] = {}
        self.done: Expr | None = None
        if not loop.states and not ys and loop.until is None:
            return
        body = Body(
            list(loop.sequences), list(loop.states), list(loop.fixed), [after for _, after in loop.states.values()], ys,
            loop.until,
        )
        starts = [start for start, _ in loop.states.values()]
        node = loop_node(
            loop.steps, list(loop.sequences.values()), starts, list(loop.fixed.values()), body, **loop.params
        )
        finals, kept, self.done = results(node)
        self.finals = dict(zip(loop.states, finals, strict=True))
        self.kept = dict(zip(ys, kept, strict=True))

    @property
    def length(self) -> Any:
        """The number of steps that were done."""
        return self.loop.steps if self.done is None else self.done

    def rows(self, number: int) -> Expr:
        """The values of all steps of what was to be kept."""
        return self.sequence(self.loop.extra[number])

    def sequence(self, value: Expr) -> Expr:
        """The values of all steps of a sequence's element, or of what is kept."""
        if value in self.kept:
            return self.kept[value]
        x = self.loop.sequences[value]
        return uncut(x)[0][::-1] if uncut(x)[1] and has_rows(x, self.length) else self.first(x)

    def first(self, x: Expr) -> Expr:
        """As many rows as there are steps."""
        return uncut(x)[0] if has_rows(x, self.length) else x[: self.length]
