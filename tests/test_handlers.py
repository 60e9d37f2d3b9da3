"""The edges decode, make one call and encode: whatever grows there has no test of its own and belongs further in."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIMITS = {"probes/aws/functions": 25, "probes/cli": 60}  # lines of one function's body, docstring aside


def too_long(source: str, limit: int) -> dict[str, int]:
    """Functions of ``source`` whose body has more than ``limit`` lines, with their number of lines."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            if lines > limit:
                found[node.name] = lines
    return found


@pytest.mark.parametrize("folder", LIMITS)
def test_edges_stay_small(folder: str) -> None:
    paths = sorted((ROOT / folder).glob("**/*.py"))
    assert paths or folder.startswith("probes/aws"), "the folder is there from the first day"
    found = {str(path.relative_to(ROOT)): too_long(path.read_text(), LIMITS[folder]) for path in paths}
    assert {name: names for name, names in found.items() if names} == {}


def test_a_planted_long_handler_is_caught() -> None:
    body = "\n".join("    x = 1" for _ in range(26))
    assert too_long(f'def handler():\n    """Why."""\n{body}', 25) == {"handler": 26}
    assert too_long(f"async def handler():\n{body}", 26) == {}
