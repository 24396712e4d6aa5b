"""Entry point of ``python -m benchmarks.gpu``."""

from __future__ import annotations

import sys

from benchmarks.gpu.cli import main

sys.exit(main())
