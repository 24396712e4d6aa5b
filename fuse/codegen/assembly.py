"""LLVM assembly written by hand, and its way into the process: compiled once, kept on disk, linked (no numba)."""

from __future__ import annotations

import ctypes
import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fuse.codegen import native


class Assembly:
    """The body of one function, one instruction after another, with names for its values.

    Variables are stack slots (``slot``, ``get``, ``put``), which LLVM turns into registers, so no text needs a phi.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.slots: list[str] = []
        self.names = itertools.count()

    def __call__(self, instruction: str) -> str:
        name = f"%v{next(self.names)}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def do(self, instruction: str) -> None:
        self.lines.append(f"  {instruction}")

    def label(self) -> str:
        return f"l{next(self.names)}"

    def start(self, label: str) -> None:
        self.lines.append(f"{label}:")

    def slot(self, type_: str, value: str | None = None) -> str:
        """A variable on the stack, for the whole function."""
        name = f"%s{next(self.names)}"
        self.slots.append(f"  {name} = alloca {type_}")
        if value is not None:
            self.do(f"store {type_} {value}, ptr {name}")
        return name

    def at(self, pointer: str, offset: int | str) -> str:
        """The address ``offset`` bytes on."""
        return self(f"getelementptr i8, ptr {pointer}, i64 {offset}")

    def item(self, pointer: str, index: int | str) -> str:
        """The address of word ``index``."""
        return self(f"getelementptr i64, ptr {pointer}, i64 {index}")

    def load(self, type_: str, pointer: str) -> str:
        return self(f"load {type_}, ptr {pointer}, align 1")

    def store(self, type_: str, value: str, pointer: str) -> None:
        self.do(f"store {type_} {value}, ptr {pointer}, align 1")

    def field(self, type_: str, pointer: str, offset: int) -> str:
        return self.load(type_, self.at(pointer, offset))

    def branch(self, condition: str, yes: str, no: str) -> None:
        self.do(f"br i1 {condition}, label %{yes}, label %{no}")

    def jump(self, label: str) -> None:
        self.do(f"br label %{label}")

    def require(self, condition: str, failure: str) -> None:
        """Go on where ``condition`` holds, else to ``failure``."""
        fine = self.label()
        self.branch(condition, fine, failure)
        self.start(fine)

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """A block that runs where ``condition`` holds."""
        inside, after = self.label(), self.label()
        self.branch(condition, inside, after)
        self.start(inside)
        yield
        self.jump(after)
        self.start(after)

    @contextmanager
    def loop(self, count: str | int) -> Iterator[str]:
        """A block that runs for each number below ``count``; gives the number."""
        head, body, after = self.label(), self.label(), self.label()
        counter = self.slot("i64", "0")
        self.jump(head)
        self.start(head)
        number = self.load("i64", counter)
        self.branch(self(f"icmp slt i64 {number}, {count}"), body, after)
        self.start(body)
        yield number
        self.store("i64", self(f"add i64 {number}, 1"), counter)
        self.jump(head)
        self.start(after)

    def function(self, declaration: str) -> str:
        """The text of the function that ``declaration`` (``ptr @name(ptr %self)``) heads."""
        return "\n".join([f"define {declaration} {{", "entry:", *self.slots, *self.lines, "}"])


# ---------------------------------------------------------------- loading
def _key(text: str, exports: Sequence[str]) -> str:
    from fuse.codegen.load import surroundings

    return hashlib.sha256(repr((text, sorted(exports), surroundings())).encode()).hexdigest()


def is_stored(text: str, exports: Sequence[str]) -> bool:
    """Whether ``load`` would find object code on disk, which takes it a tenth of the time."""
    from fuse.codegen.load import store as kernel_store

    return not kernel_store().reason and kernel_store().path(_key(text, exports)).exists()


def load(
    name: str, text: str, imports: Mapping[str, int], exports: Sequence[str]
) -> dict[str, int]:
    """Addresses of the functions ``exports`` of the module ``text``, which lives as long as the process.

    ``imports`` are addresses of what the text declares. Raises RuntimeError or OSError where it cannot be linked.
    """
    import llvmlite.binding as llvm

    from fuse.codegen.load import store as kernel_store

    key = _key(text, exports)
    with native.lock:
        machine, store = native.machine(), kernel_store()
        stored = store.load(key)
        code = stored[1] if stored is not None else None
        if code is None:
            module = llvm.parse_assembly(text)
            module.triple, module.data_layout = llvm.get_process_triple(), str(machine.target_data)
            tuning = llvm.create_pipeline_tuning_options(speed_level=1)
            tuning.loop_unrolling = tuning.loop_vectorization = tuning.slp_vectorization = False
            builder = llvm.create_pass_builder(machine, tuning)
            builder.getModulePassManager().run(module, builder)
            module.verify()
            code = machine.emit_object(module)
            store.save(key, {"externals": sorted(imports)}, code, text)
        engine = llvm.create_lljit_compiler(suppress_errors=True)
        library = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
        for symbol, address in imports.items():
            library.import_symbol(symbol, address)
        for symbol in exports:
            library.export_symbol(symbol)
        tracker = library.link(engine, name)
    for kept in (engine, tracker):  # arrays that outlive every module of Python are given back to this code
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
    return {symbol: tracker[symbol] for symbol in exports}


_definitions: list[ctypes.Structure] = []
KEYWORDS = 0x82  # METH_FASTCALL | METH_KEYWORDS
POSITIONAL = 0x80


def builtin(name: str, address: int, flags: int, owner: object) -> Any:
    """A built-in function of Python from machine code that keeps to the protocol ``flags``; ``owner`` is its self."""
    definition = native.MethodDef(name.encode(), address, flags, None)
    _definitions.append(definition) if owner is None else setattr(owner, "definition", definition)
    return native.python_function(definition, owner, __name__)
