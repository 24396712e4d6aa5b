"""Correlations (convolutions) in compiled kernels: windows are gathered block by block, BLAS multiplies each block.

One kernel for each of the three ops of `frontend.correlate`, dtype, rank, strides, dilation and groups, for any sizes.
A block is one image, or as many rows of places of a large one that their windows stay in cache. What BLAS writes is
the result itself: nothing is copied or summed afterwards. Gradients of filters are added up over blocks and images by
BLAS; those of inputs are added to where the windows came from, while the block is in the cache.

Where products are done in tiles (`tiles`), our threads share the images, each with windows of its own; gradients of
filters are then sums of a few parts, as many for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from fuse import reference
from fuse.codegen import blas, memory, tiles
from fuse.codegen.native import NO_MEMORY, PART, PLAN, ArgType
from fuse.codegen.pool import ASK, MUCH
from fuse.codegen.tiles import DEPTH, TILE
from fuse.errors import ShapeError
from fuse.expr import Expr
from fuse.frontend import correlate

Array = Any
Ints = tuple[int, ...]
BLOCK = 1 << 22  # bytes of the windows of a block: BLAS shares each product among its threads, so few large ones
SMALL_BLOCK = 1 << 19  # the same where our threads share the images: in the cache of each
SUMS = 8  # gradients of filters are added up in so many parts, whatever the number of threads
LARGEST_SUMS = 1 << 24  # bytes of all these parts


def source_of(name: str, dtype: str, strides: Ints, dilation: Ints, groups: int, shared: bool) -> str:
    """The kernel of the op ``name``: its two operands and its result, contiguous; the result's sizes are right.

    Our threads share the images where ``shared``, and BLAS multiplies in tiles, for which it has no threads.
    """
    x, w, y = {"correlate": "a0 a1 a2", "correlate_wrt_input": "a2 a0 a1", "correlate_wrt_filters": "a0 a2 a1"}[
        name
    ].split()
    axes, size = range(len(strides)), np.dtype(dtype).itemsize
    zero = "float32(0.0)" if dtype == "float32" else "0.0"
    images, filters, places = (" ".join([f"{letter}{k}" for k in axes]) for letter in "hko")
    wanted = {x: f"C n c {images}", w: f"C f per {filters}", y: f"C n f {places}"}
    described = "; ".join([wanted[a] for a in ("a0", "a1", "a2")])
    sizes = list(dict.fromkeys(described.replace("C ", "").replace(";", "").split()))
    lines = [f"n = size({x}, 0)", f"c = size({x}, 1)", f"f = size({w}, 0)", f"per = size({w}, 1)"]
    for k in axes:
        lines += [f"h{k} = size({x}, {k + 2})", f"k{k} = size({w}, {k + 2})", f"o{k} = size({y}, {k + 2})"]
    lines += [
        f"status = refused('{described}', a0, a1, a2, {', '.join(sizes)})",
        "if status != 0:",
        "    return status",
        f"rows = per * {filters.replace(' ', ' * ')}",
        f"inner = {' * '.join([f'o{k}' for k in axes][1:]) or '1'}",
        "places = o0 * inner",
        f"mine = f // {groups}",
        f"most = {(SMALL_BLOCK if shared else BLOCK) // size} // (rows * inner)",
        "if most > o0:",
        "    most = o0",
        "if most < 1:",
        "    most = 1",
    ]
    sums = shared and name == "correlate_wrt_filters"
    target = "sums" if sums else w
    if sums:
        lines += [
            f"parts = smaller(smaller(n, {SUMS}), larger({LARGEST_SUMS // size} // (f * rows), 1))",
            "each = (n + parts - 1) // parts",
        ]
    if shared:
        lines += [
            f"if part.segment == {ASK}:",
            f"    put(part, 0, {1 + sums})",
            f"    ask(part, {f'parts * f * rows * {size}' if sums else '0'})",
            f"    tell(part, 1, {'parts' if sums else 'n'}, n * places * rows * ({size} * f // 4 + 4), 1, 4)",
            *([f"    tell(part, 2, f * rows, f * rows * parts * {size}, 64, 4)"] * sums),
            f"    return {MUCH}",
        ]
    body = [
        f"windows = heap('{dtype}', rows * most * inner)",
        "if missing(windows):",
        f"    return {NO_MEMORY}",
    ]
    if name == "correlate_wrt_input":
        each_image = f"c * {' * '.join(f'h{k}' for k in axes)}"
        body += _filled("a2", *((f"part.low * {each_image}", f"reach(part, n) * {each_image}") if shared
                                else ("0", f"n * {each_image}")), zero)
    elif name == "correlate_wrt_filters" and not sums:
        body += _filled("a2", "0", "f * rows", zero)
    depth = 0
    if sums:
        body += [
            "for block in range(part.low, reach(part, parts)):",
            *["    " + line for line in _filled("sums", "block * f * rows", "(block + 1) * f * rows", zero)],
            "    for image in range(block * each, smaller((block + 1) * each, n)):",
        ]
        depth = 1
    else:
        body.append(f"for image in range({'part.low, reach(part, n)' if shared else 'n'}):")
    steps = [
        f"for group in range({groups}):",
        "    filters = group * mine * rows" + (" + block * f * rows" if sums else ""),
        "    for strip in range((o0 + most - 1) // most):",
        "        first = strip * most",
        "        count = smaller(most, o0 - first)",
        "        width = count * inner",
        "        at = (image * f + group * mine) * places + first * inner",
    ]
    gathered = _walk(x, strides, dilation, "store(windows, to + q, load({x}, at_x + q * {s}))")
    steps += [" " * 8 + line for line in {
        "correlate": [
            *gathered,
            *_product(shared, dtype, 0, f"mine width rows {w} filters rows windows 0 width {y} at places", zero),
        ],
        "correlate_wrt_input": [
            *_product(shared, dtype, 1, f"rows width mine {w} filters rows {y} at places windows 0 width", zero),
            *_walk(x, strides, dilation,
                   "store({x}, at_x + q * {s}, load({x}, at_x + q * {s}) + load(windows, to + q))"),
        ],
        "correlate_wrt_filters": [
            *gathered,
            *_product(shared, dtype, 2, f"mine rows width {y} at places windows 0 width {target} filters rows"),
        ],
    }[name]]
    body += ["    " * (depth + 1) + line for line in steps]
    body.append("release(windows)")
    if sums:
        lines += [f"sums = lent(part, '{dtype}', 0)", "if wanted(part, 1):", *["    " + line for line in body]]
        lines += [
            "if wanted(part, 2):",
            "    for i in range(part.low, reach(part, f * rows)):",
            f"        total = {zero}",
            "        for block in range(parts):",
            "            total += load(sums, block * f * rows + i)",
            "        store(a2, i, total)",
        ]
    else:
        lines += body
    lines.append("return 0")
    arguments = "a0, a1, a2, part" if shared else "a0, a1, a2"
    return f"def kernel({arguments}):\n" + "".join(f"    {line}\n" for line in lines)


def _filled(array: str, low: str, high: str, value: str) -> list[str]:
    return [f"for i in range({low}, {high}):", "    independent()", f"    store({array}, i, {value})"]


def _product(shared: bool, dtype: str, turned: int, operands: str, beta: str = "") -> list[str]:
    """BLAS's product ``c = a @ b + beta * c``, in tiles where ``shared``; no ``beta`` is 1."""
    one = "float32(1.0)" if dtype == "float32" else "1.0"
    m, n, k, a, at_a, row_a, b, at_b, row_b, c, at_c, row_c = operands.split()
    if not shared:
        return [f"gemm({turned}, {m}, {n}, {k}, {one}, {a}, {at_a}, {row_a}, {b}, {at_b}, {row_b}, {beta or one}, "
                f"{c}, {at_c}, {row_c})"]
    place_a = f"{at_a} + level * {row_a} + i" if turned == 1 else f"{at_a} + i * {row_a} + level"
    place_b = f"{at_b} + j * {row_b} + level" if turned == 2 else f"{at_b} + level * {row_b} + j"
    return [
        f"for tile_j in range(({n} + {TILE - 1}) // {TILE}):",
        f"    j = tile_j * {TILE}",
        f"    for step in range(({k} + {DEPTH - 1}) // {DEPTH}):",
        f"        level = step * {DEPTH}",
        f"        for tile_i in range(({m} + {TILE - 1}) // {TILE}):",
        f"            i = tile_i * {TILE}",
        f"            height, across = smaller({TILE}, {m} - i), smaller({TILE}, {n} - j)",
        f"            depth = smaller({DEPTH}, {k} - level)",
        f"            kept = {f'{beta} if step == 0 else {one}' if beta else one}",
        f"            gemm({turned}, height, across, depth, {one}, {a}, {place_a}, {row_a}, {b}, {place_b}, {row_b}, "
        f"kept, {c}, {at_c} + i * {row_c} + j, {row_c})",
    ]


