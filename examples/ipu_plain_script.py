"""A PopTorch script as people write them: a graph convolutional network on Cora. There is no line of gnnkit in it.

It runs on an IPU with the Poplar SDK, and on any other machine on gnnkit's emulator, unchanged:

    python -m gnnkit_ipu.emulate examples/ipu_plain_script.py --root FOLDER

FOLDER is PyTorch Geometric's: the files of Cora lie in FOLDER/Cora/raw, or are downloaded into it.
"""

from __future__ import annotations

import argparse
from typing import Dict, List, Tuple

import poptorch
import torch
import torch.nn.functional as F  # noqa: N812
from poptorch_geometric.dataloader import DataLoader
from torch_geometric.datasets import Planetoid
from torch_geometric.nn import GCNConv
from torch_geometric.transforms import AddSelfLoops, Compose, NormalizeFeatures
from tqdm import tqdm


class Net(torch.nn.Module):
    """Two convolutions; the loss is part of the model, because the IPU makes whole steps.

    Self-loops lie in the data: a layer that adds them changes the number of edges.
    """

    def __init__(self, num_features: int, num_classes: int, hidden: int = 16) -> None:
        super().__init__()
        self.first = GCNConv(num_features, hidden, add_self_loops=False)
        self.second = GCNConv(hidden, num_classes, add_self_loops=False)

    def forward(self, x, edge_index, y=None, train_mask=None):
        """Log-probabilities [N, C]; in training the loss over the training nodes as well."""
        h = F.dropout(self.first(x, edge_index).relu(), training=self.training)
        out = F.log_softmax(self.second(h, edge_index).relu(), dim=1)
        if not self.training:
            return out
        # Rows cannot be picked by a mask, as their number is not fixed; nll_loss leaves out what is labelled -100.
        return out, F.nll_loss(out, torch.where(train_mask, y, -100))


def load(root: str) -> Planetoid:
    """Cora, with rows of features that add up to 1, and self-loops."""
    return Planetoid(root, "Cora", transform=Compose([NormalizeFeatures(), AddSelfLoops()]))


def train(model: Net, dataset: Planetoid, options: poptorch.Options, epochs: int) -> List[torch.Tensor]:
    """Train on the whole graph; the loss of every step."""
    model.train()
    loader = DataLoader(dataset, batch_size=1)
    optimizer = poptorch.optim.Adam(model.parameters(), lr=0.001)
    training = poptorch.trainingModel(model, options, optimizer=optimizer)
    losses = []
    bar = tqdm(range(epochs))
    for epoch in bar:
        for batch in loader:
            _, loss = training(batch.x, batch.edge_index, y=batch.y, train_mask=batch.train_mask)
            bar.set_description(f"epoch {epoch} loss {loss:.6f}")
            losses.append(loss)
    training.detachFromDevice()
    return losses


def evaluate(model: Net, dataset: Planetoid, options: poptorch.Options) -> Dict[str, float]:
    """Accuracy by split, from a second program over the same weights."""
    model.eval()
    inference = poptorch.inferenceModel(model, options=options)
    data = dataset[0]
    right = inference(data.x, data.edge_index).argmax(dim=1) == data.y
    inference.detachFromDevice()
    masks = {"validation": data.val_mask, "test": data.test_mask}
    return {name: int(right[mask].sum()) / int(mask.sum()) for name, mask in masks.items()}


def main() -> Tuple[List[torch.Tensor], Dict[str, float]]:
    """Train, then look at the accuracy."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default="data")
    parser.add_argument("--cache", default="executables")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    dataset = load(given.root)
    torch.manual_seed(given.seed)
    model = Net(dataset.num_features, dataset.num_classes)
    options = poptorch.Options().enableExecutableCaching(given.cache).randomSeed(given.seed)
    losses = train(model, dataset, options, given.epochs)
    accuracies = evaluate(model, dataset, options)
    print(f"loss {losses[0]:.6f} -> {losses[-1]:.6f}")
    for name, accuracy in accuracies.items():
        print(f"{name} accuracy {accuracy:.2%}")
    return losses, accuracies


if __name__ == "__main__":
    losses, accuracies = main()
