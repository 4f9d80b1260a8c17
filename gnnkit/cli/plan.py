"""``gnnkit plan``: what sizes batches should be padded to on a device with fixed shapes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple

import typer

from gnnkit.cli.configuring import SETTINGS, run_config, takes_flags
from gnnkit.cli.output import output_file, print_json, print_table, reports_errors

if TYPE_CHECKING:
    from gnnkit.loading import Packing, PaddingPlan

EXAMPLE = "Example: gnnkit plan --dataset facebook_large --model sage --fanouts 10,10 --batch-size 1024"


@reports_errors
@takes_flags("dataset", "data_dir", "task", "model", "layers", "fanouts", "batch_size", "seed")
def plan(
    *,
    settings: Optional[List[str]] = SETTINGS,
    flags: Dict[str, Any],
    overflow_rate: Optional[float] = typer.Option(None, help="Share of batches that may be too large.  [default: 0]"),
    batches: int = typer.Option(256, help="Number of batches to sample."),
    picture: Path = typer.Option(Path("plan.png"), help="PNG file for the histograms."),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON instead."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Sample batches and propose fixed sizes with little padding and few batches that do not fit."""
    from gnnkit.tasks import task_class

    picture = output_file(picture)
    flags["train"]["overflow_rate"] = overflow_rate
    config = run_config(settings, flags)
    if task_class(config.task).level == "graphs":
        packing = plan_bins(config)
        _show_bins(packing, _calls(config, len(packing.bins)), json)
        return
    proposal, per_epoch = make_plan(config, batches)
    plot_plan(proposal, picture)
    values = {**_summary(proposal, per_epoch, picture), **_calls(config, per_epoch)}
    if json:
        print_json(values)
    else:
        _show(proposal, values)


def make_plan(config: Any, num_batches: int) -> Tuple[PaddingPlan, int]:
    """Plan for the training batches of a run; also how many batches an epoch has.

    Args:
        config: As :func:`gnnkit.train.load_config` gives it.
        num_batches: How many batches to sample.
    """
    from gnnkit.loading import plan_padding
    from gnnkit.tasks import make_task
    from gnnkit.train.assembling import load_data, make_model
    from gnnkit.train.loaders import computed_graph, training_loader

    settings = config.train.resolved(config.model.num_layers)
    graph = load_data(config)
    task = make_task(config.task, graph, config.task_options)  # Says what is missing for a training.
    spec = make_model(config, graph, config.backend).spec
    labelled = task.labelled(graph)
    computed = computed_graph(labelled, spec.prepare(labelled), spec, settings.precision)
    loader = training_loader(computed, spec, task, settings, config.seed, static_shapes=True)
    rate, epochs = settings.overflow_rate, settings.planned_epochs
    return plan_padding(loader, overflow_rate=rate, num_batches=num_batches, epochs=epochs), len(loader)


def plan_bins(config: Any) -> Packing:
    """Bins for the training graphs of a run about whole graphs.

    Args:
        config: As :func:`gnnkit.train.load_config` gives it.
    """
    from gnnkit.loading import graph_sizes, propose_bins
    from gnnkit.tasks import make_task
    from gnnkit.train.assembling import load_data

    settings = config.train.resolved(config.model.num_layers, static_shapes=True, level="graphs")
    graph = load_data(config)
    task = make_task(config.task, graph, config.task_options)
    graphs = task.items(graph, "train").ids
    return propose_bins(graph_sizes(graph)[graphs.numpy()], settings.batch_size)


def _show_bins(packing: Packing, calls: Dict[str, int], json: bool) -> None:
    from gnnkit.loading import pad_to_maximum

    spec, alone = packing.spec, pad_to_maximum(packing.sizes)
    values = {
        "num_nodes": spec.num_nodes[0],
        "num_edges": spec.num_edges[0],
        "num_graphs": spec.num_graphs,
        "batches_per_epoch": len(packing.bins),
        "nodes_filled_percent": round(100 * packing.efficiency, 2),
        "edges_filled_percent": round(100 * packing.edge_efficiency, 2),
        "nodes_filled_alone_percent": round(100 * alone.efficiency, 2),
        **calls,
    }
    if json:
        print_json(values)
        return
    assert spec.num_graphs is not None, "it is of graphs"
    graphs_filled = 100 * len(packing.sizes) / len(packing.bins) / spec.num_graphs
    rows = [
        ["nodes", f"{values['num_nodes']:,}", f"{values['nodes_filled_percent']:.1f}"],
        ["edges", f"{values['num_edges']:,}", f"{values['edges_filled_percent']:.1f}"],
        ["graphs", f"{values['num_graphs']:,}", f"{graphs_filled:.1f}"],
    ]
    print_table("Proposed bins", ["", "slots", "filled in %"], rows)
    expected = [
        ["batches an epoch", f"{len(packing.bins):,}{_in_calls(calls, len(packing.bins))}"],
        ["one graph a batch", f"{len(alone.bins):,} batches, {values['nodes_filled_alone_percent']:.1f}% of the nodes"],
    ]
    print_table("What to expect", ["", ""], expected)


