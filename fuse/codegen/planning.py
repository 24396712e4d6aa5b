"""Planning: a program's formulas rewritten, expanded and fused, and the wrapper written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fuse import rules
from fuse.codegen.accumulate import with_accumulation
from fuse.codegen.assume import asked_sizes, assume_idioms, assume_rows, with_sure_sizes
from fuse.codegen.beside import with_joins
from fuse.codegen.contract import with_products
from fuse.codegen.expand import expand, settle
from fuse.codegen.factored import with_shared_factors
from fuse.codegen.halo import with_halos
from fuse.codegen.launch import Launcher
from fuse.codegen.swept import Matrix, matrices, swept
from fuse.codegen.wrapper import Writer
from fuse.codegen.written import without_detours
from fuse.errors import MissingInputError, origin_text
from fuse.expr import INPUT, SHARED, Expr, leaves
from fuse.looping.tidy import tidied
from fuse.rules.inlining import without_identities

if TYPE_CHECKING:
    from fuse.codegen.program import Program


class Planned:
    """The plan of a program: which rules fired, the units in order, the launchers, the wrapper's source and scope."""

    def __init__(self, program: Program) -> None:
        self.inputs, self.outputs, self.updates = program.inputs, program.outputs, program.updates
        self.takes_outputs, self.overwrites = program.takes_outputs, program.overwrites
        self.exact = program.mode == "strict"
        self.together = program.together
        self.trace: list[Any] = []
        results = with_sure_sizes([*self.outputs, *[value for _, value in self.updates]])
        asked = asked_sizes(results)
        self.assumed: list[tuple[Expr, Expr]] = []
        if program.assuming:
            results, self.assumed = assume_idioms(results)
        results = rules.optimize(without_identities(results), mode=program.mode, trace=self.trace)
        results = tidied(results, program.mode)
        if program.assuming:
            results, more = assume_rows(results)
            self.assumed += more
        if program.mode in ("default", "fast"):
            results = with_shared_factors(results)
        expanded = without_detours(expand(results))
        if program.mode != "strict":
            expanded = with_halos(with_joins(expanded))
        equal = [*self.assumed, *asked]
        self.results, self.sizes = settle(expanded, equal)
        if program.mode != "strict":
            self.results, self.sizes = with_products(
                self.results, self.sizes, equal, program.assuming
            )
            self.results, self.sizes = with_accumulation(self.results, self.sizes, equal)
        self.matrices: tuple[Matrix, ...] = ()
        if program.products == "either":
            self.matrices = matrices(self.results, self.sizes)
        if program.products == "swept":
            self.results, self.sizes = swept(self.results, self.sizes, equal)
        check_inputs(self.results, self.inputs)
        self.shared = [leaf for leaf in leaves(self.results) if leaf.op is SHARED]
        writer = Writer(self)
        self.launchers: list[Launcher] = writer.launchers
        self.plan = writer.plan
        self.wrapper_source = writer.text
        self.scope = writer.scope


def check_inputs(results: Sequence[Expr], inputs: Sequence[Expr]) -> None:
    """Raise MissingInputError where ``results`` need a variable that is not among ``inputs``."""
    known = set(inputs)
    for leaf in leaves(results):
        if leaf.op is INPUT and leaf not in known:
            raise MissingInputError(
                f"the variable {leaf.name or 'without a name'} ({leaf.type.describe()}, made at "
                f"{origin_text(leaf.origin)}) is needed, but is not among the inputs"
            )
