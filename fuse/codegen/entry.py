"""The C-level entry of a kernel as LLVM assembly: it checks and unpacks Python objects and calls the kernel.

No pass improves these texts: what is on the stack is asked for once, at the beginning of a function.
"""
from __future__ import annotations

import sys

import numpy as np

from fuse.codegen import pool
from fuse.codegen.assembly import Assembly
from fuse.codegen.native import (
    ENTRY,
    MANY_ARRAYS,
    NO_MEMORY,
    PART,
    RAISED,
    RELEASE_AT,
    SHARED_SLOT,
    WRITEABLE_FLAG,
    ArgType,
)

_INTEGERS = {f"{sign}int{bits}": (bits, not sign) for sign in ("", "u") for bits in (8, 16, 32, 64)}
_FLOATS = {"float16": "float", "float32": "float", "float64": "double"}
_COMPLEX = {"complex64": "float", "complex128": "double"}


def _double_or_error(t: Assembly, value: str, error: str) -> None:
    """Go to `error` when `value` is -1 and an exception is set."""
    suspicious, fine = t.label(), t.label()
    t.do(f"br i1 {t(f'fcmp oeq double {value}, -1.0')}, label %{suspicious}, label %{fine}")
    t.start(suspicious)
    raised = t("call ptr @PyErr_Occurred()")
    t.do(f"br i1 {t(f'icmp eq ptr {raised}, null')}, label %{fine}, label %{error}")
    t.start(fine)


def _scalar(t: Assembly, argtype: ArgType, item: str, bad: str, error: str) -> list[str]:
    """Convert the Python object `item`; `bad` raises our TypeError, `error` passes on Python's own."""
    dtype = argtype.dtype
    if dtype == "bool":
        truth = t(f"call i32 @PyObject_IsTrue(ptr {item})")
        t.require(t(f"icmp sge i32 {truth}, 0"), error)
        return [f"i8 {t(f'trunc i32 {truth} to i8')}"]
    if dtype in _FLOATS:
        value = t(f"call double @PyFloat_AsDouble(ptr {item})")
        _double_or_error(t, value, error)
        return [f"float {t(f'fptrunc double {value} to float')}" if _FLOATS[dtype] == "float" else f"double {value}"]
    if dtype in _COMPLEX:
        if sys.platform == "win32":
            slot = t.slot("{ double, double }")
            t.do(f"call void @PyComplex_AsCComplex(ptr sret({{ double, double }}) {slot}, ptr {item})")
            pair = t(f"load {{ double, double }}, ptr {slot}")
        else:
            pair = t(f"call {{ double, double }} @PyComplex_AsCComplex(ptr {item})")
        parts = [t(f"extractvalue {{ double, double }} {pair}, {i}") for i in (0, 1)]
        _double_or_error(t, parts[0], error)
        if _COMPLEX[dtype] == "float":
            parts = [t(f"fptrunc double {part} to float") for part in parts]
        return [f"{_COMPLEX[dtype]} {part}" for part in parts]
    bits, signed = _INTEGERS[dtype]
    index = t(f"call ptr @PyNumber_Index(ptr {item})")          # refuses floats
    t.require(t(f"icmp ne ptr {index}, null"), error)
    value = t(f"call i64 @PyLong_As{'' if signed else 'Unsigned'}LongLong(ptr {index})")
    t.do(f"call void @Py_DecRef(ptr {index})")
    suspicious, fine = t.label(), t.label()
    t.do(f"br i1 {t(f'icmp eq i64 {value}, -1')}, label %{suspicious}, label %{fine}")
    t.start(suspicious)
    raised = t("call ptr @PyErr_Occurred()")
    t.do(f"br i1 {t(f'icmp eq ptr {raised}, null')}, label %{fine}, label %{error}")
    t.start(fine)
    if bits == 64:
        return [f"i64 {value}"]
    narrow = t(f"trunc i64 {value} to i{bits}")
    wide = t(f"{'sext' if signed else 'zext'} i{bits} {narrow} to i64")
    t.require(t(f"icmp eq i64 {wide}, {value}"), bad)
    return [f"i{bits} {narrow}"]


