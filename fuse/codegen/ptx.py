"""What kernels for GPUs become: their PTX, and machine code, where there is neither GPU nor driver.

It takes the packages of the ``cuda`` extra. NVVM writes PTX, NVIDIA's assembly language, for any compute capability;
the linker of ``cuda.core``, where it is installed, assembles that.

>>> import fuse, fuse.tensor as T  # doctest: +SKIP
>>> x = T.fvector("x")  # doctest: +SKIP
>>> print(ptx_of([x], [T.exp(x)])[0].text)  # doctest: +SKIP
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from fuse.codegen import device
from fuse.codegen.cuda_launch import Launches
from fuse.codegen.cuda_program import DeviceProgram
from fuse.codegen.device_code import ptx
from fuse.codegen.emit_cuda import WARP, PartSource
from fuse.devices import assumed, is_simulated
from fuse.errors import DeviceError
from fuse.expr import Expr
from fuse.forks import cached_property
from fuse.frontend.loops import LOOP

Capability = tuple[int, int]


@dataclass(frozen=True)
class Compiled:
    """A kernel as PTX: ``text``, for cards of a compute capability, made of the Python source ``source``."""

    source: str
    text: str
    capability: Capability

    @cached_property
    def body(self) -> str:
        """The instructions of the kernel, without its declarations."""
        text = self.text.partition(".visible .entry")[2].partition("\n{")[2]
        return re.sub(r"//.*", "", text.partition("\n}")[0])

    @cached_property
    def instructions(self) -> tuple[str, ...]:
        """The instructions, in order: ``"ld.global.v4.f32"`` for instance, without operands and predicates."""
        lines = [re.sub(r"^@!?%p\d+\s+", "", line.strip()) for line in self.body.splitlines()]
        return tuple([line.split()[0].rstrip(";") for line in lines if re.match(r"[a-z]", line)])

    def count(self, pattern: str) -> int:
        """How many instructions match ``pattern`` as a whole."""
        return sum(re.fullmatch(pattern, name) is not None for name in self.instructions)

    def together(self, pattern: str) -> int:
        """How many instructions that match ``pattern`` as a whole stand together, with no branch or store between."""
        most = count = 0
        for name in self.instructions:
            count = 0 if name.startswith(("bra", "st.global")) else count + (re.fullmatch(pattern, name) is not None)
            most = max(most, count)
        return most

    @property
    def calls(self) -> tuple[str, ...]:
        """The functions that the kernel calls: none, where everything was inlined."""
        return tuple(re.findall(r"\bcall(?:\.uni)?\s+(?:\([^)]*\),\s*)?([\w$]+)", self.body))

    @property
    def local_bytes(self) -> int:
        """Bytes of local memory, slow as any other, that a thread needs for what is indexed at run time."""
        return sum(int(n) for n in re.findall(r"\.local\s+[^;]*?__local_depot\w*\[(\d+)\]", self.text))

    def assembled(self) -> tuple[bytes, str]:
        """Machine code (a cubin), and what the assembler says of registers and spills.

        Raises DeviceError where cuda.core, which links, is not installed, and where the text cannot be assembled.
        """
        try:
            from cuda.core import Linker, LinkerOptions, ObjectCode
        except ImportError as error:
            raise DeviceError(f"cuda.core cannot be used ({error}): pip install 'fuse[cuda]'") from None
        major, minor = self.capability
        options = LinkerOptions(arch=f"sm_{major}{minor}", ptxas_options=["-v"], verbose=True)
        linker = Linker(ObjectCode.from_ptx(self.text.encode()), options=options)
        try:
            code = linker.link("cubin")
        except Exception as error:
            raise DeviceError(f"PTX cannot be assembled: {error}\n{linker.get_error_log()}") from None
        return bytes(code.code), linker.get_info_log()


class Compiler(device.Device):
    """A device that only compiles: it has a compute capability, but neither memory nor anything to run on."""

    name = "no device: kernels are compiled only"

    def __init__(self, capability: Capability) -> None:
        super().__init__()
        self.capability = capability
        self.broad = device.broad_on(capability)

    def _nothing(self, *arguments: Any) -> Any:
        raise DeviceError("there is nothing to run on")

    _refused: Any = _nothing
    allocate = typed = write = read = copy = clear = pointer = wrapped = synchronize = launch = _refused

    def compile(
        self, text: str, entry: str, helpers: Mapping[str, Any], dtypes: Sequence[str], arrays: Sequence[bool],
        threads: int = 0,
    ) -> Compiled:
        self.counts["compiled kernels"] += 1
        return Compiled(text, ptx(text, entry, helpers, dtypes, arrays, self.capability, threads), self.capability)


@contextmanager
def compiling(capability: Capability = (9, 0)) -> Iterator[Compiler]:
    """Plan programs for a GPU inside a block without one: they can be looked at and compiled, not called.

    >>> import fuse, fuse.tensor as T
    >>> x = T.fvector("x")
    >>> with compiling():
    ...     f = fuse.function([x], T.exp(x), device="cuda")
    >>> "math.exp" in f.source
    True
    """
    with assumed(), device.working_on(Compiler(capability)) as compiler:
        assert isinstance(compiler, Compiler)
        yield compiler


def compiled(launches: Launches, compiler: Compiler) -> tuple[Compiled, ...]:
    """The kernels of some launches, in order; behind them those for long rows, short ones, and little work."""
    further = compiled(launches.far, compiler) if launches.far is not None else ()
    held = [source for each in launches.held for source in each]
    larger = compiler.broad > compiler.block
    whole = [launches.whole] if launches.whole is not None else []
    sources = [s for s in (*launches.sources, *launches.chunked, *held, *whole) if larger or not s.broad or s.whole]
    different = {source.text: source for source in sources}  # of two block sizes the larger, with fewer registers
    return (*[_compiled(source, compiler) for source in different.values()], *further)


def _compiled(source: PartSource, compiler: Compiler) -> Compiled:
    threads = compiler.broad if source.broad else 0
    lanes = compiler.block // WARP if source.part.spread else 4 * WARP
    text = source.of_lanes(threads or lanes).text
    return compiler.compile(text, source.entry, source.helpers, source.dtypes, source.arrays, threads)


def ptx_of(
    inputs: Sequence[Expr], outputs: Sequence[Expr], capability: Capability = (9, 0)
) -> tuple[Compiled, ...]:
    """The kernels of a formula as PTX, for contiguous arrays, in the order of their launches.

    Raises DeviceError where the packages of the ``cuda`` extra are missing.
    """
    return kernels_of(inputs, outputs, capability, None)[0]


def kernels_of(
    inputs: Sequence[Expr], outputs: Sequence[Expr], capability: Capability, layouts: Sequence[str] | None
) -> tuple[tuple[Compiled, ...], list[str]]:
    """The kernels as `ptx_of` gives them, those of loops' bodies last, and what runs on the host and why.

    ``layouts`` are those of all arrays that a kernel reads and writes; None: all are contiguous.
    """
    lacking = missing()
    if lacking and (is_simulated() or find_spec("numba_cuda") is None):
        raise DeviceError(f"kernels cannot be compiled for GPUs: {lacking}")
    found: list[Compiled] = []
    hosted: list[str] = []
    programs: list[tuple[Sequence[Expr], Sequence[Expr], bool]] = [(inputs, outputs, True)]
    with compiling(capability) as compiler:
        while programs:
            given, wanted_of, always = programs.pop()
            program = DeviceProgram(given, wanted_of)
            for region in program.regions:
                wanted = ("C",) * len(region.bases) if layouts is None else tuple(layouts)
                found.extend(compiled(region.launches(wanted)[0], compiler))
            found.extend([loop.compiled(compiler) for loop in program.loops])
            hosted += [what for kind, what in program.steps if kind == "on the host" and always]
            loops = [u.params["body"] for u in program.plan.units if isinstance(u, Expr) and u.op is LOOP]
            whole = {loop.body for loop in program.loops}  # step by step for large sizes alone
            programs += [(body.inputs, body.outputs, always and body not in whole) for body in loops]
    return tuple(found), hosted


def can_assemble() -> bool:
    """Whether cuda.core, which assembles PTX, is installed."""
    try:
        return find_spec("cuda.core") is not None
    except ModuleNotFoundError:
        return False


def missing() -> str | None:
    """What is missing here to compile kernels for GPUs; None where nothing is.

    >>> missing() is None or "not installed" in missing() or "simulator" in missing()
    True
    """
    if is_simulated():
        return "NUMBA_ENABLE_CUDASIM is set: the simulator does not compile"
    wanted = {"numba_cuda": "numba-cuda", "nvidia": "NVIDIA's compilers"}
    lacking = [name for module, name in wanted.items() if find_spec(module) is None]
    return f"{' and '.join(lacking)} not installed: pip install 'fuse[cuda]'" if lacking else None
