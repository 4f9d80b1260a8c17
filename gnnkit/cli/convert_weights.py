"""``gnnkit convert-weights``: from a model of PyTorch Geometric or DGL to gnnkit or the other library, and back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Optional

import typer

from gnnkit.cli.output import output_file, print_json, print_table, reports_errors

if TYPE_CHECKING:
    from gnnkit.convert.conversion import Conversion

EXAMPLE = "Example: gnnkit convert-weights model.pt --from pyg --to dgl --conv sage --dataset cora --output dgl.pt"


@reports_errors
def convert_weights(
    file: Path = typer.Argument(..., help="State dict (torch.save or safetensors), or a gnnkit checkpoint."),
    source: str = typer.Option(..., "--from", help="Library of the given weights: pyg, dgl, gnnkit."),
    target: str = typer.Option("gnnkit", "--to", help="Library to convert to: gnnkit, pyg, dgl."),
    output: Path = typer.Option(..., help="File for the weights: *.safetensors, or *.pt for pyg and dgl."),
    conv: Optional[str] = typer.Option(None, help="gcn, sage, gat, gatv2, gin; not needed with --from gnnkit."),
    layers: Optional[str] = typer.Option(None, help="Prefixes of the layers, from input to output: conv1,conv2."),
    aggregation: Optional[str] = typer.Option(None, help="mean or max, for sage."),
    activation: str = typer.Option("relu", help="Activation between the layers: relu, elu."),
    dataset: str = typer.Option("digits", help="Graph on which the certificate is computed."),
    data_dir: Optional[str] = typer.Option(None, help="Folder to search first for its files."),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON instead."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Convert weights, and certify them: the largest difference of outputs before and after."""
    from gnnkit.convert import convert_weights, read_state_dict
    from gnnkit.convert.conversion import GNNKIT
    from gnnkit.runs import read_weights
    from gnnkit.train import load_config
    from gnnkit.train.assembling import load_data

    output, spec = output_file(output), None
    if source == GNNKIT:
        spec, state, _ = read_weights(file)
    else:
        state = read_state_dict(file)
    done = convert_weights(
        state,
        load_data(load_config(flags={"dataset": {"name": dataset, "data_dir": data_dir}})),
        source=source,
        target=target,
        conv=conv,
        layers=None if layers is None else layers.split(","),
        aggregation=aggregation,
        activation=activation,
        spec=spec,
    )
    write(done, output)
    if json:
        print_json(summary(done, output))
    else:
        _show(done, output)
    if not done.is_within:
        raise typer.Exit(1)


def write(done: Conversion, output: Path) -> None:
    """Write converted weights: a checkpoint of gnnkit, safetensors, or a file of ``torch.save``."""
    import safetensors.torch
    import torch

    from gnnkit.io.files import replacing
    from gnnkit.runs import save_weights

    if done.model is not None:
        save_weights(done.model, output)
        return
    with replacing(output) as temporary:
        if output.suffix == ".safetensors":
            tensors = {name: value.contiguous().clone() for name, value in done.state.items()}
            temporary.write_bytes(safetensors.torch.save(tensors))
        else:
            content = io.BytesIO()  # Into a file itself, torch says less about a disk that is full.
            torch.save(done.state, content)
            temporary.write_bytes(content.getbuffer())


def summary(done: Conversion, output: Path) -> Dict[str, Any]:
    """Plain values, as ``--json`` prints them."""
    return {
        "output": str(output),
        "layers": [{"name": name, **_layer(spec)} for name, spec in zip(done.layers, done.convs)],
        "difference": done.difference,
        "largest_output": done.largest_output,
        "is_within": done.is_within,
        "notes": done.notes,
    }


def _layer(spec: Any) -> Dict[str, Any]:
    values = {"kind": spec.kind, "in_channels": spec.in_channels, "out_channels": spec.out_channels}
    if spec.has_heads:
        values.update(heads=spec.heads, concat=spec.concat)
    return values


def _show(done: Conversion, output: Path) -> None:
    rows = []
    for name, spec in zip(done.layers, done.convs):
        heads = f"{spec.heads} {'concatenated' if spec.concat else 'averaged'}" if spec.has_heads else ""
        rows.append([name, spec.kind, str(spec.in_channels), str(spec.out_channels), heads])
    print_table("Layers", ["layer", "kind", "in", "out", "heads"], rows)
    verdict = "rounding" if done.is_within else "NOT rounding: the models compute different things"
    print(
        f"  certificate:  outputs differ by at most {done.difference:.1e} (largest output {done.largest_output:.2g}),"
    )
    print(f"                {verdict}")
    for note in done.notes:
        print(f"  note:         {note}")
    print(f"  weights:      {output}")
