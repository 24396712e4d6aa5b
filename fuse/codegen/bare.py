"""The text of a program as functions of Numba, in this process, and as the text of a file.

Importing this module imports numba.
"""

from __future__ import annotations

import inspect
import itertools
import linecache
from typing import Any

from fuse.codegen import prelude
from fuse.codegen.alone import Alone

NAMES = {name for name in vars(prelude) if not name.startswith("_")}
_count = itertools.count()


def prelude_text() -> str:
    """The text with which exported files begin, without its first lines."""
    return inspect.getsource(prelude).partition('"""')[2].partition('"""')[2].strip() + "\n"


def native(alone: Alone, arguments: str, constants: dict[str, Any]) -> Any:
    """Numba's function of the program: ``arguments`` is the text of ``function``, which calls ``compute``."""
    text = f"{alone.kernels}\n\n\n@checked\n{alone.compute}\n\n@compiled\n{arguments}"
    filename = f"<fuse alone {next(_count)}>"
    linecache.cache[filename] = len(text), None, text.splitlines(True), filename
    scope: dict[str, Any] = {**vars(prelude), "__name__": "fuse.codegen.prelude", **constants}
    exec(compile(text, filename, "exec"), scope)
    return scope["function"]
