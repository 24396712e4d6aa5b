"""Workloads × peers, each peer in its own process, checked against NumPy and timed in interleaved rounds.

``python -m benchmarks --quick`` from the root of the project prints the tables and keeps them, with every round as
JSON, in ``build/benchmarks``. A peer that needs an environment of its own gets its interpreter by name::

    python3 -m venv .venv-pytensor && .venv-pytensor/bin/pip install "pytensor>=3"
    python -m benchmarks --python pytensor=.venv-pytensor/bin/python

or by ``FUSE_BENCH_PYTHON=pytensor=PATH,jax=PATH``. A workload is a record in ``benchmarks.workloads``, a peer
a module in ``benchmarks.peers``. A round is the quickest of three runs of calls, a figure the median of its rounds;
threads of BLAS libraries spin on after a call, so on a machine with other work figures of dots mean little.
"""
