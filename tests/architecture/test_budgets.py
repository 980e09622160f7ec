"""Files, functions and signatures stay small; the library neither prints nor asserts."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from architecture.sources import Finding, listing, package_sources

FILE_LINES = 400
FUNCTION_LINES = 60
USUAL_FUNCTION_LINES = 35
USUAL_SHARE = 0.9
PARAMETERS = 8

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def file_findings(file: str, source: str) -> list[Finding]:
    count = len(source.splitlines())
    if count <= FILE_LINES:
        return []
    return [Finding(file, 1, "file", f"at most {FILE_LINES} lines, got {count}")]


def functions(tree: ast.AST, owner: str = "") -> Iterator[tuple[str, FunctionNode, bool]]:
    """Every function as (qualified name, node, whether its first parameter is self or cls)."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, FunctionNode):
            bound = isinstance(tree, ast.ClassDef) and not _is_static(node)
            yield owner + node.name, node, bound
            yield from functions(node, f"{owner}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{owner}{node.name}.")
        else:
            yield from functions(node, owner)


def _is_static(node: FunctionNode) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)


def function_lengths(source: str) -> list[tuple[str, int, int]]:
    """(qualified name, first line, lines without the docstring) of every function."""
    return [
        (name, node.lineno, _lines_without_docstring(node))
        for name, node, _ in functions(ast.parse(source))
    ]


def _lines_without_docstring(node: FunctionNode) -> int:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node, clean=False) is None:
        return lines
    docstring = node.body[0]
    return lines - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


def length_findings(file: str, source: str) -> list[Finding]:
    return [
        Finding(file, line, name, f"at most {FUNCTION_LINES} lines, got {count}")
        for name, line, count in function_lengths(source)
        if count > FUNCTION_LINES
    ]


def parameter_findings(file: str, source: str) -> list[Finding]:
    # In cli/ a function's keyword-only parameters are the options of the command line: typer reads
    # them from the signature, so gathering them in a dataclass would hide the options from it.
    options_are_free = file.startswith("headstart/cli/")
    findings = []
    for name, node, bound in functions(ast.parse(source)):
        given = node.args
        count = len(given.posonlyargs) + len(given.args) - bound
        count += (given.vararg is not None) + (given.kwarg is not None)
        count += 0 if options_are_free else len(given.kwonlyargs)
        if count > PARAMETERS:
            message = f"at most {PARAMETERS} parameters before a dataclass, got {count}"
            findings.append(Finding(file, node.lineno, name, message))
    return findings


def forbidden_findings(file: str, source: str) -> list[Finding]:
    findings = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assert):
            message = "raise an error of headstart.errors: python -O drops assertions"
            findings.append(Finding(file, node.lineno, "assert", message))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "builtins.print"}:
            message = "report through Progress: standard output is for results"
            findings.append(Finding(file, node.lineno, "print", message))
    return findings


def test_files_are_short() -> None:
    found = [f for file, source in package_sources().items() for f in file_findings(file, source)]
    assert not found, listing(found)


def test_functions_are_short() -> None:
    found = [f for file, source in package_sources().items() for f in length_findings(file, source)]
    assert not found, listing(found)


def test_nine_in_ten_functions_are_shorter_still() -> None:
    lengths = [
        (count, f"{file}:{line}: {name}: {count} lines")
        for file, source in package_sources().items()
        for name, line, count in function_lengths(source)
    ]
    assert lengths, "no function found"
    long = [text for count, text in sorted(lengths, reverse=True) if count > USUAL_FUNCTION_LINES]
    share = 1 - len(long) / len(lengths)
    assert share >= USUAL_SHARE, (
        f"at least {USUAL_SHARE:.0%} of functions have at most {USUAL_FUNCTION_LINES} lines, "
        f"got {share:.1%}:\n{listing(long)}"
    )


def test_signatures_are_short() -> None:
    found = [
        f for file, source in package_sources().items() for f in parameter_findings(file, source)
    ]
    assert not found, listing(found)


def test_the_library_neither_prints_nor_asserts() -> None:
    found = [
        f for file, source in package_sources().items() for f in forbidden_findings(file, source)
    ]
    assert not found, listing(found)


def test_a_long_file_is_found() -> None:
    assert not file_findings("headstart/a.py", "x = 1\n" * 400)
    (finding,) = file_findings("headstart/a.py", "x = 1\n" * 401)
    assert str(finding) == "headstart/a.py:1: file: at most 400 lines, got 401"


def test_a_long_function_is_found_and_its_docstring_not_counted() -> None:
    body = "    x = 1\n" * 59
    docstring = '    """One.\n\n    Two.\n    """\n'
    assert not length_findings("headstart/a.py", f"def f():\n{docstring}{body}")
    (finding,) = length_findings("headstart/a.py", f"\nclass C:\n  def f(self):\n{body}    x = 2\n")
    assert str(finding) == "headstart/a.py:3: C.f: at most 60 lines, got 61"


def test_a_long_signature_is_found() -> None:
    eight = "a, b, c, d, e, f, g, h"
    assert not parameter_findings("headstart/a.py", f"def f({eight}): ...")
    assert not parameter_findings("headstart/a.py", f"class C:\n  def f(self, {eight}): ...")
    for more in ("i", "*i", "**i", "*, i"):
        (finding,) = parameter_findings("headstart/a.py", f"def f({eight}, {more}): ...")
        assert "at most 8 parameters before a dataclass, got 9" in str(finding), more
    static = f"class C:\n  @staticmethod\n  def f({eight}, i): ..."
    assert len(parameter_findings("headstart/a.py", static)) == 1


def test_only_options_of_the_command_line_are_free() -> None:
    options = "def f(*, a, b, c, d, e, f, g, h, i): ..."
    assert not parameter_findings("headstart/cli/a.py", options)
    assert len(parameter_findings("headstart/cli/a.py", options.replace("*, ", ""))) == 1
    assert len(parameter_findings("headstart/a.py", options)) == 1


def test_print_and_assert_are_found() -> None:
    source = "def f():\n    assert x\n    print(x)\n    console.print(x)\n"
    assert [(f.line, f.name) for f in forbidden_findings("headstart/a.py", source)] == [
        (2, "assert"),
        (3, "print"),
    ]
