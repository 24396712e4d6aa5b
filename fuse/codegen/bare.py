"""The text of a program as functions of Numba, in this process, and as the text of a file.

Importing this module imports numba.
"""

from __future__ import annotations

import inspect
import itertools
import linecache
from types import ModuleType
from typing import Any

from fuse.codegen import prelude, scipys, shared_intrinsics
from fuse.codegen.alone import Alone
from fuse.codegen.alone_calls import support_text

_SCIPYS = {f.__name__: f for f in scipys.INTRINSICS}  # in this process only
NAMES = {name for name in vars(prelude) if not name.startswith("_")} | _SCIPYS.keys()
_count = itertools.count()


def prelude_text() -> str:
    """The text with which exported files begin, without its first lines."""
    before, _, after = _body(prelude).partition(f"from {shared_intrinsics.__name__} import *")
    return before + _body(shared_intrinsics) + after[after.index("\n") :] + "\n"


def _body(module: ModuleType) -> str:
    return inspect.getsource(module).partition('"""')[2].partition('"""')[2].strip()


def native(alone: Alone, arguments: str, constants: dict[str, Any]) -> Any:
    """Numba's function of the program: ``arguments`` is the text of ``function``, which calls ``compute``."""
    support = support_text(alone.support, native=True)
    text = f"{alone.kernels}\n{support}\n\n@checked\n{alone.compute}\n\n@compiled\n{arguments}"
    filename = f"<fuse alone {next(_count)}>"
    linecache.cache[filename] = len(text), None, text.splitlines(True), filename
    scope: dict[str, Any] = {**vars(prelude), **_SCIPYS, "__name__": "fuse.codegen.prelude", **constants}
    exec(compile(text, filename, "exec"), scope)
    return scope["function"]
