"""Tables of the results for the terminal and for the documentation."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.results import by_variant, final_accuracy, median_time_to

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"

Result = Mapping[str, Any]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def of_spread(values: Sequence[float], form: str) -> str:
    """The median, and the range when there are several."""
    middle = format(statistics.median(values), form)
    if len(values) == 1:
        return middle
    return f"{middle} ({format(min(values), form)} to {format(max(values), form)})"


def accuracy_table(result: Result) -> str:
    """One row for each peer and variant: final accuracy, seconds, time to the target, memory."""
    target = result["target"]
    rows = []
    for (peer, variant), runs in by_variant(result["runs"]).items():
        seconds, never = median_time_to(runs, target)
        stopped = sum(run["censored"] for run in runs)
        accuracies = [100 * final_accuracy(run) for run in runs if run["points"]]
        rows.append(
            [
                f"{peer}, {variant}",
                str(len(runs)),
                of_spread(accuracies, ".1f") if accuracies else "no epoch ended",
                of_spread([run["seconds"] for run in runs], ".0f")
                + (f", {stopped} stopped" if stopped else ""),
                f"{'>' if never else ''}{seconds:.0f}",
                of_spread([run["import_seconds"] for run in runs], ".1f"),
                of_spread([run["peak_bytes"] / 1e6 for run in runs], ".0f"),
            ]
        )
    reached = f"seconds to {target:.0%}"
    header = ["who", "runs", "accuracy, %", "seconds", reached, "import, s", "MB"]
    failed = sorted({f"{run['peer']}, {run['variant']}" for run in result["runs"] if run["error"]})
    note = f"\n\nFailed: {'; '.join(failed)}." if failed else ""
    return table(header, rows) + note + _stages(result)


def _stages(result: Result) -> str:
    """Where the time goes, for the peers that tell."""
    lines = []
    for (peer, variant), runs in by_variant(result["runs"]).items():
        told = [run["stages"] for run in runs if run["stages"]]
        if told:
            parts = [
                f"{name} {statistics.median(stages[name] for stages in told):.1f}"
                for name in told[0]
                if all(name in stages for stages in told)
            ]
            lines.append(f"- {peer}, {variant}: {', '.join(parts)}")
    return "\n\nWhere the time goes, in seconds:\n\n" + "\n".join(lines) if lines else ""


def figures_table(result: Result) -> str:
    """One row for each figure of a result that is not about accuracy."""
    rows = [
        [name, of_spread(found["values"], found["form"]), found["unit"]]
        for name, found in result["figures"].items()
    ]
    return table(["figure", "median (range)", "unit"], rows)


def checks_table(checks: Sequence[Mapping[str, Any]]) -> str:
    """One row for each thing that was promised."""
    rows = [
        [check["what"], check["promised"], check["found"], "yes" if check["kept"] else "**no**"]
        for check in checks
    ]
    return table(["promise", "at least or at most", "found", "kept"], rows)


def result_text(result: Result) -> str:
    """A result as a section of the page."""
    known = result["machine"]
    processor = " ".join([known["processor"], *known.get("instructions", ())])
    where = f"{processor}, {known['cores']} cores, {known['memory_gb']} GB"
    parts = [
        f"### {result['name']}",
        f"`{result['command']}` on {where}, {result['date']}.",
        result.get("note", ""),
        accuracy_table(result) if "runs" in result else figures_table(result),
        checks_table(result["checks"]) if result.get("checks") else "",
    ]
    return "\n\n".join(part for part in parts if part)


def write_page(page: Path, results: Path) -> int:
    """Writes the tables of all result files into a page, between its two marks.

    Returns:
        The number of results.
    """
    paths = sorted(results.glob("*.json"))
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    whole = [result for result in found if not result.get("quick")]
    text = "\n\n".join(result_text(result) for result in whole) or "No results yet."
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
    return len(whole)
