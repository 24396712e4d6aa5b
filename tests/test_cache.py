"""The disk store: whatever is wrong with it, the kernel is compiled again and nobody is told."""
import errno
import os
import random
import stat
import sys

import numpy as np
import pytest

from fuse.codegen import cache, load
from fuse.codegen.cache import Store
from fuse.codegen.load import ArgType, compile_kernel

SOURCE = "def f(a, o):\n    for i in range(size(a, 0)):\n        store(o, i, load(a, i) + 1)\n    return 0\n"
TYPES = (ArgType("float64", 1), ArgType("float64", 1, True))
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
not_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.setenv("FUSE_CACHE_DIR", str(tmp_path / "kernels"))
    load._kernels.clear()
    return tmp_path / "kernels"


def origin():
    """Ask for the kernel as a fresh process would, check that it works, and tell where it came from."""
    load._kernels.clear()
    load._stores.clear()
    f = compile_kernel(SOURCE, "f", TYPES)
    o = np.zeros(5)
    assert f(np.arange(5.0), o) == 0 and list(o) == [1, 2, 3, 4, 5]
    return f.__self__.origin


def stored(directory):
    file, = directory.glob("*.bin")
    return file


def test_stored_then_found(directory):
    assert origin() == "compiled" and origin() == "disk"
    info = load.cache_info()
    assert info["directory"] == str(directory) and info["state"] == "disk" and info["files"] == 1
    assert info["bytes"] > 500
    assert (directory / stored(directory).name.replace(".bin", ".py")).read_text() == SOURCE
    if sys.platform != "win32":
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert stat.S_IMODE(stored(directory).stat().st_mode) == 0o600
    load.clear_cache()
    assert load.cache_info()["files"] == 0 and origin() == "compiled"


