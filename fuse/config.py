"""Configuration: one frozen record of flags, a context manager, the environment, and files in the home."""
from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from fuse.forks import lock_for_threads
from fuse.frozen import dataclass


@dataclass(frozen=True)
class Flags:
    """Every flag that changes something, with its default; Theano's others are kept, with a warning, and ignored."""

    floatX: str = "float64"
    device: str = "cpu"
    mode: str = "FAST_RUN"
    optimizer: str = "fast_run"
    on_unused_input: str = "raise"
    compute_test_value: str = "off"
    exception_verbosity: str = "low"
    profile: bool = False
    threads: int = 0  # 0: as many as the process may have
    recycle: int = 1 << 30  # bytes of dropped results kept for those to come; 0: none


_CHOICES = {
    "floatX": ("float16", "float32", "float64"),
    "on_unused_input": ("raise", "warn", "ignore"),
    "compute_test_value": ("off", "ignore", "warn", "raise", "pdb"),
    "exception_verbosity": ("low", "high"),
}
_TYPES = {f.name: type(f.default) for f in fields(Flags)}

# Theano's flags without a meaning here, which programs read: their defaults. Dotted names are reached as
# config.section.name; a section takes any name.
_FOREIGN = {
    "allow_gc": True, "cast_policy": "custom", "int_division": "floatX", "warn_float64": "ignore",
    "print_progress": False, "linker": "cvm", "openmp": False, "cxx": "", "compute_test_value_opt": "off",
    "optimizer_verbose": False,
    "optimizer_including": "", "optimizer_excluding": "", "print_test_value": False, "print_active_device": True,
    "force_device": False, "reoptimize_unpickled_function": False, "profile_memory": False, "profile_optimizer": False,
    "NanGuardMode.nan_is_error": True, "NanGuardMode.inf_is_error": True, "NanGuardMode.big_is_error": True,
    "unittests.rseed": "666", "gcc.cxxflags": "", "lib.amdlibm": False,
    "blas.ldflags": "", "print_global_stats": False, "contexts": "",
    "assert_no_cpu_op": "ignore", "on_opt_error": "warn", "on_shape_error": "warn", "nocleanup": False,
    "unpickle_function": True, "openmp_elemwise_minsize": 200000, "check_input": True, "cache_optimizations": False,
    "optimizer_requiring": "", "cycle_detection": "regular", "check_stack_trace": "off", "compiledir": "",
    "base_compiledir": "", "compiledir_format": "", "conv.assert_shape": False, "ctc.root": "",
    "tensor.cmp_sloppy": 0, "tensor.local_elemwise_fusion": True, "traceback.limit": 8, "traceback.compile_limit": 0,
    "warn.ignore_bug_before": "0.9", "warn.round": False, "warn.inc_subtensor1_opt": True, "vm.lazy": None,
    "warn.identify_1pexp_bug": False, "warn.sum_sum_bug": False, "warn.sum_div_dimshuffle_bug": False,
    "warn.argmax_pushdown_bug": False, "warn.gpusum_01_011_0111_bug": False, "warn.subtensor_merge_bug": False,
    "warn.gpu_set_subtensor1": False, "warn.vm_gc_bug": False, "warn.signal_conv2d_interface": False,
    "warn.reduce_join": False, "warn.inc_set_subtensor1": False, "DebugMode.patience": 10, "DebugMode.check_c": False,
    "DebugMode.check_py": True, "DebugMode.check_finite": True, "DebugMode.check_strides": 0,
    "profiling.time_thunks": True, "profiling.n_apply": 20, "profiling.n_ops": 20, "profiling.min_memory_size": 1024,
    "profiling.min_peak_memory": False, "profiling.destination": "stderr", "profiling.ignore_first_call": False,
    "scan.allow_gc": False, "scan.allow_output_prealloc": True, "scan.debug": False, "compile.wait": 5,
    "compile.timeout": 120, "experimental.unpickle_gpu_on_cpu": False, "numpy.seterr_all": "ignore",
}
_READ = frozenset((  # those of them that have a meaning here
    "profiling.destination", "profiling.n_ops", "NanGuardMode.nan_is_error", "NanGuardMode.inf_is_error",
    "NanGuardMode.big_is_error",
))
_SECTIONS = frozenset(
    "DebugMode NanGuardMode blas cmodule compile conv ctc cuda dnn experimental gcc gpuarray lib numpy nvcc optdb "
    "profiling scan tensor traceback unittests vm warn".split()
)


