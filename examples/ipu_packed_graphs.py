"""Small graphs on an IPU, packed: batches of one size that take as many molecules as fit.

A PopTorch script without a line of gnnkit in it. It trains the model of ipu_padded_graphs.py and wastes less.

    python -m gnnkit_ipu.emulate examples/ipu_packed_graphs.py --root FOLDER

FOLDER is PyTorch Geometric's: the files of MUTAG lie in FOLDER/MUTAG/raw, or are downloaded into it.
"""

from __future__ import annotations

import argparse
from typing import List

import poptorch
import torch
from ipu_padded_graphs import Net
from poptorch_geometric import FixedSizeDataLoader, FixedSizeOptions, FixedSizeStrategy
from torch_geometric.datasets import TUDataset


def sizes_for(dataset: TUDataset, num_graphs: int) -> FixedSizeOptions:
    """Room for the mean of so many graphs, and for the largest one, with one of each to spare for padding."""
    nodes, edges = ([getattr(graph, name) for graph in dataset] for name in ("num_nodes", "num_edges"))
    means = (num_graphs * sum(each) // len(each) + 1 for each in (nodes, edges))
    largest = (max(each) + num_graphs for each in (nodes, edges))
    return FixedSizeOptions(*map(max, means, largest), num_graphs=num_graphs)


def packed(dataset: TUDataset, sizes: FixedSizeOptions, shuffle: bool) -> FixedSizeDataLoader:
    """A loader that goes to the next batch when a graph does not fit into the one at hand."""
    strategy = FixedSizeStrategy.StreamPack
    return FixedSizeDataLoader(
        dataset, sizes.num_graphs, shuffle, fixed_size_options=sizes, fixed_size_strategy=strategy
    )


def main() -> List[float]:
    """Train, and look at the accuracy on graphs that were held out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default="data")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--graphs", type=int, default=24, help="most graphs of a batch, one of padding among them")
    given = parser.parse_args()

    torch.manual_seed(0)
    dataset = TUDataset(given.root, "MUTAG").shuffle()
    training_graphs, held_out = dataset[38:], dataset[:38]
    sizes = sizes_for(dataset, given.graphs)
    batches = list(packed(training_graphs, sizes, shuffle=False))
    used = sum(int(batch.nodes_mask.sum()) for batch in batches) / (len(batches) * sizes.num_nodes)
    print(sizes)
    print(f"{len(batches)} batches an epoch, {1 - used:.1%} of all node slots are padding")

    model = Net(dataset.num_features, dataset.num_classes, given.graphs).train()
    optimizer = poptorch.optim.Adam(model.parameters(), lr=0.01)
    training, losses = poptorch.trainingModel(model, poptorch.Options(), optimizer=optimizer), []
    for _ in range(given.epochs):
        total = graphs = 0.0
        for batch in packed(training_graphs, sizes, shuffle=True):
            _, loss = training(batch.x, batch.edge_index, batch.batch, y=batch.y, graphs_mask=batch.graphs_mask)
            number = int(batch.graphs_mask.sum())
            total, graphs = total + float(loss) * number, graphs + number
        losses.append(total / graphs)
    training.detachFromDevice()

    model.eval()
    inference = poptorch.inferenceModel(model, poptorch.Options())
    right = 0
    for batch in packed(held_out, sizes, shuffle=False):  # Every graph, as a packed batch is never partial.
        scores = inference(batch.x, batch.edge_index, batch.batch)
        right += int((scores.argmax(dim=1) == batch.y)[batch.graphs_mask].sum())
    inference.detachFromDevice()
    print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f}, {right} of {len(held_out)} held-out graphs are right")
    return losses


if __name__ == "__main__":
    losses = main()