def _array(t: Assembly, argtype: ArgType, item: str, bad: str) -> tuple[list[str], str]:
    """Check the ndarray `item` and read its fields; also its number of elements."""
    head = object.__basicsize__                     # the fields of PyArrayObject follow Python's object header
    dtype = np.dtype(argtype.dtype)
    kind = t.field("ptr", item, head - 8)
    t.require(t(f"icmp eq ptr {kind}, @fuse_ndarray"), bad)
    t.require(t(f"icmp eq i32 {t.field('i32', item, head + 8)}, {argtype.ndim}"), bad)
    wanted = WRITEABLE_FLAG if argtype.writable else 0
    if wanted:
        flags = t(f"and i32 {t.field('i32', item, head + 48)}, {wanted}")
        t.require(t(f"icmp eq i32 {flags}, {wanted}"), bad)
    description = t.field("ptr", item, head + 40)
    number = t.field("i32", description, head + 12)
    same = "false"
    for code in sorted({np.dtype(c).num for c in np.typecodes["All"] if np.dtype(c) == dtype}):
        same = t(f"or i1 {same}, {t(f'icmp eq i32 {number}, {code}')}")
    t.require(same, bad)
    swapped = ord(">" if sys.byteorder == "little" else "<")
    t.require(t(f"icmp ne i8 {t.field('i8', description, head + 10)}, {swapped}"), bad)
    values, elements = [f"ptr {t.field('ptr', item, head)}"], "1"
    for offset in (head + 16, head + 24):
        table = t.field("ptr", item, offset)
        for d in range(argtype.ndim or 0):
            value = t.field("i64", table, 8 * d)
            values.append(f"i64 {value}")
            if offset == head + 16:
                elements = t(f"mul i64 {elements}, {value}")
    return values, elements


def _array_function(name: str, argtype: ArgType) -> str:
    """LLVM assembly of a function that does `_array` for all arguments of a type; it leaves the values in memory."""
    t = Assembly()
    values, elements = _array(t, argtype, "%item", "bad")
    for k, value in enumerate([*values, f"i64 {elements}"]):
        t.do(f"store {value}, ptr {t(f'getelementptr i8, ptr %values, i64 {8 * k}')}")
    t.do("ret i1 true")
    t.start("bad")
    t.do("ret i1 false")
    return t.function(f"internal i1 @{name}(ptr %item, ptr nocapture %values) noinline")


def _array_by(t: Assembly, name: str, argtype: ArgType, item: str, bad: str) -> tuple[list[str], str]:
    """What `_array` gives, by a call of such a function."""
    count = 2 + 2 * (argtype.ndim or 0)
    memory = t.slot(f"[{count} x i64], align 8")
    t.require(t(f"call i1 @{name}(ptr {item}, ptr {memory})"), bad)
    values = [f"ptr {t.field('ptr', memory, 0)}"]
    values += [f"i64 {t.field('i64', memory, 8 * k)}" for k in range(1, count - 1)]
    return values, t.field("i64", memory, 8 * (count - 1))


def _alone(t: Assembly, symbol: str, values: list[str], elements: str) -> tuple[str, str]:
    """Call a kernel that cannot be shared, without Python's lock where it has many elements: i32 raised, i64 status."""
    result, exception = t.slot("i64"), t.slot("ptr")
    long = t(f"icmp sgt i64 {elements}, {RELEASE_AT}")
    here, release, run, restore, done = (t.label() for _ in range(5))
    t.do(f"br label %{here}")
    t.start(here)
    t.do(f"br i1 {long}, label %{release}, label %{run}")
    t.start(release)
    saved = t("call ptr @PyEval_SaveThread()")
    t.do(f"br label %{run}")
    t.start(run)
    state = t(f"phi ptr [ null, %{here} ], [ {saved}, %{release} ]")
    raised = t(f'call i32 @"{symbol}"({", ".join([f"ptr {result}", f"ptr {exception}", *values])})')
    t.do(f"br i1 {long}, label %{restore}, label %{done}")
    t.start(restore)
    t.do(f"call void @PyEval_RestoreThread(ptr {state})")
    t.do(f"br label %{done}")
    t.start(done)
    return raised, t(f"load i64, ptr {result}")