def _convert(name: str, value: Any) -> Any:
    kind = _TYPES[name]
    if name == "mode" and hasattr(value, "backend"):  # a Mode itself
        return value
    if name == "recycle" and (value := int(value)) < 0:
        raise ValueError(f"config.recycle is a number of bytes, 0 or more, not {value}")
    if kind is bool and isinstance(value, str):
        value = value.strip().lower() in ("1", "true", "yes", "on")
    value = kind(value)  # type: ignore[misc]
    if name in _CHOICES and value not in _CHOICES[name]:
        raise ValueError(f"config.{name} is one of {', '.join(_CHOICES[name])}, not {value!r}")
    if name == "threads" and value < 0:
        raise ValueError(f"config.threads is a number of threads, or 0 for as many as there are; not {value}")
    if name == "device":
        from fuse.devices import canonical

        return canonical(value)
    return value


_LOCK = lock_for_threads()  # while flags are replaced by others


class Config:
    """The flags as attributes: ``config.floatX``; assignment changes one for the whole process.

    >>> with config.change_flags(floatX="float32"):
    ...     config.floatX
    'float32'
    >>> config.floatX
    'float64'
    """

    def __init__(self, flags: Flags) -> None:
        object.__setattr__(self, "_flags", flags)
        object.__setattr__(self, "_foreign", dict(_FOREIGN))
        object.__setattr__(self, "_watchers", {})

    def watch(self, name: str, told: Callable[[Any], object]) -> None:
        """Call ``told`` with every new value of the flag ``name``."""
        self._watchers.setdefault(name, []).append(told)

    def _store(self, values: dict[str, Any]) -> None:
        with _LOCK:
            old = self._flags
            flags = replace(old, **values)
            object.__setattr__(self, "_flags", flags)
        for name, watchers in self._watchers.items():
            if getattr(old, name) != getattr(flags, name):
                for told in watchers:
                    told(getattr(flags, name))

    def __getattr__(self, name: str) -> Any:
        if name in _TYPES:
            return getattr(self._flags, name)
        if name.startswith("__"):
            raise AttributeError(name)
        name = _dotted(name)
        if name in self._foreign:
            return self._foreign[name]
        if name in _SECTIONS or any(key.startswith(f"{name}.") for key in self._foreign):
            return _Section(self, name)
        raise AttributeError(f"fuse has no flag {name!r}; its flags are {', '.join(_TYPES)}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _TYPES:
            self._store({name: _convert(name, value)})
        else:
            name = _dotted(name)
            if name not in _READ:
                _warn_unknown(name)
            self._foreign[name] = value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_TYPES})

    def change_flags(self, *args: Any, **flags: Any) -> _Change:
        """A context manager, and a decorator, under which the given flags hold."""
        for arg in args:
            flags.update(arg)
        return _Change(self, flags)

    def __str__(self) -> str:
        return "\n".join(f"{f.name} = {getattr(self._flags, f.name)!r}" for f in fields(Flags))


