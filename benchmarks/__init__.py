"""Workloads × peers, each peer in its own process, checked against NumPy and timed in interleaved rounds.

``python -m benchmarks --quick`` from the root of the project prints the tables and keeps them, with every round as
JSON, in ``build/benchmarks``. A peer that needs an environment of its own gets its interpreter by name::

    python3 -m venv .venv-pytensor && .venv-pytensor/bin/pip install "pytensor>=3"
    python -m benchmarks --python pytensor=.venv-pytensor/bin/python

or by ``FUSE_BENCH_PYTHON=pytensor=PATH,jax=PATH``. A workload is a record in ``benchmarks.workloads``, a peer
a module in ``benchmarks.peers``, the limit a kernel in ``benchmarks.by_hand``, and what fuse is to reach a table in
``benchmarks.goals``. A round is the quickest of many short runs of calls, a figure the median of its rounds, or with
``--least`` the least: on a machine with other work the figure that says most. ``python -m benchmarks.page`` turns kept
results into the page of the docs.
"""
