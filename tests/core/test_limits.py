"""A hostile file costs little: it is refused before it is expanded, and time grows with its length, not with what it stands for."""

import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from probes.core import template
from probes.core.diagnostics import render, split
from probes.core.expression import ExpressionError, parse
from probes.core.source import BYTES, scan
from probes.core.values import equal, shown

ROOT = Path(__file__).parents[2]
SECONDS = 1.0  # the promise of the product for a hostile file
MEGABYTES = 150


def laughs(lines: int) -> str:
    """Ten references in each line to the line before: 10 ** lines values."""
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    return text + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, lines))


def merges(lines: int) -> str:
    """Mappings that merge hundreds of mappings of hundreds of keys."""
    keys = ", ".join(f"k{n}: 1" for n in range(500))
    return f"base: &b {{{keys}}}\n" + "".join(f"m{n}: {{<<: [{', '.join(['*b'] * 500)}]}}\n" for n in range(lines))


HOSTILE = {
    "laughs": (laughs(30), "too-many-values"),
    "quadratic": ("a: &a [" + "x, " * 9000 + "x]\nb: [" + "*a, " * 9000 + "*a]\n", "too-many-values"),
    "merges": (merges(200), "too-many-values"),
    "aliases in depth": ("a0: &a0 x\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 200)), "too-deep"),
    "loop": ("a: &a {b: [*a]}\n", "alias-loop"),
    "wide": ("a: [" + "x," * 500_000 + "]", "too-many-values"),
    "lines": ("".join(f"k{n}: 1\n" for n in range(90_000)), "too-many-values"),
    "brackets": ("a: " + "[" * 1_000_000, "too-deep"),
    "braces": ("{" * 1_000_000, "too-deep"),
    "dashes": ("- " * 500_000, "too-deep"),
    "question marks": ("? " * 500_000, "too-deep"),
    "indentation": ("".join(" " * n + "a:\n" for n in range(1400)), "too-deep"),
    "same key": ("k: 1\n" * 90_000, "duplicate-key"),
    "documents": ("a: 1\n" + "---\n" * 250_000, "yaml"),
    "open quote": ('a: "' + "\n" * 1_000_000, "yaml"),
    "colons": (":" * 1_000_000, "yaml"),
    "stars": ("a: " + "*" * 1_000_000, "yaml"),
    "long anchor": ("a: &" + "x" * 900_000 + " 1\nb: *y", "yaml"),
    "long tag": ("a: !" + "x" * 900_000 + " 1", "tag"),
    "long number": ("a: " + "9" * 1_000_000, "value"),
    "long key": ("x" * 1_000_000 + ": 1\n" + "x" * 1000, "yaml"),
    "control characters": ("\x01" * 1_000_000, "encoding"),
    "too large": ("a: " + "x" * BYTES, "too-large"),
    "too large in bytes": ("a: " + "é" * (BYTES // 2), "too-large"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_at_once(name: str) -> None:
    text, code = HOSTILE[name]
    started = time.process_time()
    _, problems = scan(text, "f")
    lines = split(text)
    shown = [render(problem, lines) for problem in problems]
    took = time.process_time() - started
    assert code in {problem.code for problem in problems}
    assert len(problems) <= 100
    assert max(map(len, shown)) < 3000
    assert took < 2 * SECONDS  # measured under 0.4 s; twice the promise, for a busy machine


def test_bytes_are_limited_like_text() -> None:
    assert [problem.code for problem in scan(b"a: " + b"x" * BYTES, "f")[1]] == ["too-large"]
    assert scan(b"a: " + b"x" * (BYTES - 3), "f")[1] == ()


def test_64_levels_are_fine_and_65_are_not() -> None:
    for opening, closing in (("[", "]"), ("{a: ", "}")):
        source, problems = scan("a: " + opening * 62 + "x" + closing * 62, "f")
        assert source is not None
        assert problems == ()
        _, problems = scan("a: " + opening * 64 + "x" + closing * 64, "f")
        assert [problem.code for problem in problems] == ["too-deep"]


def test_the_values_of_aliases_are_counted_exactly() -> None:
    inner = "a: &a [" + ", ".join(["x"] * 998) + "]\n"  # 1 + 998 values, and 1 for the top
    fits = inner + "b: [" + ", ".join(["*a"] * 99) + "]\n"
    assert scan(fits, "f")[1] == ()
    _, problems = scan(inner + "b: [" + ", ".join(["*a"] * 100) + "]\n", "f")
    assert [problem.code for problem in problems] == ["too-many-values"]


def test_a_megabyte_of_honest_text_is_fine() -> None:
    for text in ("a: |\n" + "  x\n" * 250_000, 'a: "' + "\\n" * 500_000 + '"', "#\n" * 500_000 + "a: 1\n", "a: " + "x" * 1_000_000):
        source, problems = scan(text, "f")
        assert problems == ()
        assert source is not None
        assert source.column_in(("a",), 1000).line >= 1


def test_bombs_and_patterns_do_not_fill_the_memory() -> None:
    program = """
import re, resource, sys
sys.path[0:0] = [sys.argv[1]]
from tests.core.test_limits import HOSTILE
from probes.core.expression import parse
from probes.core.source import scan
for text, _ in HOSTILE.values():
    scan(text, "f")
for number in range(5000):
    parse(f'body matches "[a-z]{{200}}{number}"')
try:  # the peak of this program alone: ru_maxrss begins at that of the process it was forked from
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
except OSError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT)], capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ}
    )
    assert int(done.stdout) < MEGABYTES


def test_references_cannot_fill_the_memory() -> None:
    data = ["${{ var.x }}-"] * 100_000
    tracemalloc.start()
    with pytest.raises(template.TemplateError):
        template.fill(data, {"var": {"x": "y" * 900_000}})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40_000_000


def measured(pattern: str, length: int) -> float:
    assertion = parse(f'body matches "{pattern}"')
    text = "a" * length + "!"
    best = 9.9
    for _ in range(3):
        started = time.process_time()
        assertion.check({"body": text})
        best = min(best, time.process_time() - started)
    return best


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a|a)*$", "(a*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*)(.*)(.*)(.*)x"])
def test_time_of_a_regular_expression_is_linear_in_the_text(pattern: str) -> None:
    once, tenfold = measured(pattern, 50_000), measured(pattern, 500_000)
    assert tenfold < 60 * max(once, 0.0005)  # a backtracking engine would need 2 ** 450000 times as long


def test_hostile_values_are_compared_and_shown_in_bounded_space() -> None:
    many = {"k" * 1000 + str(n): ["v" * 1000] * 10 for n in range(1000)}
    assert len(shown(many)) <= 200
    assert len(shown([[[[[[[[many]]]]]]]])) <= 200
    assert equal(many, dict(many))
    with pytest.raises(ExpressionError):
        parse("x == " + "[" * 1900)
