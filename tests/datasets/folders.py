"""Folders of data for tests of the folder format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Union

import numpy as np

PAIR = "source,target\n0,1\n1,0\n"
"""Two nodes with an edge each way."""

ROWS = "id,label,split\n2,c,train\n0,a,valid\n1,b,test\n"
"""Nodes whose ids are in another order than the rows."""


def write(folder: Path, **files: Union[str, np.ndarray, Dict[str, Any], List[Any]]) -> Path:
    """Files by name, with "__" for the dot: text, arrays, or objects for JSON."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        file = folder / name.replace("__", ".")
        if isinstance(content, np.ndarray):
            np.save(file, content)
        else:
            file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder
