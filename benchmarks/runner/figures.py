"""Figures of the small benchmarks: several values of each, as text or as JSON."""

from __future__ import annotations

import json
import statistics
import sys
from typing import Any


class Figures:
    """Named figures, each with the values of all rounds."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}

    def add(self, name: str, value: float, unit: str, form: str = ".1f") -> None:
        """Adds the value of one round."""
        entry = self.found.setdefault(name, {"values": [], "unit": unit, "form": form})
        entry["values"].append(value)

    def median(self, name: str) -> float:
        """The median of all rounds so far."""
        return float(statistics.median(self.found[name]["values"]))

    def merge(self, others: dict[str, dict[str, Any]]) -> None:
        """Adds the values of another set of figures."""
        for name, entry in others.items():
            for value in entry["values"]:
                self.add(name, value, entry["unit"], entry["form"])

    def show(self, *, as_json: bool) -> None:
        """Prints one line a figure, or one line of JSON."""
        if as_json:
            sys.stdout.write(json.dumps(self.found) + "\n")
            return
        for name, entry in self.found.items():
            shown = ", ".join(format(value, entry["form"]) for value in entry["values"])
            middle = format(self.median(name), entry["form"])
            sys.stdout.write(f"{name:<44} {middle:>8} {entry['unit']:<12} ({shown})\n")
