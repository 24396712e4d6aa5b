"""Workloads × peers, timed in interleaved rounds: ``python -m benchmarks`` (``--help`` says what can be chosen)."""
