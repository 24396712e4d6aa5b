"""From the wrapper's source to the plan of a call at C level: the same steps, read off the same text.

What the interpreter of call plans (``native_call``) has no word for leaves the function with its Python wrapper.
"""

from __future__ import annotations

import ast
import itertools
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fuse.codegen import tiles
from fuse.codegen.added import AddedProduct
from fuse.codegen.along import Along
from fuse.codegen.call_sizes import SizeWords, Untranslatable
from fuse.codegen.call_words import LENT, MOST_LENT, VIEWS, Pointer, Taken, Words
from fuse.codegen.frames import Frame
from fuse.codegen.grouped import Grouped
from fuse.codegen.kept_arrays import Kept, keepable
from fuse.codegen.lent_views import lendable
from fuse.codegen.native import Kernel
from fuse.codegen.products import SmallProduct
from fuse.codegen.runner import Runner, unmade
from fuse.codegen.syntax import parse

ARRAY = re.compile(r"type\((x\d+)\) is not ndarray or \1\.dtype is not (dtype_\w+) or \1\.ndim != (\d+)((?: or .*)?)")
STATIC = re.compile(r"\(?x\d+\.shape\[(\d+)\] != (\d+)\)?")  # ast.unparse sets parentheses as it likes
INTEGER = re.compile(r"type\((x\d+)\) is not int or not (-?\d+) <= \1 <= (-?\d+)")
FLOAT = re.compile(r"type\((x\d+)\) is not float")
LONGEST = 2**63 - 1
MOST_ENTRIES = 16  # of an index that is a view here


class NotYet(Exception):
    """A kernel of the wrapper was not made yet."""


def native_call(
    source: str, scope: Mapping[str, Any], form: str, keys: Sequence[str] | None, python: Callable[..., Any]
) -> Callable[..., Any] | None:
    """A built-in function that does what ``source`` does in ``scope``, or None where it cannot.

    ``form`` is that of the result: "single", "list", "dict" with ``keys``, or "none". Calls that it does not expect go
    to ``python`` as they are. Raises NotYet before every kernel has been made.
    """
    if any(value is unmade and f"{name}(" in source for name, value in scope.items()):
        raise NotYet
    try:
        return _Translator(source, scope, form, keys).translated(python)
    except Untranslatable:
        return None


