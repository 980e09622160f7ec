"""The reference names everything that there is."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import tomllib

import pytest

import headstart
from docs.pages import DOCS, ROOT, generator, pages
from headstart import errors, jobs
from headstart.runtime.images import EXTENSIONS


def test_generated_pages_are_fresh() -> None:
    stale = [path.relative_to(ROOT).as_posix() for path in generator().stale_pages()]
    assert not stale, f"run `make docs`: {stale}"


def test_a_stale_page_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    written = generator().pages()
    path = next(iter(written))
    monkeypatch.setattr(generator(), "pages", lambda: {**written, path: written[path] + "more\n"})
    assert generator().stale_pages() == [path]


def test_every_command_and_option_is_in_the_reference() -> None:
    page = pages()["docs/reference/cli.md"]
    verbs = [
        path.stem.replace("_", "-")
        for path in sorted((ROOT / "src/headstart/cli").glob("[a-z]*.py"))
        if "\ndef register(" in path.read_text(encoding="utf-8")
    ]
    assert len(verbs) >= 3
    for verb in verbs:
        assert f"## headstart {verb}\n" in page
        section = page.partition(f"## headstart {verb}\n")[2].partition("\n## ")[0]
        # What the program itself prints, and not what the generator understood.
        run = subprocess.run(
            [sys.executable, "-m", "headstart", verb, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        options = set(re.findall(r"^  (--[a-z-]+)", run.stdout, flags=re.MULTILINE)) - {"--help"}
        assert options, verb
        missing = sorted(option for option in options if f"`{option}" not in section)
        assert not missing, f"{verb}: {missing}"


def test_every_public_function_and_parameter_is_in_the_reference() -> None:
    page = pages()["docs/reference/python.md"]
    functions = sorted(set(headstart.__all__) - {"__version__"})
    assert len(functions) >= 4
    for name in functions:
        section = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        parameters = inspect.signature(getattr(jobs, name)).parameters
        for parameter in parameters.values():
            shown = str(parameter.replace(annotation=parameter.empty)).replace(" = ", "=")
            assert shown in section, f"{name}: {shown}"


def test_every_error_is_in_the_reference() -> None:
    page = pages()["docs/reference/python.md"]
    names = [
        name
        for name, found in vars(errors).items()
        if inspect.isclass(found) and issubclass(found, errors.HeadstartError)
    ]
    assert len(names) >= 5
    assert not [name for name in names if f"`{name}`" not in page and f".{name}`" not in page]


def test_every_ending_is_in_the_conventions() -> None:
    page = pages()["docs/reference/conventions.md"]
    line = next(text for text in page.splitlines() if "these endings" in text)
    assert set(re.findall(r"`(\.[a-z]+)`", line)) == EXTENSIONS


def test_every_extra_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = pages()["docs/reference/installation.md"]
    section = page.partition("## Extras\n")[2].partition("\n## ")[0]
    extras = project["optional-dependencies"]
    assert len(extras) >= 3
    assert not [name for name in extras if f"`{name}`" not in section]


def test_extras_without_a_verb_are_imported_nowhere() -> None:
    page = pages()["docs/reference/installation.md"]
    line = next(text for text in page.splitlines() if text.startswith("No verb uses these yet"))
    unused = set(re.findall(r"`([a-z]+)`", line))
    modules = {
        "coreml": "coremltools",
        "executorch": "executorch",
        "heic": "pi_heif",
        "litert": "litert_torch",
        "openvino": "nncf",
        "ray": "ray",
        "serve": "fastapi",
    }
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")]
    imported = {
        extra
        for extra, module in modules.items()
        if any(re.search(rf"^ *(import|from) {module}\b", s, re.MULTILINE) for s in sources)
    }
    assert unused == modules.keys() - imported


def test_the_opset_is_the_exporters() -> None:
    package = ROOT / "src" / "headstart"
    modules = [path.relative_to(package).as_posix() for path in package.rglob("*.py")]
    found = [c.value for m in modules for c in generator().constants(m) if c.name == "OPSET"]
    assert len(found) == 1
    assert f"ONNX opset {found[0]} " in pages()["docs/reference/model-folder.md"]


def test_the_changelog_tells_about_the_verbs() -> None:
    changelog = pages()["CHANGELOG.md"]
    section = re.search(r"^## Unreleased\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    assert section is not None
    assert all(f"{verb}`" in section[1] for verb in ("train", "predict", "evaluate"))


def test_every_decision_is_listed() -> None:
    index = pages()["docs/decisions/README.md"]
    records = sorted(path.name for path in (DOCS / "decisions").glob("[0-9]*.md"))
    assert len(records) >= 6
    assert len({name[:4] for name in records}) == len(records), "two records have one number"
    assert not [name for name in records if f"({name})" not in index]
