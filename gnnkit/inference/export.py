"""Exported programs: a model as one file that runs without gnnkit, and without the library that computed it.

Rules: a program takes a prepared graph of any size (features, edges with the self-loops that the convolution asks for,
GCN weights, edge features), because preparation belongs to data; of a typed graph features by node type and edges by
relation. A file is kept only if what it computes equals the model on graphs other than the one it was made with.
"""

from __future__ import annotations

import copy
import io
import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

import torch
from torch import Tensor

from gnnkit.backends import Backend, move_model
from gnnkit.data import Block, Graph, check_graph, full_block
from gnnkit.data.check import MOST_CHECKED as MOST_VALUES
from gnnkit.errors import CapabilityError, ConfigError, NotInstalledError
from gnnkit.inference.programs import AnyProgram, Inputs, make_program, random_graph, tried_inputs
from gnnkit.inference.typed_programs import (
    TypedProgram,
    check_typed,
    random_typed_inputs,
    typed_inputs,
    typed_outputs,
    typed_sizes,
)
from gnnkit.inference.writing import check_output
from gnnkit.io.files import replacing
from gnnkit.nn import GNN, check_edge_features, check_node_inputs
from gnnkit.nn.failures import OUT_OF_MEMORY
from gnnkit.paths import PathLike, user_path
from gnnkit.runs import Learned
from gnnkit.runs.learned import match_graph
from gnnkit.strict_json import to_json
from gnnkit.tasks import PairHead

FORMATS = {"torch": ".pt2", "onnx": ".onnx"}
"""A ``torch.export`` program, and ONNX, with the ends of their files' names."""

TOLERANCE = 1e-4
"""Largest difference of outputs, absolute up to 1 and relative to the largest output beyond."""

MOST_CHECKED = 1 << 24
"""Values of features, and edges, up to which a program is checked on the caller's graph, too."""

METADATA = "gnnkit"
"""Where an exported file says what it is: an extra file of a ``torch.export`` program, a property of an ONNX one."""

Run = Callable[[Inputs], Tensor]

Case = Tuple[Inputs, Tensor]
"""Inputs of a program, and what the model makes of them."""


@dataclass(frozen=True)
class Exported:
    """What an export gave.

    Attributes:
        file: The program.
        format: "torch" or "onnx".
        inputs: Names of its inputs, in their order.
        difference: Largest difference between its outputs and the model's, relative to the largest output where that
            is above 1.
        checked: The graphs on which they were compared, in words.
    """

    file: Path
    format: str
    inputs: Tuple[str, ...]
    difference: float
    checked: Tuple[str, ...]


