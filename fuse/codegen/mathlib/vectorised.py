"""The vectorised functions of real floats, from the modules that hold them: a module names its own in its ``TABLE``."""
from __future__ import annotations

from typing import Any

from fuse.codegen.mathlib import circular, hyperbolic, vector

TABLE: dict[str, Any] = {**vector.TABLE, **circular.TABLE, **hyperbolic.TABLE}
