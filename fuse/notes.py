"""What is noted about a node, and kept as long as it lives: by passes, under words of their own, and by users."""
from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fuse.expr import Expr


def notes(node: Expr) -> dict[str, Any]:
    """All that passes have noted about ``node``, to be read and written."""
    if node._cache is None:
        node._cache = {}
    return node._cache


def noted(node: Expr, word: str, default: Any = None) -> Any:
    """What a pass has noted about ``node`` under ``word``; nothing is made where there is none."""
    return default if node._cache is None else node._cache.get(word, default)


def given_with(results: Iterable[Expr], given: Iterable[Any]) -> None:
    """Note that ``results`` are those of one op, in whose inputs ``given`` are: a function of any uses all of them."""
    inputs = frozenset([x for x in given if hasattr(x, "is_leaf")])
    for result in results:
        if not result.is_leaf:
            notes(result)["given_with"] = inputs | noted(result, "given_with", frozenset())


def tagged(node: Expr, word: str, default: Any = None) -> Any:
    """What a user has put into ``node.tag``; no tag is made where there is none."""
    return default if node._tag is None else getattr(node._tag, word, default)
