"""Kernels of a plan as text within one function, with the values that they read and make."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from fuse.codegen.collapse import collapse
from fuse.codegen.emit_cpu import CpuEmitter
from fuse.codegen.finishing import Plan
from fuse.codegen.inline import constant_text
from fuse.codegen.kernel import Kernel, Local
from fuse.codegen.load import ArgType
from fuse.codegen.loop_emit import Merge, NotCompiled, Place, copy_lines
from fuse.codegen.multiply_add import has_multiply_add, with_multiply_add
from fuse.codegen.region import SCATTERS, Region, is_literal, see_through
from fuse.codegen.rowgroups import in_row_groups
from fuse.codegen.schedule import schedule
from fuse.codegen.sizes import Size, Sizes
from fuse.codegen.staging import in_runs
from fuse.codegen.text import as_dtype
from fuse.codegen.wellformed import check
from fuse.expr import CONSTANT, Constant, Expr


class Units(ABC):
    """Writes kernels. Subclasses say what sizes are called, and have ``sizes``, the plan's, and ``lines``, the text.

    ``values`` has for each value the name of a number, or the place of an array; ``given`` the places into which values
    are computed.
    """

    root: Any  # has ``exact``: whether sums are rounded as they are written
    sizes: Sizes
    lines: list[str]
    values: dict[Expr, Place | str]
    given: dict[Expr, Place]
    also: dict[Expr, Place]  # second places of values that are kept twice
    stored: set[Place]  # those that kernels have written
    plan: Plan
    around_loop = False  # whether these are no steps, but what stands around a loop
    for_file = False  # whether the text is for a file, where no interpreter takes over
    products: Any = None  # of the root: its SharedProducts, where its text may have functions
    aligned: Collection[str] = ()  # of the root: memory of states that begins at a line of the caches

    @abstractmethod
    def size(self, size: Size) -> str:
        """The name of a size, or the number that it is."""

    @abstractmethod
    def equal(self, left: Size, right: Size) -> None:
        """Note that two sizes must be equal."""

    # ------------------------------------------------------------ names
    def fresh(self, prefix: str) -> str:
        self.root.count += 1
        return f"{prefix}{self.root.count}"

    def argument(self, dtype: str, ndim: int | None, writable: bool, what: tuple[Any, ...]) -> str:
        """A new argument of the function; ``ndim`` None: a number."""
        name = self.fresh("x")
        self.root.names.append(name)
        self.root.argtypes.append(ArgType(dtype, ndim, writable))
        self.root.arguments.append(what)
        return name

    def shape(self, node: Expr) -> tuple[str, ...]:
        return tuple([self.size(n) for n in self.sizes.of[node]])

    # ------------------------------------------------------------ values
    def number(self, value: Expr) -> str:
        """The text of a 0-d value."""
        if isinstance(value, Constant):
            return constant_text(value.data.item(), value.type.dtype)
        if self.sizes.is_host(value):
            return self.size(self.sizes.host(value))
        operand = see_through(value, self.sizes)
        found = self.values.get(value) or self.values.get(operand.base)
        if found is None:
            raise NotCompiled(f"a number from {value.op}")
        if isinstance(found, str):
            return found
        return f"load({found.buffer}, {found.offset})"

    def place(self, value: Expr) -> Place:
        """Where an array is, seen through views."""
        chain = []
        while value not in self.values and value.op.name in ("dimshuffle", "unbroadcast"):
            chain.append(value)
            value = value.args[0]
        if value not in self.values and value.op.name == "broadcast_to":
            self.values[value] = self.spread(value)
        if value not in self.values and isinstance(value, Constant) and value.data.size == 1 and value.type.ndim:
            held = self.values[value] = self.scratch(value.type.dtype, ("1",) * value.type.ndim)
            self.lines.append(f"store({held.buffer}, 0, {constant_text(value.data.item(), value.type.dtype)})")
        found = self.values.get(value)
        if isinstance(found, str) and chain:  # a number seen as an array
            held = self.scratch(value.type.dtype, ())
            self.lines.append(f"store({held.buffer}, 0, {as_dtype(found, value.type.dtype)})")
            found = held
        if not isinstance(found, Place):
            raise NotCompiled(f"the array of {value.op}")
        for view in reversed(chain):
            if view.op.name == "dimshuffle":
                pattern = view.params["pattern"]
                found = found.permuted(pattern)
        return found

    def spread(self, node: Expr) -> Place:
        """An array of a number, or of a smaller array, repeated."""
        source, shape = node.args[0], self.shape(node)
        if source.type.ndim == 0:
            out = self.new(node)
            self.filled(out, node)
            return out
        found = self.place(source)
        lead = len(shape) - len(found.shape)
        own = [found.stride(d) if self.size(n) == shape[lead + d] else "0" for d, n in enumerate(
            self.sizes.of[source])]
        return Place(found.buffer, found.offset, shape, ("0",) * lead + tuple(own))

    def filled(self, out: Place, node: Expr) -> None:
        """Write the number that ``node`` repeats to all of ``out``."""
        index = [self.fresh("f") for _ in out.shape]
        number = as_dtype(self.number(node.args[0]), node.type.dtype)
        loops = ["    " * d + f"for {i} in range({n}):" for d, (i, n) in enumerate(zip(index, out.shape, strict=True))]
        if index:
            loops.append("    " * len(index) + "independent()")
        self.lines += [*loops, "    " * len(index) + f"store({out.buffer}, {out.at(*index)}, {number})"]

    def scratch(self, dtype: str, shape: Sequence[str]) -> Place:
        name = self.argument(dtype, 1, True, ("scratch", dtype, tuple(shape)))
        return Place(name, "0", tuple(shape))

    def new(self, node: Expr) -> Place:
        """The place of an array that a step computes."""
        return self.given[node] if node in self.given else self.near(node.type.dtype, self.shape(node))

    def near(self, dtype: str, shape: Sequence[str]) -> Place:
        """Scratch memory that is written and read at once: at a line of the caches where it is to be had there.

        See `loop_entry.aligned`.
        """
        if not self.root.around_loop:
            return self.scratch(dtype, shape)
        name = self.root.line_memory(dtype, shape)
        return Place(name, f"{name}_line", tuple(shape))

    # ------------------------------------------------------------ units
    def region(self, region: Region) -> None:
        twice: set[Expr] = set()
        for node in region.outputs:
            if node.type.ndim:
                out = self.values[node] = self.new(node)
                if node.op.name in SCATTERS:
                    if not is_literal(self.plan.operands[node][0].base):  # the kernel changes a copy
                        self.lines += copy_lines(self.fresh("c"), self.place(node.args[0]), out)
                elif node in self.also and self.also[node].layout == out.layout == "C":
                    twice.add(node)
            else:
                self.values[node] = self.fresh("v")

        def layout(base: Expr) -> str:
            found = self.values.get(base)
            return found.layout if isinstance(found, Place) else "C"

        kernel, binding = self.scheduled(region, layout)
        text = self.written(kernel)
        arrays: dict[str, Place | str] = {}
        results: dict[str, str] = {}
        also: dict[str, Place] = {}
        for buffer, base in zip(kernel.buffers, binding.buffers, strict=True):
            if isinstance(base, Local):
                sizes = [region.sizes[int(p.name[1:])] for a in base.axes for p in a.parts or (a,)]
                arrays[buffer.name] = self.local(buffer.name, base.dtype, [self.size(n) for n in sizes])
                continue
            if base.op is CONSTANT:
                raise NotCompiled("an array of constants")
            found = self.values.get(base)
            if found is None:
                raise NotCompiled(f"the value of {base.op}")
            if isinstance(found, Place) and layout(base) == "C" and buffer.layout != "C":
                raise NotCompiled("layouts")
            arrays[buffer.name] = found
            if isinstance(found, str) and buffer.output:
                results[buffer.name] = base.type.dtype
            if base in twice and buffer.output:
                also[buffer.name] = self.also[base]
                self.stored.add(self.also[base])
        scalars = {}
        for scalar, what in zip(kernel.scalars, binding.scalars, strict=True):
            scalars[scalar.name] = self.size(what[1]) if isinstance(what, tuple) else self.number(what)
        self.lines += Merge(self.fresh("u") + "_", arrays, scalars, results, also).statements(text)

    def scheduled(self, region: Region, layout: Callable[[Expr], str]) -> tuple[Kernel, Any]:
        """The kernel of a region for arrays laid out as ``layout`` says, and what its parameters stand for."""
        kernel, binding = schedule(region, self.sizes, self.plan.operands, layout)
        return check(in_row_groups(in_runs(replace(collapse(kernel), rows=None)))), binding

    def written(self, kernel: Kernel) -> str:
        """The text of a kernel."""
        if not self.root.exact and has_multiply_add():
            kernel = check(with_multiply_add(kernel))
        kernel = replace(kernel, unseen=()) if self.root.for_file else kernel
        source = CpuEmitter(kernel, tapes=False).emit()  # a loop has no tapes
        self.root.helpers.update(source.helpers)
        return source.text

    def local(self, buffer: str, dtype: str, shape: Sequence[str]) -> Place:
        """Scratch memory of the kernel written last."""
        return self.scratch(dtype, shape)
