"""The support table: what the emulator says about every PyG layer, beside what is documented.

Rules: a layer is judged twice: as a user meets it, where the documented table is looked up first, and by its shapes and
operators alone. Where the second judgement differs from the documents, the table says why.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, NamedTuple

import torch
from torch import nn

from . import layers
from .errors import RestrictionError
from .layers import LayerSupport, support_table
from .structure import map_tensors
from .support_cases import CASES, INPUTS, Case
from .tracing import trace

ACCEPTED, REFUSED, MISSING = "accepted", "refused", "not tried"

_STATIC = "Its shapes are fixed and each operator has a lowering; what fails on a chip is not visible here."
#: Why the judgement by shapes alone differs from the documents.
EXPLANATIONS: Dict[str, str] = {
    "SuperGATConv": "Tried in inference. In training it draws negative edges, whose number varies.",
    "DenseGATConv": "The documents leave it open. " + _STATIC,
    "HeteroBatchNorm": "The documents refuse it without a reason. " + _STATIC,
    "HeteroLayerNorm": "The documents refuse it without a reason. " + _STATIC,
    "dense_diff_pool": "A function, not looked up by name; refused in the documents without a reason. " + _STATIC,
}


class Judgement(NamedTuple):
    """What was found for one layer.

    Attributes:
        row: The documented support.
        met: With the table: "accepted", "refused" or "not tried".
        alone: The same by shapes and operators alone.
        reason: Message of a refusal, or what is missing.
    """

    row: LayerSupport
    met: str
    alone: str
    reason: str

    @property
    def agrees(self) -> bool:
        """Whether shapes and operators alone lead to the documented status."""
        return self.alone == MISSING or (self.alone == ACCEPTED) == (self.row.status == "Supported")


class _Use(nn.Module):
    """A layer or function with its settings."""

    def __init__(self, used: Any, settings: Dict[str, Any]) -> None:
        super().__init__()
        self.used = used
        self.settings = settings

    def forward(self, *inputs: Any) -> Any:
        """Call it."""
        return self.used(*inputs, **self.settings)


@contextmanager
def _without_table() -> Iterator[None]:
    looked_up = layers.support_table
    layers.support_table = dict  # type: ignore[assignment]
    try:
        yield
    finally:
        layers.support_table = looked_up


def _try(case: Case) -> List[str]:
    import torch_geometric.nn as g

    try:
        use = _Use(case.make(g), case.settings).eval()
        inputs = map_tensors(torch.clone, [INPUTS[name] for name in case.inputs])
        trace(use, tuple(inputs), {}, training=False)
    except RestrictionError as error:
        return [REFUSED, f"restriction {error.number}: {str(error).split('): ', 1)[1].split(' [/')[0].split('. ')[0]}"]
    except (ImportError, AttributeError) as error:
        return [MISSING, str(error).splitlines()[0]]
    return [ACCEPTED, ""]


def judge(name: str) -> Judgement:
    """Judge one layer of the documented table.

    Args:
        name: Class or function of PyG.
    """
    row = support_table()[name]
    if name not in CASES:
        return Judgement(row, MISSING, MISSING, "no case: needs hardware or a library of its own, or is no layer")
    met, _ = _try(CASES[name])
    with _without_table():
        alone, reason = _try(CASES[name])
    return Judgement(row, met if alone != MISSING else MISSING, alone, reason)


def support_markdown() -> str:
    """Text of the documentation's page on supported layers."""
    import torch_geometric

    found = [judge(name) for name in support_table()]
    tried = [j for j in found if j.alone != MISSING]
    agreeing = sum(j.agrees for j in tried)
    lines = [
        "# Layers of PyTorch Geometric on an IPU",
        "",
        f"Made by a test with torch {torch.__version__.split('+')[0]} and PyG {torch_geometric.__version__}. "
        "*Documented* is PopTorch Geometric 3.4's own table. *Emulator* is what a user meets: the documented table is "
        "looked up first, then the model is compiled with fixed shapes. *Alone* is the second half by itself; it "
        f"agrees with the documents for {agreeing} of the {len(tried)} rows that could be tried. No run on hardware "
        "was made: *accepted* means consistent with the documented restrictions.",
        "",
    ]
    section = ""
    for j in found:
        if j.row.section != section:
            section = j.row.section
            lines += [
                "",
                f"## {section}",
                "",
                "| layer | documented | emulator | alone | remark |",
                "|---|---|---|---|---|",
            ]
        note = " ".join(
            part
            for part in (
                j.row.note.strip("* ").replace("``", "`").replace(" * ", "; "),
                f"({j.reason})" if j.reason else "",
                "" if j.agrees else f"**Differs**: {explain(j)}",
            )
            if part
        )
        lines.append(f"| {j.row.name} | {j.row.status} | {j.met} | {j.alone} | {note.replace('|', '/')} |")
    return "\n".join(lines) + "\n"


def explain(judgement: Judgement) -> str:
    """Why shapes and operators alone lead to another result than the documents; empty if that is not known."""
    if judgement.alone == ACCEPTED:
        return EXPLANATIONS.get(judgement.row.name, _STATIC)
    return EXPLANATIONS.get(judgement.row.name, "")
