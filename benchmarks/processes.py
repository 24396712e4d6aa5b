"""The parent's side of a peer's process: start it, ask it with a deadline, start it again if it died."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers import PEERS

__all__ = ["Interpreters", "PeerProcess", "fresh"]

_ROOT = Path(__file__).resolve().parent.parent


class Interpreters:
    """Which Python runs which peer: the one that runs this, or the one that ``table`` names for the peer.

    >>> chosen = Interpreters(["pytensor=/opt/pytensor/bin/python"])
    >>> chosen["pytensor-c"], chosen["numpy"] == sys.executable
    ('/opt/pytensor/bin/python', True)
    """

    def __init__(self, table: list[str]) -> None:
        self._table: dict[str, str] = {}
        for entry in table:
            peer, equals, path = entry.partition("=")
            if peer not in PEERS or not equals:
                raise ValueError(f"an interpreter is given as PEER=PATH, not {entry!r}; peers are {', '.join(PEERS)}")
            self._table[peer] = os.path.abspath(path)  # workers start in another directory

    def __getitem__(self, peer: str) -> str:
        """Return the interpreter for this peer."""
        return self._table.get(peer) or self._table.get(PEERS[peer].interpreter) or sys.executable


def _environment(peer: str, folder: Path) -> dict[str, str]:
    return {**os.environ, **PEERS[peer].module().environment(folder)}


class PeerProcess:
    """A running ``benchmarks.worker`` with caches of its own. Use as a context manager."""

    def __init__(self, peer: str, interpreter: str) -> None:
        self.peer, self.interpreter = peer, interpreter
        self._folder = tempfile.TemporaryDirectory(prefix="fuse-bench-", ignore_cleanup_errors=True)
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()
        self._folder.cleanup()

    def ask(self, do: str, timeout: float = 180.0, **arguments: Any) -> dict[str, Any]:
        """Return the answer to one request; "error" if the process died over it or took longer than ``timeout``."""
        if self._process is None:
            try:
                self._start()
            except OSError as error:
                return {"error": f"{self.interpreter}: {error.strerror}"}
        process = self._process
        assert process is not None and process.stdin is not None
        try:
            process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            process.stdin.flush()
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            self._end()
            return {"error": f"no answer in {timeout:.0f} s"}
        except OSError:
            line = ""
        if not line:
            self._end()
            return {"error": f"the process ended with status {process.returncode}"}
        return dict(json.loads(line))

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [self.interpreter, "-m", "benchmarks.worker", self.peer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            cwd=_ROOT,
            env=_environment(self.peer, Path(self._folder.name)),
        )
        self._lines = queue.Queue()
        threading.Thread(target=_forward, args=(self._process.stdout, self._lines), daemon=True).start()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _forward(stream: Any, lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put("")  # the process is gone


def fresh(
    module: str, peer: str, interpreter: str, arguments: Sequence[str], folder: Path, timeout: float
) -> dict[str, Any]:
    """Run ``benchmarks.module PEER ARGUMENTS`` in a fresh process, its caches in ``folder``; return what it says."""
    command = [interpreter, "-m", f"benchmarks.{module}", peer, *arguments]
    try:
        done = subprocess.run(
            command, cwd=_ROOT, env=_environment(peer, folder), capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired as late:
        output = late.stdout or b""
        text = output.decode() if isinstance(output, bytes) else output
        return _merged(text) | {"error": f"no answer in {timeout:.0f} s"}
    except OSError as error:
        return {"error": f"{interpreter}: {error.strerror}"}
    found = _merged(done.stdout)
    return found | {"error": f"the process ended with status {done.returncode}"} if done.returncode else found


def _merged(text: str) -> dict[str, Any]:
    """Return the objects of all complete lines as one."""
    lines = text.splitlines(keepends=True)
    return {key: value for line in lines if line.endswith("\n") for key, value in json.loads(line).items()}
