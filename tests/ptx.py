"""Every kind of kernel for GPUs as PTX for sm_80 and sm_90, and as machine code, with checks on both; no GPU is needed.

    python -m tests.ptx [--quick] [--only PART_OF_NAME] [--part 2/5] [--times] [--jobs 2]

It takes the packages of the ``cuda`` extra: where one is missing it says so, and ends well. A kernel passes that

* has no instruction in float64, where its formula is in float32 or narrower, but for the one product by which
  libdevice reduces large angles;
* rounds products and sums one by one, as the CPU does;
* calls no function, but for slow paths of libdevice that NVVM never puts in place;
* needs no local memory, but for those of sine, cosine and tangent, and spills no register;
* has the instructions that its case promises, such as loads of 16 bytes;
* has as many loads under way together as its case says;
* reads a row that it holds in registers once, where its case says so;
* is assembled by NVIDIA's linker, where that is installed.
"""
from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from fuse.codegen.device_code import UNROUNDED

sys.path.insert(0, str(Path(__file__).parent))

CAPABILITIES = ((8, 0), (9, 0))
# Slow paths of libdevice: NVVM marks them so that they are never put in place of a call.
SLOW_PATHS = re.compile(r"__internal_\w+|\w*slowpath\w*")
# Sine and the like of large arguments: digits of 2/pi from a table, in local memory, and one product in float64.
DIGITS = re.compile(rf"__cudart_i2opi|\b{0x4E441529}\b")
OF_ANGLES = {"cvt.rn.f64.s64", "mul.rn.f64", "cvt.rn.f32.f64"}


@cache
def _cases(quick: bool) -> list[Any]:
    from ptx_cases import cases

    return cases(quick)


def problems_of(case: Any, capability: tuple[int, int], assemble: bool) -> tuple[list[str], int, list[str]]:
    """(what is wrong with the kernels of a case, how many there are, what of it runs on the host)."""
    from fuse.codegen import ptx
    from fuse.codegen.cuda_launch import Launches

    found: list[str] = []
    hosted: list[str] = []
    made = case.make()
    if isinstance(made, Launches):
        with ptx.compiling(capability) as compiler:
            kernels = ptx.compiled(made, compiler)
    else:
        kernels, hosted = ptx.kernels_of(*made, capability, case.layouts)
    for number, kernel in enumerate(kernels):
        wrong = wrong_with(kernel, case.narrow, assemble)
        found += [f"kernel {number}: {text}\n{kernel.source}" for text in wrong]
    for promise in case.promises:
        if not any(k.count(promise) for k in kernels):
            found.append(f"no kernel has {promise}")
    for load, least in case.flying:
        if not any(k.together(load) >= least for k in kernels):
            found.append(f"no kernel has {least} of {load} under way together")
    held = [k.count(r"ld\.global.*") for k in kernels if "_slot < " in k.source]
    if case.held and tuple(held) != case.held:
        found.append(f"kernels that hold rows in registers have {held} loads, not {list(case.held)}")
    if not kernels and not hosted:
        found.append("no kernel was made")
    if hosted and not case.hosted:
        found += [f"runs on the host: {text}" for text in hosted]
    return found, len(kernels), hosted


def wrong_with(kernel: Any, narrow: bool, assemble: bool) -> list[str]:
    """What one kernel should not do."""
    found = []
    angles = DIGITS.search(kernel.text) is not None
    wide = {i for i in kernel.instructions if "f64" in i} - (OF_ANGLES if angles else set())
    if narrow and wide:
        found.append(f"computes in float64: {', '.join(sorted(wide))}")
    if calls := [name for name in kernel.calls if not SLOW_PATHS.fullmatch(name)]:
        found.append(f"calls {', '.join(sorted(set(calls)))}")
    if UNROUNDED.search(kernel.body):
        found.append(f"products and sums may be rounded together: {UNROUNDED.findall(kernel.body)[0]}")
    if kernel.local_bytes and not angles:
        found.append(f"needs {kernel.local_bytes} bytes of local memory")
    if assemble:
        _, log = kernel.assembled()
        spilled = [int(n) for n in re.findall(r"(\d+) bytes spill", log)]
        if any(spilled):
            found.append(f"spills registers: {max(spilled)} bytes")
    return found


def run(number: int, quick: bool, capabilities: tuple[tuple[int, int], ...], assemble: bool) -> Any:
    """One case, in a process of its own choosing: (name, problems, kernels, on the host, processor's seconds)."""
    case = _cases(quick)[number]
    start, found, count, hosted = time.process_time(), [], 0, []
    for capability in capabilities:
        try:
            wrong, kernels, hosted = problems_of(case, capability, assemble)
        except Exception:
            wrong, kernels = [traceback.format_exc(limit=-6)], 0
        found += [f"sm_{capability[0]}{capability[1]}: {text}" for text in wrong]
        count += kernels
    return case.name, found, count, hosted, time.process_time() - start


def main() -> int:
    parser = argparse.ArgumentParser(description="compile every kind of kernel for GPUs to PTX and check it")
    parser.add_argument("--quick", action="store_true", help="fewer dtypes, for sm_90 only")
    parser.add_argument("--only", default="", help="cases with this in their names")
    parser.add_argument("--part", default="1/1", help="2/5: the second fifth of the cases, which take an hour in all")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--times", action="store_true", help="the processor's time for each case")
    options = parser.parse_args()
    from fuse.codegen import ptx

    lacking = ptx.missing()
    if lacking:
        print(f"skipped: {lacking}")
        return 0
    assemble = ptx.can_assemble()
    if not assemble:
        print("machine code is left out: cuda.core's linker is not installed")
    capabilities = CAPABILITIES[1:] if options.quick else CAPABILITIES
    part, parts = [int(n) for n in options.part.split("/")]
    numbers = [k for k, case in enumerate(_cases(options.quick)) if options.only in case.name][part - 1 :: parts]
    start, failed, kernels, hosts = time.perf_counter(), 0, 0, []
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(run, k, options.quick, capabilities, assemble) for k in numbers]
        for each in waiting:
            name, found, count, hosted, seconds = each.result()
            kernels += count
            hosts += [name] * bool(hosted)
            if found:
                failed += 1
                print(f"\nFAILED {name}")
                print("\n".join(found), flush=True)
            elif options.times:
                print(f"{seconds:6.1f} s  {count:3d} kernels  {name}", flush=True)
    if hosts:
        print("on the host, since GPUs have no text for some function:", *hosts, sep="\n  ")
    seconds = time.perf_counter() - start
    print(f"{len(numbers)} cases, {kernels} kernels, {failed} cases failed, {seconds:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
