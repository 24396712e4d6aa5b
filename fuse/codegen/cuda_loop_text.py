"""Loops on a GPU as one kernel: the text of all steps, for one thread or one block for each element.

The body's plan is that of compiled loops on the CPU (`loop_plan.py`): numbers are names, so states stay in registers;
arrays have places in memory of the loop. Where an element's values are numbers, a thread runs its steps by itself.
Else a block does: its threads share each kernel and each product of a step, with barriers between them.
"""
from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fuse.codegen.cuda_block import SYNC, BlockEmitter, Functions
from fuse.codegen.cuda_launch import schedule
from fuse.codegen.kernel import Kernel
from fuse.codegen.loop_along import POSITIONS
from fuse.codegen.loop_emit import NotCompiled, Place, product
from fuse.codegen.loop_plan import LoopWriter, measure_text
from fuse.codegen.loop_views import UNITS
from fuse.codegen.products import is_product
from fuse.codegen.region import Region
from fuse.codegen.syntax import parse
from fuse.errors import FuseTypeError
from fuse.expr import Expr, toposort
from fuse.frontend.loops import Body
from fuse.op import OPS

_HALF = ("float16",)  # half floats are kept in memory only


@dataclass(frozen=True, eq=False)
class LoopText:
    """A loop as one kernel: its source, what each array is (as in `LoopRecipe`), and what it is called with.

    ``numbers`` are the arguments before the arrays, sizes last; behind each array stand the place of its first element,
    its strides along the elements' axes, and that of its steps. ``alone``: a thread for each element, else a block.
    ``work`` has sizes whose products are the multiplications of one step.
    """

    text: str
    arguments: tuple[tuple[Any, ...], ...]
    dtypes: tuple[str, ...]  # of the arrays
    results: tuple[tuple[Any, ...], ...]
    measure: str
    sizes: int
    helpers: dict[str, Any]
    alone: bool
    checks: bool
    ends: bool
    work: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Rows(Place):
    """An array of all steps, whose rows are ``step`` elements apart."""

    apart: str = ""

    def stride(self, d: int) -> str:
        return self.apart if d == 0 else super().stride(d)


