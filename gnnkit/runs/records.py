"""What run folders and files of weights say in JSON, checked where it is read.

Rules: whatever reads a manifest, a history or a specification later relies on the types that are checked here.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import fields
from pathlib import Path
from typing import Any, Dict, List, Mapping

from torch import Tensor

from gnnkit.errors import CheckpointError, ConfigError
from gnnkit.io.limits import Raises
from gnnkit.io.text import parse_json, read_text
from gnnkit.nn import ModelSpec
from gnnkit.runs.history import EpochRecord
from gnnkit.runs.learned import Learned

_LOG = logging.getLogger(__name__)
_FREE_VALUES = 1 << 24
_FREE_WIDTH = 1 << 16
_FREE_LAYERS = 1000
_NONE = type(None)
_TEXTS: Mapping[str, Any] = {"*": str}
_MANIFEST: Mapping[str, Any] = {
    "status": str,
    "started": (str, _NONE),
    "finished": (str, _NONE),
    "error": (str, _NONE),
    "gnnkit": str,
    "python": str,
    "torch": str,
    "command": str,
    "processor": str,
    "git": ({"revision": str}, _NONE),
    "backend": {"name": str},
    "device": {"name": str},
    "data": {"name": str, "parts": _TEXTS},
    "model": {},
    "learned": {},
    "task": str,
    "metric": {"name": str, "higher_is_better": bool},
    "data_summary": _TEXTS,
    "result": ({}, _NONE),
    "negatives": ({}, _NONE),
    "frozen": (list, _NONE),
}
"""Types of the entries of a manifest that are read later; an empty mapping stands for one with any entries."""

_NEEDED = ("status", "backend", "device", "data", "model")


def read_manifest(file: Path) -> Dict[str, Any]:
    """Read ``manifest.json``.

    Raises:
        ConfigError: It cannot be read, or does not say what a manifest says.
    """
    manifest = parse_json(read_text(file, ConfigError), f"{file} is damaged: it", ConfigError)
    if not isinstance(manifest, dict):
        raise ConfigError(f"{file} is damaged: expected an object with keys, received {str(manifest)[:40]!r}.")
    if not isinstance(manifest.get("data"), dict) or "parts" not in manifest["data"]:
        raise ConfigError(f"{file} does not say which data the run had (data.parts).")
    needed = _NEEDED if manifest.get("trained") is not False else ("status", "data", "model")
    lacking = [name for name in needed if name not in manifest]
    problem = f"it lacks {', '.join(lacking)}" if lacking else _wrong(manifest, _MANIFEST, "")
    if problem:
        raise ConfigError(f"{file} is damaged: {problem}. Take it from a copy of the run.")
    return manifest


def read_history(file: Path) -> List[EpochRecord]:
    """Read ``metrics.jsonl``. A last line without an end, as a run that was killed may leave, is left out.

    Raises:
        ConfigError: It cannot be read, or another line is no record of an epoch.
    """
    *lines, rest = read_text(file, ConfigError).split("\n")
    try:
        # Whole but for its end, it counts: a copy may have lost that.
        lines += [rest] if rest and _record(rest, file, len(lines) + 1) else []
    except ConfigError:
        _LOG.warning("%s: its last line is torn and left out, as after a run that was killed.", file)
    history = [_record(line, file, number) for number, line in enumerate(lines, start=1)]
    if [record.epoch for record in history] != list(range(1, len(history) + 1)):
        raise ConfigError(f"{file} is damaged: its epochs are not numbered 1, 2, ...")
    return history


def history_of(values: Any, where: object, raises: Raises) -> List[EpochRecord]:
    """Records of epochs from plain values.

    Args:
        values: A list of what :meth:`EpochRecord.to_dict` gave.
        where: Where they come from, for the message.
        raises: The error for what is none.
    """
    if not isinstance(values, list):
        raise raises(f"{where} has no history of epochs.")
    return [_checked(each, f"{where}, epoch {number},", raises) for number, each in enumerate(values, start=1)]


def spec_of(header: Mapping[str, str], file: object, tensors: Mapping[str, Tensor]) -> ModelSpec:
    """The specification in the header of a file of weights, if the weights can be of such a model.

    Args:
        header: The header.
        file: The file, for the message.
        tensors: The weights, whose sizes bound the memory that building the model takes.

    Raises:
        CheckpointError: It is none, or one of a much larger model.
    """
    values = parse_json(header.get("spec", ""), f"The specification in {file}", CheckpointError)
    try:
        _check_sizes(values, tensors)
        spec = ModelSpec.from_dict(values)
        for layer in range(0 if spec.has_layer_classes else spec.num_layers):
            _check_layer(spec, layer, tensors)
        return spec
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"The specification in {file} is none that gnnkit writes ({type(error).__name__}: {error}). Take another."
        ) from error


def learned_of(values: Any, where: object, raises: Raises) -> Learned:
    """What a model has learned, from plain values.

    Args:
        values: What :meth:`Learned.to_dict` gave.
        where: Where they come from, for the message.
        raises: The error for what is none.
    """
    try:
        learned = Learned.from_dict(values)
        texts = [*learned.class_names, *learned.feature_names, learned.level, learned.outputs or ""]
        counts = [*learned.edge_categories, learned.num_scores or 0]
        good = all(isinstance(each, str) for each in texts) and all(type(each) is int for each in counts)
        if good and max(counts) <= _FREE_WIDTH:
            return learned
        problem = "a name is no text, or a number is none"
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise raises(f"{where} does not say what the model has learned ({problem}).")


def _record(line: str, file: Path, number: int) -> EpochRecord:
    where = f"{file}, line {number},"
    return _checked(parse_json(line, f"{where} is damaged: it", ConfigError), where, ConfigError)


def _checked(values: Any, where: str, raises: Raises) -> EpochRecord:
    try:
        record = EpochRecord(**values)
    except TypeError as error:
        raise raises(f"{where} is no record of an epoch: {error}.") from error
    for item in fields(record):
        value = getattr(record, item.name)
        # Numbers that JSON lacks are written as null; earlier releases wrote them as they are.
        good = value is None or type(value) is float or (type(value) is int and abs(value) < 1 << 63)
        if not good or (item.name == "epoch" and type(value) is not int):
            raise raises(f"{where} is no record of an epoch: {item.name} is {str(value)[:40]!r}, expected a number.")
    return record


def _check_sizes(values: Any, tensors: Mapping[str, Tensor]) -> None:
    """Refuse numbers in a specification that the sizes of the weights do not bear out."""
    total = sum(value.numel() for value in tensors.values())
    sizes = {name: value for name, value in values.items() if type(value) is int}
    for name, value in sizes.items():
        most = _FREE_LAYERS + len(tensors) if name.endswith("layers") else max(_FREE_WIDTH, total)
        if value > most:
            raise ValueError(f"{name} is {value:,}, the weights have {total:,} numbers")
    inputs, hidden = sizes.get("in_channels", 1), sizes.get("encoder_channels", sizes.get("hidden_channels", 1))
    categories = sum(values.get("node_categories") or ())
    asked = max(sizes.get("num_embeddings", 0) * inputs, sizes.get("encoder_channels", 0) * inputs, categories * hidden)
    heads = sizes.get("head_layers", 1) * hidden * hidden if values.get("pooling", "none") != "none" else 0
    if max(asked, heads) > max(_FREE_VALUES, 64 * total):
        raise ValueError(f"it asks for {max(asked, heads):,} numbers, the weights have {total:,}")


def _check_layer(spec: ModelSpec, layer: int, tensors: Mapping[str, Tensor]) -> None:
    total = sum(value.numel() for value in tensors.values())
    for name, parameter in spec.conv_spec(layer).parameters.items():
        if math.prod(parameter.shape) > max(_FREE_VALUES, total):
            raise ValueError(f"layer {layer} has {name} of shape {list(parameter.shape)}, more than there is")


def _wrong(value: Any, expected: Any, where: str) -> str:
    """What is wrong with a value; empty for nothing."""
    if isinstance(expected, tuple) and _NONE in expected and value is None:
        return ""
    kind = expected[0] if isinstance(expected, tuple) else expected
    if not isinstance(kind, Mapping):
        named = {str: "text", bool: "true or false", list: "a list"}
        return "" if isinstance(value, kind) else f"{where} is {json.dumps(value)[:40]}, expected {named[kind]}"
    if not isinstance(value, dict):
        return f"{where} is {json.dumps(value)[:40]}, expected an object"
    pairs = [(name, kind[name] if name in kind else kind.get("*")) for name in value]
    problems = (_wrong(value[name], each, f"{where}.{name}".lstrip(".")) for name, each in pairs if each is not None)
    return next((problem for problem in problems if problem), "")
