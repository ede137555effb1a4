"""A hash of the code that a step runs, so that Snakemake reruns exactly the steps whose code changed.

It covers the step's module and all that it imports from this project, by syntax tree: comments, layout and a mere touch
change nothing. Snakemake itself tracks a rule's shell line, not the modules behind it.
"""

import ast
import functools
import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def code_hash(step: str) -> str:
    """Return the hash of a step's code, such as ``code_hash("train")``."""
    digest = hashlib.sha256()
    for module in sorted(_closure(f"scripts.{step}")):
        digest.update(module.encode() + _syntax(_file(module)).encode())
    return digest.hexdigest()[:16]


def code_hash_of(estimator: str) -> str:
    """Return the hash of the code of an estimator of this project, given its import path.

    Nothing for a library's, whose version the lock holds, and for one that isn't there: training will complain of it.
    """
    place = estimator.rpartition(".")[0]
    ours = place.startswith("scripts.") and _file(place).is_file()
    return code_hash(place.removeprefix("scripts.")) if ours else ""


def _closure(start: str) -> set[str]:
    """Return a module and all project modules that it imports, directly or not."""
    seen: set[str] = set()
    todo = {start}
    while todo:
        module = todo.pop()
        seen.add(module)
        todo |= _imports(_file(module)) - seen
    return seen


def _file(module: str) -> Path:
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


@functools.cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_bytes(), filename=str(file))


@functools.cache
def _syntax(file: Path) -> str:
    return ast.dump(_tree(file), include_attributes=False)


@functools.cache
def _imports(file: Path) -> frozenset[str]:
    """Return the project modules that a file imports."""
    found: set[str] = set()
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(name for name in found if name.startswith("scripts.") and _file(name).is_file())