def _calls(config: Any, per_epoch: int) -> Dict[str, int]:
    """How many batches a call takes with the run's device options, and how many fill up the last call of an epoch."""
    from gnnkit.backends import load_backend
    from gnnkit.devices import choose_device

    if not config.device_options:
        return {}
    device = choose_device(config.device, load_backend(config.backend), config.device_options)
    per_call = type(device).batches_per_call(config.device_options)
    device.close()
    return {"batches_per_call": per_call, "batches_filled_up": -per_epoch % per_call}


def plot_plan(proposal: PaddingPlan, file: Path) -> None:
    """Draw a histogram of every size over the sampled batches, with the proposed size, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from gnnkit.io.files import replacing

    spec = proposal.spec
    columns = spec.num_blocks + 1
    figure = Figure(figsize=(3.2 * columns, 5), layout="constrained")
    axes = figure.subplots(2, columns, squeeze=False)
    axes[1][-1].axis("off")  # There is a block less than there are levels.
    for i, (name, room) in enumerate(zip(spec.names, spec.values)):
        place = axes[i // columns][i % columns]
        place.hist(proposal.sizes[:, i], bins=24)
        place.axvline(room - 1, color="C3", linestyle="--", label=f"largest that fits: {room - 1:,}")
        place.set(xlabel=name, ylabel="batches" if i % columns == 0 else "")
        place.legend(frameon=False, fontsize="small")
    FigureCanvasAgg(figure)
    with replacing(file) as temporary:
        figure.savefig(temporary, format="png")


def _summary(proposal: PaddingPlan, per_epoch: int, picture: Path) -> Dict[str, Any]:
    spec = proposal.spec
    return {
        "num_nodes": list(spec.num_nodes),
        "num_edges": list(spec.num_edges),
        "waste_percent": {name: round(100 * waste, 2) for name, waste in zip(spec.names, proposal.waste)},
        "expected_overflow": proposal.expected_overflow,
        "bytes_per_batch": proposal.bytes_per_batch,
        "batches_per_epoch": per_epoch,
        "batches_sampled": len(proposal.sizes),
        "is_exact": proposal.is_exact,
        "picture": str(picture),
    }


def _in_calls(values: Mapping[str, Any], per_epoch: int) -> str:
    if "batches_per_call" not in values:
        return ""
    if per_epoch < values["batches_per_call"]:
        return f"; a call takes {values['batches_per_call']:,}, so that a run is refused"
    filled = values["batches_filled_up"]
    last = f", the last filled up with {filled} without targets" if filled else ", all of them full"
    return f", in calls of {values['batches_per_call']:,}{last}"


def _show(proposal: PaddingPlan, values: Dict[str, Any]) -> None:
    spec, sizes = proposal.spec, proposal.sizes
    rows = []
    for i, (name, room) in enumerate(zip(spec.names, spec.values)):
        waste = values["waste_percent"][name]
        rows.append([name, f"{room:,}", f"{sizes[:, i].mean():,.0f}", f"{sizes[:, i].max():,}", f"{waste:.1f}"])
    print_table("Proposed sizes", ["", "padded to", "mean", "largest", "waste in %"], rows)
    looked_at = "all of the training" if proposal.is_exact else "sampled"
    expected = f"{100 * proposal.expected_overflow:.1f}% of batches ({looked_at}: {len(sizes):,})"
    print_table(
        "What to expect",
        ["", ""],
        [
            ["batches an epoch", f"{values['batches_per_epoch']:,}{_in_calls(values, values['batches_per_epoch'])}"],
            ["overflow", expected],
            ["memory per batch", f"{proposal.bytes_per_batch / 2**20:,.2f} MiB, without activations"],
            ["histograms", values["picture"]],
        ],
    )
