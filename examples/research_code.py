"""gnnkit inside a loop of one's own: no Trainer, no run folder, an ordinary PyTorch module and optimiser.

The loop belongs to the reader. gnnkit gives the data, the sampler, the loader and the convolutions of any backend; what
is around them here is free: a head of its own, label smoothing, AdamW with a one-cycle schedule.

    python examples/research_code.py                                # images of digits, which come with gnnkit
    python examples/research_code.py --dataset facebook_large --backend dgl --epochs 12
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence

import torch
from common import launch, options
from torch import Tensor, nn
from torch.nn import functional

import gnnkit
from gnnkit.data import Batch, Graph, prepare_graph
from gnnkit.loading import NeighborLoader
from gnnkit.sampling import NeighborSampler

WIDTH, FANOUTS, BATCH_SIZE, EPOCHS = 64, [10, 10], 512, 15


class Net(nn.Module):
    """GraphSAGE as an encoder, then a head: a module like any other."""

    def __init__(self, graph: Graph, backend: str, seed: int) -> None:
        super().__init__()
        self.encoder = gnnkit.build_model(
            "sage", graph, backend=backend, seed=seed, out_channels=WIDTH, hidden_channels=WIDTH, dropout=0.3
        )
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, graph.num_classes)

    def forward(self, batch: Batch) -> Tensor:
        """Logits of the batch's targets, [batch, classes]."""
        h: Tensor = self.encoder(batch.blocks, batch.x)
        logits: Tensor = self.head(self.norm(h).relu())
        return logits


def make_loader(graph: Graph, split: str, fanouts: Sequence[int], seed: int) -> NeighborLoader:
    """The batches of a split: for training in a new order every epoch."""
    sampler = NeighborSampler(graph, fanouts, seed=seed)
    shuffle = split == "train"
    return NeighborLoader(graph, graph.splits[split], sampler, batch_size=BATCH_SIZE, shuffle=shuffle, seed=seed)


@torch.no_grad()
def accuracy(net: Net, loader: NeighborLoader, device: torch.device) -> float:
    """Share of a split's nodes that are classified rightly."""
    net.eval()
    hits = total = 0
    for batch in loader.epoch(0):
        batch = batch.to(device)
        assert batch.targets is not None and batch.targets.y is not None
        hits += int((net(batch).argmax(dim=1) == batch.targets.y).sum())
        total += batch.num_targets
    return hits / total


def main(argv: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Train and test; returns accuracies at the epoch of the best validation accuracy."""
    given = options(__doc__ or "").parse_args(argv)
    device = torch.device("cuda" if given.device != "cpu" and torch.cuda.is_available() else "cpu")
    torch.manual_seed(given.seed)
    graph = gnnkit.load_dataset(given.dataset, data_dir=given.data_dir, seed=given.seed)
    net = Net(graph, given.backend, given.seed).to(device)
    spec = net.encoder.spec  # Says what the convolution wants of the data: nothing for GraphSAGE.
    graph = prepare_graph(graph, self_loops=spec.self_loops, gcn_norm=spec.gcn_norm)
    train = make_loader(graph, "train", FANOUTS, given.seed)
    valid, test = (make_loader(graph, split, [-1, -1], given.seed) for split in ("valid", "test"))

    epochs = given.epochs or EPOCHS
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=epochs * len(train))
    best: Dict[str, Any] = {"valid": 0.0}
    for epoch in range(1, epochs + 1):
        net.train()
        losses = []
        for batch in train.epoch(epoch):
            batch = batch.to(device)
            assert batch.targets is not None and batch.targets.y is not None
            loss = functional.cross_entropy(net(batch), batch.targets.y, label_smoothing=0.1)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        score = accuracy(net, valid, device)
        print(f"epoch {epoch:3}  loss {sum(losses) / len(losses):.4f}  validation {score:.4f}", flush=True)
        if score > best["valid"]:
            best = {"epoch": epoch, "valid": score, "test": accuracy(net, test, device)}
    print(f"best epoch {best['epoch']}: test accuracy {best['test']:.4f}")
    return best


if __name__ == "__main__":
    launch(main)