class DeviceLoopWriter(LoopWriter):
    """Writes the kernel of one body."""

    steps_done = "step"  # all steps are done at once

    def __init__(self, body: Body, alone: bool) -> None:
        self.alone, self.functions, self.settled = alone, Functions(), 0
        self.private: set[str] = set()
        self.work: list[tuple[str, ...]] = []
        super().__init__(body)

    def write(self) -> None:
        super().write()
        self.settle()
        if not self.alone:
            self.lines.append(SYNC)

    def settle(self) -> None:
        """Share what was written for one thread since the last time among the threads of the block."""
        if not self.alone:
            self.lines[self.settled :] = _shared(self.lines[self.settled :])
        self.settled = len(self.lines)

    # ------------------------------------------------------------ memory
    def argument(self, dtype: str, ndim: int | None, writable: bool, what: tuple[Any, ...]) -> str:
        if dtype in _HALF:
            raise NotCompiled("half floats")
        return super().argument(dtype, ndim, writable, what)

    def changed_memory(self, k: int, x: Expr, moves: bool) -> str:
        if moves:
            raise NotCompiled("a window that moves along")
        name = super().changed_memory(k, x, moves)
        self.where["state", k] = (len(self.arguments) - 1, "whole")
        return name

    def store_into(self, out: Place, node: Expr) -> None:
        if not self.alone:  # some thread may still read what this changes
            self.settle()
            self.lines.append(SYNC)
            self.settled = len(self.lines)
        super().store_into(out, node)

    def kept_memory(self, m: int, y: Expr, shape: tuple[str, ...]) -> Place:
        found = super().kept_memory(m, y, shape)
        return Rows(found.buffer, found.offset, found.shape, None, f"{found.buffer}_step")

    def local(self, buffer: str, dtype: str, shape: Sequence[str]) -> Place:
        if buffer not in self.private:
            return self.scratch(dtype, shape)
        name = self.argument(dtype, 1, True, ("slots", dtype, tuple(shape)))
        return Place(name, "0", tuple(shape))

    # ------------------------------------------------------------ units
    def scheduled(self, region: Region, layout: Callable[[Expr], str]) -> tuple[Kernel, Any]:
        self.work.append(tuple([self.size(n) for n in region.sizes]))
        return schedule(region, self.sizes, self.plan.operands, layout)

    def written(self, kernel: Kernel) -> str:
        self.settle()
        emitter = BlockEmitter(kernel, self.functions, self.alone)
        self.private = emitter.private
        return emitter.written()

    def region(self, region: Region) -> None:
        super().region(region)
        self.settled = len(self.lines)

    def single(self, node: Expr) -> None:
        known = node.op.name in UNITS or node.op.name in POSITIONS or node.op.name == "part" and node in self.values
        if known or is_product(node):
            super().single(node)
        else:
            raise NotCompiled(f"{node.op} in a step")

    def dot(self, node: Expr) -> None:
        left, right = [self.matrix(a, k) for k, a in enumerate(node.args)]
        self.settle()
        name, dtype = self.fresh("d"), node.type.dtype
        zero = f"{dtype}(0.0)"
        if node.type.ndim == 0:
            self.values[node] = name
            whole = self.functions.together(OPS["sum"], dtype, name)
            self.lines += [
                f"{name} = {zero}", f"for {name}_k in range(cuda.threadIdx.x, {left.shape[0]}, cuda.blockDim.x):",
                f"    {name} = {name} + load({left.buffer}, {left.at(f'{name}_k')}) * "
                f"load({right.buffer}, {right.at(f'{name}_k')})",
                f"{name} = {whole}",
            ]
        else:
            if len(right.shape) == 1:  # the vector times the matrix' transpose
                left, right = right, self.matrix(node.args[0], 1, turn=True)
            out = self.values[node] = self.new(node)
            assert isinstance(out, Place)
            rows, columns = len(left.shape) == 2, len(right.shape) == 2
            sizes = [*left.shape[:1] * rows, *right.shape[1:] * columns]
            e, i, j, k = name, f"{name}_i", f"{name}_j", f"{name}_k"
            columns_of = right.shape[1] if columns else "1"
            self.lines += [
                f"for {e} in range(cuda.threadIdx.x, {product(sizes)}, cuda.blockDim.x):",
                f"    {i} = {e} // ({columns_of})" if rows and columns else f"    {i} = {e}",
                f"    {j} = {e} % ({columns_of})" if rows and columns else f"    {j} = {e}",
                f"    {name}_sum = {zero}", f"    for {k} in range({left.shape[-1]}):",
                f"        {name}_sum = {name}_sum + load({left.buffer}, {left.at(*[i] * rows, k)}) * "
                f"load({right.buffer}, {right.at(k, *[j] * columns)})",
                f"    store({out.buffer}, {out.at(*[i] * rows, *[j] * columns)}, {name}_sum)", SYNC,
            ]
        self.work.append((*left.shape, *right.shape[1:]))
        self.settled = len(self.lines)

    def inner_loop(self, node: Expr) -> None:
        raise NotCompiled("a loop within a step")

    # ------------------------------------------------------------ whole
    def made(self, axes: int) -> LoopText:
        """The loop for elements along so many axes."""
        measure = measure_text(self)
        numbers = list(self.measures.values())
        after = self.after if self.alone else _shared(self.after)
        steps = ["stop = count", *self.around("0", "stop")]
        before = [line for line in self.before if "_row = " not in line and "_step = " not in line]
        outs = {name for name, a in zip(self.names, self.arguments, strict=True) if a[0] == "state"}
        inner = _Access(self.names, set()).statements([*before, *steps])
        last = _Access(self.names, outs).statements(after)
        parameters = ["status", "count", "total", *[f"along{d}" for d in range(axes)], *numbers]
        head = ["spot = cuda.grid(1)", "if spot >= total:", "    return"] if self.alone else ["spot = cuda.blockIdx.x"]
        for d in reversed(range(axes)):
            head += [f"spot{d} = spot % along{d}", f"spot = spot // along{d}"]
        for name in [n for x in self.names for n in ([x, f"{x}_out"] if x in outs else [x])]:
            strides = [f"{name}_p{d}" for d in range(axes)]
            parameters += [name, f"{name}_start", *strides, f"{name}_step"]
            terms = [f"{name}_start", *[f"spot{d} * {s}" for d, s in enumerate(strides)]]
            head.append(f"{name}_at = {' + '.join(terms)}")
        rows = {line.partition(" = ")[0] for line in self.before if "_row = " in line}
        head += [f"{row} = {row.removesuffix('_row')}_step" for row in sorted(rows)]
        body = [*self.functions.memory, *head, *inner, *last]
        text = f"{self.functions.text}\n\ndef loop({', '.join(parameters)}):\n"
        text += "\n".join(["    " + line for line in body]) + "\n"
        work = tuple([self.as_data([n for n in sizes if n != "?"]) for sizes in self.work])
        helpers = {**self.helpers, **self.functions.helpers}
        return LoopText(
            text, self.listed_arguments(), tuple([t.dtype for t in self.argtypes]), self.listed_results(), measure,
            len(numbers), helpers, self.alone, self.functions.checks or "status[0]" in text,
            self.body.until is not None, work,
        )