def test_truncated_files_are_compiled_anew(directory):
    origin()
    whole = stored(directory).read_bytes()
    start = len(cache.MAGIC)
    for length in (0, 1, start, start + 20, start + 33, len(whole) // 2, len(whole) - 1):
        stored(directory).write_bytes(whole[:length])
        assert origin() == "compiled" and origin() == "disk"
    stored(directory).write_bytes(whole + b"x")
    assert origin() == "compiled"


def test_no_flipped_bit_passes(directory):
    origin()
    whole = stored(directory).read_bytes()
    key = stored(directory).name[5:-4]
    assert cache.unpack(key, whole)
    for place in [*range(120), *random.Random(0).sample(range(len(whole)), 500)]:
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        assert cache.unpack(key, bytes(changed)) is None
    stored(directory).write_bytes(bytes(changed))
    assert origin() == "compiled"


def test_files_of_another_key_or_version_are_compiled_anew(directory):
    origin()
    file = stored(directory)
    header, code = cache.unpack(file.name[5:-4], file.read_bytes())
    file.write_bytes(cache.pack("another", header, code))
    assert origin() == "compiled"
    file.write_bytes(file.read_bytes().replace(b"kernel 1", b"kernel 0"))
    assert origin() == "compiled"


@pytest.mark.parametrize("header,code", [({"externals": []}, b"no object code"), ({}, b""), ({"externals": []}, b""),
                                         ({"externals": 3}, b"x")])
def test_well_formed_files_with_useless_content_are_compiled_anew(directory, header, code):
    origin()
    file = stored(directory)
    file.write_bytes(cache.pack(file.name[5:-4], header, code))
    assert origin() == "compiled" and origin() == "disk"


@posix
def test_a_symbolic_link_is_not_used(directory, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    directory.symlink_to(tmp_path / "elsewhere")
    assert origin() == "compiled" and origin() == "compiled"
    assert load.cache_info()["state"] == "memory only: is a symbolic link or not a directory"
    assert not list((tmp_path / "elsewhere").iterdir())


@posix
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_directory_others_can_write_is_not_used(directory, mode):
    directory.mkdir()
    directory.chmod(mode)
    assert origin() == "compiled" and origin() == "compiled"
    assert load.cache_info()["state"] == "memory only: can be written by other users"


@posix
def test_a_file_others_can_write_or_a_link_is_not_used(directory, tmp_path):
    origin()
    stored(directory).chmod(0o666)
    assert origin() == "compiled" and origin() == "disk"
    stored(directory).rename(tmp_path / "moved")
    (directory / ("fuse_" + "0" * 64 + ".bin")).unlink(missing_ok=True)
    store = Store(directory)
    store.path("k").symlink_to(tmp_path / "moved")
    assert store.load("k") is None


@posix
def test_another_users_directory_is_not_used(directory, monkeypatch):
    directory.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: directory.stat().st_uid + 1)
    assert Store(directory).reason == "belongs to another user"


@not_root
def test_an_unwritable_directory_means_memory_only(directory):
    directory.mkdir(mode=0o500)
    assert origin() == "compiled" and load.cache_info()["state"] == "memory only: is not writable"


def test_a_file_in_the_place_of_the_directory(directory):
    directory.write_text("in the way")
    assert origin() == "compiled" and load.cache_info()["state"].startswith("memory only")


@pytest.mark.parametrize("fault", ["mkstemp", "replace", "write"])
def test_a_full_disk_is_silent_and_leaves_nothing(directory, monkeypatch, fault):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")
    class Full:
        def __init__(self, descriptor, mode):
            self.descriptor = descriptor
        def __enter__(self):
            return self
        def __exit__(self, *_):
            os.close(self.descriptor)
        write = full
    if fault == "mkstemp":
        monkeypatch.setattr(cache.tempfile, "mkstemp", full)
    elif fault == "replace":
        monkeypatch.setattr(cache.os, "replace", full)
    else:
        monkeypatch.setattr(cache, "open", Full, raising=False)
    load._stores.clear()
    assert not Store(directory).save("k", {}, b"code", "source")
    assert not list(directory.iterdir())
    monkeypatch.undo()


def test_the_directory_may_vanish_in_use(directory):
    origin()
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()
    load._kernels.clear()
    assert compile_kernel(SOURCE, "f", TYPES).__self__.origin == "compiled"


def test_least_recently_used_files_go_first(directory):
    store = Store(directory)
    for i in range(8):
        assert store.save(f"k{i}", {}, b"x" * 1500, "s")
        for suffix in (".bin", ".py"):
            os.utime(store.path(f"k{i}", suffix), (i, i))
    assert store.load("k0")                                     # used just now
    store.limit = 10_000
    store.evict()
    assert sum(size for _, size, _ in store.files()) <= 8_000
    assert store.load("k0") and store.load("k7") and not store.load("k1")


@pytest.mark.parametrize("each", [1, 7, 500])
def test_the_directory_stays_near_its_limit_and_is_seldom_looked_at(directory, monkeypatch, each):
    """Processes that store a file, a few or many: what they store in all is five times the limit."""
    looks, sizes = [], []
    monkeypatch.setattr(Store, "files", lambda self, files=Store.files: looks.append(1) or files(self))
    for i in range(500):
        if i % each == 0:
            store = Store(directory, limit=100_000)
        assert store.save(f"k{i}", {}, b"x" * 900)
        if i % 20 == 0:
            sizes.append(sum(path.stat().st_size for path in directory.iterdir()))
    assert max(sizes) < 200_000
    assert 5 < len(looks) < 250


def test_keys_tell_requests_apart():
    def key(source=SOURCE, entry="f", types=TYPES, helpers=(), fastmath=False, block=False):
        return load._key(source, entry, types, dict(helpers), fastmath, block)
    def helper(x):
        return x + 1
    def other(x):
        return x + 2
    variants = [key(), key(SOURCE + " "), key(entry="g"), key(types=TYPES[::-1]), key(fastmath=True), key(block=True),
                key(fastmath={"contract"}), key(helpers={"h": 1}), key(helpers={"h": 1.0}), key(helpers={"h": -0.0}),
                key(helpers={"h": 0.0}), key(helpers={"h": helper}), key(helpers={"h": other}),
                key(helpers={"i": helper})]
    assert len({text for text, _ in variants}) == len(variants)
    assert all(storable for _, storable in variants)
    assert not key(helpers={"h": object()})[1]


def test_default_directories(monkeypatch, tmp_path):
    monkeypatch.delenv("FUSE_CACHE_DIR")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.default_directory() == tmp_path / "fuse"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert cache.default_directory() == cache.Path.home() / ".cache/fuse"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache.default_directory() == cache.Path.home() / "Library/Caches/fuse"


def test_where_there_is_no_home_and_no_current_directory_memory_serves(monkeypatch):
    for chosen, fault in (("~nobody-of-that-name/x", None), ("relative", FileNotFoundError)):
        monkeypatch.setenv("FUSE_CACHE_DIR", chosen)
        with monkeypatch.context() as patched:
            if fault is not None:
                patched.setattr(os, "getcwd", lambda fault=fault: (_ for _ in ()).throw(fault()))
            assert cache.Store(cache.default_directory()).reason.startswith("cannot be created")
