"""The splits of the solar cells for which every cell tests once."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import demo  # type: ignore[import-not-found]


def test_every_cell_tests_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [
        (f"cell{at}.png", float(at % 3 == 0), "mono" if at % 2 else "poly") for at in range(480)
    ]
    monkeypatch.setattr(demo, "read_cells", lambda: cells)
    monkeypatch.setattr(demo, "DATA", tmp_path)
    tested: Counter[str] = Counter()
    for number in range(4):
        with demo.write_fold(number, 4).open(encoding="utf-8", newline="") as table:
            rows = list(csv.DictReader(table))
        assert [row["image"] for row in rows] == [image for image, _, _ in cells]
        test = [row for row in rows if row["split"] == "test"]
        tested.update(row["image"] for row in test)
        # A quarter of every label and module type.
        assert Counter(row["label"] for row in test) == {"defective": 40, "functional": 80}
        assert sum(row["split"] == "val" for row in rows) == 36
    assert tested == Counter(image for image, _, _ in cells)
