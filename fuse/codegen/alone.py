"""A program as Python text that stands alone: its kernels as loops for ``@njit``, and one function that runs them.

The kernels are those of the program for contiguous arrays, without what only our own loader knows (threads, streaming
stores, tapes): the same arithmetic in the same order, but that LLVM may add up sums in other vectors. The function is
either Python, which may call NumPy and SciPy, or itself for Numba, which takes kernels, views and products.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fuse import errors, rules
from fuse.codegen.alone_calls import SUPPORT, call
from fuse.codegen.alone_loops import write_loop
from fuse.codegen.assume import asked_sizes, assume_idioms, with_sure_sizes
from fuse.codegen.calls import is_integer, shuffle_text, slice_text
from fuse.codegen.choosing import plan
from fuse.codegen.collapse import collapse
from fuse.codegen.emit_cpu import CpuEmitter, Source
from fuse.codegen.expand import expand, settle
from fuse.codegen.host import SizeNames
from fuse.codegen.kernel import Buffer, Local
from fuse.codegen.launch import Launcher
from fuse.codegen.region import SCATTERS, Region, is_literal
from fuse.codegen.schedule import schedule
from fuse.codegen.sizes import Size
from fuse.codegen.syntax import parse
from fuse.codegen.text import numpy_dtype
from fuse.codegen.texts import Texts
from fuse.codegen.wellformed import check
from fuse.codegen.written import without_detours
from fuse.errors import FuseTypeError, origin_text
from fuse.expr import CONSTANT, INPUT, SHARED, Expr, leaves, toposort
from fuse.looping.branches import CHOSEN
from fuse.looping.tidy import tidied
from fuse.rules.inlining import without_identities
from fuse.types import TensorType


class _Plain(CpuEmitter):
    """Writes a kernel on contiguous arrays: sizes are compared, and nothing is left to the loader."""

    def check_buffers(self, wanted: list[tuple[Buffer, list[str]]]) -> None:
        # The guards before have compared sizes. Here is only seen to it that no array is shorter than its loops: where
        # dimensions were made one, sizes of 1 among them may stand elsewhere than in the array.
        for buffer, extents in wanted:
            if extents and "?" not in extents:
                length = " * ".join([f"size({buffer.name}, {d})" for d in range(buffer.ndim)])
                self.line(f"if {length} != {' * '.join(extents)}:")
                self.line("    return 2")

    def look_at_indices(self) -> None:
        """Nobody else would look at them."""


@dataclass(frozen=True)
class Alone:
    """The text of ``compute(*inputs, *extra)``, which returns a tuple; with the functions and kernels before it.

    ``extra`` are shared variables and constants, in order; ``returns`` counts outputs, then updates.
    """

    kernels: str
    compute: str
    extra: tuple[Any, ...]
    support: tuple[str, ...]


def stand_alone(
    inputs: Sequence[Expr], results: Sequence[Expr], mode: str, known: set[str], native: bool
) -> Alone:
    """The text for ``results`` as functions of ``inputs``; ``known`` are names of the prelude.

    With ``native`` all of it is for Numba. Raises FuseTypeError for what has no text.
    """
    mode = mode if mode in ("default", "strict", "fast") else "default"
    texts = Texts(known | SUPPORT)
    writer = _written(inputs, results, mode, texts, native)
    compute = writer.write("compute")
    return Alone("\n\n\n".join([*texts.texts, *writer.kernels]), compute, tuple(writer.extra), tuple(writer.support))


def _written(
    inputs: Sequence[Expr], results: Sequence[Expr], mode: str, texts: Texts, native: bool
) -> _Writer:
    results = with_sure_sizes(results)
    chosen, assumed = assume_idioms(results)
    expanded = without_detours(expand(tidied(rules.optimize(without_identities(chosen), mode=mode), mode)))
    settled, sizes = settle(expanded, [*assumed, *asked_sizes(results)])
    return _Writer(list(inputs), settled, sizes, texts, native, mode == "strict")


class _Writer(SizeNames):
    def __init__(
        self, inputs: list[Expr], results: list[Expr], sizes: Any, texts: Texts, native: bool, exact: bool
    ) -> None:
        super().__init__(sizes)
        self.inputs, self.results, self.texts, self.native, self.exact = inputs, results, texts, native, exact
        self.plan = plan(results, sizes)
        self.operands = self.plan.operands
        self.kernels: list[str] = []
        self.extra: list[Any] = []
        self.names: list[str] = []  # of the arguments
        self.support: dict[str, None] = {}
        self.contiguous: set[str] = set()
        self.loops: dict[Expr, list[str]] = {}  # names of their results

    def line(self, text: str) -> None:
        super().line(re.sub(r"\bint\((t\d+)\)", r"int(\1[()])", text))

    # ------------------------------------------------------------ the text
    def write(self, function: str) -> str:
        for node in toposort([*self.inputs, *self.results]):
            if getattr(node.type, "dtype", "") == "float16":
                raise FuseTypeError(f"a {node.type.describe()} cannot stand alone: Numba does not compute with it")
        for k, leaf in enumerate(self.inputs):
            self.leaf(leaf, f"x{k}")
        for leaf in leaves(self.results):
            if leaf.op is SHARED or leaf.op is CONSTANT:
                self.given(leaf)
        self.check_guards()
        for unit in self.plan.units:
            self.region(unit) if isinstance(unit, Region) else self.single(unit)
            self.check_guards()
        self.check_remaining()
        returned = [self.result(r) for r in self.results]
        self.line(f"return ({', '.join(returned)}{',' if len(returned) == 1 else ''})")
        return f"def {function}({', '.join(self.names)}):\n" + "\n".join(self.lines) + "\n"

    def given(self, leaf: Expr) -> str:
        """The name of a shared variable or a constant, which is an argument."""
        if leaf not in self.env:
            self.extra.append(leaf)
            self.leaf(leaf, f"w{len(self.extra) - 1}")
        return self.env[leaf]

    def leaf(self, leaf: Expr, name: str) -> None:
        if not isinstance(leaf.type, TensorType):
            raise FuseTypeError(f"a {leaf.type.describe()} cannot stand alone: Numba does not compute with it")
        self.names.append(name)
        self.env[leaf] = name
        if leaf.type.ndim:
            self.contiguous.add(name)
            for d, n in enumerate(leaf.type.shape):
                if n is not None and leaf.op is not CONSTANT:
                    self.compare(f"{name}.shape[{d}]", str(n))

    def compare(self, left: str, right: str) -> None:
        if left != right:
            self.line(f"if {left} != {right}: raise ValueError('sizes do not fit, or are negative')")

    # ------------------------------------------------------------ arrays
    def empty(self, node: Expr) -> str:
        name = self.fresh("t")
        sizes = [self.size(n) for n in self.sizes.of[node]]
        shape = f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
        self.line(f"{name} = np.empty({shape}, {numpy_dtype(node.type.dtype)})")
        self.contiguous.add(name)
        return name

    def array(self, node: Expr) -> str:
        """A name of the value as an array; views on top of what exists are made here."""
        node, chain = self.without_views(node)
        if node not in self.env and self.sizes.is_host(node):
            self.env[node] = self.filled(self.size(self.sizes.host(node)), "int64")
        if node not in self.env:
            raise AssertionError(f"{node.op} was not computed")
        name = self.env[node]
        if node.is_leaf and not node.type.ndim:  # a number
            name = self.filled(name, node.type.dtype)
        for view in chain:
            if view.op.name == "broadcast_to":
                sizes = "".join([f"{self.size(self.sizes.host(a))}, " for a in view.args[1:]])
                text = f"np.broadcast_to({name}, ({sizes}))"
            else:
                text = f"{name}{shuffle_text(view)}"
                if not view.type.ndim and view.args[0].type.ndim:  # a number for Numba
                    name = self.filled(text, view.type.dtype)
                    continue
            name = self.fresh("t")
            self.line(f"{name} = {text}")
        return name

    def filled(self, number: str, dtype: str) -> str:
        """An array without axes that holds ``number``."""
        name = self.fresh("t")
        self.line(f"{name} = np.empty((), {numpy_dtype(dtype)})")
        self.line(f"{name}[()] = {number}")
        return name

    def lined_up(self, name: str, ndim: int) -> str:
        """The array as one without gaps."""
        if name in self.contiguous or not ndim:
            return name
        new = self.fresh("t")
        self.line(f"{new} = np.ascontiguousarray({name})")
        self.contiguous.add(new)
        return new

    # ------------------------------------------------------------ steps
    def region(self, region: Region) -> None:
        launcher = Launcher(region, self.sizes, self.operands)
        kernel, binding = schedule(region, self.sizes, self.operands, lambda base: "C", False)
        kernel = replace(check(collapse(kernel)), rows=None, tall=None)
        number = len(self.kernels)
        self.kernels.append(self.text_of(_Plain(kernel, tapes=False).emit(), f"kernel{number}"))
        for node in region.outputs:
            if node.op.name in SCATTERS and not is_literal(self.operands[node][0].base):
                self.env[node] = self.copied(self.array(node.args[0]))
            else:
                self.env[node] = self.empty(node)
                if node.op.name in SCATTERS:
                    self.line(f"{self.env[node]}[...] = {self.operands[node][0].base.data.item()!r}")
        arrays = []
        for base in launcher.bases:
            name = self.array(base)
            arrays.append(self.lined_up(name, base.type.ndim))
        scalars = [self.scalar(s) for s in binding.scalars]
        given = [*arrays, *scalars]
        made = {b.name: b for b in binding.buffers if isinstance(b, Local)}
        temporary = []
        for buffer in kernel.buffers[len(arrays):]:
            axes = [p for a in made[buffer.name].axes for p in a.parts or (a,)]
            sizes = [_source(launcher.size_source(int(p.name[1:])), given) for p in axes]
            name = self.fresh("t")
            self.line(f"{name} = np.empty(({', '.join(sizes)},), {numpy_dtype(buffer.dtype)})")
            temporary.append(name)
        self.line(f"if kernel{number}({', '.join([*arrays, *temporary, *scalars])}) != 0:")
        self.line("    raise ValueError('sizes or indices do not fit, or nothing to take the extremum of')")

    def text_of(self, source: Source, name: str) -> str:
        text = re.sub(r"scratch\('(\w+)', (\d+)\)", lambda m: f"np.empty({m[2]}, {numpy_dtype(m[1])})", source.text)
        definition = parse(text).body[0]
        assert isinstance(definition, ast.FunctionDef)
        words: dict[str, ast.expr] = {}
        for word, helper in source.helpers.items():
            words[word] = self.texts.meant(word, {word: helper}, "kernel")
        return "@compiled\n" + self.texts.renamed(definition, name, words)

    def copied(self, name: str) -> str:
        new = self.fresh("t")
        self.line(f"{new} = {name}.copy()")
        self.contiguous.add(new)
        return new

    def argument(self, node: Expr, k: int) -> str:
        arg = node.args[k]
        if not isinstance(arg.type, TensorType):
            raise self.refused(node)
        return self.integer(self.sizes.host(arg), arg) if is_integer(node, k) else self.array(arg)

    def refused(self, node: Expr) -> FuseTypeError:
        where = "inside Numba's code" if self.native else "in a file of its own"
        return FuseTypeError(f"{node.op}, used at {origin_text(node.origin)}, has no form that runs {where}")

    def whole(self, number: Expr) -> str:
        """The text of an integer of no axes."""
        return self.integer(self.sizes.host(number) if self.sizes.is_host(number) else None, number)

    def integer(self, size: Size | None, number: Expr) -> str:
        """The text of an integer that is known as a size, or as the value of ``number``."""
        if isinstance(size, int):
            return str(size)
        return self.size(size) if size is not None and self.is_ready(size) else f"int({self.array(number)}[()])"

    def single(self, node: Expr) -> None:
        if node.op.name == "loop":
            self.loops[node] = self.branch(node) if node.params.get("branch") else write_loop(self, node)
            return
        if node.op is CHOSEN:
            self.choice(node)
            return
        if node.op.name == "part" and node.args[0] in self.loops:
            self.env[node] = self.loops[node.args[0]][node.params["i"]]
            return
        arguments = [self.argument(node, k) for k in range(len(node.args))]
        write = _STEPS.get(node.op.name)
        if write is not None:
            self.env[node] = write(self, node, arguments)
        elif self.native and node.op.name == "dot":
            self.env[node] = self.named(self.product(node, arguments))
        else:
            names = call(self, node, arguments)
            if isinstance(node.type, TensorType):
                self.env[node] = names[0]
            else:
                self.loops[node] = names

    # ------------------------------------------------------------ views and joins: the name of each
    def part(self, node: Expr, arguments: list[str]) -> str:
        text = f"{arguments[0]}[{slice_text(node, arguments[1:])}]"
        if node.type.ndim:
            return self.named(text)
        # an array for NumPy, a number for Numba
        return self.filled(text.replace(", ...]", "]") + "[()]" * (not self.native), node.type.dtype)

    def stored(self, node: Expr, arguments: list[str]) -> str:
        name = self.copied(arguments[0])
        sign = "=" if node.op.name == "set_subtensor" else "+="
        self.line(f"{name}[{slice_text(node, arguments[2:])}] {sign} {arguments[1]}")
        return name

    def reshaped(self, node: Expr, arguments: list[str]) -> str:
        sizes = ", ".join(arguments[1:])
        whole = self.lined_up(arguments[0], node.args[0].type.ndim)
        return self.named(f"{whole}.reshape(({sizes}{',' if sizes else ''}))")

    def joined(self, node: Expr, arguments: list[str]) -> str:
        arrays = [self.lined_up(a, arg.type.ndim) for a, arg in zip(arguments, node.args, strict=True)]
        return self.named(f"np.concatenate(({''.join([f'{a}, ' for a in arrays])}), {node.params['axis']})")

    def rebroadcast(self, node: Expr, arguments: list[str]) -> str:
        for d, is_one in enumerate(node.params["pattern"]):
            if is_one:
                self.compare(f"{arguments[0]}.shape[{d}]", "1")
        return self.named(arguments[0])

    def of_shape(self, node: Expr, arguments: list[str]) -> str:
        for d, wanted in enumerate(node.args[1:]):
            self.compare(f"{arguments[0]}.shape[{d}]", self.whole(wanted))
        return self.named(arguments[0])

    def asserted(self, node: Expr, arguments: list[str]) -> str:
        for condition in arguments[1:]:
            self.line(f"if not {condition}[()]:")
            self.line(f"    raise {_raised(node.params['error'])}({node.params['msg']!r})")
        return self.named(arguments[0])

    def vector(self, node: Expr, arguments: list[str]) -> str:
        name = self.empty(node)
        for k, argument in enumerate(arguments):
            self.line(f"{name}[{k}] = {argument}[()]")
        return name

    def branch(self, node: Expr) -> list[str]:
        """The names of what one side of a choice makes, arrays of no elements where it is not taken."""
        body = node.params["body"].opened()
        inner = _written(body.inputs, body.ys, node.params["mode"] or "strict", self.texts, self.native)
        inner.kernels, inner.support = self.kernels, self.support  # one list of functions
        number = f"branch{len(self.loops)}_{len(self.kernels)}"
        text = inner.write(number)
        self.kernels.append("@checked\n" * self.native + text.rstrip())
        arguments = [self.lined_up(self.array(x), y.type.ndim) + "[()]" * (not y.type.ndim)
                     for x, y in zip(node.args[1:], body.inputs, strict=True)]
        arguments += [self.given(x) for x in inner.extra]
        taken, found = self.whole(node.args[0]), self.fresh("t")
        names = [self.fresh("t") for _ in body.ys]
        self.line(f"if {taken}:")
        self.line(f"    {found} = {number}({', '.join(arguments)})")
        for k, (name, y) in enumerate(zip(names, body.ys, strict=True)):
            if y.type.ndim:
                self.line(f"    {name} = {found}[{k}]")
            else:
                self.line(f"    {name} = np.empty((), {numpy_dtype(y.type.dtype)})")
                self.line(f"    {name}[()] = {found}[{k}]")
        self.line("else:")
        for name, y in zip(names, body.ys, strict=True):
            self.line(f"    {name} = np.empty(({'0, ' * y.type.ndim}), {numpy_dtype(y.type.dtype)})")
        return names

    def choice(self, node: Expr) -> None:
        """A value of one side of a choice or the other."""
        then, other = [self.lined_up(self.array(x), node.type.ndim) for x in node.args[1:]]
        name = self.env[node] = self.fresh("t")
        self.line(f"if {self.whole(node.args[0])}:")
        self.line(f"    {name} = {then}.copy()")
        self.line("else:")
        self.line(f"    {name} = {other}.copy()")
        self.contiguous.add(name)

    def named(self, text: str) -> str:
        """A name for the array of this text."""
        name = self.fresh("t")
        self.line(f"{name} = {text}")
        return name

    def product(self, node: Expr, arguments: list[str]) -> str:
        """Numba's dot, of matrices and vectors of one dtype."""
        dtype = node.type.dtype
        fits = all(a.type.dtype == dtype and a.type.ndim in (1, 2) for a in node.args)
        if not fits or dtype not in ("float32", "float64", "complex64", "complex128"):
            raise self.refused(node)
        left, right = [self.lined_up(a, arg.type.ndim) for a, arg in zip(arguments, node.args, strict=True)]
        if node.type.ndim:
            return f"np.dot({left}, {right})"
        return self.filled(f"np.dot({left}, {right})", dtype)

    def result(self, value: Expr) -> str:
        while value.op.name == "unbroadcast" and value not in self.env:
            value = value.args[0]
        name = self.array(value)
        if not value.type.ndim:
            return f"{name}[()]"
        return name if name.startswith("t") and value in self.env and self.is_fresh(value) else self.copied(name)

    def is_fresh(self, value: Expr) -> bool:
        """Whether the value has memory of its own, which no other result has."""
        if value.op.kind == "view" or value.op in (INPUT, SHARED, CONSTANT) or value.op.name == "subtensor":
            return False
        return sum(r is value for r in self.results) == 1


_STEPS: dict[str, Callable[[_Writer, Expr, list[str]], str]] = {
    "subtensor": _Writer.part, "set_subtensor": _Writer.stored, "inc_subtensor": _Writer.stored,
    "reshape": _Writer.reshaped, "join": _Writer.joined, "rebroadcast": _Writer.rebroadcast,
    "specify_shape": _Writer.of_shape, "make_vector": _Writer.vector, "assert": _Writer.asserted,
}


def _raised(error: str) -> str:
    """Python's own class of errors that one of ours stands for."""
    return next(c.__name__ for c in getattr(errors, error).__mro__ if c.__module__ == "builtins")


def _source(place: tuple[int, int | None], given: list[str]) -> str:
    k, d = place
    return str(k) if d is None else given[k] if d < 0 else f"{given[k]}.shape[{d}]"


__all__ = ["Alone", "stand_alone"]
