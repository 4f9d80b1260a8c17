"""Learn a knowledge graph: embeddings of words, DistMult, ranks of the answers, and what the model would answer.

Run as ``python examples/wn18rr.py``, with the files of WN18RR (``--data-dir``), or with ``--synthetic`` without data.
"""

from __future__ import annotations

import argparse
from typing import Dict, Optional, Sequence

import torch

import gnnkit
from gnnkit.data import Graph, add_reverses, from_typed, split_edges


def family(num: int = 60) -> Graph:
    """A synthetic knowledge graph: a ring in which "next" and "twice" follow from one another."""
    nodes = torch.arange(num)
    edges = {
        ("node", name, "node"): torch.stack([nodes, (nodes + step) % num])
        for name, step in (("next", 1), ("twice", 2), ("thrice", 3))
    }
    return split_edges(add_reverses(from_typed(edges, name="ring")), negatives=False)


def main(arguments: Optional[Sequence[str]] = None) -> Dict[str, float]:
    """Train, and return the test metrics."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--synthetic", action="store_true", help="a small graph that is made here")
    parser.add_argument("--data-dir", help="where the files of WN18RR are")
    parser.add_argument("--backend", default="reference")
    parser.add_argument("--head", default="distmult", help="distmult, complex, transe or rotate")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--width", type=int, default=256)
    told = parser.parse_args(arguments)
    graph = family() if told.synthetic else gnnkit.load_dataset("wn18rr", data_dir=told.data_dir)
    model = gnnkit.build_model(
        "embedding", graph, out_channels=told.width, embedding_channels=told.width, input_dropout=0.4
    )
    trainer = gnnkit.Trainer(
        told.backend,
        "cpu",
        task="knowledge_graph",
        task_options={"head": told.head, "head_dropout": 0.3, "num_negatives": min(2048, graph.num_nodes)},
        epochs=told.epochs,
        batch_size=64 if told.synthetic else 1024,
        lr=0.02 if told.synthetic else 0.004,
        schedule="cosine",
        eval_every=5,
    )
    result = trainer.fit(model, graph)
    for name, value in result.test.items():
        print(f"test {name}: {value:.4f}")
    return result.test


if __name__ == "__main__":
    main()
