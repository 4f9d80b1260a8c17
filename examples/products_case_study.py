"""A case study: categories of products, inference over all neighbours, embeddings of every layer and maps of them.

The settings are those of a published case study of GraphSAGE on ogbn-products: three layers of width 256 with dropout
0.5, fan-outs of 15, 10 and 5, batches of 1,024, Adam at 0.003 for 20 epochs, no validation in between. The model is
saved; it is loaded again to compute embeddings of all three layers, over all neighbours and layer by layer.

    python examples/products_case_study.py                              # images of digits, which come with gnnkit
    python examples/products_case_study.py --dataset facebook_large --backend pyg
    python examples/products_case_study.py --dataset ogbn-products      # needs pip install 'gnnkit[ogb]'
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np
import torch
from common import EpochLines, launch, options, out_folder
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

import gnnkit
from gnnkit.data import Graph
from gnnkit.inference import open_run, write_embeddings
from gnnkit.report.maps import project, sample_nodes

NEIGHBOURS = 10
MOST_NAMES = 10


def category_names(graph: Graph) -> Sequence[str]:
    """Names of the categories, or their numbers where the data have no names."""
    return graph.class_names or [str(number) for number in range(graph.num_classes)]


def show_categories(graph: Graph, most: int = 10) -> None:
    """Print the largest categories by name."""
    assert graph.y is not None
    counts = torch.bincount(graph.y[graph.y >= 0], minlength=graph.num_classes)
    for category in counts.argsort(descending=True)[:most].tolist():
        print(f"  {int(counts[category]):9,}  {category_names(graph)[category]}")


def purity(embeddings: Tensor, y: Tensor) -> float:
    """Mean share of a node's nearest neighbours, by embedding, that are of its category."""
    near = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(embeddings.numpy()).kneighbors(return_distance=False)
    return float((y[torch.from_numpy(near)] == y[:, None]).double().mean())


def draw_maps(points: Mapping[int, np.ndarray], y: Tensor, names: Sequence[str], file: Path) -> None:
    """Draw a map for every layer side by side, coloured by category, as a PNG; the rarer categories share a grey."""
    shown: List[int] = torch.bincount(y).argsort(descending=True)[:MOST_NAMES].tolist()
    figure = Figure(figsize=(5 * len(points), 5.8), layout="constrained")
    for axes, (layer, places) in zip(figure.subplots(1, len(points), squeeze=False)[0], points.items()):
        axes.scatter(*places.T, s=4, color="0.8", linewidths=0)
        for category in shown:
            axes.scatter(*places[y == category].T, s=4, linewidths=0, label=names[category])
        axes.set(title=f"layer {layer}", xticks=[], yticks=[])
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, markerscale=4)
    FigureCanvasAgg(figure)
    figure.savefig(file, dpi=120)


def main(argv: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Train, load, embed, draw; returns metrics and the purity of every layer."""
    parser = options(__doc__ or "")
    parser.add_argument("--points", type=int, default=3000, help="nodes on the maps  [default: %(default)s]")
    given = parser.parse_args(argv)
    graph = gnnkit.load_dataset(given.dataset, data_dir=given.data_dir, seed=given.seed)
    print(graph)
    show_categories(graph)
    folder = out_folder(given, "products_case_study")
    epochs = given.epochs or 20
    model = gnnkit.build_model("sage", graph, seed=given.seed, hidden_channels=256, num_layers=3, dropout=0.5)
    trainer = gnnkit.Trainer(
        given.backend,
        given.device,
        seed=given.seed,
        run_dir=folder,  # Where the model is saved.
        callbacks=[EpochLines()],
        fanouts=[15, 10, 5],
        batch_size=1024,
        lr=0.003,
        weight_decay=0.0,
        epochs=epochs,
        evaluation="layerwise",
        eval_every=epochs,
    )
    result = trainer.fit(model, graph)
    print(f"test {result.metric} {result.test[result.metric]:.4f}")

    run = open_run(folder, graph=graph, device=given.device)  # On any backend, in another process as well.
    nodes = sample_nodes(graph, given.points)
    embeddings = run.embed(nodes)
    write_embeddings(embeddings, nodes, folder / "embeddings.npy")
    assert graph.y is not None
    y = graph.y[nodes]
    found = {layer: purity(values, y) for layer, values in embeddings.items()}
    for layer, share in found.items():
        width = embeddings[layer].shape[1]
        print(f"layer {layer}, width {width}: {share:.1%} of the {NEIGHBOURS} nearest are of the same category")
    points, methods = {}, set()
    for layer, values in embeddings.items():
        points[layer], method = project(values)
        methods.add(method)
    draw_maps(points, y, category_names(graph), folder / "maps.png")
    print(f"maps by {', '.join(sorted(methods))}: {folder / 'maps.png'}")
    return {"test": result.test[result.metric], "purity": found}


if __name__ == "__main__":
    launch(main)
