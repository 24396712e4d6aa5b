"""Functions that kernels call as text of their own: each once, under a name of its own, with all that it calls."""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Mapping
from types import FunctionType, ModuleType
from typing import Any

from fuse.codegen.syntax import parse
from fuse.errors import FuseTypeError

_MODULES = {"math": "math", "numpy": "np"}


class Texts:
    """The source of functions for a file that stands alone, in the order in which they can be defined."""

    def __init__(self, known: set[str]) -> None:
        self.known = known  # names that the file has anyway
        self.texts: list[str] = []
        self.names: dict[int, str] = {}
        self.kept: list[Any] = []  # objects whose id is in use

    def add(self, function: FunctionType) -> str:
        """The name of ``function`` in the file; functions that it calls stand before it."""
        if id(function) in self.names:
            return self.names[id(function)]
        definition = _definition(function)
        scope = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
        local = {n.id for n in ast.walk(definition) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        local |= {a.arg for a in ast.walk(definition) if isinstance(a, ast.arg)} | {definition.name}
        read = {n.id for n in ast.walk(definition) if isinstance(n, ast.Name)} - local
        name = f"f{len(self.names)}_{definition.name}"
        self.names[id(function)] = name
        self.kept.append(function)
        renamed: dict[str, ast.expr] = {definition.name: ast.Name(name, ast.Load())}
        for word in sorted(read):
            renamed[word] = self.meant(word, scope, definition.name)
        self.texts.append("@inlined\n" + self.renamed(definition, name, renamed))
        return name

    def meant(self, word: str, scope: Mapping[str, Any], where: str) -> ast.expr:
        """What ``word`` of a function's text is in the file."""
        value = scope.get(word)
        if isinstance(value, ModuleType) and value.__name__ in _MODULES:
            return ast.Name(_MODULES[value.__name__], ast.Load())
        if isinstance(value, (bool, int, float)):
            return _number(value)
        if isinstance(value, tuple) and value and all(isinstance(v, (bool, int, float)) for v in value):
            return ast.Tuple([_number(v) for v in value], ast.Load())
        function = getattr(value, "py_func", value)  # of Numba's functions
        if isinstance(function, FunctionType):
            return ast.Name(self.add(function), ast.Load())
        if word in self.known or value is None and hasattr(builtins, word):
            return ast.Name(word, ast.Load())
        raise FuseTypeError(f"the function {where} uses {word}, which has no text: it cannot stand alone")

    def renamed(self, definition: ast.FunctionDef, name: str, words: Mapping[str, ast.expr]) -> str:
        """The text of ``definition`` under ``name``, with other words in the place of some."""
        tree = ast.fix_missing_locations(_Rename(words).visit(parse(ast.unparse(definition)).body[0]))
        tree.name, tree.decorator_list = name, []
        return ast.unparse(tree)


class _Rename(ast.NodeTransformer):
    def __init__(self, words: Mapping[str, ast.expr]) -> None:
        self.words = words

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.words.get(node.id, node) if isinstance(node.ctx, ast.Load) else node


def _number(value: float) -> ast.expr:
    text = "np.nan" if value != value else f"({str(value).replace('inf', 'np.inf')})"
    return parse(text, mode="eval").body


def _definition(function: FunctionType) -> ast.FunctionDef:
    found = getattr(function, "definition", None)
    if found is None:
        try:
            found = parse(textwrap.dedent(inspect.getsource(function))).body[0]
        except (OSError, TypeError, SyntaxError):
            found = None
    if not isinstance(found, ast.FunctionDef):
        raise FuseTypeError(f"the source of {function.__name__} cannot be read: define it with `def` in a file")
    return found
