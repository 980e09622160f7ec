"""Engines that run an exported graph; each knows nothing of tasks."""

from __future__ import annotations

from typing import Protocol

from headstart.types import ImageArray, Outputs


class Backend(Protocol):
    """Runs a graph on batches of preprocessed pictures."""

    def run(self, batch: ImageArray) -> Outputs:
        """Runs a batch. May be called by several threads at once.

        Args:
            batch: (n, height, width, 3), uint8, RGB.

        Returns:
            The graph's named outputs, each (n, ...), float32.
        """
