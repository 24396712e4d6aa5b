"""Streaming stores in LLVM: stores marked by the kernel, which become non-temporal once loops are vectors.

LLVM's vectoriser refuses loops with non-temporal stores of single numbers, as few processors have them. So the kernel
marks its stores by an access group of their own, which the vectoriser hands on to the vectors; in the optimised module
the marked stores of vectors get LLVM's ``!nontemporal``, and those of the rest stay ordinary ones. Importing this
module imports numba.
"""

from __future__ import annotations

import re

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from fuse.codegen import intrinsics, native
from fuse.codegen.structures import changed

GROUP = "fuse streams"  # metadata that `lower` turns into an access group
MASK = "llvm.ptrmask"
_PAIR = re.compile(r"^!(\d+) = !\{!\d+, !\d+\}$", re.MULTILINE)
_STORE = re.compile(r"^(  store <.*!llvm\.access\.group !(\d+).*)$", re.MULTILINE)


def _marked(builder, access):
    module = builder.module
    if not getattr(module, intrinsics.GROUPED, False):
        return
    stream = module.add_metadata([ir.MetaDataString(module, GROUP)])
    access.set_metadata("llvm.access.group", module.add_metadata([intrinsics.access_group(module), stream]))


@intrinsic
def stream(typingctx, a, k, v):
    """``store`` into an array that is `aligned`, past the caches where the processor can; `drain` must follow."""
    signature, _ = intrinsics.store._defn(typingctx, a, k, v)

    def build(context, builder, signature, args):
        return intrinsics.write(context, builder, signature, args, _marked)

    return signature, build


@intrinsic(prefer_literal=True)
def aligned(typingctx, a, k, n):
    """The array from element `k` on, which begins at a multiple of `n` bytes (a literal): LLVM is to know that."""

    def build(context, builder, signature, args):
        (first, *_), _ = intrinsics.element_pointers(context, builder, a, args[0], args[1])
        pointer = builder.bitcast(first, cgutils.voidptr_t)
        # From the test for it LLVM knows that a mask changes nothing; it would drop it, and what it tells with it.
        hidden = builder.asm(ir.FunctionType(pointer.type, [pointer.type]), "", "=r,0", [pointer], False)
        kind = ir.FunctionType(pointer.type, [pointer.type, intrinsics.I64])
        mask = cgutils.get_or_insert_function(builder.module, kind, f"{MASK}.p0.i64")
        data = builder.call(mask, [hidden, intrinsics.I64(-n.literal_value)])
        return changed(context, builder, a, args[0], data=data)

    return a(a, types.int64, n), build


@intrinsic
def drain(typingctx):
    """Every streamed store is done before whatever follows."""

    def build(context, builder, signature, args):
        if native.machine().triple.startswith(("x86_64", "i686")):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse.sfence"), [])
        else:
            builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.none(), build


INTRINSICS = (stream, aligned, drain)


def streaming(module):
    """The optimised ``module`` with its marked stores of vectors non-temporal."""
    if not any(function.name.startswith(MASK) for function in module.functions):
        return module
    text = str(module)
    marks = set(_PAIR.findall(text))
    number = 1 + max(map(int, re.findall(r"^!(\d+) = ", text, re.MULTILINE)), default=0)
    found = _STORE.sub(lambda m: f"{m[1]}, !nontemporal !{number}" if m[2] in marks else m[1], text)
    return llvm.parse_assembly(f"{found}\n!{number} = !{{i32 1}}\n")
