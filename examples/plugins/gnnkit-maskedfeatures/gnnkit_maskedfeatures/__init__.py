"""A task for gnnkit: embeddings by reconstructing the features of hidden nodes."""

__version__ = "0.1.0"
