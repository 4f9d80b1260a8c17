"""The pairs that a run judged, on disk: those of validation and testing, with their negatives and labels.

Rules: those of ``tensor_files``. Numbers of a run can be had again from this file and its weights, whoever splits the
data in whatever way later.
"""

from __future__ import annotations

from typing import Dict

from torch import Tensor

from gnnkit.data import SPLITS, Links
from gnnkit.data.fingerprint import MOST_VALUES
from gnnkit.data.links import BY_SPLIT
from gnnkit.errors import CheckpointError
from gnnkit.io.tensor_files import read_tensors, write_tensors
from gnnkit.io.text import parse_json
from gnnkit.paths import PathLike, user_path
from gnnkit.strict_json import to_json

LINKS = "links.safetensors"
FORMAT = "gnnkit-links-1"


def write_links(file: PathLike, links: Links) -> None:
    """Write the pairs of "valid" and "test", what is true of them, and their negatives.

    Negatives of more than 2^27 values are the data's own, and are left out.

    Args:
        file: Where to, usually ``links.safetensors``.
        links: Of the run.
    """
    parts: Dict[str, Dict[str, Tensor]] = {
        part: {split: values for split, values in getattr(links, part).items() if split in SPLITS[1:]}
        for part in BY_SPLIT
    }
    negatives = ("negatives", "negative_destinations")
    if sum(values.numel() for part in negatives for values in parts[part].values()) > MOST_VALUES:
        parts.update({part: {} for part in negatives})
    kept = Links(**parts, undirected=links.undirected)  # type: ignore[arg-type]
    header = {
        "format": FORMAT,
        "undirected": to_json(links.undirected),
        "class_names": to_json(list(links.class_names)),
    }
    # Copies: splits may be parts of one array, which safetensors refuses.
    write_tensors(file, {name: values.clone().contiguous() for name, values in kept.tensors.items()}, header)


def read_links(run: PathLike) -> Links:
    """Read the pairs that a run judged, with their negatives as they were used.

    Args:
        run: The folder of a run whose task is about pairs, or its ``links.safetensors``.

    Returns:
        Links with the splits "valid" and "test"; without negatives where the data bring very many.

    Raises:
        CheckpointError: There is no such file, or it is damaged.

    Example:
        >>> import tempfile, gnnkit
        >>> graph = gnnkit.load_dataset("karate")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     trainer = gnnkit.Trainer(device="cpu", task="link_prediction", epochs=2, run_dir=folder, progress=False)
        ...     _ = trainer.fit(gnnkit.build_model("gcn", graph, out_channels=8), graph)
        ...     links = read_links(folder)
        >>> {split: (len(pairs), len(links.negatives[split])) for split, pairs in links.pairs.items()}
        {'test': (8, 8), 'valid': (4, 4)}
    """
    path = user_path(run, "The run folder")
    file = path / LINKS if path.is_dir() else path
    tensors, header = read_tensors(file, (FORMAT,))
    undirected, names = (
        parse_json(header.get(key, ""), file, CheckpointError) for key in ("undirected", "class_names")
    )
    if not isinstance(undirected, bool) or not isinstance(names, list) or any(type(name) is not str for name in names):
        raise CheckpointError(f"{file} does not say what its pairs are. Take another.")
    try:
        return Links.from_tensors(tensors, undirected, names)
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{file} holds no pairs as gnnkit writes them ({error}). Take another.") from error