def _in_parts(t: Assembly, symbol: str, values: list[str], slots: int) -> tuple[str, list[str]]:
    """Call a kernel that asks for threads where it has much work: i64 status, and the function that does one part."""
    kinds = [value.split()[0] for value in values]
    structure = f"{{ {', '.join(['ptr', *kinds])} }}"
    context = t.slot(structure)
    shared = t.slot(f"[{slots * SHARED_SLOT} x i8], align {SHARED_SLOT}")
    fields = [f"ptr {shared}", *values]
    for k, value in enumerate(fields):
        t.do(f"store {value}, ptr {t(f'getelementptr {structure}, ptr {context}, i32 0, i32 {k}')}")
    first = t(f"call i64 @fuse_part(ptr {context}, i64 {pool.ASK}, i64 0, i64 {pool.EVERYTHING})")
    much, start, ready, lent, several, alone, back, none, done = (t.label() for _ in range(9))
    here = t.label()
    t.do(f"br label %{here}")
    t.start(here)
    t.do(f"br i1 {t(f'icmp eq i64 {first}, {pool.MUCH}')}, label %{much}, label %{done}")
    t.start(much)
    is_prepared = t(f"load i64, ptr {t(f'getelementptr i8, ptr @fuse_pool, i64 {pool.PREPARED}')}")
    t.do(f"br i1 {t(f'icmp eq i64 {is_prepared}, 0')}, label %{start}, label %{ready}")
    t.start(start)
    nothing = t("call ptr @PyObject_CallNoArgs(ptr @fuse_prepare)")
    t.require(t(f"icmp ne ptr {nothing}, null"), "error")
    t.do(f"call void @Py_DecRef(ptr {nothing})")
    t.do(f"br label %{ready}")
    t.start(ready)
    room = t(f"getelementptr i8, ptr {shared}, i64 8")
    wanted = t(f"load i64, ptr {room}")
    memory = t(f"call ptr @PyMem_RawMalloc(i64 {wanted})")
    t.do(f"store ptr {memory}, ptr {room}")
    t.do(f"br i1 {t(f'icmp eq ptr {memory}, null')}, label %{none}, label %{lent}")
    t.start(lent)
    saved = t("call ptr @PyEval_SaveThread()")
    run = t(f"load ptr, ptr {t(f'getelementptr i8, ptr @fuse_pool, i64 {pool.RUN}')}")
    t.do(f"br i1 {t(f'icmp eq ptr {run}, null')}, label %{alone}, label %{several}")
    t.start(several)
    together = t(f"call i64 {run}(ptr @fuse_part, ptr {context}, ptr {shared})")
    t.do(f"br label %{back}")
    t.start(alone)
    single = t(f"call i64 @fuse_part(ptr {context}, i64 {pool.SERIAL}, i64 0, i64 {pool.EVERYTHING})")
    t.do(f"br label %{back}")
    t.start(back)
    later = t(f"phi i64 [ {together}, %{several} ], [ {single}, %{alone} ]")
    t.do(f"call void @PyEval_RestoreThread(ptr {saved})")
    t.do(f"call void @PyMem_RawFree(ptr {memory})")
    t.do(f"br label %{done}")
    t.start(none)
    t.do(f"br label %{done}")
    t.start(done)
    status = t(f"phi i64 [ {first}, %{here} ], [ {later}, %{back} ], [ {NO_MEMORY}, %{none} ]")
    p = Assembly()
    result, exception = p.slot("i64"), p.slot("ptr")
    places = [p(f"getelementptr {structure}, ptr %context, i32 0, i32 {k}") for k in range(len(fields))]
    passed = [f"{kind} {p(f'load {kind}, ptr {place}')}" for kind, place in zip(["ptr", *kinds], places, strict=True)]
    arguments = ", ".join([f"ptr {result}", f"ptr {exception}", *passed[1:], "i64 %segment", "i64 %low", "i64 %high",
                           passed[0]])
    raised = p(f'call i32 @"{symbol}"({arguments})')
    given, wrong = p(f"load i64, ptr {result}"), p(f"icmp ne i32 {raised}, 0")
    p.do(f"ret i64 {p(f'select i1 {wrong}, i64 {RAISED}, i64 {given}')}")
    return status, [p.function("internal i64 @fuse_part(ptr %context, i64 %segment, i64 %low, i64 %high)")]


