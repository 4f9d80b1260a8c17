"""Small graphs on an IPU, padded: batches of the same number of molecules, each brought to one size.

A PopTorch script without a line of gnnkit in it. It learns whether a molecule of MUTAG is mutagenic.

    python -m gnnkit_ipu.emulate examples/ipu_padded_graphs.py --root FOLDER

FOLDER is PyTorch Geometric's: the files of MUTAG lie in FOLDER/MUTAG/raw, or are downloaded into it.
"""

from __future__ import annotations

import argparse
from typing import List

import poptorch
import torch
import torch.nn.functional as F  # noqa: N812
from poptorch_geometric import FixedSizeDataLoader, FixedSizeOptions
from torch_geometric.datasets import TUDataset
from torch_geometric.nn import GINConv, global_add_pool


class Net(torch.nn.Module):
    """Two GIN layers, a sum over each graph, and the loss over graphs that are no padding."""

    def __init__(self, num_features: int, num_classes: int, num_graphs: int, hidden: int = 32) -> None:
        super().__init__()
        self.num_graphs = num_graphs
        self.first = GINConv(self.mlp(num_features, hidden))
        self.second = GINConv(self.mlp(hidden, hidden))
        self.out = torch.nn.Linear(hidden, num_classes)

    @staticmethod
    def mlp(num_in: int, num_out: int) -> torch.nn.Module:
        """What GIN computes of each sum."""
        return torch.nn.Sequential(torch.nn.Linear(num_in, num_out), torch.nn.ReLU(), torch.nn.Linear(num_out, num_out))

    def forward(self, x, edge_index, batch, y=None, graphs_mask=None):
        """Class scores of every graph; in training the loss as well."""
        h = self.first(x, edge_index).relu()
        h = self.second(h, edge_index).relu()
        # The number of graphs is given, as it could only be read from values otherwise.
        scores = self.out(global_add_pool(h, batch, size=self.num_graphs))
        if not self.training:
            return scores
        return scores, F.cross_entropy(scores, torch.where(graphs_mask, y, -100))


def main() -> List[float]:
    """Train, and look at the accuracy on graphs that were held out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default="data")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--graphs", type=int, default=16, help="graphs of a batch, one of padding among them")
    given = parser.parse_args()

    torch.manual_seed(0)
    dataset = TUDataset(given.root, "MUTAG").shuffle()
    # A last batch that is not full is dropped, or an error: what is held out fills its batches.
    num_held_out = 3 * (given.graphs - 1)
    training_graphs, held_out = dataset[num_held_out:], dataset[:num_held_out]
    # Sizes such that any graphs of the data set fit, with a node and an edge to spare for padding.
    sizes = FixedSizeOptions.from_dataset(dataset, given.graphs)
    print(sizes)
    loader = FixedSizeDataLoader(training_graphs, given.graphs, shuffle=True, fixed_size_options=sizes)
    used = sum(int(batch.nodes_mask.sum()) for batch in loader) / (len(loader) * sizes.num_nodes)
    print(f"{len(loader)} batches an epoch, {1 - used:.1%} of all node slots are padding")

    model = Net(dataset.num_features, dataset.num_classes, given.graphs).train()
    optimizer = poptorch.optim.Adam(model.parameters(), lr=0.01)
    training, losses = poptorch.trainingModel(model, poptorch.Options(), optimizer=optimizer), []
    for _ in range(given.epochs):
        total = 0.0
        for batch in loader:
            _, loss = training(batch.x, batch.edge_index, batch.batch, y=batch.y, graphs_mask=batch.graphs_mask)
            total += float(loss) / len(loader)
        losses.append(total)
    training.detachFromDevice()

    model.eval()
    inference = poptorch.inferenceModel(model, poptorch.Options())
    right = number = 0
    for batch in FixedSizeDataLoader(held_out, given.graphs, fixed_size_options=sizes):
        scores = inference(batch.x, batch.edge_index, batch.batch)
        right += int((scores.argmax(dim=1) == batch.y)[batch.graphs_mask].sum())
        number += int(batch.graphs_mask.sum())
    inference.detachFromDevice()
    print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f}, {right} of {number} held-out graphs are right")
    return losses


if __name__ == "__main__":
    losses = main()
