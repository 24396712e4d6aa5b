"""A whole call at C level: an interpreter of call plans, which checks inputs, makes arrays and runs the kernels.

A call plan is a row of 64-bit words: instructions with their operands, over registers of Python objects and of sizes.
Whatever it does not expect (another type, a broken guard, keywords, an exception) goes, with the call as it was made,
to the Python function behind it. The interpreter is one C function for all plans, the ``self`` of each a `Plan`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fuse.codegen.assembly import Assembly
from fuse.codegen.call_words import CODES
from fuse.codegen.native_arrays import Arrays, plain_cell
from fuse.codegen.native_registers import PAYLOAD
from fuse.codegen.vectorcall import PLAN

CPYTHON = ("Py_IncRef", "Py_DecRef", "PyErr_Occurred", "PyErr_Clear", "PyErr_ExceptionMatches", "PyErr_SetObject",
           "PyObject_Vectorcall", "PyFloat_FromDouble", "PyLong_AsLongLongAndOverflow", "PyLong_FromLongLong",
           "PyObject_GetAttr", "PyObject_SetAttr", "PyList_New", "PyList_SetItem", "PyTuple_GetItem", "PyTuple_New",
           "PyTuple_SetItem", "PyDict_New", "PyDict_SetItem")
STUCK = ("a size is too large for any array, or what a shared variable holds is no array any more; "
         "an update in place that came before is made")
GONE = "this function is no more"
OBJECTS: dict[str, Any] = {
    "type_float": float, "type_int": int, "type_float64": np.float64, "type_float32": np.float32,
    "type_int64": np.int64,
    "number_zero": 0, "name_array": "array", "name_borrowed": "borrowed", "object_none": None,
    "type_exception": Exception, "type_memory_error": MemoryError,
    "type_cell": plain_cell(), "type_recursion_error": RecursionError, "type_value_error": ValueError,
    "text_stuck": STUCK, "text_gone": GONE,
}


class _Interpreter(Arrays):
    """The text of the interpreter: a loop over words around a switch."""

    # ------------------------------------------------------------ the instructions
    def do_array(self) -> None:
        item, dtype, ndim = self.load("ptr", self.place()), self.object(), self.word()
        kind = self.field("ptr", item, self.head - 8)
        self.require(self.same(kind, "@PyArray_Type"), self.slow)
        self.require(self.same(self.field("ptr", item, self.head + 40), dtype), self.slow)
        rank = self(f"sext i32 {self.field('i32', item, self.head + 8)} to i64")
        self.require(self(f"icmp eq i64 {rank}, {ndim}"), self.slow)

    def do_float64(self) -> None:
        place, dtype = self.place(), self.object()
        item = self.load("ptr", place)
        kind = self.field("ptr", item, self.head - 8)
        plain = self(f"or i1 {self.same(kind, '@type_float')}, {self.same(kind, '@type_float64')}")
        with self.when(self(f"xor i1 {plain}, true")):
            number = self.load("double", self.zero_dimensional(item, dtype))
            self.replace(place, self.some(self(f"call ptr @PyFloat_FromDouble(double {number})"), self.error))

    def element(self, item: str, scalar_type: str, dtype: str) -> str:
        """The address of the number in a NumPy scalar of this type, or in a 0-d array of ``dtype``."""
        where = self.slot("ptr")
        scalar, array, done = self.label(), self.label(), self.label()
        self.branch(self.same(self.field("ptr", item, self.head - 8), scalar_type), scalar, array)
        self.start(scalar)
        self.store("ptr", self.at(item, self.head), where)
        self.jump(done)
        self.start(array)
        self.store("ptr", self.zero_dimensional(item, dtype), where)
        self.jump(done)
        self.start(done)
        return self.load("ptr", where)

    def do_float32(self) -> None:
        place, dtype = self.place(), self.object()
        element = self.element(self.load("ptr", place), "@type_float32", dtype)
        number = self(f"fpext float {self.load('float', element)} to double")
        self.replace(place, self.some(self(f"call ptr @PyFloat_FromDouble(double {number})"), self.error))

    def do_int64(self) -> None:
        place, dtype = self.place(), self.object()
        item, flag = self.load("ptr", place), self.slot("i32")
        python, other, done = self.label(), self.label(), self.label()
        self.branch(self.same(self.field("ptr", item, self.head - 8), "@type_int"), python, other)
        self.start(python)
        self(f"call i64 @PyLong_AsLongLongAndOverflow(ptr {item}, ptr {flag})")
        self.require(self(f"icmp eq i32 {self.load('i32', flag)}, 0"), self.slow)
        self.jump(done)
        self.start(other)
        number = self.load("i64", self.element(item, "@type_int64", dtype))
        self.replace(place, self.some(self(f"call ptr @PyLong_FromLongLong(i64 {number})"), self.error))
        self.jump(done)
        self.start(done)

    def do_integer(self) -> None:
        item, low, high = self.load("ptr", self.place()), self.word(), self.word()
        self.require(self.same(self.field("ptr", item, self.head - 8), "@type_int"), self.slow)
        flag = self.slot("i32")
        value = self(f"call i64 @PyLong_AsLongLongAndOverflow(ptr {item}, ptr {flag})")
        self.require(self(f"icmp eq i32 {self.load('i32', flag)}, 0"), self.slow)
        self.require(self(f"icmp sge i64 {value}, {low}"), self.slow)
        self.require(self(f"icmp sle i64 {value}, {high}"), self.slow)

    def do_constant(self) -> None:
        place = self.place()
        value = self.object()
        self.do(f"call void @Py_IncRef(ptr {value})")
        self.store("ptr", value, place)

    def do_unbox(self) -> None:
        target, item, flag = self.item(self.numbers, self.word()), self.load("ptr", self.place()), self.slot("i32")
        value = self(f"call i64 @PyLong_AsLongLongAndOverflow(ptr {item}, ptr {flag})")
        self.require(self(f"icmp eq i32 {self.load('i32', flag)}, 0"), self.slow)
        self.store("i64", value, target)

    def vectorcall(self, function: str, count: str) -> str:
        found = self(f"call ptr @PyObject_Vectorcall(ptr {function}, ptr {self.given}, i64 {count}, ptr null)")
        return self.some(found, self.error)

    def entered(self, kernel: str, entry: str, count: str) -> str:
        """What a kernel answers that is called by its machine code, or where it has none as any other callable."""
        answer, compiled, other, done = self.slot("ptr"), self.label(), self.label(), self.label()
        self.branch(self(f"icmp ne ptr {entry}, null"), compiled, other)
        self.start(compiled)
        self.store("ptr", self(f"call ptr {entry}(ptr {kernel}, ptr {self.given}, i64 {count})"), answer)
        self.jump(done)
        self.start(other)
        self.store("ptr", self.vectorcall(kernel, count), answer)
        self.jump(done)
        self.start(done)
        return self.some(self.load("ptr", answer), self.error)

    def do_kernel(self) -> None:
        taken, general, count = self.object(), self.object(), self.word()
        kernel, entry = self.load("ptr", taken), self.field("ptr", taken, 8)
        registers = self.load("ptr", self.cursor)
        self.arguments(count)
        status = self.entered(kernel, entry, count)
        self.do(f"call void @Py_DecRef(ptr {status})")
        failed = self(f"icmp ne ptr {status}, @number_zero")
        made, first = self.word(), self.load("ptr", self.cursor)
        self.store("ptr", self.item(first, made), self.cursor)
        with self.when(failed):
            with self.loop(count) as i:
                place = self.item(self.registers, self.load("i64", self.item(registers, i)))
                self.store("ptr", self.returned(place), self.item(self.given, i))
            results = self.vectorcall(general, count)
            with self.loop(made) as i:
                place = self.item(self.registers, self.load("i64", self.item(first, i)))
                new, old = self(f"call ptr @PyTuple_GetItem(ptr {results}, i64 {i})"), self.load("ptr", place)
                self.do(f"call void @Py_IncRef(ptr {new})")
                self.store("ptr", new, place)
                self.do(f"call void @Py_DecRef(ptr {old})")
            self.do(f"call void @Py_DecRef(ptr {results})")
        self.has_written()

    def has_written(self) -> None:
        """What has been called has returned: memory of an old value that it was given is the new one's."""
        both = self(f"or i1 {self.load('i1', self.updated)}, {self.load('i1', self.updating)}")
        self.store("i1", both, self.updated)

    def do_quiet(self) -> None:
        self.do("store atomic i64 1, ptr @fuse_quiet monotonic, align 8")

    def do_call(self) -> None:
        place, function, count = self.place(), self.object(), self.word()
        self.arguments(count)
        self.store("ptr", self.vectorcall(function, count), place)
        self.has_written()

    def do_tuple(self) -> None:
        place, count = self.place(), self.word()
        found = self.some(self(f"call ptr @PyTuple_New(i64 {count})"), self.error)
        with self.loop(count) as i:
            value = self.load("ptr", self.place())
            self.do(f"call void @Py_IncRef(ptr {value})")
            self.do(f"call i32 @PyTuple_SetItem(ptr {found}, i64 {i}, ptr {value})")
        self.store("ptr", found, place)

    def do_box(self) -> None:
        place, size = self.place(), self.size()
        self.store("ptr", self.some(self(f"call ptr @PyLong_FromLongLong(i64 {size})"), self.error), place)

    def do_alias(self) -> None:
        place, value = self.place(), self.load("ptr", self.place())
        self.do(f"call void @Py_IncRef(ptr {value})")
        self.store("ptr", value, place)

    def do_drop(self) -> None:
        place = self.place()
        value = self.load("ptr", place)
        self.store("ptr", "null", place)
        self.do(f"call void @Py_DecRef(ptr {value})")

    def finish(self, value: str) -> None:
        self.store("ptr", value, self.result)
        self.jump(self.leave)
        self.start(self.label())  # nothing comes here

    def do_single(self) -> None:
        value = self.load("ptr", self.place())
        self.do(f"call void @Py_IncRef(ptr {value})")
        self.finish(value)

    def do_list(self) -> None:
        count = self.word()
        found = self.some(self(f"call ptr @PyList_New(i64 {count})"), self.error)
        with self.loop(count) as i:
            value = self.load("ptr", self.place())
            self.do(f"call void @Py_IncRef(ptr {value})")
            self.do(f"call i32 @PyList_SetItem(ptr {found}, i64 {i}, ptr {value})")
        self.finish(found)

    def do_dict(self) -> None:
        count = self.word()
        found = self.some(self("call ptr @PyDict_New()"), self.error)
        with self.loop(count):
            key, value = self.object(), self.load("ptr", self.place())
            self.do(f"call i32 @PyDict_SetItem(ptr {found}, ptr {key}, ptr {value})")
        self.finish(found)

    def do_none(self) -> None:
        self.do("call void @Py_IncRef(ptr @object_none)")
        self.finish("@object_none")

    # ------------------------------------------------------------ the whole
    def text(self) -> str:
        unusual, begin, python, stuck, repeat = (self.label() for _ in range(5))
        inputs, registers = self.field("i64", "%self", PAYLOAD + 8), self.field("i64", "%self", PAYLOAD + 16)
        ordinary = self(f"and i1 {self('icmp eq ptr %keywords, null')}, {self(f'icmp eq i64 %count, {inputs}')}")
        self.branch(ordinary, begin, python)
        self.start(begin)
        with self.loop(inputs) as i:
            self.store("ptr", self.load("ptr", self.item("%args", i)), self.item(self.registers, i))
        own = self.item(self.registers, inputs)  # what is let go at the end: the rest, and what replaces inputs
        with self.loop(registers) as i:
            self.store("ptr", "null", self.item(own, i))
        self.jump(self.next)
        self.start(self.next)
        labels = {code: self.label() for code in CODES.values()}
        cases = " ".join(f"i64 {code}, label %{label}" for code, label in labels.items())
        self.do(f"switch i64 {self.word()}, label %{unusual} [{cases}]")
        for name, code in CODES.items():
            self.start(labels[code])
            getattr(self, f"do_{name}")()
            self.jump(self.next)
        self.start(self.error)  # Python meets the error again, unless it is one that ends programs
        matches = self("call i32 @PyErr_ExceptionMatches(ptr @type_exception)")
        self.require(self(f"icmp ne i32 {matches}, 0"), self.leave)
        # The call is not made again where memory is missing, which may be there the next time, and where a function
        # that calls itself went too deep: two calls at each depth would have no end.
        for kind in ("memory", "recursion"):
            matches = self(f"call i32 @PyErr_ExceptionMatches(ptr @type_{kind}_error)")
            self.require(self(f"icmp eq i32 {matches}, 0"), self.leave)
        self.require(self(f"xor i1 {self.load('i1', self.updated)}, true"), self.leave)  # nor is an update made twice
        self.do("call void @PyErr_Clear()")
        self.jump(self.slow)
        self.start(unusual)
        self.jump(self.slow)
        self.start(self.slow)
        self.branch(self.load("i1", self.updated), stuck, repeat)
        self.start(stuck)
        self.do("call void @PyErr_SetObject(ptr @type_value_error, ptr @text_stuck)")
        self.jump(self.leave)
        self.start(repeat)
        self.store("i1", "true", self.again)
        self.jump(self.leave)
        self.start(self.leave)
        with self.loop(registers) as i:
            value = self.load("ptr", self.item(own, i))
            with self.when(self(f"icmp ne ptr {value}, null")):
                self.do(f"call void @Py_DecRef(ptr {value})")
        done = self.label()
        self.branch(self.load("i1", self.again), python, done)
        self.start(done)
        self.do(f"ret ptr {self.load('ptr', self.result)}")
        self.start(python)
        function = self.field("ptr", "%self", PAYLOAD)
        found = self(f"call ptr @PyObject_Vectorcall(ptr {function}, ptr %args, i64 %count, ptr %keywords)")
        self.do(f"ret ptr {found}")
        return self.function("ptr @fuse_call(ptr %self, ptr %args, i64 %count, ptr %keywords)")


