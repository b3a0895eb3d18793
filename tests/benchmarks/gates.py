"""The figures that the gates bound, measured over the packages: `python -m tests.benchmarks.gates`."""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import statistics
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("curate", "mixers", "trainers", "manifests")
MOST_LINES, MOST_FUNCTION_LINES, MOST_PARAMETERS, MOST_COMPLEXITY = 400, 60, 8, 10
Function = ast.FunctionDef | ast.AsyncFunctionDef
BROAD: Final = ("Exception", "BaseException")
MARKS: Final = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
ERRORS: Final = frozenset(
    {"UserError", "BusyError", "ContaminationError", "ConservationError"}
    | {"ValueError", "TypeError", "RuntimeError", "KeyError", "OSError", "AttributeError", "LookupError"}
)
UNSAFE_MODULES: Final = frozenset({"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"})
UNSAFE_CALLS: Final = frozenset({"eval", "exec", "compile", "__import__"})
UNSAFE_ATTRIBUTES: Final = frozenset(
    {"torch.load", "torch.jit.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen"}
)


@dataclass(frozen=True)
class Module:
    """One source file and its syntax tree."""

    path: Path

    @cached_property
    def text(self) -> str:
        """Its text."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text)

    @property
    def name(self) -> str:
        """Its path from the root, such as `curate/fuzzy.py`."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def lines(self) -> int:
        """Its lines, empty ones and comments too."""
        return len(self.text.splitlines())

    def at(self, node: ast.AST) -> str:
        """Return `file:line` of a node."""
        return f"{self.name}:{getattr(node, 'lineno', 1)}"

    def functions(self) -> Iterator[Function]:
        """Yield every function and method, nested ones too."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node

    def public(self) -> Iterator[tuple[str, ast.Module | ast.ClassDef | Function]]:
        """Yield (name, node) of the module and its public classes, functions and methods, without magic ones."""
        yield self.name, self.tree
        yield from _public(self.tree, self.name)


def _public(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, ast.ClassDef | Function]]:
    for inner in node.body:
        if isinstance(inner, ast.ClassDef | Function) and not inner.name.startswith("_"):
            name = f"{prefix}:{inner.name}"
            yield name, inner
            if isinstance(inner, ast.ClassDef):
                yield from _public(inner, name)


@lru_cache
def modules() -> tuple[Module, ...]:
    """Return the modules of the four packages in the order of their paths."""
    return tuple(Module(path) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))


def files_of_tests() -> list[Path]:
    """Return the tests' Python files, benchmarks and the code that builds the demo's data left out."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    return [path for path in files if not {"benchmarks", "data"} & set(path.relative_to(ROOT).parts)]


def statement_lines(path: Path) -> int:
    """Return the lines of a file that hold code: empty lines, comments and docstrings do not count."""
    text = path.read_text(encoding="utf-8")
    quiet = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in quiet:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def function_lines(node: Function) -> int:
    """Return the lines from `def` to the end, the docstring included."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def parameters(node: Function) -> list[ast.arg]:
    """Return the parameters, `self` and `cls` left out."""
    given = node.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return [item for item in every if item is not None and item.arg not in ("self", "cls")]


def untyped(node: Function) -> list[str]:
    """Return the names of the parameters without a type, and `return` when there is no type of the result."""
    names = [item.arg for item in parameters(node) if item.annotation is None]
    return names if node.returns is not None else [*names, "return"]


def swallowing() -> list[str]:
    """Return `file:line` of each handler of every exception that does not raise one itself."""
    found = []
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler) and _broad(node.type) and not _raises(node):
                found.append(module.at(node))
    return found


def _broad(kind: ast.expr | None) -> bool:
    if isinstance(kind, ast.Tuple):
        return any(_broad(item) for item in kind.elts)
    return kind is None or (isinstance(kind, ast.Name) and kind.id in BROAD)


def _raises(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) for node in ast.walk(handler))


def unsafe(module: Module) -> list[str]:
    """Return `file:line what` of everything that would run code from data, or a shell."""
    found = []
    for node in ast.walk(module.tree):
        what = _unsafe(node)
        if what:
            found.append(f"{module.at(node)} {what}")
    return found


def _unsafe(node: ast.AST) -> str:
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        return next((name for name in names if name.split(".")[0] in UNSAFE_MODULES), "")
    if isinstance(node, ast.Attribute) and ast.unparse(node) in UNSAFE_ATTRIBUTES:
        return ast.unparse(node)
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in UNSAFE_CALLS:
            return node.func.id
        for keyword in node.keywords:
            off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            if keyword.arg in ("trust_remote_code", "shell", "allow_pickle") and not off:
                return str(keyword.arg)
    return ""


def raises() -> list[tuple[str, bool]]:
    """Return (`file:line`, carries a value) of each error that is made, wherever it is raised.

    An error carries one through `value=` or within the text of its message; a place (`where=`) is not a value. Left
    out are requests to stop (`Interrupted`) and `BadRow`: its reasons are counted by the thousand, and the line and
    the row's hash stand beside each.
    """
    found = []
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ERRORS:
                found.append((module.at(node), _carries(node)))
    return found


def _carries(node: ast.Call) -> bool:
    if any(keyword.arg == "value" for keyword in node.keywords):
        return True
    return any(isinstance(inner, ast.FormattedValue) for part in node.args for inner in ast.walk(part))


def complex_functions() -> list[str]:
    """Return `file:line message` of each function with a cyclomatic complexity over 10, by ruff, exemptions ignored."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--ignore-noqa", "--exit-zero", "--select", "C901"]
    command += ["--config", f"lint.mccabe.max-complexity={MOST_COMPLEXITY}", "--output-format", "json", *PACKAGES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)
    return [f"{Path(r['filename']).relative_to(ROOT)}:{r['location']['row']} {r['message']}" for r in rows]


