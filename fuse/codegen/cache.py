"""The disk store of object code: a private directory, checksummed files, and no fault that is an error."""
from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

MAGIC = b"fuse kernel 1\n"
LIMIT = 256 << 20               # bytes kept in the directory
SHARE = 4                       # processes that may fill the directory between two looks of one at its size
MODE = 0o700


def default_directory() -> Path:
    """Where kernels are kept: ``FUSE_CACHE_DIR``, else the platform's place for caches."""
    try:
        return _chosen_directory()
    except (OSError, RuntimeError, ValueError):     # no current directory, or nobody's home
        return Path(os.devnull) / "fuse"            # where nothing can be made: only memory is used


def _chosen_directory() -> Path:
    chosen = os.environ.get("FUSE_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "fuse" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/fuse"
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "fuse"


def distrust(directory: Path) -> str:
    """Why `directory` must not be used, after creating it where it is missing; empty when it is fine."""
    try:
        directory.mkdir(mode=MODE, parents=True, exist_ok=True)
        status = os.lstat(directory)
    except OSError as error:
        return f"cannot be created: {error.strerror}"
    if not stat.S_ISDIR(status.st_mode):
        return "is a symbolic link or not a directory"
    if hasattr(os, "geteuid"):
        if status.st_uid != os.geteuid():
            return "belongs to another user"
        if status.st_mode & 0o022:
            return "can be written by other users"
    return "" if os.access(directory, os.W_OK | os.X_OK) else "is not writable"


@dataclass
class Store:
    """Files of one directory by key; every method survives any fault of the file system."""
    directory: Path
    limit: int = LIMIT
    reason: str = field(init=False)             # why only memory is used, or empty
    _room: int = field(init=False)              # bytes to store before the next look at the directory's size

    def __post_init__(self) -> None:
        self.reason = distrust(self.directory)
        # a look takes 5 us a file: short processes, which would each begin with one, take turns (by the system's random
        # bytes, since numbers drawn from Python's generator would be missing in the user's)
        self._room = int.from_bytes(os.urandom(4), "little") * self.limit // (4 * SHARE) >> 32

    def path(self, key: str, suffix: str = ".bin") -> Path:
        return self.directory / f"fuse_{key}{suffix}"

    def load(self, key: str) -> tuple[dict, bytes] | None:
        """Header and object code stored under `key`, or None where there is nothing that can be trusted."""
        if self.reason:
            return None
        try:
            flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
            descriptor = os.open(self.path(key), flags)
            with open(descriptor, "rb") as file:
                status = os.fstat(file.fileno())
                if hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
                    return None
                if status.st_size > self.limit:
                    return None
                data = file.read()
            found = unpack(key, data)
            if found is not None:
                os.utime(self.path(key))        # the least recently used goes first
            return found
        except (OSError, MemoryError):
            return None

    def save(self, key: str, header: dict, code: bytes, source: str | None = None) -> bool:
        """Keep header, object code and, to be read in tracebacks, its source; False where that was not possible."""
        if self.reason:
            return False
        text, data = (source or "").encode("utf-8", "replace"), pack(key, header, code)
        self._room -= len(text) + len(data)
        if self._room < 0:
            self.evict()
        return (source is None or self._write(self.path(key, ".py"), text)) and self._write(self.path(key), data)

    def _write(self, path: Path, data: bytes) -> bool:
        temporary = None
        try:
            descriptor, temporary = tempfile.mkstemp(dir=self.directory, prefix="fuse_", suffix=".tmp")
            with open(descriptor, "wb") as file:
                file.write(data)
            os.replace(temporary, path)
            return True
        except OSError:
            if temporary is not None:
                with suppress(OSError):
                    os.unlink(temporary)
            return False

    def files(self) -> list[tuple[float, int, str]]:
        """Time of last use, size and path of each of our files, oldest first."""
        found = []
        try:
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    if entry.name.startswith("fuse_") and entry.name.endswith((".bin", ".py", ".tmp")):
                        try:
                            status = entry.stat(follow_symlinks=False)
                        except OSError:
                            continue
                        found.append((status.st_mtime, status.st_size, entry.path))
        except OSError:
            pass
        return sorted(found)

    def evict(self, target: int | None = None) -> None:
        """Remove the files not used for longest until the rest is four fifths of the limit, or `target` bytes."""
        files = self.files()
        total = sum(size for _, size, _ in files)
        if target is None:
            self._room = max(self.limit - total, self.limit // 5) // SHARE
            if total <= self.limit:
                return
            target = self.limit * 4 // 5
        for _, size, path in files:
            if total <= target and target:
                return
            try:
                os.unlink(path)
            except OSError:
                continue
            total -= size


def pack(key: str, header: dict, code: bytes) -> bytes:
    """File content: magic, SHA-256 of the rest, length of the header, header as JSON, object code."""
    text = json.dumps({"key": key, **header}).encode()
    body = struct.pack("<I", len(text)) + text + code
    return MAGIC + hashlib.sha256(body).digest() + body


def unpack(key: str, data: bytes) -> tuple[dict, bytes] | None:
    """Inverse of `pack`; None unless every byte is as it was written, for this key."""
    start = len(MAGIC) + 32
    body = data[start:]
    if not data.startswith(MAGIC) or len(body) < 4 or hashlib.sha256(body).digest() != data[len(MAGIC):start]:
        return None
    length, = struct.unpack_from("<I", body)
    try:
        header = json.loads(body[4:4 + length])
    except ValueError:
        return None
    if not isinstance(header, dict) or header.pop("key", None) != key:
        return None
    return header, body[4 + length:]
