"""For all tests: what the session has made before the first one is no garbage."""
from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """The collector no longer looks at hundreds of thousands of modules, tests and parameters: a pass took 0.3 s."""
    gc.collect()
    gc.freeze()
