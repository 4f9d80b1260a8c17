"""Data sets: where files are looked for, download, cache, and the data sets themselves."""

from gnnkit.datasets.base import Dataset, NodeNames, datasets
from gnnkit.datasets.cache import load_graph, save_graph
from gnnkit.datasets.files import DataFile, Finder
from gnnkit.datasets.importing import import_graph
from gnnkit.datasets.importing_typed import import_folder, import_typed_graph
from gnnkit.datasets.load import load_dataset, load_node_names
from gnnkit.datasets.smiles import from_smiles

__all__ = [
    "DataFile",
    "Dataset",
    "Finder",
    "NodeNames",
    "datasets",
    "from_smiles",
    "import_folder",
    "import_graph",
    "import_typed_graph",
    "load_dataset",
    "load_graph",
    "load_node_names",
    "save_graph",
]
