"""Writes the generated pages of docs/reference, and the transcript of the README.

Usage: python scripts/docs.py [--check | --transcript]

Without an option it writes the pages. ``--check`` writes nothing and fails when one is stale.
``--transcript`` trains on drawn leaves (about a minute) and puts what was printed into README.md.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import tokenize
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel, BeforeValidator

from headstart import config
from headstart.cli import main as command_line

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "headstart"
REFERENCE = ROOT / "docs" / "reference"
NOTICE = "<!-- Written by scripts/docs.py from the code: change the code and run `make docs`. -->"

EXPLAINED = (
    ("tasks/protocol.py", "head"),
    ("runtime/preprocess.py", "Preprocess"),
    ("training/module.py", "PhaseSettings"),
)
"""Docstrings that explain settings which need no comment in the configuration."""

HIDDEN = frozenset({"LIVE_FROM", "PLAIN", "SHOWN_ROWS", "THUMBNAIL"})
"""Numbers that no result depends on."""

PARSED = {
    config.parse_duration: "seconds, or a number with `s`, `m` or `h`",
    config.parse_group: "a column, `folder:N`, `name:REGEX` or `burst:SECONDS`",
    config.parse_pair: "`I,J`",
    config.parse_size: "`N` or `HxW`",
    config.path_as_text: "`FILE`, or `NAME=FILE,...`",
    config.parse_bytes: "bytes, or a number with `kB`, `MB`, `GB` or `TB`",
}
"""What settings look like that are read from text."""

VALUES = {int: "N", float: "F", str: "TEXT", Path: "PATH"}
TRANSCRIPT = re.compile(
    r"(<!-- transcript -->\n```console\n).*?(```\n<!-- /transcript -->)", re.DOTALL
)
COMMANDS = (
    "headstart train leaves/",
    "headstart predict runs/leaves/model new/",
    "headstart predict runs/leaves/model new/0.jpg --json",
    "headstart evaluate runs/leaves/model leaves/",
)


def main() -> int:
    """Writes, or checks, the pages; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="fail when a page is stale")
    mode.add_argument("--transcript", action="store_true", help="run the README's commands")
    arguments = parser.parse_args()
    if arguments.transcript:
        write_transcript(ROOT / "README.md")
        return 0
    if arguments.check:
        stale = stale_pages()
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale: run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


def pages() -> Mapping[Path, str]:
    """Text of every generated page, by its path."""
    return {
        REFERENCE / "cli.md": cli_page(),
        REFERENCE / "configuration.md": configuration_page(),
    }


