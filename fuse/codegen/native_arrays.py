"""Arrays in calls at C level: those that are made, that calls keep for one another, and that shared variables hold."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from fuse.codegen import memory
from fuse.codegen.kept_arrays import LARGEST
from fuse.codegen.native_registers import Registers
from fuse.frontend.shared import Container

ORDINARY = 0x505  # flags of an array: in C order, it owns its data, aligned, writeable
ARRAY, BORROWED = object.__basicsize__, object.__basicsize__ + 8  # the slots of a `Container`, in bytes


def plain_cell() -> Any:
    """The type of cells of which the slots are read as they are; where their places are not known, none is."""
    value = np.empty(1)
    cell = Container(value, borrowed=True)
    one_lock = object.__basicsize__ == 16  # Python's: without it others may be at the slots
    if not one_lock or Container.__basicsize__ != BORROWED + 8:
        return object
    found = [ctypes.c_int64.from_address(id(cell) + offset).value for offset in (ARRAY, BORROWED)]
    return Container if found == [id(value)] * 2 else object


class Arrays(Registers):
    """The instructions of the interpreter that make arrays, let go of them, and read and change shared variables."""

    # ------------------------------------------------------------ new ones
    def do_new(self) -> None:
        place, dtype, itemsize, kept, ndim = self.place(), self.object(), self.word(), self.word(), self.word()
        sizes, total = self.slot("[64 x i64]"), self.slot("i64")
        self.store("i64", itemsize, total)
        with self.loop(ndim) as i:
            size = self.size()
            self.store("i64", size, self.item(sizes, i))
            self.store("i64", self(f"mul i64 {self.load('i64', total)}, {size}"), total)
        rank = self(f"trunc i64 {ndim} to i32")
        large, some, small, single, done = (self.label() for _ in range(5))
        with self.when(self(f"icmp ne i64 {kept}, 0")):
            self.taken(self(f"inttoptr i64 {kept} to ptr"), place, dtype, rank, sizes, done)
        self.branch(self(f"icmp eq i64 {ndim}, 0"), single, some)
        self.start(single)
        self.store("ptr", self(f"call ptr @fuse_zero_d(ptr {dtype}, i64 {itemsize})"), place)
        self.jump(done)
        self.start(some)
        self.branch(self(f"icmp uge i64 {self.load('i64', total)}, {memory.LARGE}"), large, small)
        self.start(large)
        self.store("ptr", self(f"call ptr @fuse_new(ptr {dtype}, i32 {rank}, ptr {sizes})"), place)
        self.jump(done)
        self.start(small)
        self.do(f"call void @Py_IncRef(ptr {dtype})")
        made = self(f"call ptr @PyArray_NewFromDescr(ptr @PyArray_Type, ptr {dtype}, i32 {rank}, ptr {sizes}, "
                    "ptr null, ptr null, i32 0, ptr null)")
        self.store("ptr", made, place)
        self.jump(done)
        self.start(done)
        self.some(self.load("ptr", place), self.error)

    def taken(self, kept: str, place: str, dtype: str, rank: str, sizes: str, done: str) -> None:
        """Go to ``done`` with the array that was kept, if it is one of these sizes; any other one is let go."""
        item, other = self.load("ptr", kept), self.label()
        with self.when(self(f"icmp ne ptr {item}, @object_none")):
            self.do("call void @Py_IncRef(ptr @object_none)")
            self.store("ptr", "@object_none", kept)
            self.require(self.same(self.field("ptr", item, self.head + 40), dtype), other)
            self.require(self(f"icmp eq i32 {self.field('i32', item, self.head + 8)}, {rank}"), other)
            table = self.field("ptr", item, self.head + 16)
            with self.loop(self(f"sext i32 {rank} to i64")) as i:
                size, wanted = self.load("i64", self.item(table, i)), self.load("i64", self.item(sizes, i))
                self.require(self(f"icmp eq i64 {size}, {wanted}"), other)
            self.store("ptr", item, place)
            self.jump(done)
            self.start(other)
            self.do(f"call void @Py_DecRef(ptr {item})")

    def do_keep(self) -> None:
        place, kept = self.place(), self.object()
        item = self.load("ptr", place)
        self.store("ptr", "null", place)
        self.let_go(item, kept)

    def let_go(self, item: str, kept: str) -> None:
        """Let go of an array, or keep it where it is small, ordinary and nobody else's; not where ``kept`` is null."""
        other, done = self.label(), self.label()
        self.require(self(f"icmp ne ptr {kept}, null"), other)
        self.require(self.same(self.load("ptr", kept), "@object_none"), other)
        self.require(self(f"icmp eq i32 {self.field('i32', item, 0)}, 1"), other)  # the number of references
        flags = self(f"and i32 {self.field('i32', item, self.head + 48)}, {ORDINARY}")
        self.require(self(f"icmp eq i32 {flags}, {ORDINARY}"), other)
        for offset in (32, 56):  # it is no view, and there are no weak references to it
            self.require(self(f"icmp eq ptr {self.field('ptr', item, self.head + offset)}, null"), other)
        total = self.slot("i64")
        self.store("i64", "1", total)
        table = self.field("ptr", item, self.head + 16)
        with self.loop(self(f"sext i32 {self.field('i32', item, self.head + 8)} to i64")) as i:
            size = self(f"mul i64 {self.load('i64', total)}, {self.load('i64', self.item(table, i))}")
            self.store("i64", size, total)
        self.require(self(f"icmp ule i64 {self.load('i64', total)}, {LARGEST}"), other)
        self.do("call void @Py_DecRef(ptr @object_none)")
        self.store("ptr", item, kept)
        self.jump(done)
        self.start(other)
        self.do(f"call void @Py_DecRef(ptr {item})")
        self.jump(done)
        self.start(done)

    # ------------------------------------------------------------ those of shared variables
    def of_cell(self, cell: str, offset: int, name: str) -> str:
        """A new reference to what a slot of a shared variable's cell has."""
        found, plain, other, done = self.slot("ptr"), self.label(), self.label(), self.label()
        self.branch(self.same(self.field("ptr", cell, self.head - 8), "@type_cell"), plain, other)
        self.start(plain)
        value = self.field("ptr", cell, offset)
        self.store("ptr", value, found)
        self.require(self(f"icmp ne ptr {value}, null"), other)
        self.do(f"call void @Py_IncRef(ptr {value})")
        self.jump(done)
        self.start(other)
        self.store("ptr", self(f"call ptr @PyObject_GetAttr(ptr {cell}, ptr @{name})"), found)
        self.jump(done)
        self.start(done)
        return self.some(self.load("ptr", found), self.error)

    def do_read(self) -> None:
        place, cell = self.place(), self.object()
        self.store("ptr", self.of_cell(cell, ARRAY, "name_array"), place)

    def do_store(self) -> None:
        """Give a cell its new value; the old one, which the register ``held`` has too, is kept for the next new one."""
        cell, value, kept, held = self.object(), self.load("ptr", self.place()), self.object(), self.place()
        plain, other, done = self.label(), self.label(), self.label()
        self.branch(self.same(self.field("ptr", cell, self.head - 8), "@type_cell"), plain, other)
        self.start(plain)
        slot = self.at(cell, ARRAY)
        old = self.load("ptr", slot)
        self.require(self(f"icmp ne ptr {old}, {value}"), done)  # it was changed in place
        self.require(self(f"icmp ne ptr {old}, null"), other)
        self.do(f"call void @Py_IncRef(ptr {value})")
        self.store("ptr", value, slot)
        with self.when(self(f"icmp eq ptr {self.load('ptr', held)}, {old}")):
            self.store("ptr", "null", held)
            self.do(f"call void @Py_DecRef(ptr {old})")
        self.let_go(old, kept)
        self.jump(done)
        self.start(other)
        failed = self(f"call i32 @PyObject_SetAttr(ptr {cell}, ptr @name_array, ptr {value})")
        self.require(self(f"icmp eq i32 {failed}, 0"), self.error)
        self.jump(done)
        self.start(done)

    def do_reuse(self) -> None:
        place, old, cell, skip = self.place(), self.load("ptr", self.place()), self.object(), self.word()
        borrowed = self.of_cell(cell, BORROWED, "name_borrowed")
        self.do(f"call void @Py_DecRef(ptr {borrowed})")
        with self.when(self(f"icmp ne ptr {borrowed}, {old}")):
            self.store("i1", "true", self.updating)
            self.do(f"call void @Py_IncRef(ptr {old})")
            self.store("ptr", old, place)
            pointer = self.load("ptr", self.cursor)
            self.store("ptr", self.item(pointer, skip), self.cursor)