def table() -> list[tuple[str, str, str]]:
    """Return (measure, figure, bound) of everything measured here."""
    every = modules()
    sizes = [module.lines for module in every]
    functions = [(module, node) for module in every for node in module.functions()]
    public = [pair for module in every for pair in module.public()]
    arguments = sum(len(parameters(node)) + 1 for _, node in functions)
    bare = sum(len(untyped(node)) for _, node in functions)
    documented = sum(ast.get_docstring(node) is not None for _, node in public)
    carried = [carries for _, carries in raises()]
    tests = files_of_tests()
    whole = [len(path.read_text(encoding="utf-8").splitlines()) for path in tests]
    code = [statement_lines(module.path) for module in every]
    largest = max(every, key=lambda module: module.lines)
    return [
        ("modules", f"{len(every)}", ""),
        ("lines of code", f"{sum(sizes):,}", ""),
        ("median module, lines", f"{statistics.median(sizes):.0f}", "130"),
        ("largest module, lines", f"{largest.lines} ({largest.name})", str(MOST_LINES)),
        ("functions", f"{len(functions):,}", ""),
        ("functions over 60 lines", f"{sum(function_lines(n) > MOST_FUNCTION_LINES for _, n in functions)}", "0"),
        ("longest function, lines", f"{max(function_lines(n) for _, n in functions)}", str(MOST_FUNCTION_LINES)),
        ("functions over 8 parameters", f"{sum(len(parameters(n)) > MOST_PARAMETERS for _, n in functions)}", "0"),
        ("complexity over 10", f"{len(complex_functions())}", "0"),
        ("parameters and results typed", f"{1 - bare / arguments:.1%}", "100 %"),
        ("public names documented", f"{documented / len(public):.1%} of {len(public)}", "100 %"),
        ("broad handlers that swallow", f"{len(swallowing())}", "0"),
        ("errors made that carry a value", f"{sum(carried) / len(carried):.1%} of {len(carried)}", "80 %"),
        ("exemptions from the linter (noqa)", f"{sum(m.text.count('# noqa') for m in every)}", ""),
        ("test lines : code lines, all lines", f"{sum(whole) / sum(sizes):.2f}", ""),
        ("test lines : code lines, statements", f"{sum(map(statement_lines, tests)) / sum(code):.2f}", "1.0"),
    ]


def main() -> None:
    """Print the table; with --list, also the errors that carry no value."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="list the errors that carry no value")
    options = parser.parse_args()
    print(f"{'measure':<40}{'figure':<34}bound")
    for row in table():
        print(f"{row[0]:<40}{row[1]:<34}{row[2]}")
    if options.list:
        print("\n".join(place for place, carries in raises() if not carries))


if __name__ == "__main__":
    main()
