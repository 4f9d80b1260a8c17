"""Modules whose parameters are known by canonical names, whatever a library below calls them and lays them out."""

from __future__ import annotations

from abc import abstractmethod
from typing import Dict, Iterator, List, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn

from gnnkit.nn.parameters import NativeParameter, compare_shapes

Entry = Tuple[str, str, Optional[NativeParameter], Tuple[int, ...]]
"""Canonical name, key in the state dict, native layout (None outside convolutions), canonical shape."""


class CanonicalModule(nn.Module):
    """A module that reads and writes its weights by canonical names and layouts."""

    def canonical_state(self) -> Dict[str, Tensor]:
        """All parameters and buffers under canonical names and layouts, in host memory, independent of the model."""
        state = self.state_dict()
        result: Dict[str, Tensor] = {}
        for name, key, native, shape in self._entries(state):
            value = state[key].detach().cpu()
            value = value if native is None else native.to_canonical(value, shape)
            result[name] = value.clone(memory_format=torch.contiguous_format)
        return result

    def load_canonical(self, values: Mapping[str, Tensor]) -> None:
        """Load what :meth:`canonical_state` gave, on whichever backend it was made.

        Raises:
            CheckpointError: Names or shapes differ; the message lists them, and nothing has been loaded.
        """
        state = self.state_dict()
        entries = list(self._entries(state))
        expected = {name: tuple(shape) for name, _, _, shape in entries}
        compare_shapes(expected, {name: tuple(value.shape) for name, value in values.items()})
        with torch.no_grad():
            for name, key, native, _ in entries:
                value = values[name] if native is None else native.to_native(values[name])
                state[key].copy_(value)

    def parameters_by_name(self) -> Dict[str, nn.Parameter]:
        """Trainable parameters by canonical name; their layout is the library's."""
        by_key = dict(self.named_parameters())
        return {name: by_key[key] for name, key, _, _ in self._entries(self.state_dict()) if key in by_key}

    def native_names(self) -> List[str]:
        """Names in :meth:`state_dict` of all that :meth:`canonical_state` gives."""
        return [key for _, key, _, _ in self._entries(self.state_dict())]

    @abstractmethod
    def _entries(self, state: Mapping[str, Tensor]) -> Iterator[Entry]:
        """All that has a canonical name in a state dict."""