def _walk(x: str, strides: Ints, dilation: Ints, statement: str) -> list[str]:
    """Loops over all elements of the windows of a block: element ``to + q`` is one of ``x``, ``q`` strides on."""
    axes = range(len(strides))
    lines, depth = ["to = 0"], 0

    def loop(name: str, size: str) -> None:
        nonlocal depth
        lines.append("    " * depth + f"for {name} in range({size}):")
        depth += 1

    loop("channel", "per")
    for k in axes:
        loop(f"p{k}", f"k{k}")
    for k in axes[:-1]:
        loop(f"q{k}", f"o{k}" if k else "count")
    place = "image * c + group * per + channel"
    for k in axes[:-1]:
        row = f"first + q{k}" if k == 0 else f"q{k}"
        place = f"({place}) * h{k} + ({row}) * {strides[k]} + p{k} * {dilation[k]}"
    last, start = axes[-1], f" + first * {strides[-1]}" if len(strides) == 1 else ""
    place = f"({place}) * h{last} + p{last} * {dilation[-1]}{start}"
    extent = "count" if len(strides) == 1 else f"o{last}"
    lines.append("    " * depth + f"at_x = {place}")
    lines += ["    " * depth + f"for q in range({extent}):",
              "    " * (depth + 1) + "independent()",
              "    " * (depth + 1) + statement.format(x=x, s=strides[-1]),
              "    " * depth + f"to = to + {extent}"]
    return lines