class _Translator(SizeWords):
    def __init__(self, source: str, scope: Mapping[str, Any], form: str, keys: Sequence[str] | None) -> None:
        super().__init__()
        self.scope, self.form, self.keys = scope, form, keys
        (function,) = parse(source).body
        assert isinstance(function, ast.FunctionDef)
        self.body = function.body
        names = [a.arg for a in function.args.args]
        self.registers |= {name: i for i, name in enumerate(names)}
        self.count = len(names)
        self.ranks: dict[int, int] = {}  # of registers that hold arrays, where known
        self.words = Words(len(names))
        self.lendable = lendable(function, self.is_compiled)
        self.lent: dict[int, tuple[int, int]] = {}  # registers of views that are lent: of which register, which number
        self.waiting: set[int] = set()  # registers that are let go when no view of them is lent any more
        self.keepable = keepable(function, self.lendable)
        self.kept: dict[int, Kept] = {}  # by the registers of arrays that are kept for later calls
        self.held: dict[int, int] = {}  # registers of values of shared variables, by the cells
        self.arrays = itertools.count()  # their numbers
        self.free: list[int] = []  # registers that hold nothing any more

    def translated(self, python: Callable[..., Any]) -> Callable[..., Any] | None:
        for statement in self.body:
            self.statement(statement)
        return self.words.callable(python, self.count, len(self.sizes))

    def register(self, name: str | None = None) -> int:
        if self.free:
            number = self.free.pop()
        else:
            number = self.count
            self.count += 1
        if name is not None:
            self.registers[name] = number
        return number

    def known(self, name: str) -> int:
        """The register of a name: of a value so far, or of what the scope holds."""
        if name not in self.registers:
            if name not in self.scope:
                raise Untranslatable(name)
            self.words("constant", self.register(name), Pointer(self.scope[name]))
        return self.registers[name]

    # ------------------------------------------------------------ statements
    def statement(self, statement: ast.stmt) -> None:
        match statement:
            case ast.If(test=test, body=[ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id=f)))]):
                self.gate(ast.unparse(test), name, self.scope[f])
            case ast.If(test=ast.Call() as call, body=[ast.Expr(value=ast.Call(func=general))]):
                self.kernel(call, general)
            case ast.If(test=ast.Call() as call, body=[
                    ast.Assign(targets=[ast.Tuple(elts=made)], value=ast.Call(func=general))]):
                self.kernel(call, general, [self.known(_name(m)) for m in made])
            case ast.If(test=ast.Compare(left=left, ops=[ast.NotEq()], comparators=[right]), body=[ast.Return()]):
                self.words("check", self.size(left), self.size(right))
            case ast.If(test=ast.BoolOp(op=ast.And(), values=tests), body=[ast.Return()]):
                self.words("check", self.all_of(tests), self.number(0))
            case ast.If(test=ast.Compare() as test, body=[ast.Return()]):
                self.words("check", self.all_of([test]), self.number(0))
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id=cell), attr="array")], value=ast.Name(id=name)):
                register = self.known(name)
                held = self.held.get(id(self.scope[cell]), register)
                self.words("store", Pointer(self.scope[cell]), register, self.kept.pop(register, 0), held)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self.assign(name, value)
            case ast.Expr(value=value):
                self.value(value)
            case ast.Try(body=[ast.If(test=ast.Call() as call, body=[ast.Expr(value=ast.Call(func=general))])]):
                self.kernel(call, general)
            case ast.Try(body=[ast.If(test=ast.Call() as call, body=[
                    ast.Assign(targets=[ast.Tuple(elts=made)], value=ast.Call(func=general))])]):
                self.kernel(call, general, [self.known(_name(m)) for m in made])
            case ast.Try(body=[ast.Assign() | ast.Expr() as inner]):
                self.statement(inner)  # whatever fails goes to the Python path
            case ast.Delete(targets=targets):
                for target in targets:
                    self.drop(self.registers.pop(_name(target)))
            case ast.Return(value=ast.List(elts=results)):
                for register in [*self.lent, *self.kept]:
                    if register in self.lent or register in self.kept:
                        self.drop(register)
                self.results([self.known(_name(r)) for r in results])
            case _:
                raise Untranslatable(ast.unparse(statement))

    def drop(self, register: int) -> None:
        """Let go of what a register holds, which is free then; later, if views of it are lent."""
        if register in {base for base, _ in self.lent.values()}:
            self.waiting.add(register)
            return
        base, _ = self.lent.pop(register, (None, 0))
        kept = self.kept.pop(register, None)
        self.words(*(("drop", register) if kept is None else ("keep", register, kept)))
        self.ranks.pop(register, None)
        self.free.append(register)
        if base in self.waiting and base not in {base for base, _ in self.lent.values()}:
            self.waiting.discard(base)
            self.drop(base)

    def gate(self, test: str, name: str, convert: Any) -> None:
        register = self.registers[name]
        if found := ARRAY.fullmatch(test):
            self.words("array", register, Pointer(self.scope[found[2]]), int(found[3]))
            self.ranks[register] = int(found[3])
            for part in found[4].split(" or ")[1:]:
                static = STATIC.fullmatch(part)
                if static is None:
                    raise Untranslatable(part)
                self.words("check", self.dimension(register, int(static[1])), self.number(int(static[2])))
        elif FLOAT.fullmatch(test):
            self.words("float64", register, Pointer(np.dtype("float64")))
        elif found := INTEGER.fullmatch(test):
            low, high = int(found[2]), int(found[3])
            self.integers.add(name)
            if (low, high) == (-LONGEST - 1, LONGEST):
                self.words("int64", register, Pointer(np.dtype("int64")))
            else:
                self.words("integer", register, low, min(high, LONGEST))
        elif test == "True" and convert.made_by[1].type.dtype == "float32":
            self.words("float32", register, Pointer(np.dtype("float32")))
        else:
            raise Untranslatable(test)

    def is_compiled(self, name: str) -> bool:
        return isinstance(getattr(self.kernel_of(name), "__self__", None), Kernel)

    def kernel_of(self, name: str) -> Any:
        """What is called in the place of a kernel."""
        kernel = self.scope[name]
        return kernel.compiled() if isinstance(kernel, (Along, Frame, Grouped, SmallProduct)) else kernel

    def kernel(self, call: ast.Call, general: ast.expr, made: Sequence[int] = ()) -> None:
        arguments = [self.value(a) for a in call.args]
        kernel, launch = self.scope[_name(call.func)], self.scope[_name(general)]
        if isinstance(kernel, AddedProduct) and not tiles.serves(kernel.dtype):
            self.words("quiet")
        kernel = self.kernel_of(_name(call.func))
        taken = Taken(kernel)
        if isinstance(launch, Runner):
            launch.taken = taken = launch.taken or taken
            taken.take(kernel)
        self.words.keep.append(kernel)
        launch = getattr(launch, "plain", launch)
        self.words("kernel", taken, Pointer(launch), len(arguments), *arguments, len(made), *made)

    def assign(self, name: str, value: ast.expr) -> None:
        match value:
            case ast.Subscript(value=ast.Attribute(ast.Name(id=array), "shape"), slice=ast.Constant(value=int(k))):
                self.sizes[name] = self.dimension(self.known(array), k)
            case ast.BinOp() | ast.Call() | ast.Compare() | ast.IfExp() | ast.UnaryOp() if name.startswith("n"):
                self.sizes[name] = self.size(value)
            case ast.Attribute(value=ast.Name(id=cell), attr="array"):
                self.held[id(self.scope[cell])] = register = self.register(name)
                self.words("read", register, Pointer(self.scope[cell]))
            case ast.Name(id=other) if other not in self.sizes:
                old, new = self.known(other), self.register(name)
                self.words("alias", new, old)
                self.ranks |= {new: self.ranks[old]} if old in self.ranks else {}
                self.kept |= {new: self.kept[old]} if old in self.kept and name in self.keepable else {}
            case ast.IfExp() | ast.Call() if name in self.keepable:
                kept = Kept(next(self.arrays))
                register = self.register(name)
                self.kept[register] = kept
                self.new(register, self.allocation(value, kept))
            case ast.IfExp(test=ast.Compare(left=ast.Attribute(value=ast.Name(id=cell))), body=ast.Name(id=old),
                           orelse=made):
                self.reuse(name, cell, old, made)
            case ast.Subscript(value=ast.Name(id=base), slice=index) if name in self.lendable and (
                    view := self.view(self.known(base), index, lent=True)) is not None:
                self.registers[name] = view
            case _:
                if name.startswith("n"):
                    raise Untranslatable(name)
                self.registers[name] = self.value(value)

    def reuse(self, name: str, cell: str, old: str, made: ast.expr) -> None:
        """The old value of a shared variable as memory for the new one, where it is its own."""
        target, known = self.register(name), self.registers[old]
        operands = self.allocation(made)
        self.words("reuse", target, known, Pointer(self.scope[cell]), 2 + len(operands))  # words that follow
        self.new(target, operands)

    def results(self, registers: list[int]) -> None:
        if self.form == "single":
            self.words("single", registers[0])
        elif self.form == "list":
            self.words("list", len(registers), *registers)
        elif self.form == "dict":
            pairs = [x for key, r in zip(self.keys or (), registers, strict=True) for x in (Pointer(key), r)]
            self.words("dict", len(registers), *pairs)
        else:
            self.words("none")

    # ------------------------------------------------------------ values
    def value(self, node: ast.expr) -> int:
        """The register of the value of an expression, which is computed here if need be."""
        match node:
            case ast.Name(id=name) if name in self.sizes:
                register = self.register()
                self.words("box", register, self.sizes[name])
                return register
            case ast.Name(id=name):
                return self.known(name)
            case ast.Constant(value=constant):
                register = self.register()
                self.words("constant", register, Pointer(constant))
                return register
            case ast.IfExp(test=ast.Compare(), orelse=large):  # what makes arrays knows large ones itself
                return self.value(large)
            case ast.Call(func=ast.Name(id="empty" | "recycled")):
                operands = self.allocation(node)
                return self.new(self.register(), operands)
            case ast.Call(func=ast.Name(id="aligned" as function), args=[ast.Tuple(elts=sizes) as shape, dtype]):
                register = self.call(self.scope[function], [self.index(shape), self.value(dtype)])
                self.ranks[register] = len(sizes)
                return register
            case ast.Call(func=ast.Name(id=function), args=arguments, keywords=[]):
                return self.call(self.scope[function], [self.value(a) for a in arguments])
            case ast.Call(func=ast.Attribute(value=array, attr=method), args=arguments, keywords=[]):
                return self.call(operator.methodcaller(method, *map(_literal, arguments)), [self.value(array)])
            case ast.Subscript(value=array, slice=index):
                base = self.value(array)
                if (view := self.view(base, index)) is not None:
                    return view
                try:
                    known = _index(index)
                except Untranslatable:
                    return self.call(operator.getitem, [base, self.index(index)])
                return self.call(operator.itemgetter(known), [base])
        raise Untranslatable(ast.unparse(node))

    def view(self, base: int, index: ast.expr, lent: bool = False) -> int | None:
        """The register of a view of an array whose rank is known, ``lent`` if it can be; None where NumPy makes it."""
        entries = index.elts if isinstance(index, ast.Tuple) else [index]
        rank = self.ranks.get(base)
        if rank is None or len(entries) > MOST_ENTRIES:
            return None
        try:
            found = [self.entry(e) for e in entries if not _is_ellipsis(e)]
        except Untranslatable:
            return None
        taken, dots = sum(kind != "new" for kind, *_ in found), [k for k, e in enumerate(entries) if _is_ellipsis(e)]
        left = rank - sum(kind == "integer" for kind, *_ in found) + sum(kind == "new" for kind, *_ in found)
        if taken > rank or len(dots) > 1 or not (left or dots):  # without dots NumPy makes a number of an element
            return None
        for k in dots:
            found[k:k] = [("slice", self.number(0), self.number(LONGEST), 1)] * (rank - taken)
        register = self.register()
        words = [word for kind, *operands in found for word in (VIEWS[kind], *operands)]
        free = [k for k in range(LENT) if k not in {k for _, k in self.lent.values()}][:lent]
        if free and left <= MOST_LENT:
            self.lent[register] = base, free[0]
            self.words("lend", free[0], register, base, len(found), *words)
        else:
            self.words("view", register, base, len(found), *words)
        self.ranks[register] = left
        return register

    def entry(self, node: ast.expr) -> tuple[str, int, int, int]:
        """An entry of the index of a view: its kind, its numbers, and the step of a slice."""
        match node:
            case ast.Constant(value=None):
                return "new", self.number(0), self.number(0), 1
            case ast.Slice(lower=lower, upper=upper, step=step):
                by = 1 if step is None else _literal(step)
                if not isinstance(by, int) or not 0 < by < 1 << 31:
                    raise Untranslatable("a slice that goes backwards")
                first = self.number(0) if lower is None else self.place(lower)
                return "slice", first, self.number(LONGEST) if upper is None else self.place(upper), by
        return "integer", self.place(node), self.number(0), 1

    def place(self, node: ast.expr) -> int:
        """An index, or an end of a slice, as a size."""
        if isinstance(node, ast.Name):
            return self.size(node)
        value = _literal(node)
        if type(value) is not int or abs(value) >= LONGEST:
            raise Untranslatable(ast.unparse(node))
        return self.number(value)

    def index(self, node: ast.expr) -> int:
        """The register of an index, or one of its entries, with sizes in it."""
        match node:
            case ast.Tuple(elts=entries):
                made = [self.index(e) for e in entries]
                register = self.register()
                self.words("tuple", register, len(made), *made)
                return register
            case ast.Slice(lower=lower, upper=upper, step=step):
                return self.call(slice, [self.index(ast.Constant(None) if e is None else e)
                                         for e in (lower, upper, step)])
            case ast.Name(id=name) if name in self.sizes:
                return self.value(node)
        return self.value(ast.Constant(_literal(node)))

    def call(self, function: Any, arguments: list[int]) -> int:
        register = self.register()
        function = getattr(function, "plain", function)  # what it raises, the Python path raises again
        self.words("call", register, Pointer(function), len(arguments), *arguments)
        return register

    def new(self, register: int, operands: list[Any]) -> int:
        """``register``, which from here on holds a new array."""
        self.words("new", register, *operands)
        self.ranks[register] = operands[3]
        return register

    def allocation(self, node: ast.expr, kept: Kept | int = 0) -> list[Any]:
        """The operands of "new" after the register."""
        if isinstance(node, ast.IfExp):
            node = node.orelse
        match node:
            case ast.Call(func=ast.Name(id="empty" | "recycled"), args=[ast.Tuple(elts=shape), ast.Name(id=name)]):
                dtype = self.scope[name]
                return [Pointer(dtype), dtype.itemsize, kept, len(shape), *[self.size(n) for n in shape]]
        raise Untranslatable(ast.unparse(node))


def _name(node: ast.expr) -> str:
    if not isinstance(node, ast.Name):
        raise Untranslatable(ast.unparse(node))
    return node.id


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise Untranslatable(ast.unparse(node)) from None


def _index(node: ast.expr) -> Any:
    """An index of literal numbers, slices and None."""
    match node:
        case ast.Tuple(elts=entries):
            return tuple([_index(e) for e in entries])
        case ast.Slice(lower=lower, upper=upper, step=step):
            return slice(*[None if part is None else _literal(part) for part in (lower, upper, step)])
    return _literal(node)
