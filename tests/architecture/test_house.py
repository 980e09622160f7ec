"""The files around the package agree with each other and belong on every machine."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

import headstart
from architecture.sources import ROOT, Finding, listing

# Put together here, so that this file does not hold what it looks for.
_DOT = "."
_HOSTS = (
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("registry", "npmjs", "org"),
    ("deb", "debian", "org"),
    ("download", "pytorch", "org"),
)
_FOLDERS = (("work",), ("root",), ("opt", "wheels"), ("opt", "pypi"))
_HOMES = ("home", "Users")
# A web address may hold such a word in its path; a relative path may, too.
_ABSOLUTE = r"(?<![\w.~})*/-])/"
FORBIDDEN = re.compile(
    "|".join(
        [
            *(re.escape(_DOT.join(host)) for host in _HOSTS),
            *(rf"{_ABSOLUTE}{'/'.join(folder)}\b[/-]" for folder in _FOLDERS),
            *(rf"{_ABSOLUTE}{home}/\w+/" for home in _HOMES),
        ]
    )
)
EXTRAS_OF_HEADSTART = re.compile(r"(?:headstart|\.)\[([a-z][a-z0-9,_]*)\]")


def machine_findings(file: str, text: str) -> list[Finding]:
    """Names of registry hosts, and absolute paths of a machine that someone develops on."""
    return [
        Finding(file, number, found.group(), "names a registry host or a path of one machine")
        for number, line in enumerate(text.splitlines(), start=1)
        for found in FORBIDDEN.finditer(line)
    ]


def extra_findings(file: str, text: str, extras: frozenset[str]) -> list[Finding]:
    """Extras in an instruction to install (``headstart[a,b]`` or ``.[a]``) that do not exist."""
    return [
        Finding(file, number, name, f"no such extra; there are {', '.join(sorted(extras))}")
        for number, line in enumerate(text.splitlines(), start=1)
        for found in EXTRAS_OF_HEADSTART.finditer(line)
        for name in found.group(1).split(",")
        if name not in extras
    ]


def repository_files() -> Iterator[tuple[str, str]]:
    """(path, text) of each text file that is in the repository or would be added to it."""
    # In a container the checkout often belongs to another user, which git refuses by default.
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    command += ["--cached", "--others", "--exclude-standard"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for file in sorted(set(run.stdout.split("\0")) - {""}):
        path = ROOT / file
        content = path.read_bytes() if path.is_file() else b"\0"
        if b"\0" not in content:
            yield file, content.decode("utf-8", errors="replace")


def project() -> dict[str, Any]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)["project"]
    return table


def test_no_file_names_a_machine_or_a_registry() -> None:
    files = dict(repository_files())
    assert "pyproject.toml" in files
    found = [finding for file, text in files.items() for finding in machine_findings(file, text)]
    assert not found, listing(found)


def test_extras_in_the_docs_exist() -> None:
    extras = frozenset(project()["optional-dependencies"])
    pages = {
        file: text
        for file, text in repository_files()
        if file.endswith((".md", ".py", ".toml")) or file == "Makefile"
        if not file.startswith("tests/")
    }
    assert "pyproject.toml" in pages
    found = [f for file, text in pages.items() for f in extra_findings(file, text, extras)]
    assert not found, listing(found)


def test_all_is_every_extra_that_a_user_may_want() -> None:
    extras = project()["optional-dependencies"]
    (everything,) = extras["all"]
    named = set(re.findall(r"[a-z]+", everything.partition("[")[2]))
    assert named == set(extras) - {"all", "demo", "dev"}


def test_the_version_is_said_once() -> None:
    assert headstart.__version__ == project()["version"]


def test_the_changelog_knows_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = re.escape(project()["version"])
    assert re.search(rf"^## \[?({version}|Unreleased)\b", changelog, flags=re.MULTILINE)


def test_the_pins_fit_the_development_environment() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert len(pins) >= 50
    loose = [line for line in pins if not re.fullmatch(r"[a-z0-9._-]+==[\w.+!]+", line)]
    assert not loose, listing(loose)
    pinned = {_normal(pin.partition("==")[0]) for pin in pins}
    extras = project()["optional-dependencies"]
    asked = project()["dependencies"] + [
        requirement for extra in ("train", "demo", "dev") for requirement in extras[extra]
    ]
    names = {_normal(re.split(r"[<>=!~\[; ]", requirement)[0]) for requirement in asked}
    assert names - {"headstart"} <= pinned, f"not pinned: {sorted(names - pinned)}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize(
    "text",
    [
        "pip install --index-url https://" + _DOT.join(("pypi", "org")) + "/simple",
        "https://files." + _DOT.join(("pythonhosted", "org")),
        "data lies in /" + "work/data",
        "cache = /" + "root/.cache",
        "'/" + "home/someone/photos'",
        "(/" + "Users/someone/photos)",
    ],
)
def test_a_machine_or_a_registry_is_found(text: str) -> None:
    (finding,) = machine_findings("README.md", f"first line\n{text}\n")
    assert (finding.file, finding.line) == ("README.md", 2)


@pytest.mark.parametrize(
    "text",
    ["src/work/a", "../work/a", "https://example.com/work/a", "/workshop/a", "the /home page"],
)
def test_what_belongs_anywhere_is_let_through(text: str) -> None:
    assert not machine_findings("README.md", text)


def test_a_missing_extra_is_found() -> None:
    text = "pip install 'headstart[train,torch]'\npip install -e '.[dev]'\nx[0] a.b[c]"
    (finding,) = extra_findings("README.md", text, frozenset({"train", "dev"}))
    assert str(finding) == "README.md:1: torch: no such extra; there are dev, train"
