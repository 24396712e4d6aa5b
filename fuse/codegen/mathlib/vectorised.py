"""The vectorised functions of real floats, from the modules that hold them: a module names its own in its ``TABLE``."""
from __future__ import annotations

from typing import Any

from fuse.codegen.mathlib import circular, errors, gammas, hyperbolic, powers, vector

TABLE: dict[str, Any] = {
    **vector.TABLE, **powers.TABLE, **errors.TABLE, **gammas.TABLE, **circular.TABLE, **hyperbolic.TABLE,
}
