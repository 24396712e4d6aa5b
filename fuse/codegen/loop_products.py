"""Products of matrices that a compiled loop writes once: those alike are calls of one function of its text.

The gates of a recurrent network have products of one form, and so has their gradient, each of some sixty lines of
loops. LLVM sees that function, and puts it in its place where there is one call only. Small products are written where
they stand: a call takes as long as a few rows of them.
"""
from __future__ import annotations

import math

from fuse.codegen.loop_emit import Place, dot_lines

LEAST = 1000  # multiplications of a product that is worth a call, known beforehand


class SharedProducts:
    """The functions of one text, by what they do."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, ...], str] = {}

    def lines(self, name: str, dtype: str, a: Place, b: Place, out: Place | None) -> list[str]:
        """The lines of a product, as `dot_lines` writes them or a call."""
        if out is None or len(a.shape) < 2 or len(b.shape) < 2 or b.stride(1) != "1" or _multiplications(a, b) < LEAST:
            return dot_lines(name, dtype, a, b, out)
        given: list[str] = []  # sizes and strides that are passed, one for each that is no known number

        def number(text: str) -> str:
            if text.isdigit():
                return text
            given.append(text)
            return f"n{len(given)}"

        def place(buffer: str, x: Place) -> Place:
            shape, strides = ([number(n) for n in each] for each in (x.shape, map(x.stride, range(2))))
            return Place(buffer, f"{buffer}_at", tuple(shape), tuple(strides))

        body = dot_lines("d", dtype, place("a", a), place("b", b), place("c", out))
        parameters = ", ".join([*(f"{each}, {each}_at" for each in "abc"), *(f"n{k + 1}" for k in range(len(given)))])
        found = self.known.setdefault((parameters, *body), f"product{len(self.known) + 1}")
        passed = ", ".join([*(f"{x.buffer}, {x.offset}" for x in (a, b, out)), *given])
        return [f"{found}({passed})"]

    @property
    def text(self) -> str:
        """The definitions."""
        found = ""
        for (parameters, *body), name in self.known.items():
            found += f"@shared\ndef {name}({parameters}):\n" + "".join(f"    {x}\n" for x in [*body, "return 0"]) + "\n"
        return found


def _multiplications(a: Place, b: Place) -> int:
    """How many a product of two matrices has; 0 where a size is not known."""
    sizes = (*a.shape, b.shape[1])
    return math.prod(map(int, sizes)) if all(n.isdigit() for n in sizes) else 0