@cache
def kernel(name: str, dtype: str, strides: Ints, dilation: Ints, groups: int) -> Callable[..., int]:
    """The compiled kernel of one op."""
    from fuse.codegen.load import compile_kernel

    rank, shared = len(strides) + 2, tiles.serves(dtype)
    types = [ArgType(dtype, rank), ArgType(dtype, rank), ArgType(dtype, rank, True)]
    types += [ArgType(PART, 1 + 2 * PLAN)] * shared
    return compile_kernel(source_of(name, dtype, strides, dilation, groups, shared), "kernel", tuple(types))


def result_shape(node: Expr, a: Ints, b: Ints, sizes: Ints) -> Ints:
    """The shape of the result for operands of these shapes; raises ShapeError where they do not fit."""
    strides, dilation, groups = (node.params[key] for key in ("strides", "dilation", "groups"))
    if node.op.name == "correlate":
        correlate.check_sizes(a, b, dilation, groups)
        found = [correlate.windows_along(*at) for at in zip(a[2:], b[2:], strides, dilation, strict=True)]
        return (a[0], b[0], *found)  # type: ignore[arg-type]
    if node.op.name == "correlate_wrt_input":
        shape = (b[0], a[1] * groups, *sizes)
        correlate.check_output(shape, a, b, strides, dilation, groups)
    else:
        shape = (b[1], a[1] // groups, *sizes)
        correlate.check_output(a, shape, b, strides, dilation, groups)
    return shape


def call_of(node: Expr) -> Callable[..., Array]:
    """What computes the value of ``node``, a correlation: its kernel, or the op's own function for what is left."""
    name, keys = node.op.name, [node.params[key] for key in ("strides", "dilation", "groups")]

    def call(a: Array, b: Array, *sizes: Any) -> Array:
        dtype = a.dtype.name
        served = a.dtype == b.dtype and dtype in blas.LETTERS and a.size and b.size
        if served and blas.address(f"{blas.PREFIX}{blas.LETTERS[dtype]}gemm") is not None:
            try:
                shape = result_shape(node, a.shape, b.shape, tuple([int(n) for n in sizes]))
            except ShapeError:
                shape = ()
            if 0 not in shape and shape:
                out = memory.recycled(shape, a.dtype)
                if not kernel(name, dtype, *keys)(np.ascontiguousarray(a), np.ascontiguousarray(b), out):
                    return out
        return reference.apply(node, (a, b, *sizes))

    return call
