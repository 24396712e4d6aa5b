"""Registers of the interpreter of call plans: operands of its instructions, arithmetic of sizes, views of arrays."""

from __future__ import annotations

from dataclasses import dataclass

from fuse.codegen.assembly import Assembly
from fuse.codegen.call_words import LENT_SIZE, LENT_TABLES, MOST_LENT, VIEWS

PAYLOAD = bytes.__basicsize__ - 1  # where the bytes of a bytes object start
# Words before the instructions: the Python function, inputs, registers; and for how many words there is to be room, for
# registers of objects, of sizes, arguments, and views that are lent.
HEADER = 7
MOST_DIMENSIONS = 96  # of a view: NumPy's 64 and those that an index adds


@dataclass(frozen=True)
class View:
    """What a view is made of: the names of its values, and of the memory with its sizes and strides."""

    data: str
    ndim: str
    tables: tuple[str, str]
    dtype: str
    flags: str


class Registers(Assembly):
    """The parts of the interpreter that every instruction has: where it reads its operands, and where it fails."""

    def __init__(self) -> None:
        super().__init__()
        self.head = object.__basicsize__
        self.cursor = self.slot("ptr", self.at("%self", PAYLOAD + 8 * HEADER))
        self.registers, self.numbers, self.given, self.lent = (self.room(word) for word in range(3, HEADER))
        self.result, self.again = self.slot("ptr", "null"), self.slot("i1", "false")
        self.updating = self.slot("i1", "false")  # whether an old value's memory has been taken for the new one
        self.updated = self.slot("i1", "false")  # whether something has been written there
        self.slow, self.error, self.leave, self.next = (self.label() for _ in range(4))

    def room(self, word: int) -> str:
        """Room on the stack for as many words as the plan's header says: a function may call itself."""
        at, count, name = (f"%room{part}{word}" for part in ("_at", "_count", ""))
        self.slots += [f"  {at} = getelementptr i8, ptr %self, i64 {PAYLOAD + 8 * word}",
                       f"  {count} = load i64, ptr {at}, align 1", f"  {name} = alloca i64, i64 {count}"]
        return name

    def word(self) -> str:
        pointer = self.load("ptr", self.cursor)
        self.store("ptr", self.at(pointer, 8), self.cursor)
        return self.load("i64", pointer)

    def object(self) -> str:
        return self(f"inttoptr i64 {self.word()} to ptr")

    def place(self) -> str:
        """The address of the register that the next word names."""
        return self.item(self.registers, self.word())

    def size(self) -> str:
        return self.load("i64", self.item(self.numbers, self.word()))

    def same(self, pointer: str, other: str) -> str:
        return self(f"icmp eq ptr {pointer}, {other}")

    def some(self, pointer: str, failure: str) -> str:
        self.require(self(f"icmp ne ptr {pointer}, null"), failure)
        return pointer

    def replace(self, place: str, value: str) -> None:
        """Put the new reference ``value`` where an input stands, and among what is let go at the end."""
        offset = self(f"ptrtoint ptr {place} to i64")
        start = self(f"ptrtoint ptr {self.registers} to i64")
        count = self.field("i64", "%self", PAYLOAD + 16)
        shadow = self.item(self.registers, count)
        self.store("ptr", value, place)
        self.store("ptr", value, self.at(shadow, self(f"sub i64 {offset}, {start}")))

    def zero_dimensional(self, item: str, dtype: str) -> str:
        """The address of the element of a 0-d array of ``dtype``; anything else goes to Python."""
        kind = self.field("ptr", item, self.head - 8)
        self.require(self.same(kind, "@PyArray_Type"), self.slow)
        self.require(self.same(self.field("ptr", item, self.head + 40), dtype), self.slow)
        self.require(self(f"icmp eq i32 {self.field('i32', item, self.head + 8)}, 0"), self.slow)
        return self.field("ptr", item, self.head)

    def arguments(self, count: str) -> None:
        with self.loop(count) as i:
            value = self.load("ptr", self.place())
            self.store("ptr", value, self.item(self.given, i))

    # ------------------------------------------------------------ sizes
    def do_dimension(self) -> None:
        target, item, axis = self.item(self.numbers, self.word()), self.load("ptr", self.place()), self.word()
        self.require(self.same(self.field("ptr", item, self.head - 8), "@PyArray_Type"), self.slow)
        rank = self(f"sext i32 {self.field('i32', item, self.head + 8)} to i64")
        self.require(self(f"icmp slt i64 {axis}, {rank}"), self.slow)
        table = self.field("ptr", item, self.head + 16)
        self.store("i64", self.load("i64", self.item(table, axis)), target)

    def do_number(self) -> None:
        target = self.item(self.numbers, self.word())
        self.store("i64", self.word(), target)

    def arithmetic(self, operation: str) -> None:
        """Sizes are those of arrays that exist; what overflows is left to Python's ints."""
        target, left, right = self.item(self.numbers, self.word()), self.size(), self.size()
        pair = self(f"call {{ i64, i1 }} @llvm.s{operation}.with.overflow.i64(i64 {left}, i64 {right})")
        over = self(f"extractvalue {{ i64, i1 }} {pair}, 1")
        self.require(self(f"xor i1 {over}, true"), self.slow)
        self.store("i64", self(f"extractvalue {{ i64, i1 }} {pair}, 0"), target)

    def do_add(self) -> None:
        self.arithmetic("add")

    def do_sub(self) -> None:
        self.arithmetic("sub")

    def do_mul(self) -> None:
        self.arithmetic("mul")

    def do_max(self, comparison: str = "sgt") -> None:
        target, left, right = self.item(self.numbers, self.word()), self.size(), self.size()
        holds = self(f"icmp {comparison} i64 {left}, {right}")
        self.store("i64", self(f"select i1 {holds}, i64 {left}, i64 {right}"), target)

    def do_min(self) -> None:
        self.do_max("slt")

    def do_less(self, comparison: str = "slt") -> None:
        target, left, right = self.item(self.numbers, self.word()), self.size(), self.size()
        self.store("i64", self(f"zext i1 {self(f'icmp {comparison} i64 {left}, {right}')} to i64"), target)

    def do_equal(self) -> None:
        self.do_less("eq")

    def do_divide(self) -> None:
        target, left, right = self.item(self.numbers, self.word()), self.size(), self.size()
        self.require(self(f"icmp sgt i64 {right}, 0"), self.slow)
        below = self(f"icmp slt i64 {self(f'srem i64 {left}, {right}')}, 0")
        quotient = self(f"sdiv i64 {left}, {right}")
        self.store("i64", self(f"sub i64 {quotient}, {self(f'zext i1 {below} to i64')}"), target)

    def do_select(self) -> None:
        target, condition = self.item(self.numbers, self.word()), self.size()
        left, right = self.size(), self.size()
        holds = self(f"icmp ne i64 {condition}, 0")
        self.store("i64", self(f"select i1 {holds}, i64 {left}, i64 {right}"), target)

    def do_check(self) -> None:
        left, right = self.size(), self.size()
        self.require(self(f"icmp eq i64 {left}, {right}"), self.slow)

    # ------------------------------------------------------------ views
    def do_view(self) -> None:
        place, item, view = self.viewed()
        made = self.new_view(view)
        self.store("ptr", made, place)
        self.based(made, item)

    def viewed(self) -> tuple[str, str, View]:
        """Where a view is to be, what it is one of, and what it is."""
        place, item, entries = self.place(), self.load("ptr", self.place()), self.word()
        kind = self.field("ptr", item, self.head - 8)
        self.require(self.same(kind, "@PyArray_Type"), self.slow)
        rank = self(f"sext i32 {self.field('i32', item, self.head + 8)} to i64")
        given = self.field("ptr", item, self.head + 16), self.field("ptr", item, self.head + 24)
        made = self.slot(f"[{MOST_DIMENSIONS} x i64]"), self.slot(f"[{MOST_DIMENSIONS} x i64]")
        data, axis, count = self.slot("ptr"), self.slot("i64"), self.slot("i64")
        self.store("ptr", self.field("ptr", item, self.head), data)
        self.store("i64", "0", axis)
        self.store("i64", "0", count)

        def add(size: str, stride: str) -> None:
            number = self.load("i64", count)
            for table, value in zip(made, (size, stride), strict=True):
                self.store("i64", value, self.item(table, number))
            self.store("i64", self(f"add i64 {number}, 1"), count)

        def move(steps: str, stride: str) -> None:
            self.store("ptr", self.at(self.load("ptr", data), self(f"mul i64 {steps}, {stride}")), data)

        with self.loop(entries):
            entry, first, last, step = self.word(), self.size(), self.size(), self.word()
            with self.when(self(f"icmp eq i64 {entry}, {VIEWS['new']}")):
                add("1", "0")
            with self.when(self(f"icmp ne i64 {entry}, {VIEWS['new']}")):
                number = self.load("i64", axis)
                self.require(self(f"icmp slt i64 {number}, {rank}"), self.slow)
                self.store("i64", self(f"add i64 {number}, 1"), axis)
                size, stride = (self.load("i64", self.item(table, number)) for table in given)
                with self.when(self(f"icmp eq i64 {entry}, {VIEWS['integer']}")):
                    at = self.from_start(first, size)
                    self.require(self(f"icmp ult i64 {at}, {size}"), self.slow)
                    move(at, stride)
                with self.when(self(f"icmp eq i64 {entry}, {VIEWS['slice']}")):
                    low, high = (self.within(self.from_start(x, size), size) for x in (first, last))
                    wide = self(f"add i64 {self(f'sub i64 {high}, {low}')}, {self(f'sub i64 {step}, 1')}")
                    some = self(f"icmp slt i64 {low}, {high}")
                    length = self(f"select i1 {some}, i64 {self(f'sdiv i64 {wide}, {step}')}, i64 0")
                    move(self(f"select i1 {some}, i64 {low}, i64 0"), stride)
                    add(length, self(f"mul i64 {stride}, {step}"))
        done = self.load("i64", axis)
        with self.loop(self(f"sub i64 {rank}, {done}")) as i:
            number = self(f"add i64 {done}, {i}")
            add(*(self.load("i64", self.item(table, number)) for table in given))
        dtype, flags = self.field("ptr", item, self.head + 40), self.field("i32", item, self.head + 48)
        ndim = self(f"trunc i64 {self.load('i64', count)} to i32")
        return place, item, View(self.load("ptr", data), ndim, made, dtype, flags)

    def new_view(self, view: View) -> str:
        """A new array that is a view, which owns nothing yet."""
        self.do(f"call void @Py_IncRef(ptr {view.dtype})")
        made = self(f"call ptr @PyArray_NewFromDescr(ptr @PyArray_Type, ptr {view.dtype}, i32 {view.ndim}, "
                    f"ptr {view.tables[0]}, ptr {view.tables[1]}, ptr {view.data}, i32 {view.flags}, ptr null)")
        return self.some(made, self.error)

    def based(self, view: str, item: str) -> None:
        """Let a new view hold the array that it is one of."""
        self.do(f"call void @Py_IncRef(ptr {item})")
        failed = self(f"call i32 @PyArray_SetBaseObject(ptr {view}, ptr {item})")
        self.require(self(f"icmp eq i32 {failed}, 0"), self.error)

    def do_lend(self) -> None:
        """A view without an object of its own: what kernels read of one, on the stack, for as long as the call lasts.

        The array that it is a view of is held by the caller, or by a register for as long as the view is. What might
        keep it gets what `returned` makes of it.
        """
        array = self.at(self.lent, self(f"mul i64 {self.word()}, {LENT_SIZE}"))
        place, item, view = self.viewed()
        tables = [self.at(array, LENT_TABLES + 8 * MOST_LENT * k) for k in range(2)]
        with self.loop(self(f"sext i32 {view.ndim} to i64")) as i:
            for table, given in zip(tables, view.tables, strict=True):
                self.store("i64", self.load("i64", self.item(given, i)), self.item(table, i))
        fields = {
            -16: ("i64", str(1 << 20)), -8: ("ptr", "@PyArray_Type"), 0: ("ptr", view.data), 8: ("i32", view.ndim),
            16: ("ptr", tables[0]), 24: ("ptr", tables[1]), 32: ("ptr", item), 40: ("ptr", view.dtype),
            48: ("i32", view.flags),
        }
        for offset, (type_, value) in fields.items():  # what is let go of it never comes to nothing
            self.store(type_, value, self.at(array, self.head + offset))
        self.store("ptr", array, place)

    def returned(self, place: str) -> str:
        """What a register holds, as an array that may be kept: one that is lent is made one."""
        array = self.load("ptr", place)
        far = self(f"sub i64 {self(f'ptrtoint ptr {array} to i64')}, {self(f'ptrtoint ptr {self.lent} to i64')}")
        size = self(f"mul i64 {self.field('i64', '%self', PAYLOAD + 8 * (HEADER - 1))}, 8")
        with self.when(self(f"icmp ult i64 {far}, {size}")):
            fields = [self.field(t, array, self.head + k) for t, k in (
                ("ptr", 0), ("i32", 8), ("ptr", 16), ("ptr", 24), ("ptr", 40), ("i32", 48))]
            data, ndim, sizes, strides, dtype, flags = fields
            made = self.new_view(View(data, ndim, (sizes, strides), dtype, flags))
            self.store("ptr", made, place)
            self.based(made, self.field("ptr", array, self.head + 32))
        return self.load("ptr", place)

    def from_start(self, index: str, size: str) -> str:
        """An index that counts from the end where it is negative."""
        turned = self(f"add i64 {index}, {size}")
        return self(f"select i1 {self(f'icmp slt i64 {index}, 0')}, i64 {turned}, i64 {index}")

    def within(self, index: str, size: str) -> str:
        """An index as the end of a slice: from 0 to the size."""
        low = self(f"select i1 {self(f'icmp slt i64 {index}, 0')}, i64 0, i64 {index}")
        return self(f"select i1 {self(f'icmp slt i64 {low}, {size}')}, i64 {low}, i64 {size}")