class _Failures:
    """The ways in which a call is refused: labels to go to, and what is told there."""

    def __init__(self, t: Assembly) -> None:
        self.t = t
        self.messages: list[tuple[str, str]] = []

    def __call__(self, message: str) -> str:
        """The label of a failure."""
        self.messages.append((self.t.label(), message))
        return self.messages[-1][0]

    def written(self) -> list[str]:
        """Write what is done at the labels, "refused" and "error"; the texts, as globals."""
        t, texts = self.t, []
        for i, (label, message) in enumerate(self.messages):
            data = message.encode() + b"\0"
            texts.append(f"@fuse_text_{i} = private constant [{len(data)} x i8] c\""
                         + "".join(f"\\{byte:02X}" for byte in data) + '"')
            t.start(label)
            t.do("br label %refused")
        t.start("refused")
        told = t("phi ptr " + ", ".join(f"[ @fuse_text_{i}, %{label} ]" for i, (label, _) in enumerate(self.messages)))
        kind = t("load ptr, ptr @PyExc_TypeError")
        t.do(f"call void @PyErr_SetString(ptr {kind}, ptr {told})")
        t.do("br label %error")
        t.start("error")
        t.do("ret ptr null")
        return texts


_PAIR = "{ double, double }"
_DECLARED = [
    "@fuse_ndarray = external global i8", "@PyExc_TypeError = external global ptr",
    "declare void @PyErr_SetString(ptr, ptr)", "declare ptr @PyErr_Occurred()",
    "declare double @PyFloat_AsDouble(ptr)", "declare i64 @PyLong_AsLongLong(ptr)",
    "declare i64 @PyLong_AsUnsignedLongLong(ptr)", "declare ptr @PyNumber_Index(ptr)",
    "declare ptr @PyLong_FromLongLong(i64)", "declare i32 @PyObject_IsTrue(ptr)",
    f"declare void @PyComplex_AsCComplex(ptr sret({_PAIR}), ptr)" if sys.platform == "win32"
    else f"declare {_PAIR} @PyComplex_AsCComplex(ptr)",
    "@fuse_pool = external global i8", "@fuse_prepare = external global i8",
    "declare ptr @PyObject_CallNoArgs(ptr)", "declare ptr @PyMem_RawMalloc(i64)",
    "declare void @PyMem_RawFree(ptr)",
    "declare ptr @PyEval_SaveThread()", "declare void @PyEval_RestoreThread(ptr)", "declare void @Py_DecRef(ptr)",
]


