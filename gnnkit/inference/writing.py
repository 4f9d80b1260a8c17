"""Predictions and embeddings as files: Parquet, NumPy arrays, CSV.

Rules: a file is written in pieces, so that results on disk are never in memory as a whole, and is renamed into place
when it is whole. Of an existing file nothing is touched unless that is asked for.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from torch import Tensor

from gnnkit.errors import ConfigError, NotInstalledError
from gnnkit.inference.graphs import GraphEmbeddings
from gnnkit.inference.ids import NodeIds
from gnnkit.inference.predictions import GraphPredictions, PairPredictions, Predictions, Recommendations
from gnnkit.io.files import replacing
from gnnkit.paths import PathLike, check_writable, user_path

Columns = Dict[str, np.ndarray]
"""Columns of some rows by name: shape [rows], or [rows, width]."""
Piece = Callable[[int, int], Columns]
"""The columns of the rows from one number up to another."""

PREDICTION_FILES = (".parquet", ".npy", ".csv")
EMBEDDING_FILES = (".parquet", ".npy")
_PIECE_VALUES = 1 << 22
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?")


def check_output(file: Path, force: bool, suffixes: Tuple[str, ...] = ()) -> None:
    """Refuse an output that cannot be written, before anything is computed.

    Args:
        file: Where results are to go.
        force: Whether an existing file may be replaced.
        suffixes: What its name may end in. Empty: anything.

    Raises:
        ConfigError: It exists and may not be replaced, or is of another kind.
        FileError: It cannot be written there.
        NotInstalledError: Parquet needs pyarrow.
    """
    if suffixes and file.suffix not in suffixes:
        raise ConfigError(f"The output is {file.name}, expected a name that ends in {', '.join(suffixes)}.")
    check_writable(file)
    if file.exists() and not force:
        raise ConfigError(f"The output {file} already exists. Choose another name, or replace it (--force).")
    if file.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise NotInstalledError(f"What writes {file.name} (pyarrow)", "pip install gnnkit[pandas]") from error


def write_predictions(
    predictions: Union[Predictions, PairPredictions],
    file: PathLike,
    *,
    ids: Optional[NodeIds] = None,
    top: bool = False,
    force: bool = False,
) -> None:
    """Write predictions as a table with one row a node, pair or graph.

    In CSV, text that begins as a formula does (``=``, ``+``, ``-``, ``@``) and is no number gets an apostrophe before
    it, so that a spreadsheet shows it and does not compute it.

    Columns: ``node``, its id, or of a pair ``source`` and ``target``, with ``relation`` between them where there are
    some; ``class``, the number of the most probable class;
    ``class_name``, if classes have names; ``probability`` of that class; and ``p_0``, ``p_1``, ... of every class. For
    multi-label data ``classes`` instead of ``class``: the names (else numbers) of all classes with a probability of 0.5
    or more, separated by ``"; "``. A ``.npy`` file is a structured array with the same names as fields, except that
    ``p`` is one field of shape [C], and so is ``member`` (bool) instead of ``classes``. Numbers are in columns of their
    names, or ``value_0``, ...; in a ``.npy`` file in one field ``value`` of shape [T]. Scores of pairs are in columns
    ``score`` and ``probability``, their sigmoid.

    Of a graph ``graph``, its number, stands in the place of ``node``; ``name``, if graphs have names; ``split``, if the
    data have splits; and what is true where the data say it: ``true``, the number of the class (-100 for none), and
    ``true_name``, or for several labels or numbers ``true_`` before each name.

    Args:
        predictions: What to write.
        file: ``*.parquet``, ``*.csv`` or ``*.npy``.
        ids: What nodes are called. None: by their numbers.
        top: Leave out the probabilities of all classes.
        force: Replace a file that exists.

    Raises:
        ConfigError: The file exists, or is of another kind.
        FileError: It cannot be written.
        NotInstalledError: Parquet needs pyarrow.
    """
    path = user_path(file)
    check_output(path, force, PREDICTION_FILES)
    is_array = path.suffix == ".npy"
    names = np.array(predictions.class_names)
    about = _about_graphs(predictions, is_array)

    def piece(start: int, stop: int) -> Columns:
        part = predictions.part(start, stop)
        columns = {**_who(part, ids, predictions), **about(part)}
        if isinstance(part, PairPredictions) and part.are_scores:
            return {**columns, "score": part.outputs[:, 0].numpy(), "probability": part.probabilities[:, 0].numpy()}
        if part.are_numbers:
            values = part.outputs.numpy()
            if is_array or not names.size:
                return {**columns, "value": values}
            return {**columns, **dict(zip(names.tolist(), values.T))}
        chances, classes = part.probabilities, part.classes.numpy()
        if not part.is_multi_label:
            columns["class"] = classes
            if names.size:
                columns["class_name"] = names[classes]
            columns["probability"] = chances.amax(dim=1).numpy()
        elif is_array:
            columns["member"] = classes
        else:
            words = names if names.size else np.arange(classes.shape[1]).astype(str)
            columns["classes"] = np.array(["; ".join(words[row]) for row in classes], dtype=object)
        return columns if top else {**columns, "p": chances.numpy()}

    _write(path, len(predictions), predictions.outputs.shape[1], piece, is_flat=True)


def write_recommendations(
    recommendations: Recommendations,
    file: PathLike,
    *,
    ids: Optional[NodeIds] = None,
    force: bool = False,
) -> None:
    """Write recommendations as a table with one row for each of them, those of a source together, the best first.

    Columns: ``source`` and ``target``, ids; ``rank``, from 1; ``score``; and ``probability``, its sigmoid. A ``.npy``
    file is a structured array with the same names.

    Args:
        recommendations: What to write.
        file: As for :func:`write_predictions`.
        ids: As for :func:`write_predictions`.
        force: As for :func:`write_predictions`.

    Raises:
        ConfigError: As :func:`write_predictions`.
        FileError: As :func:`write_predictions`.
        NotInstalledError: As :func:`write_predictions`.
    """
    path = user_path(file)
    check_output(path, force, PREDICTION_FILES)
    found, k = recommendations, recommendations.ids.shape[1]
    # Rows that there are: a source may have fewer than k.
    places = (found.ids.reshape(-1) >= 0).nonzero()[:, 0]

    def piece(start: int, stop: int) -> Columns:
        part = places[start:stop]
        rows, ranks = part // k, part % k
        scores = found.scores[rows, ranks]
        return {
            "source": _labels(found.nodes[rows], ids),
            "target": _labels(found.ids[rows, ranks], ids),
            "rank": (ranks + 1).numpy(),
            "score": scores.numpy(),
            "probability": scores.sigmoid().numpy(),
        }

    _write(path, len(places), 5, piece, is_flat=True)


def write_embeddings(
    embeddings: Mapping[Any, Tensor],
    nodes: Tensor,
    file: PathLike,
    *,
    ids: Optional[NodeIds] = None,
    force: bool = False,
) -> None:
    """Write embeddings as a table with one row a node.

    Columns: ``node``, its id, and for every layer ``layer_1``, ``layer_2``, ...: in Parquet lists of one length, in a
    ``.npy`` file fields of a structured array.

    Args:
        embeddings: By layer, as :meth:`gnnkit.inference.TrainedRun.embed` gives them. Each of shape [M, width].
        nodes: Node numbers. Shape [M], int64.
        file: ``*.parquet`` or ``*.npy``.
        ids: As for :func:`write_predictions`.
        force: As for :func:`write_predictions`.

    Raises:
        ConfigError: As :func:`write_predictions`.
        FileError: As :func:`write_predictions`.
        NotInstalledError: As :func:`write_predictions`.
    """
    path = user_path(file)
    check_output(path, force, EMBEDDING_FILES)

    def piece(start: int, stop: int) -> Columns:
        layers = {f"layer_{layer}": values[start:stop].numpy() for layer, values in embeddings.items()}
        return {"node": _labels(nodes[start:stop], ids), **layers}

    width = sum(values.shape[1] for values in embeddings.values())
    _write(path, nodes.numel(), width, piece, is_flat=False)


def write_graph_embeddings(embeddings: GraphEmbeddings, file: PathLike, *, force: bool = False) -> None:
    """Write embeddings of graphs as a table with one row a graph.

    Columns: ``graph``, its number; ``name``, if graphs have names; and ``pooled``, or ``layer_1``, ... for layers, as
    in :func:`write_embeddings`.

    Args:
        embeddings: As :func:`gnnkit.inference.embed_graphs` gives them.
        file: ``*.parquet`` or ``*.npy``.
        force: Replace a file that exists.

    Raises:
        ConfigError: As :func:`write_predictions`.
        FileError: As :func:`write_predictions`.
        NotInstalledError: As :func:`write_predictions`.
    """
    path = user_path(file)
    check_output(path, force, EMBEDDING_FILES)
    dtype = _text_dtype(embeddings.names)

    def piece(start: int, stop: int) -> Columns:
        columns = {"graph": embeddings.graphs[start:stop].numpy()}
        if embeddings.names:
            columns["name"] = np.array(embeddings.names[start:stop], dtype=dtype)
        for layer, values in embeddings.values.items():
            columns[layer if isinstance(layer, str) else f"layer_{layer}"] = values[start:stop].numpy()
        return columns

    width = sum(values.shape[1] for values in embeddings.values.values())
    _write(path, len(embeddings), width, piece, is_flat=False)


def _who(
    part: Union[Predictions, PairPredictions], ids: Optional[NodeIds], whole: Union[Predictions, PairPredictions]
) -> Columns:
    """The columns that say what a row is about, of a part of some predictions."""
    if isinstance(part, GraphPredictions):
        return {"graph": part.graphs.numpy()}
    if isinstance(part, Predictions):
        return {"node": _labels(part.nodes, ids)}
    source, target = (_labels(part.pairs[:, end], ids) for end in (0, 1))
    if not part.relations:
        return {"source": source, "target": target}
    assert isinstance(whole, PairPredictions), "a part is of the kind of the whole"
    dtype = _text_dtype(tuple(set(whole.relations)))
    return {"source": source, "relation": np.array(part.relations, dtype=dtype), "target": target}


def _about_graphs(whole: Union[Predictions, PairPredictions], is_array: bool) -> Callable[[Any], Columns]:
    """What makes columns of what is known of the graphs of some predictions; none for nodes and pairs."""
    if not isinstance(whole, GraphPredictions):
        return lambda part: {}
    names, dtype = np.array(whole.class_names), _text_dtype(whole.names)
    splits = _text_dtype(tuple(set(whole.splits)))

    def columns_of(part: GraphPredictions) -> Columns:
        columns: Columns = {"name": np.array(part.names, dtype=dtype)} if whole.names else {}
        if whole.splits:
            columns["split"] = np.array(part.splits, dtype=splits)
        if part.true is None:
            return columns
        true = part.true.numpy()
        if true.ndim == 2 and names.size and not is_array:
            return {**columns, **{f"true_{name}": values for name, values in zip(names.tolist(), true.T)}}
        columns["true"] = true
        if true.ndim == 1 and names.size:
            columns["true_name"] = np.where(true >= 0, names[true.clip(0, len(names) - 1)], "")
        return columns

    return columns_of


def _text_dtype(names: Sequence[str]) -> np.dtype[Any]:
    """One width for all names, so that pieces of a file agree."""
    return np.dtype(f"U{max(map(len, names), default=1) or 1}")


def _labels(nodes: Tensor, ids: Optional[NodeIds]) -> np.ndarray:
    return nodes.numpy() if ids is None else ids.labels(nodes.numpy())


def _write(file: Path, num: int, width: int, piece: Piece, *, is_flat: bool) -> None:
    """Write a table.

    Args:
        file: Its name says how.
        num: Number of rows.
        width: About how many values a row has.
        piece: Gives rows.
        is_flat: Whether an array of several columns becomes columns of their own in Parquet.
    """
    rows = max(1, _PIECE_VALUES // max(1, width))
    pieces = (piece(start, min(start + rows, num)) for start in range(0, max(num, 1), rows))
    with replacing(file) as temporary:
        if file.suffix == ".npy":
            _write_npy(temporary, num, pieces)
        elif file.suffix == ".csv":
            _write_csv(temporary, pieces)
        else:
            _write_parquet(temporary, pieces, is_flat)


def _write_npy(file: Path, num: int, pieces: Iterator[Columns]) -> None:
    # Not through a mapping: on a disk that is full, that would kill the process.
    with file.open("wb") as stream:
        for number, columns in enumerate(pieces):
            dtype = np.dtype([(name, values.dtype, values.shape[1:]) for name, values in columns.items()])
            if number == 0:
                header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (num,)}
                np.lib.format.write_array_header_1_0(stream, header)
            rows = np.empty(len(next(iter(columns.values()))), dtype)
            for name, values in columns.items():
                rows[name] = values
            stream.write(rows.tobytes())


def _write_csv(file: Path, pieces: Iterator[Columns]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        for number, columns in enumerate(pieces):
            flat = _flat(columns)
            if number == 0:
                writer.writerow(flat)
            writer.writerows(zip(*(_cells(values) for values in flat.values())))


def _cells(values: np.ndarray) -> List[Any]:
    """Values of a column for CSV: text that a spreadsheet would take for a formula begins with an apostrophe."""
    cells: List[Any] = values.tolist()
    if values.dtype.kind not in "UO":
        return cells
    return [f"'{cell}" if _is_formula(cell) else cell for cell in cells]


def _is_formula(cell: Any) -> bool:
    return isinstance(cell, str) and cell[:1] in _FORMULAS and not _NUMBER.fullmatch(cell)


def _write_parquet(file: Path, pieces: Iterator[Columns], is_flat: bool) -> None:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    writer: Any = None
    try:
        for columns in pieces:
            table = {name: _arrow(arrow, values) for name, values in (_flat(columns) if is_flat else columns).items()}
            rows = arrow.table(table)
            if writer is None:
                writer = parquet.ParquetWriter(file, rows.schema)
            writer.write_table(rows)
    finally:
        if writer is not None:
            writer.close()


def _flat(columns: Columns) -> Columns:
    """Arrays of several columns as columns of their own: ``p`` as ``p_0``, ``p_1``, ..."""
    flat: Columns = {}
    for name, values in columns.items():
        flat.update(
            {name: values} if values.ndim == 1 else {f"{name}_{i}": column for i, column in enumerate(values.T)}
        )
    return flat


def _arrow(arrow: Any, values: np.ndarray) -> Any:
    if values.ndim == 2:
        return arrow.FixedSizeListArray.from_arrays(
            arrow.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1]
        )
    return arrow.array(values.tolist() if values.dtype.kind in "UO" else np.ascontiguousarray(values))
