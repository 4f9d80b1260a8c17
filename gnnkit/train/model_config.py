"""The section "model" of a configuration, and the specification that it stands for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Iterable, Mapping, Optional

from gnnkit.engine.heuristics import is_heuristic
from gnnkit.errors import ConfigError
from gnnkit.nn import ModelSpec, conv_kinds, convolution, settled_settings


@dataclass
class ModelConfig:
    """Which model; what is not described here is described at :class:`gnnkit.nn.ModelSpec`.

    Attributes:
        name: A standard convolution, which brings defaults of its own for the settings below and for training; a layer
            of the backend's library, such as "torch_geometric.nn:ResGatedGraphConv"; or one of these for each layer:
            "gat,gcn" or [gat, gcn]. The heuristics "common_neighbors", "adamic_adar" and "resource_allocation" are
            judged as they are, without training.
        out_channels: Number of outputs per node, which tasks without classes leave open: the width of embeddings. None:
            one for each class.
        embedding_channels: Width of learnt embeddings, one for every node of data without features. None: features are
            read; data without are refused, or get embeddings as wide as ``hidden_channels`` where the task says so.
        edge_features: Whether convolutions that can read edge features do so where the data have them.
    """

    name: Any = "gcn"
    out_channels: Optional[int] = None
    embedding_channels: Optional[int] = None
    hidden_channels: int = 64
    num_layers: int = 2
    dropout: float = 0.5
    input_dropout: float = 0.0
    activation: str = "relu"
    norm: str = "none"
    residual: bool = False
    jumping_knowledge: str = "none"
    edge_features: bool = True
    encoder_channels: Optional[int] = None
    pooling: str = "none"
    virtual_node: bool = False
    head_layers: int = 1
    relational: str = "none"
    conv_options: Dict[str, Any] = field(default_factory=dict)

    def check_learns(self) -> None:
        """Refuse a heuristic where a model is to be built.

        Raises:
            ConfigError: It is one.
        """
        if is_heuristic(self.name):
            raise ConfigError(
                f"Model {self.name!r} is a heuristic and learns nothing, and this is for models that are trained. "
                "'gnnkit run' judges it, and so does gnnkit.train.judge_heuristic."
            )

    def sketch(self) -> ModelSpec:
        """The specification as far as it is known without data, widths of which are 1."""
        self.check_learns()
        return ModelSpec.from_dict({**sketched_settings(asdict(self)), "in_channels": 1})


def settled_model(values: Mapping[str, Any], preset: Mapping[str, Any], given: Mapping[str, Any]) -> Dict[str, Any]:
    """The section "model" with its defaults in place of settings without effect.

    Args:
        values: The section, options of convolutions under ``conv_options``.
        preset: Defaults of the model.
        given: What the user gave, in which options may stand among the settings.

    Raises:
        ConfigError: A value cannot be used, or the user gave one without effect.
    """
    settled = settled_settings({**sketched_settings(values), "in_channels": 1}, preset, given, owner="model.")
    return {**values, **{name: settled[name] for name in values if name in settled and name != "out_channels"}}


def sketched_settings(values: Mapping[str, Any]) -> Dict[str, Any]:
    """The section "model" as fields of :class:`ModelSpec`, where there are no data yet: widths of theirs are 1."""
    settings = {**values, "out_channels": values["out_channels"] or 1}
    kinds = conv_kinds(settings.pop("name"))
    del settings["edge_features"], settings["embedding_channels"]
    needs_edges = any(convolution(kind).needs_edges for kind in ([kinds] if isinstance(kinds, str) else kinds))
    categories = (1,) if settings["virtual_node"] and settings["encoder_channels"] is None else ()
    known = {"edge_channels": 1 if needs_edges else None, "node_categories": categories}
    return {"conv": kinds, **known, **settings}


def model_settings(spec: ModelSpec, *, keep_outputs: bool = False) -> Dict[str, Any]:
    """A model's specification as the section "model" of a configuration: without what the data decide.

    Args:
        spec: The specification.
        keep_outputs: Whether the number of outputs is a setting, too, because the data do not decide it.
    """
    values = spec.to_dict()
    width = values.pop("in_channels")
    del values["node_categories"]
    values.setdefault("relational", "none")
    values.pop("typed", None)
    values["embedding_channels"] = None if values.pop("num_embeddings") is None else width
    could_read = any(conv.reads_edges for conv in spec.convolutions)
    values["edge_features"] = values.pop("edge_channels") is not None or not could_read
    if not keep_outputs:
        del values["out_channels"]
    return {"name": values.pop("conv"), **values}


def joined_sections(sections: Iterable[Mapping[str, Any]]) -> Dict[str, Any]:
    """Sections as one; of what stands under the same name, the last counts."""
    joined: Dict[str, Any] = {}
    for section in sections:
        options = {**joined.get("conv_options", {}), **section.get("conv_options", {})}
        joined.update({**section, "conv_options": options})
    return joined