class _Section:
    """A group of Theano's flags, such as ``config.warn``: they are kept, and change nothing."""

    def __init__(self, owner: Config, name: str) -> None:
        object.__setattr__(self, "_owner", owner)
        object.__setattr__(self, "_name", name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._owner, f"{self._name}.{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._owner, f"{self._name}.{name}", value)


_ABSENT: Any = object()


class _Change(contextlib.ContextDecorator):
    def __init__(self, owner: Config, flags: dict[str, Any]) -> None:
        self._owner, self._new = owner, flags
        self._saved: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def _recreate_cm(self) -> _Change:
        return _Change(self._owner, self._new)

    def __enter__(self) -> Config:
        owner = self._owner
        other = [_dotted(name) for name in self._new if name not in _TYPES]
        # Only the flags that are changed are put back: others may be set meanwhile, by another thread.
        own = {name: getattr(owner._flags, name) for name in self._new if name in _TYPES}
        self._saved.append((own, {name: owner._foreign.get(name, _ABSENT) for name in other}))
        try:
            for name, value in self._new.items():
                if _dotted(name) in _FOREIGN:  # for a while, by a program that knows them: nothing to warn of
                    owner._foreign[_dotted(name)] = value
                else:
                    setattr(owner, name, value)
        except BaseException:  # one of several flags was refused: the others are as they were
            self.__exit__()
            raise
        return owner

    def __exit__(self, *exc: object) -> None:
        if not self._saved:  # left once more than entered, as PyMC3's models are: the flags are as they were
            return
        own, foreign = self._saved.pop()
        owner = self._owner
        owner._store(own)
        for name, value in foreign.items():
            owner._foreign.pop(name, None)
            if value is not _ABSENT:
                owner._foreign[name] = value


def _dotted(name: str) -> str:
    """Theano's spelling of a flag: PyTensor writes ``section__name`` for ``section.name``."""
    return name.replace("__", ".", 1) if "__" in name and not name.startswith("_") else name


def _warn_unknown(name: str) -> None:
    from difflib import get_close_matches

    near = get_close_matches(name, _TYPES, 1, 0.75)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    warnings.warn(f"fuse ignores the flag {name!r}: it has no such setting{meant}", stacklevel=4)


def _from_text(where: str, text: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, map(str.strip, text.split(","))):
        name, given, value = part.partition("=")
        if given:
            yield name.strip(), value.strip()
        else:
            warnings.warn(f"{where}: fuse ignores {part!r}, which has no value: write name=value", stacklevel=2)


def _files(variable: str, usual: str, environ: Callable[[str, str], str]) -> list[str]:
    """The paths of configuration files: those that an environment variable lists, else the one in the home."""
    listed = environ(variable, "")
    names = listed.split(os.pathsep) if listed else [usual, *([f"{usual}.txt"] if sys.platform == "win32" else [])]
    return [path for path in map(os.path.expanduser, names) if os.path.isfile(path)]


def _from_file(path: str) -> Iterator[tuple[str, str]]:
    """The flags of a file in Theano's form: ``name = value`` below ``[global]``; other sections are parts of names."""
    from configparser import Error, RawConfigParser  # few have such a file

    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
    except (Error, OSError, UnicodeDecodeError) as error:
        warnings.warn(f"{path}: fuse cannot read this file, and ignores it: {error}", stacklevel=2)
        return
    for section in parser.sections():
        for name, value in parser.items(section):
            yield (name if section == "global" else f"{section}.{name}"), value.strip()


def _initial(environ: Callable[[str, str], str]) -> Flags:
    """The flags at the start: FUSE_FLAGS, then THEANO_FLAGS, ``.fuserc``, ``.theanorc``, defaults."""
    any_case = {name.lower(): name for name in _TYPES}
    sources: list[tuple[str, Iterator[tuple[str, str]], bool]] = [
        (path, _from_file(path), ours)
        for variable, usual, ours in (("THEANORC", "~/.theanorc", False), ("FUSERC", "~/.fuserc", True))
        for path in _files(variable, usual, environ)
    ]
    sources += [(v, _from_text(v, environ(v, "")), True) for v in ("THEANO_FLAGS", "FUSE_FLAGS")]
    flags = Flags()
    for where, found, ours in sources:
        for name, value in found:
            name = any_case.get(name.lower(), name)
            if name not in _TYPES:
                if ours:  # a file of Theano's has much that concerns its compiler
                    warnings.warn(f"{where}: fuse ignores the flag {name!r}", stacklevel=2)
                continue
            try:
                flags = replace(flags, **{name: _convert(name, value)})
            except ValueError as error:
                warnings.warn(f"{where}: {error}", stacklevel=2)
    return flags


config = Config(_initial(os.environ.get))


def current_flags() -> Flags:
    """All flags as they are now."""
    return config._flags