def export_program(
    model: GNN,
    graph: Graph,
    file: PathLike,
    format: Optional[str] = None,
    *,
    head: Optional[PairHead] = None,
    learned: Optional[Learned] = None,
    force: bool = False,
) -> Exported:
    """Write a model as a program for graphs of any size, and compare it with the model.

    The program computes the outputs of all nodes, ``[N, out_channels]``, of a typed graph by node type; of all graphs,
    ``[G, out_channels]``, where the model pools; or with a head those of pairs, ``[n, C]``. It takes what
    :func:`program_inputs` gives. It is compared on random graphs, and on the caller's if that is small.

    Args:
        model: Trained, on a backend that can be exported.
        graph: Not prepared; says which inputs the model has, and is one to compare on.
        file: Where to: ``*.pt2`` or ``*.onnx``.
        format: "torch" for a ``torch.export`` program, which ``torch.export.load(file).module()`` makes a function of
            the inputs by name; or "onnx". None: as the file's name says.
        head: What scores pairs, :attr:`TrainedRun.pair_head`; it becomes part of the program. None for models of nodes.
        learned: What outputs mean and features are called, :attr:`TrainedRun.learned`. The program says it in its
            metadata. None: it says nothing, because a graph cannot tell what a model was trained on.
        force: Replace a file that exists.

    Returns:
        What was written, with the largest difference.

    Raises:
        ConfigError: No such format, or the file's name is of another; the file exists; or the features are others than
            the model's.
        DataError: The graph breaks a rule.
        CapabilityError: The backend or the installed torch cannot export the model, or the program computes something
            else; no file is written.
        NotInstalledError: For ONNX: onnx, onnxscript or onnxruntime is missing.
    """
    path = user_path(file)
    format = _format(path, format)
    _check_possible(model, format)
    if model.spec.typed is not None:
        check_typed(model, graph, format, head)
    check_output(path, force)
    check_graph(graph, most_values=MOST_VALUES)
    if learned is not None:
        graph, _ = match_graph(graph, learned, model.spec.out_channels)
    check_node_inputs(model.spec, graph)
    check_edge_features(model.spec, graph)
    assert isinstance(model.backend, Backend)
    model = move_model(model, model.backend).eval()
    dtype = next(model.parameters()).dtype
    spec = model.spec
    prepared = spec.prepare(graph, dtype)
    is_weighted = prepared.edge_weight is not None
    head = None if head is None else copy.deepcopy(head).to(dtype).eval()
    is_small = max(prepared.num_edges, prepared.num_nodes * prepared.num_features) <= MOST_CHECKED
    cases: Dict[str, Case] = {}
    if spec.typed is not None:
        example: Inputs = random_typed_inputs(spec, 13, dtype)
        cases["a random graph"] = _typed_case(model, random_typed_inputs(spec, 97, dtype))
        if is_small:
            cases[graph.name] = _typed_case(model, typed_inputs(prepared, dtype))
    else:
        example = tried_inputs(spec, random_graph(spec, 13, is_weighted), dtype, head)
        cases["a random graph"] = _case(model, head, random_graph(spec, 97, is_weighted), dtype)
        if is_small:
            cases[graph.name] = _case(model, head, prepared, dtype)
    with replacing(path) as temporary, _quiet():
        write = _write_torch if format == "torch" else _write_onnx
        run = write(make_program(model, head), example, temporary, _metadata(model, example, learned))
        difference = max(_difference(run, *case) for case in cases.values())
        if not difference <= TOLERANCE:
            raise CapabilityError(
                f"The exported program's outputs differ from the model's by {difference:.1e}, at most {TOLERANCE:g} is "
                f"allowed; {path} was not written. Export from another backend (reference), or to another format."
            )
    return Exported(path, format, tuple(example), difference, tuple(cases))


def _format(path: Path, format: Optional[str]) -> str:
    if format is None:
        format = next((name for name, suffix in FORMATS.items() if path.suffix == suffix), None)
    if format is not None and format not in FORMATS:
        raise ConfigError(f"format is {format!r}, expected one of {', '.join(FORMATS)}.")
    if format is None or path.suffix != FORMATS[format]:
        expected = ", ".join(f"*{suffix} for {name}" for name, suffix in FORMATS.items())
        raise ConfigError(f"The output is {path.name}, expected {expected}.")
    return format


def _check_possible(model: GNN, format: str) -> None:
    if model.spec.num_embeddings is not None:
        raise CapabilityError(
            f"Model {model.spec.name!r} learnt embeddings of its {model.spec.num_embeddings:,} nodes, and an exported "
            "program takes graphs of any nodes. Train a model on features, or predict with gnnkit."
        )
    if format not in model.backend.capabilities.exports:
        raise CapabilityError(
            f"Backend {model.backend.name!r} cannot export a program in format {format!r}. Open the run on one that "
            "can, such as reference."
        )
    if not hasattr(getattr(torch, "compiler", None), "is_exporting"):
        raise CapabilityError(f"torch {torch.__version__} cannot export such programs. Use torch 2.7 or newer.")
    if format == "onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            try:
                __import__(package)
            except ImportError as error:
                raise NotInstalledError(f"What writes ONNX ({package})", "pip install gnnkit[export]") from error


def _case(model: GNN, head: Optional[PairHead], prepared: Graph, dtype: torch.dtype) -> Case:
    inputs = tried_inputs(model.spec, prepared, dtype, head)
    with torch.no_grad():
        flows = () if model.spec.pooling == "none" else (_graphs_block(inputs["graph_sizes"]),)
        block = full_block(prepared, edge_features=model.spec.reads_edges)
        expected = model([block] * model.num_layers, inputs["x"], *flows)
        if head is not None:
            expected = head.score(*(expected[ends] for ends in inputs["pairs"].T))
    return inputs, expected


