"""The model card: what a person must know before using the model."""

from __future__ import annotations

from collections.abc import Mapping

from headstart.runtime.model_folder import ModelDescription
from headstart.types import Split


def model_card(description: ModelDescription, name: str, counts: Mapping[Split, int]) -> str:
    """Markdown, made only of facts that the run knows.

    Args:
        description: of the model.
        name: of the run.
        counts: pictures by side of the split.
    """
    details = description.details
    height, width = description.preprocess.size
    rows = []
    for metric, entry in details["test"]["metrics"].items():
        interval = ""
        if entry["low"] is not None:
            interval = f"{entry['low']:.4g} to {entry['high']:.4g}"
        rows.append(f"| {metric} | {entry['value']:.4g} | {interval} |")
    agreement = details["agreement"]
    return "\n".join(
        [
            f"# {name}",
            "",
            (
                f"A model for {description.task}, made with headstart "
                f"{details['headstart_version']} on the backbone {description.backbone}."
            ),
            "",
            "## Scores",
            "",
            (
                f"On {details['test']['n_images']} test pictures that were used neither for "
                "training nor for any choice, from the original files through `model.onnx`:"
            ),
            "",
            "| metric | value | 95 % interval |",
            "|---|---|---|",
            *rows,
            "",
            "## Data",
            "",
            ", ".join(f"{count} pictures on the {side} side" for side, count in counts.items())
            + ".",
            "",
            "## Input and output",
            "",
            f"`model.onnx` takes `image`: uint8, RGB, (n, {height}, {width}, 3), resized by the "
            f"rule '{description.preprocess.resize}'; normalisation is inside the graph. It gives "
            + ", ".join(f"`{output}`" for output in description.outputs)
            + ". `golden/` holds inputs with the expected outputs.",
            "",
            (
                f"Checked by {agreement['checked_by']} on {agreement['n_images']} pictures: "
                f"largest difference from the network {agreement['max_difference']:.1e}, "
                f"agreement of the answers {agreement['answers']:.2%}."
            ),
            "",
            "## Licence",
            "",
            (
                f"Pretrained weights: {details['weights']['license']} "
                f"({details['weights']['source']}). The training pictures have their own terms."
            ),
            "",
        ]
    )
