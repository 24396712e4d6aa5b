"""Program: a compiled function as a value: planned once, called many times, explained and pickled.

The wrapper is made for the ordinary case (see fuse.codegen.sizes); a call that breaks a guard is served by a program
made for its pattern of sizes 1, of inputs and, where that is not enough, within the formulas, and else by the reference
interpreter. A plan that was made before,
by this process or another one, is taken from fuse.codegen.plans: then nothing is rewritten, fused or written again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fuse import reference
from fuse.codegen import load, memory, ones, plans
from fuse.codegen.runner import Runner
from fuse.collector import uncollected
from fuse.errors import FuseError
from fuse.expr import SHARED, Expr, substitute
from fuse.forks import cached_property
from fuse.types import TensorType

if TYPE_CHECKING:
    from fuse.codegen.planning import Planned

MOST_NARROW = 4  # programs for sizes of 1 within the formulas, of one program

Array = Any
Update = tuple[Any, Expr]


class Program:
    """A compiled function: ``program(*values)`` gives a list of fresh arrays and stores the updates."""

    def __init__(
        self,
        inputs: Sequence[Expr],
        outputs: Sequence[Expr],
        updates: Sequence[Update] = (),
        mode: str = "default",
        assuming: bool = True,
        takes_outputs: bool = False,
        products: str = "either",
        overwrites: Sequence[int] = (),
        together: bool = True,
    ) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.updates = tuple(updates)
        self.mode = mode
        self.assuming = assuming
        self.takes_outputs = takes_outputs  # arrays for its results are further arguments of the wrapper
        # Those of large matrices and vectors: "called" from BLAS, "swept" in kernels, or "either", as sizes tell.
        self.products = products
        self.together = together  # loops of numbers and the formulas around them, in one entry
        self.overwrites = tuple(overwrites)  # positions of inputs whose memory results may have
        self._variants: dict[Any, Any] = {}  # programs, or None where there is none
        self._narrow: dict[ones.Found, Narrow | None] = {}  # those for sizes of 1 that calls had within the formulas
        self._interprets = 0  # calls that the interpreter served
        self.made: Callable[[Program, str], object] = lambda other, why: None  # told of programs made for some calls
        self.launchers: Sequence[Runner]
        origin = plans.Origin(self)
        found = origin.find()
        if found is None:
            planned = self.planned
            self.launchers, self.wrapper_source, scope = planned.launchers, planned.wrapper_source, planned.scope
            self.shared, self.assumes = planned.shared, bool(planned.assumed)
            origin.keep_as_made(planned)
        else:
            self.launchers, self.wrapper_source, scope = found.runners, found.text, found.scope
            self.shared, self.assumes = found.shared, found.assumes
        for number, runner in enumerate(self.launchers):
            plans.enter(scope, number, runner)
        scope |= {"serve": self.serve, "serve_large": self.serve_large, "serve_long": self.serve_long}
        exec(compile(self.wrapper_source, "<fuse wrapper>", "exec"), scope)
        self._run: Callable[..., list[Array]] = scope["program"]

    @cached_property
    def planned(self) -> Planned:
        """The plan with everything that led to it; made when somebody asks, where a stored one is in use."""
        from fuse.codegen.planning import Planned

        load.count("planned")
        with uncollected():
            return Planned(self)

    def __call__(self, *values: Any) -> list[Array]:
        try:
            return self._run(*values)
        except (ValueError, OverflowError, ZeroDivisionError) as error:
            if isinstance(error, FuseError):
                raise
            return self.serve(values)  # a size that cannot be: the interpreter tells the user's line

    @cached_property
    def _with_outputs(self) -> Program:
        found = self._like(takes_outputs=True, overwrites=())
        self.made(found, "into given arrays")
        return found

    def _like(self, **changes: Any) -> Program:
        options = {"overwrites": self.overwrites} | changes
        return Program(self.inputs, self.outputs, self.updates, self.mode, self.assuming, **options)

    def into(self, values: Sequence[Any], outs: Sequence[Array | None]) -> list[Array]:
        """The results, each in the array given for it where that can be written directly, and else in a new one."""
        try:
            return self._with_outputs._run(*values, *outs, *[None] * (len(self.outputs) - len(outs)))
        except (ValueError, OverflowError, ZeroDivisionError) as error:
            if isinstance(error, FuseError):
                raise
            return self.serve(values)

    @property
    def scope(self) -> dict[str, Any]:
        """The names that the wrapper's source uses."""
        return self._run.__globals__

    def __reduce__(self) -> Any:
        graph = self.inputs, self.outputs, self.updates
        return Program, (*graph, self.mode, True, False, "either", self.overwrites)

    def free(self) -> None:
        """Give the memory of dropped results, which is kept for those to come, back to the system."""
        memory.free()

    # ------------------------------------------------------------ large matrices
    def serve_large(self, values: Sequence[Any], matrices: Sequence[Array]) -> list[Array]:
        """A call with some matrices so large that products of them and vectors are part of kernels, or could be."""
        products = "swept" if all(m.flags.c_contiguous for m in matrices) else "called"
        if products not in self._variants:
            self._variants[products] = self._like(products=products)
            self.made(self._variants[products], "large matrices")
        return self._variants[products](*values)

    def serve_long(self, values: Sequence[Any]) -> list[Array]:
        """A call with a loop of so many steps that it is entered several times, to hear Ctrl-C."""
        if "apart" not in self._variants:
            self._variants["apart"] = self._like(together=False)
            self.made(self._variants["apart"], "many steps")
        return self._variants["apart"](*values)

    # ------------------------------------------------------------ the rare calls
    def serve(self, values: Sequence[Any]) -> list[Array]:
        """A call whose sizes the plan did not expect: sizes of 1 that broadcast, or an error to be told well."""
        for narrow in tuple(self._narrow.values()):  # another thread may make one
            if narrow is not None:
                try:
                    return self._finish(narrow(*values))
                except FuseError:
                    continue  # it has other sizes; what is really wrong the interpreter tells
        arrays = [
            v.type.filter(value) if isinstance(v.type, TensorType) else value
            for v, value in zip(self.inputs, values, strict=True)
        ]
        single = {}
        for leaf, array in [*zip(self.inputs, arrays, strict=True), *((s, s.container.array) for s in self.shared)]:
            static = tuple(
                [1 if n == 1 and m is None else m for n, m in zip(np.shape(array), leaf.type.shape, strict=True)]
            )
            if static != leaf.type.shape:
                single[leaf] = static
        key = tuple(single.items())
        if (key or self.assumes) and key not in self._variants:
            self._variants[key] = refined = self._refined(single)
            if refined is not None:
                self.made(refined, "other sizes")
        variant = self._variants.get(key)
        if variant is not None:
            extra = [s.container.array for s in self.shared if s in single]
            out = variant(*arrays, *extra)
            return self._finish(out)
        return self._interpreted(arrays)

    @property
    def _results(self) -> list[Expr]:
        return [*self.outputs, *[value for _, value in self.updates]]

    def _refined(self, single: dict[Expr, Any]) -> Program | None:
        from fuse.looping.narrow import narrowed

        new = {leaf: TensorType(leaf.type.dtype, static)(leaf.name) for leaf, static in single.items()}
        inputs = [new.get(v, v) for v in self.inputs] + [new[s] for s in single if s.op is SHARED]
        try:
            return Program(inputs, narrowed(substitute(self._results, new)), (), self.mode, assuming=bool(single))
        except FuseError:
            return None  # the interpreter tells what is wrong, with values at hand

    def _interpreted(self, arrays: Sequence[Array]) -> list[Array]:
        """The call by the interpreter; from the second one on the sizes of 1 within it are seen, for calls to come."""
        values = dict(zip(self.inputs, arrays, strict=True))
        self._interprets += 1
        if self._interprets == 1 or len(self._narrow) >= MOST_NARROW:
            out = reference.evaluate(self._results, values)
        else:
            out, found = ones.observed(self._results, values)
            if found and found not in self._narrow:
                self._narrow[found] = self._narrowed(found)
        return self._finish([np.array(a) if isinstance(a, np.ndarray) else a for a in out])

    def _narrowed(self, found: ones.Found) -> Narrow | None:
        try:
            narrow = Narrow(self.inputs, ones.declared(self._results, found), (), self.mode, self.assuming)
        except FuseError:
            return None
        self.made(narrow, "sizes of 1 within the formulas")
        return narrow

    def _finish(self, out: list[Array]) -> list[Array]:
        count = len(self.outputs)
        for (target, _), value in zip(self.updates, out[count:], strict=True):
            target.container.array = value
        return out[:count]

    # ------------------------------------------------------------ views for people
    @property
    def kernels(self) -> tuple[Any, ...]:
        """The Kernel of each fused region, for contiguous arrays."""
        return tuple([launcher.default for launcher in self.planned.launchers])

    @property
    def source(self) -> str:
        """The generated Python: every kernel (for contiguous arrays, and each other layout met), then the wrapper."""
        from fuse.codegen.loop_run import loop_texts

        parts = []
        for number, runner in enumerate(self.launchers):
            contiguous = ("C",) * runner.count
            texts = {layouts: recipe.text for layouts, recipe in list(runner.recipes.items())}
            if contiguous not in texts:
                texts = {contiguous: self.planned.launchers[number].source().text, **texts}
            for layouts, text in texts.items():
                note = "" if layouts == contiguous else f" (layouts {', '.join(layouts)})"
                parts.append(f"# kernel {number}{note}\n{text}")
        for name, text in loop_texts(self.wrapper_source, self.scope).items():
            parts.append(f"# {name[:4]} {name[4:]}\n{text}")
        parts += ["# wrapper", self.wrapper_source]
        if "swept" in self._variants:
            parts += ["# for large matrices, products with which are part of kernels", self._variants["swept"].source]
        return "\n".join(parts)

    def explain(self) -> str:
        """Which rules fired, what was fused, what was not and why, and what each kernel reads, writes and computes."""
        from fuse.codegen.explain import explain

        return explain(self.planned)


class Narrow(Program):
    """A program for calls with some sizes of 1 within the formulas; it refuses every other call."""

    def serve(self, values: Sequence[Any]) -> list[Array]:
        raise FuseError("other sizes than this program was made for")


def compile_program(
    inputs: Sequence[Expr],
    outputs: Sequence[Expr],
    updates: Sequence[Update] = (),
    mode: str = "default",
    overwrites: Sequence[int] = (),
) -> Program:
    """Plan and compile ``outputs`` and ``updates`` as functions of ``inputs``, some of which may be overwritten."""
    return Program(inputs, outputs, updates, mode, overwrites=overwrites)