def entry_assembly(symbol: str, argtypes: tuple[ArgType, ...]) -> str:
    """LLVM assembly of `ENTRY`, a METH_FASTCALL function that checks and unpacks Python objects and calls `symbol`.

    numba's convention: ``i32 symbol(i64* result, excinfo** exception, ...)`` with structures flattened.
    """
    t = Assembly()
    failure = _Failures(t)
    part = argtypes[-1] if argtypes and argtypes[-1].dtype == PART else None
    argtypes = argtypes[:-1] if part else argtypes
    t.require(t(f"icmp eq i64 %count, {len(argtypes)}"), failure(f"this kernel takes {len(argtypes)} arguments"))
    arrays = [a for a in argtypes if a.ndim is not None]
    checks = {a: f"fuse_array_{k}" for k, a in enumerate(dict.fromkeys(arrays))} if len(arrays) > MANY_ARRAYS else {}
    values, elements = _unpacked(t, argtypes, checks, failure)
    chunk: list[str] = []
    if part is None:
        status, number = _alone(t, symbol, values, elements)
    else:
        number, chunk = _in_parts(t, symbol, values, part.ndim or 1)
        status = t(f"zext i1 {t(f'icmp eq i64 {number}, {RAISED}')} to i32")
    raised = failure("a kernel raised an exception; it must return a status")
    t.require(t(f"icmp eq i32 {status}, 0"), raised)
    number = t(f"call ptr @PyLong_FromLongLong(i64 {number})")
    t.do(f"ret ptr {number}")
    texts = failure.written()
    own = ["i64", "i64", "i64", "ptr"] if part else []
    parameters = ", ".join(["ptr", "ptr", *(value.split()[0] for value in values), *own])
    return "\n".join([
        *texts, *_DECLARED, f'declare i32 @"{symbol}"({parameters})', *chunk,
        *[_array_function(f, a) for a, f in checks.items()],
        t.function(f"ptr @{ENTRY}(ptr %self, ptr %args, i64 %count)"),
    ])


def _unpacked(
    t: Assembly, argtypes: tuple[ArgType, ...], checks: dict[ArgType, str], failure: _Failures
) -> tuple[list[str], str]:
    """What `symbol` is called with, typed and in order, and the number of elements of all arrays.

    ``checks`` are the functions that look at arrays of a type, where there are many.
    """
    found: dict[int, list[str]] = {}
    elements = "0"
    # scalars first: their conversion may run Python code, which could change an array already looked at
    for position, argtype in sorted(enumerate(argtypes), key=lambda pair: pair[1].ndim is not None):
        item = t.field("ptr", "%args", 8 * position)
        bad = failure(f"argument {position + 1} of a kernel must be a {argtype}")
        if argtype.ndim is None:
            found[position] = _scalar(t, argtype, item, bad, "error")
        else:
            check = checks.get(argtype)
            found[position], count = (
                _array_by(t, check, argtype, item, bad) if check else _array(t, argtype, item, bad)
            )
            elements = t(f"add i64 {elements}, {count}")
    return [value for position in range(len(argtypes)) for value in found[position]], elements


def block_assembly(symbol: str, argtypes: tuple[ArgType, ...]) -> str:
    """LLVM assembly of `ENTRY` as a block operation of a tape: ``void (table, operands, count)``.

    Each operand is the place in the table of the pointer to a block of `count` elements, or to one element.
    """
    t = Assembly()
    values = []
    for k, argtype in enumerate(argtypes):
        place = t.field("i64", "%operands", 8 * k)
        pointer = t(f"load ptr, ptr {t(f'getelementptr i64, ptr %table, i64 {place}')}")
        values.append(f"ptr {pointer}")
        if argtype.ndim:
            values += ["i64 %count", f"i64 {np.dtype(argtype.dtype).itemsize}"]
    result, exception = t.slot("i64"), t.slot("ptr")
    t(f'call i32 @"{symbol}"({", ".join([f"ptr {result}", f"ptr {exception}", *values])})')
    t.do("ret void")
    parameters = ", ".join(["ptr", "ptr", *(value.split()[0] for value in values)])
    return "\n".join([f'declare i32 @"{symbol}"({parameters})',
                      t.function(f"void @{ENTRY}(ptr %table, ptr %operands, i64 %count)")])
