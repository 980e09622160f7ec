"""How far the outputs of two engines lie apart, over any number of batches."""

from __future__ import annotations

import numpy as np

from headstart.types import Outputs


class Differences:
    """Collects what ``compare`` sees.

    Attributes:
        largest: difference of a value, relative to its size where that is above 1.
    """

    def __init__(self) -> None:
        self.largest = 0.0
        self._sums: dict[str, list[float]] = {}

    def compare(self, found: Outputs, expected: Outputs) -> None:
        """Takes the outputs of one batch.

        Raises:
            ValueError: an output is missing, has another shape, or is not finite.
        """
        missing = sorted(expected.keys() - found.keys())
        if missing:
            raise ValueError(f"the output {missing[0]!r} is missing")
        for name, wanted in expected.items():
            if found[name].shape != wanted.shape:
                shapes = f"{found[name].shape[1:]} instead of {wanted.shape[1:]}"
                raise ValueError(f"the output {name!r} has the shape {shapes}")
            if not np.isfinite(found[name]).all():
                raise ValueError(f"the output {name!r} is not finite")
            apart, size = np.abs(found[name] - wanted), np.abs(wanted)
            self.largest = max(self.largest, float((apart / np.maximum(1.0, size)).max()))
            sums = self._sums.setdefault(name, [0.0, 0.0])
            sums[0] += float(apart.sum(dtype=np.float64))
            sums[1] += float(size.sum(dtype=np.float64))

    @property
    def shift(self) -> float:
        """Sum of all differences of an output as a share of the sum of its sizes.

        Of the output where that is largest. Noise of few bits is small in it, another constant is
        not. NaN where nothing was compared.
        """
        return max((apart / (size or 1.0) for apart, size in self._sums.values()), default=np.nan)