def _typed_case(model: GNN, inputs: Inputs) -> Case:
    with torch.no_grad():
        return inputs, typed_outputs(model, inputs)


def _difference(run: Run, inputs: Inputs, expected: Tensor) -> float:
    with torch.no_grad():
        found = run(inputs)
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1))


def _graphs_block(sizes: Tensor) -> Block:
    """The message flow from nodes to graphs of these sizes, as ``Batch.graphs`` has it."""
    pointer = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    num_nodes = int(pointer[-1])
    return Block(pointer, torch.arange(num_nodes), num_nodes)


def _write_torch(program: AnyProgram, example: Inputs, file: Path, metadata: str) -> Run:
    traced = _trace(program, example)
    stream = io.BytesIO()  # On a disk that is full, torch's own writer ends the process.
    torch.export.save(traced, stream, extra_files={METADATA: metadata})
    file.write_bytes(stream.getbuffer())
    stream.seek(0)
    loaded = torch.export.load(stream).module()

    def run(inputs: Inputs) -> Tensor:
        outputs = loaded(**inputs)
        return outputs if isinstance(outputs, Tensor) else torch.cat(list(outputs.values()))

    return run


def _write_onnx(program: AnyProgram, example: Inputs, file: Path, metadata: str) -> Run:
    import onnxruntime

    traced = _trace(program, example)
    try:
        written = torch.onnx.export(traced, kwargs=example, dynamo=True, verbose=False, output_names=["outputs"])
    except OUT_OF_MEMORY:
        raise
    except Exception as error:  # What the exporter raises for an operation that ONNX lacks is not documented.
        raise _failure(program.model, "onnx", error) from error
    assert written is not None
    written.model.metadata_props[METADATA] = metadata
    written.save(file, external_data=False)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def run(inputs: Inputs) -> Tensor:
        return torch.from_numpy(session.run(None, {name: value.numpy() for name, value in inputs.items()})[0])

    return run


def _trace(program: AnyProgram, example: Inputs) -> Any:
    shapes = typed_sizes(example) if isinstance(program, TypedProgram) else _sizes(example)
    try:
        with torch.no_grad():
            return torch.export.export(program, (), kwargs=example, dynamic_shapes=shapes)
    except OUT_OF_MEMORY:
        raise
    except Exception as error:  # A layer may do anything that cannot be traced.
        raise _failure(program.model, "torch", error) from error


def _sizes(example: Inputs) -> Dict[str, Dict[int, Any]]:
    """Which dimensions of inputs are free."""
    nodes, edges = torch.export.Dim("num_nodes"), torch.export.Dim("num_edges")
    sizes = {
        "x": {0: nodes},
        "edge_index": {1: edges},
        "graph_sizes": {0: torch.export.Dim("num_graphs")},
        "edge_weight": {0: edges},
        "edge_attr": {0: edges},
        "pairs": {0: torch.export.Dim("num_pairs")},
    }
    return {name: sizes[name] for name in example}


def _failure(model: GNN, format: str, error: Exception) -> CapabilityError:
    cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return CapabilityError(
        f"Model {model.spec.name!r} on backend {model.backend.name!r} cannot be exported in format {format!r}: {cause} "
        "Standard models on backend reference can."
    )


def _metadata(model: GNN, example: Inputs, learned: Optional[Learned]) -> str:
    return to_json(
        {
            "spec": model.spec.to_dict(),
            "inputs": list(example),
            "self_loops": model.spec.self_loops,
            "gcn_norm": model.spec.gcn_norm,
            **(Learned(None) if learned is None else learned).to_dict(),
        }
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back the exporters' remarks about packages that are not needed."""
    levels = {log: log.level for log in map(logging.getLogger, ("torch.onnx", "onnx_ir"))}
    try:
        for log in levels:
            log.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in levels.items():
            log.setLevel(level)
