"""Functions that one kernel calls often: all calls share one body, for numbers and for vectors of them.

Inlined, a formula of two hundred operations with fifty sines is three thousand instructions, three times over: in the
loop of vectors, in what is left of it, and around every rare branch. LLVM needs longer than linearly for that, and the
processor cannot keep it decoded. So the kernel calls ``fuse_often_...``, of which LLVM knows as little as of those of
`far`: it is pure and has vector variants. Those that the optimised kernel calls are made from the function's own text.
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

PREFIX = "fuse_often_"
OFTEN = 16                      # calls of one function in a kernel, from which on they share its body
LARGE = 16                      # lines of LLVM assembly that such a function has at least
WIDTHS = (2, 4, 8, 16, 32)
_PURE = "nounwind willreturn nofree nosync memory(none)"
_CALL = re.compile(rf'call [^@\n]*@"?({PREFIX}\w+?)(?:_vector(\d+))?"?\(')


@dataclass(frozen=True)
class Often:
    """A function of ``count`` arguments of one LLVM type, which is that of its result: its symbol, and the helper's."""

    symbol: str
    helper: str
    kind: str                   # "double" or "float"
    count: int
    texts: tuple[str, ...]      # LLVM assembly of the helper and of what it calls


def declared(text: str, functions: list[Often]) -> str:
    """The kernel's LLVM assembly ``text`` with what the vectoriser has to know of the functions it calls."""
    if not functions:
        return text
    lines, kept = [], []
    for f in functions:
        text = re.sub(rf'^declare [^\n]*@"?{f.symbol}"?\([^\n]*$', "", text, flags=re.M)
        v = "v" * f.count
        variants = ",".join(f"_ZGV_LLVM_N{n}{v}_{f.symbol}({f.symbol}_vector{n})" for n in WIDTHS)
        given = ", ".join([f.kind] * f.count)
        lines.append(f'declare {f.kind} @{f.symbol}({given}) {_PURE} "vector-function-abi-variant"="{variants}"')
        for n in WIDTHS:
            vector = f"<{n} x {f.kind}>"
            lines.append(f"declare {vector} @{f.symbol}_vector{n}({', '.join([vector] * f.count)})")
        kept += [f"ptr @{f.symbol}", *(f"ptr @{f.symbol}_vector{n}" for n in WIDTHS)]
    used = f"@llvm.compiler.used = appending global [{len(kept)} x ptr] [{', '.join(kept)}], section \"llvm.metadata\""
    return "\n".join([text, *lines, used])


def called(text: str, functions: Sequence[Often]) -> list[tuple[Often, int]]:
    """Function and width (0: a number) of the variants that the optimised module ``text`` calls."""
    found = sorted({(name, int(width or 0)) for name, width in _CALL.findall(text)})
    by_symbol = {f.symbol: f for f in functions}
    return [(by_symbol[name], width) for name, width in found]


def variant(f: Often, width: int) -> str:
    """The name of a variant."""
    return f"{f.symbol}_vector{width}" if width else f.symbol


def definition(f: Often, width: int) -> str:
    """LLVM assembly of one variant: a loop over the elements of its vectors, which LLVM makes one step of vectors."""
    given = ", ".join(f"{f.kind} %v{k}" for k in range(f.count))
    declaration = f"declare {f.kind} @{f.helper}({', '.join([f.kind] * f.count)})"
    if not width:
        arguments = ", ".join(f"{f.kind} %x{k}" for k in range(f.count))
        return f"""{declaration}
define {f.kind} @{f.symbol}({arguments}) noinline {_PURE} {{
  %y = call {f.kind} @{f.helper}({arguments})
  ret {f.kind} %y
}}
"""
    vector = f"<{width} x {f.kind}>"
    parameters = ", ".join(f"{vector} %x{k}" for k in range(f.count))
    begin = "\n".join(f"  %a{k} = alloca {vector}\n  store {vector} %x{k}, ptr %a{k}" for k in range(f.count))
    element = "\n".join(
        f"  %p{k} = getelementptr {f.kind}, ptr %a{k}, i64 %i\n  %v{k} = load {f.kind}, ptr %p{k}"
        for k in range(f.count)
    )
    return f"""{declaration}
define {vector} @{f.symbol}_vector{width}({parameters}) noinline {_PURE} {{
start:
  %r = alloca {vector}
{begin}
  br label %element
element:
  %i = phi i64 [ 0, %start ], [ %next, %element ]
{element}
  %y = call {f.kind} @{f.helper}({given})
  %q = getelementptr {f.kind}, ptr %r, i64 %i
  store {f.kind} %y, ptr %q
  %next = add nuw nsw i64 %i, 1
  %end = icmp eq i64 %next, {width}
  br i1 %end, label %done, label %element, !llvm.loop !0
done:
  %all = load {vector}, ptr %r
  ret {vector} %all
}}
!0 = distinct !{{!0, !1, !2, !3}}
!1 = !{{!"llvm.loop.vectorize.width", i32 {width}}}
!2 = !{{!"llvm.loop.interleave.count", i32 1}}
!3 = !{{!"llvm.loop.unroll.disable"}}
"""
