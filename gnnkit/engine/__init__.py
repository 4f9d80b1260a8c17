"""Evaluation: the outputs of a model for nodes of a graph, whole, layer by layer or sampled."""

from gnnkit.engine.inference import FullGraphInference, Inference, LayerwiseInference, SampledInference

__all__ = [
    "FullGraphInference",
    "Inference",
    "LayerwiseInference",
    "SampledInference",
]
