"""The ``fuse`` command: ``demo``, ``info``, ``doctor``, ``names``. Imports wait until a command needs them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``fuse`` command with ``argv`` (the process's arguments if None) and return its exit status.

    >>> main(["info"])  # doctest: +ELLIPSIS
    fuse      ...
    0
    """
    options = _parser().parse_args(argv)
    try:
        return options.run(options)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fuse", description="Symbolic formulas, their gradients, and fused Numba kernels."
    )
    parser.add_argument("--version", action="version", version=f"fuse {_version()}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="{demo,info,doctor,names}")

    demo = commands.add_parser("demo", help="train two models on handwritten digits and show each stage")
    demo.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where kernels run (default: cpu)")
    demo.add_argument("--epochs", type=_positive, default=40, help="passes over the training images (default: 40)")
    demo.add_argument("--seed", type=int, default=0, help="of the split and the initial weights (default: 0)")
    demo.add_argument("--whole", action="store_true", help="all images in the simulator of a GPU too, in minutes")
    demo.set_defaults(run=_demo)

    info = commands.add_parser("info", help="versions, processor, threads, kernel cache, GPU: for a bug report")
    info.set_defaults(run=_info)

    doctor = commands.add_parser("doctor", help="test this installation and say what to do about each fault")
    doctor.set_defaults(run=_doctor)

    names = commands.add_parser("names", help="each name of theano.tensor: the same here, different or absent")
    names.add_argument("--all", action="store_true", help="those that are the same, too")
    names.add_argument("--page", action="store_true", help="as a page of Markdown")
    names.set_defaults(run=_names)
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("fuse")
    except PackageNotFoundError:
        return "(run from a source tree that is not installed)"


def _demo(options: argparse.Namespace) -> int:
    from fuse.devices import resolve
    from fuse.errors import DeviceError

    try:
        resolve(options.device)
    except DeviceError as error:
        print(f"fuse demo: no GPU to run on: {error}", file=sys.stderr)
        return 2

    from fuse.demo import run

    return run(device=options.device, epochs=options.epochs, seed=options.seed, whole=options.whole)


def _names(options: argparse.Namespace) -> int:
    from collections import Counter

    from fuse.theano_table import names_page, theano_names

    if options.page:
        print(names_page(), end="")
        return 0
    found = theano_names()
    for name, (kind, why) in found.items():
        if options.all or kind != "same":
            print(f"{name:<36}{kind:<10}{why}".rstrip())
    print(", ".join(f"{count} {kind}" for kind, count in Counter(kind for kind, _ in found.values()).items()))
    return 0


def _info(_: argparse.Namespace) -> int:
    from fuse.doctor import info

    for name, text in info():
        print(f"{name:<10}{text}")
    return 0


def _doctor(_: argparse.Namespace) -> int:
    from fuse.doctor import examine

    return examine()
