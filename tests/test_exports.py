"""A module that says what it exports says exactly that: ``__all__`` is its public names, sorted."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]


def wrong(source: str) -> str:
    """What is wrong with ``__all__`` of this source; empty when nothing is, or when there is none."""
    said: list[str] | None = None
    tree, defined = ast.parse(source), set()
    imported = {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)}
            if names == {"__all__"} and node.value is not None:
                said = list(ast.literal_eval(node.value))
            defined |= names
    if said is None:
        return ""
    lacks = {name for name in defined if not name.startswith("_")} - set(said)
    invents = set(said) - defined - imported
    if lacks or invents:
        return f"__all__ lacks {sorted(lacks)} and invents {sorted(invents)}"
    return "" if said in (sorted(said), sorted(said, key=str.casefold)) else "__all__ is not sorted"


def test_all_is_what_is_public() -> None:
    paths = sorted(ROOT.glob("probes/**/__init__.py"))
    assert paths
    assert {str(path): wrong(path.read_text()) for path in paths if wrong(path.read_text())} == {}


def test_planted_mistakes_are_caught() -> None:
    assert "lacks ['b']" in wrong("__all__ = ['a']\ndef a(): ...\ndef b(): ...")
    assert "invents ['gone']" in wrong("__all__ = ['a', 'gone']\ndef a(): ...")
    assert wrong("from probes.core.plan import Plan\n__all__ = ['Plan']") == ""
    assert "not sorted" in wrong("__all__ = ['b', 'a']\ndef a(): ...\ndef b(): ...")
    assert wrong("import re\n__all__ = ['a', 'b']\na = b = 1\nb = 2\n_c = 3") == ""
