"""``gnnkit export``: the model of a trained run as a program that needs no gnnkit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Optional

import typer

from gnnkit.cli.inferring import Asked
from gnnkit.cli.output import print_json, print_table, reports_errors
from gnnkit.errors import ConfigError
from gnnkit.paths import user_path

EXAMPLE = "Example: gnnkit export runs/20240101-120000-cora-gcn-pyg --format onnx --output model.onnx"


@reports_errors
def export(
    run: str = Asked.run,
    output: Path = typer.Option(..., help="File for the program: *.pt2 or *.onnx."),
    format: Optional[str] = typer.Option(
        None, help="torch (a torch.export program), onnx.  [default: from the file name]"
    ),
    backend: Optional[str] = typer.Option(
        None, help="Backend whose layers are exported: reference, pyg.  [default: the run's]"
    ),
    data_dir: Optional[str] = Asked.data_dir,
    force: bool = Asked.force,
    json: bool = Asked.json,
    debug: bool = Asked.debug,
) -> None:
    """Export the best model of a run for graphs of any size, and compare it with the model."""
    from gnnkit.inference import export_program, open_run
    from gnnkit.inference.writing import check_output
    from gnnkit.tasks import TripleHead

    check_output(user_path(output), force)
    opened = open_run(run, backend=backend, device="cpu", data_dir=data_dir, precision="float32")
    head = opened.pair_head if opened.learned.level == "edges" else None
    if isinstance(head, TripleHead):
        raise ConfigError(
            "Models of knowledge graphs cannot be exported. Write the embeddings with 'gnnkit embed'; the parameters "
            "of relations are 'task.relation' in the run's checkpoint."
        )
    done = export_program(opened.model, opened.graph, output, format, head=head, learned=opened.learned, force=force)
    rows = [
        ["format", done.format],
        ["model", f"{opened.model.spec.name} on backend {opened.model.backend.name}"],
        ["inputs", ", ".join(done.inputs)],
        ["largest difference", f"{done.difference:.1e} from the model, on {' and '.join(done.checked)}"],
    ]
    print_table("Exported program", ["", ""], rows)
    print(f"  output:  {done.file}")
    if json:
        print_json({**asdict(done), "file": str(done.file), "inputs": list(done.inputs), "checked": list(done.checked)})
