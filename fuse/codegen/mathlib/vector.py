"""Functions that replace the C library's, written so that LLVM widens them to vectors."""
from __future__ import annotations

from typing import Any

TABLE: dict[str, Any] = {}