def stale_pages() -> list[Path]:
    """The pages that differ from what the code says now."""
    return [
        path
        for path, text in pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


# The command line


@dataclasses.dataclass(frozen=True)
class Parameter:
    """An argument or an option of a verb.

    Attributes:
        name: as typed: ``DATA`` or ``--out``.
        value: what follows the name; empty for a switch and for an argument.
        help: the help text.
        required: whether the verb fails without it.
    """

    name: str
    value: str
    help: str
    required: bool

    @property
    def is_option(self) -> bool:
        """Whether it is an option."""
        return self.name.startswith("-")


@dataclasses.dataclass(frozen=True)
class Verb:
    """One command."""

    name: str
    help: str
    examples: tuple[str, ...]
    parameters: tuple[Parameter, ...]


def verbs() -> tuple[Verb, ...]:
    """Every verb of the command line, in the order of the alphabet.

    Read from the functions that typer is given, and not from what it makes of them: that differs
    between its versions.
    """
    app = typer.Typer()
    for module in command_line.verb_modules().values():
        module.register(app)
    found = []
    for command in app.registered_commands:
        if command.callback is None:
            raise ValueError(f"the command {command.name} has no function")
        examples = [line.strip() for line in (command.epilog or "").splitlines()]
        found.append(
            Verb(
                name=command.name or command.callback.__name__,
                help=inspect.getdoc(command.callback) or "",
                examples=tuple(line for line in examples if line.startswith("headstart ")),
                parameters=tuple(parameters(command.callback)),
            )
        )
    return tuple(sorted(found, key=lambda verb: verb.name))


def parameters(function: Callable[..., Any]) -> Iterator[Parameter]:
    """Arguments and options of a function, as typer understands its signature."""
    hints = typing.get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        kind, info = typing.get_args(hints[name])[:2]
        is_option = isinstance(info, typer.models.OptionInfo)
        plain = next((k for k in (*typing.get_args(kind), kind) if k is not type(None)), kind)
        several = typing.get_origin(kind) is list
        text = info.help or ""
        if is_option and parameter.default not in (None, False) and "[default" not in text:
            text += f"  [default: {parameter.default}]"
        yield Parameter(
            name=option_name(name, info) if is_option else name.upper() + ("..." * several),
            value="" if plain is bool or not is_option else info.metavar or VALUES[plain],
            help=text,
            required=parameter.default is inspect.Parameter.empty,
        )


def option_name(name: str, info: Any) -> str:
    """The name on the command line; typer keeps an explicit one where a default would stand."""
    given = [text for text in (info.default, *(info.param_decls or ())) if isinstance(text, str)]
    return next((text for text in given if text.startswith("-")), f"--{name.replace('_', '-')}")


def cli_page() -> str:
    """``docs/reference/cli.md``."""
    lines = [
        "# Command line",
        "",
        NOTICE,
        "",
        "`headstart VERB --help` prints the same on the terminal; `headstart --version` prints the",
        "version. `python -m headstart` is the same program.",
        "",
        "Results go to standard output; sentences and progress bars go to standard error.",
        "",
        "| exit status | meaning |",
        "|---|---|",
        "| 0 | done; `predict` also when some, but not all, pictures could not be read |",
        (
            f"| {command_line.USERS_MISTAKE} | a mistake in the input: one line on standard error "
            "says which, and what to do |"
        ),
        (
            f"| {command_line.OUR_DEFECT} | a defect of headstart: please report it with the lines "
            "that were printed |"
        ),
        "| 130 | stopped with Ctrl-C |",
        "",
        "| environment variable | meaning |",
        "|---|---|",
        (
            "| `HEADSTART_CACHE` | folder for what can be computed again: file hashes, decoded "
            "pictures, stored views; else the user's cache folder |"
        ),
        (
            "| `HEADSTART_STATE` | folder for what must not be lost: the split ledger; else the "
            "user's data folder |"
        ),
    ]
    for verb in verbs():
        lines += ["", *verb_lines(verb)]
    return "\n".join(lines) + "\n"


def verb_lines(verb: Verb) -> list[str]:
    """The section of one verb."""
    arguments = [p for p in verb.parameters if not p.is_option]
    options = [p for p in verb.parameters if p.is_option]
    usage = " ".join(["headstart", verb.name, "[OPTIONS]", *(p.name for p in arguments)])
    lines = [f"## headstart {verb.name}", "", verb.help, "", "```text", usage, "```", ""]
    lines += ["| argument | meaning |", "|---|---|"]
    lines += [f"| `{p.name}` | {cell(p.help)} |" for p in arguments]
    lines += ["", "| option | meaning |", "|---|---|"]
    for option in options:
        shown = f"{option.name} {option.value}".strip().replace("|", "\\|")
        note = "  [required]" if option.required else ""
        lines.append(f"| `{shown}` | {cell(option.help)}{note} |")
    return [*lines, "", "Examples:", "", "```console", *(f"$ {e}" for e in verb.examples), "```"]


def cell(text: str) -> str:
    """Text that may stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("``", "`")


# The configuration


def configuration_page() -> str:
    """``docs/reference/configuration.md``."""
    settings, options = config.TrainConfig, config.DatasetOptions
    return "\n".join(
        [
            "# Configuration",
            "",
            NOTICE,
            "",
            "## Settings of a run",
            "",
            "A setting is given as a flag of `headstart train`, as a keyword argument of",
            "`headstart.train`, or as a line of the YAML file that `--config` names; a flag wins",
            "over the file. Settings without a flag are set in the file or from Python. All",
            "mistakes are reported at once. The values that a run used are in its `config.yaml`,",
            "which can be given to `--config` again.",
            "",
            "`None` leaves the choice to the plan, which settles it before training starts and",
            "prints it; what the plan takes is shown after the arrow where it is one number.",
            "",
            "| setting | flag | default | allowed | meaning |",
            "|---|---|---|---|---|",
            *setting_rows(settings),
            "",
            f"## {config.DATASET_FILE}",
            "",
            f"`{config.DATASET_FILE}` lies in the folder of the pictures, or beside the CSV file.",
            "Every line is optional.",
            "",
            "| setting | allowed | meaning |",
            "|---|---|---|",
            *option_rows(options),
            "",
            "## Fixed numbers",
            "",
            "No setting changes these. They are listed because a result depends on them.",
            "",
            "| name | value | meaning |",
            "|---|---|---|",
            *constant_rows(),
            "",
        ]
    )


def setting_rows(model: type[BaseModel]) -> Iterator[str]:
    """One row a setting of a run."""
    train = next(verb for verb in verbs() if verb.name == "train")
    flags = {p.name.lstrip("-").replace("-", "_").lower(): p for p in train.parameters}
    notes = meanings(model)
    planned = {c.name: c.value for c in constants("training/plan.py")}
    for name, field in model.model_fields.items():
        flag = flags.get(name)
        default = "required" if field.is_required() else f"`{default_text(field.default)}`"
        if field.default is None and (choice := planned_value(name, planned)):
            default += f" → `{choice}`"
        note = notes.get(name) or (flag.help.partition("[default")[0] if flag else "")
        shown = f"`{flag.name}`" if flag else ""
        allowed = allowed_text(field.annotation, field.metadata)
        yield f"| `{name}` | {shown} | {default} | {allowed} | {cell(note)} |"


def planned_value(name: str, planned: Mapping[str, str]) -> str:
    """What the plan takes: its constant DEFAULT_ and the setting's name, or the end of the name."""
    words = name.upper().split("_")
    names = ["_".join(words[at:]) for at in range(len(words))]
    return next((planned[f"DEFAULT_{n}"] for n in names if f"DEFAULT_{n}" in planned), "")


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """What fields mean: the comments above them, else the docstrings where their values end up."""
    found = {}
    for file, owner in EXPLAINED:
        found.update(docstring_entries(PACKAGE / file, owner))
    comments = field_comments(PACKAGE / "config.py", model.__name__)
    found.update({name: text for name, text in comments.items() if text})
    return {name: text[0].upper() + text[1:] for name, text in found.items()}


def docstring_entries(path: Path, owner: str) -> dict[str, str]:
    """The entries ``name: text`` of a docstring's sections Attributes and Args."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == owner:
            text = ast.get_docstring(node) or ""
            entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", text, flags=re.MULTILINE)
            return {name: " ".join(words.split()) for name, words in entries}
    raise ValueError(f"{path.name} has no {owner}")


def default_text(value: Any) -> str:
    """A default as a person would write it."""
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def option_rows(model: type[BaseModel]) -> Iterator[str]:
    """One row an option of a data set."""
    used = used_names(model)
    notes = field_comments(PACKAGE / "config.py", model.__name__)
    for name, field in model.model_fields.items():
        note = notes.get(name, "")
        if name not in used:
            note = f"{note} Accepted, and has no effect in this version.".strip()
        yield f"| `{name}` | {allowed_text(field.annotation, ())} | {cell(note)} |"


def used_names(model: type[BaseModel]) -> set[str]:
    """Fields that some module reads, under the name that all of them give the object."""
    found: set[str] = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "options":
                found.add(node.attr)
    return found & model.model_fields.keys()


def allowed_text(annotation: Any, metadata: Sequence[Any]) -> str:
    """Types and limits in words."""
    if any(isinstance(item, BeforeValidator) for item in metadata):
        parser = next(item.func for item in metadata if isinstance(item, BeforeValidator))
        return PARSED[parser]
    parts = [part for part in (annotation, *typing.get_args(annotation)) if limits_of(part)]
    limits = [text for part in (metadata, *(limits_of(p) for p in parts)) for text in signs(part)]
    return cell(" ".join([choices_of(annotation), ", ".join(limits)]).strip())


def limits_of(annotation: Any) -> Sequence[Any]:
    """Constraints that stand inside ``Annotated``."""
    found: list[Any] = []
    for item in getattr(annotation, "__metadata__", ()):
        found += getattr(item, "metadata", [item])
    return found


def signs(constraints: Sequence[Any]) -> Iterator[str]:
    """``≥ 1`` and so on."""
    for constraint in constraints:
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            limit = getattr(constraint, name, None)
            if limit is not None:
                yield f"{sign} {limit:,}"


def choices_of(annotation: Any) -> str:
    """The type of a setting in words; None is left out, because it means "not given"."""
    arguments = [a for a in typing.get_args(annotation) if a is not type(None)]
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if typing.get_origin(annotation) is tuple:
        return tuple_text(annotation)
    if arguments:
        return " or ".join(choices_of(a) for a in dict.fromkeys(arguments) if not_metadata(a))
    words = {int: "whole number", float: "number", str: "text", Path: "path", bool: "true or false"}
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))


def tuple_text(annotation: Any) -> str:
    """A tuple in words."""
    arguments = typing.get_args(annotation)
    if arguments[-1] is Ellipsis:
        return f"list of {choices_of(arguments[0])}"
    return f"{len(arguments)} times {choices_of(arguments[0])}"


def not_metadata(argument: Any) -> bool:
    """Whether an argument of ``Annotated`` or a union is a type."""
    return isinstance(argument, type) or typing.get_origin(argument) is not None


def field_comments(path: Path, owner: str) -> dict[str, str]:
    """The comment lines straight above each field of a class, joined, by the field's name."""
    source = path.read_text(encoding="utf-8")
    comments = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and node.name == owner:
            for item in node.body:
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                    above = []
                    line = item.lineno - 1
                    while line in comments:
                        above.insert(0, comments[line])
                        line -= 1
                    found[item.target.id] = " ".join(above)
    return found


@dataclasses.dataclass(frozen=True)
class Constant:
    """A number of a module, with the docstring or the comment that explains it."""

    name: str
    value: str
    note: str


def constant_rows() -> Iterator[str]:
    """One row for each number of the package that has a docstring."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).as_posix()
        for constant in constants(module):
            where = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            note = cell(constant.note)
            if note and constant.name not in HIDDEN:
                yield f"| `{constant.name}` | {constant.value} | {note} (`{where}`) |"


def constants(module: str) -> list[Constant]:
    """Upper-case numbers, texts and tables of numbers at the top level of a module."""
    source = (PACKAGE / module).read_text(encoding="utf-8")
    body = ast.parse(source).body
    found = []
    for at, node in enumerate(body):
        for name, value in assigned(node):
            if name.isupper() and not name.startswith("_") and is_number(value):
                following = body[at + 1] if at + 1 < len(body) else None
                found.append(Constant(name, shown_value(value), docstring_of(following)))
    return found


def assigned(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """(name, value) of an assignment."""
    if isinstance(node, ast.AnnAssign) and node.value and isinstance(node.target, ast.Name):
        yield node.target.id, node.value
    elif isinstance(node, ast.Assign):
        yield from ((t.id, node.value) for t in node.targets if isinstance(t, ast.Name))


def is_number(node: ast.expr) -> bool:
    """Whether an expression consists of numbers only, perhaps in a dictionary."""
    if isinstance(node, ast.Dict):
        return all(is_number(value) for value in node.values)
    if isinstance(node, ast.BinOp):
        return is_number(node.left) and is_number(node.right)
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def shown_value(node: ast.expr) -> str:
    """The value as a reader wants it: ``train 0.7, val 0.2, test 0.1``."""
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return ", ".join(f"{ast.literal_eval(k)} {ast.unparse(v)}" for k, v in pairs if k)
    return ast.unparse(node)


def docstring_of(node: ast.stmt | None) -> str:
    """The text when a statement is a bare string, else nothing."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return str(node.value.value)
    return ""


# The transcript


def write_transcript(readme: Path) -> None:
    """Runs the commands in a folder of their own and puts what they print into the page."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        subprocess.run([sys.executable, ROOT / "scripts" / "leaves.py"], cwd=place, check=True)
        environment = {
            **os.environ,
            "HEADSTART_CACHE": str(place / "cache"),
            "HEADSTART_STATE": str(place / "state"),
            "COLUMNS": "200",
        }
        shown = ["$ python scripts/leaves.py\n"]
        for command in COMMANDS:
            program = [sys.executable, "-m", *shlex.split(command)]
            run = subprocess.run(
                program,
                cwd=place,
                env=environment,
                text=True,
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            shown.append(f"$ {command}\n{run.stdout}")
    text = readme.read_text(encoding="utf-8")
    if not TRANSCRIPT.search(text):
        raise ValueError(f"{readme.name} has no block between <!-- transcript --> marks")
    block = "\n".join(shown)
    readme.write_text(TRANSCRIPT.sub(lambda m: m[1] + block + m[2], text), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