def _pointed() -> str:
    """What the pointer of an object points to (``vectorcall``): the interpreter, on the plan that stands behind it."""
    t = Assembly()
    none = t.label()
    plan = t.field("ptr", "%object", PLAN)
    t.require(t(f"icmp ne ptr {plan}, null"), none)
    count = t(f"and i64 %flagged, {(1 << 63) - 1}")  # the highest bit says who may use the place before the arguments
    found = t(f"musttail call ptr @fuse_call(ptr {plan}, ptr %args, i64 {count}, ptr %keywords)")
    t.do(f"ret ptr {found}")
    t.start(none)  # Python takes an object apart that nobody can reach, but for its last words
    t.do("call void @PyErr_SetObject(ptr @type_value_error, ptr @text_gone)")
    t.do("ret ptr null")
    return t.function("ptr @fuse_pointed(ptr %object, ptr %args, i64 %flagged, ptr %keywords)")


DECLARATIONS = """
declare void @PyErr_Clear()
declare i32 @PyErr_ExceptionMatches(ptr)
declare void @PyErr_SetObject(ptr, ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare ptr @PyFloat_FromDouble(double)
declare i64 @PyLong_AsLongLongAndOverflow(ptr, ptr)
declare ptr @PyLong_FromLongLong(i64)
declare ptr @PyObject_GetAttr(ptr, ptr)
declare i32 @PyObject_SetAttr(ptr, ptr, ptr)
declare ptr @PyList_New(i64)
declare i32 @PyList_SetItem(ptr, i64, ptr)
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare ptr @PyDict_New()
declare i32 @PyDict_SetItem(ptr, ptr, ptr)
declare { i64, i1 } @llvm.sadd.with.overflow.i64(i64, i64)
declare { i64, i1 } @llvm.ssub.with.overflow.i64(i64, i64)
declare { i64, i1 } @llvm.smul.with.overflow.i64(i64, i64)
"""


def text() -> str:
    """The LLVM assembly of the interpreter, without what the allocator's text declares."""
    known = [f"@{name} = external global i8" for name in (*OBJECTS, "fuse_quiet")]
    return "\n".join([*known, DECLARATIONS, _Interpreter().text(), _pointed(), ""])