def loop_text(body: Body, axes: int) -> LoopText:
    """The loop of one element as a kernel; raises NotCompiled where something in its body has no place there."""
    values = toposort([*body.outputs, *body.inputs])
    try:
        return DeviceLoopWriter(body, all(not x.type.ndim for x in values)).made(axes)
    except FuseTypeError as error:  # a function that GPUs do not have
        raise NotCompiled(str(error)) from error


# ---------------------------------------------------------------- text
class _Share(ast.NodeTransformer):
    """Statements for one thread as statements for all of a block: independent iterations are shared."""

    def visit_For(self, node: ast.For) -> Any:
        first = node.body[0]
        if isinstance(first, ast.Expr) and ast.unparse(first) == "independent()":
            call: Any = node.iter
            start, stop = ("0", call.args[0]) if len(call.args) == 1 else (ast.unparse(call.args[0]), call.args[1])
            begin = "cuda.threadIdx.x" if start == "0" else f"{start} + cuda.threadIdx.x"
            node.iter = parse(f"range({begin}, {ast.unparse(stop)}, cuda.blockDim.x)", mode="eval").body
            node.body = node.body[1:]
            return node
        if not any(isinstance(n, ast.For) for s in node.body for n in ast.walk(s)):
            raise NotCompiled("iterations in order")
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> Any:
        if _called(node.value) == "store":
            return ast.If(parse("cuda.threadIdx.x == 0", mode="eval").body, [node], [])
        return node


def _called(node: Any) -> str:
    return getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""


def _shared(lines: Sequence[str]) -> list[str]:
    found: list[str] = []
    for s in parse("\n".join(lines)).body:
        stores = any(_called(n) == "store" for n in ast.walk(s))
        found += ast.unparse(ast.fix_missing_locations(_Share().visit(s))).splitlines()
        found += [SYNC] * stores
    return found


class _Access(ast.NodeTransformer):
    """Accesses of the loop's arrays as elements of them; what is left of states is in arrays of its own (``outs``)."""

    def __init__(self, names: Sequence[str], outs: set[str]) -> None:
        self.names, self.outs = set(names), outs

    def statements(self, lines: Sequence[str]) -> list[str]:
        text = "\n".join(lines)
        return ast.unparse(ast.fix_missing_locations(self.visit(parse(text)))).splitlines() if lines else []

    def element(self, call: ast.Call, context: Any) -> ast.Subscript:
        name = call.args[0].id  # type: ignore[attr-defined]
        name = f"{name}_out" if name in self.outs else name
        at, offset = ast.Name(f"{name}_at", ast.Load()), self.visit(call.args[1])
        whole = at if ast.unparse(offset) == "0" else ast.BinOp(at, ast.Add(), offset)
        place = ast.Call(ast.Name("unsigned", ast.Load()), [whole], [])
        return ast.Subscript(ast.Name(name, ast.Load()), place, context)

    def visit_Call(self, node: ast.Call) -> Any:
        match _called(node):
            case "load":
                return self.element(node, ast.Load())
            case "radd":
                return ast.BinOp(self.visit(node.args[0]), ast.Add(), self.visit(node.args[1]))
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> Any:
        if _called(node.value) == "store":
            call: Any = node.value
            return ast.Assign([self.element(call, ast.Store())], self.visit(call.args[2]), lineno=0)
        if _called(node.value) == "independent":
            return None
        return self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> Any:
        return parse("status[0] = 1\nreturn").body if node.value is not None else node
