"""Records for graphs and batches, checks, conversions and transforms."""

from gnnkit.data.adding import add_nodes
from gnnkit.data.batch import BLOCK_ARRAYS, Batch, BatchLayout, Block, full_block
from gnnkit.data.build import from_csc, from_edge_index
from gnnkit.data.check import METRICS, check_graph
from gnnkit.data.convert import from_scipy, to_scipy
from gnnkit.data.convert_networkx import from_networkx, to_networkx
from gnnkit.data.convert_pandas import from_pandas, to_pandas
from gnnkit.data.expected import expect_graph, missing_array
from gnnkit.data.fingerprint import (
    check_same_data,
    data_differences,
    describe_data,
    fingerprint,
    is_undirected,
    part_fingerprints,
)
from gnnkit.data.graph import IGNORED_LABEL, SPLITS, Graph
from gnnkit.data.graph_splits import fold_split, graph_items, make_folds, num_folds, random_graph_split
from gnnkit.data.inputs import Inputs, TypedInputs
from gnnkit.data.labels import check_classes, renumber_classes
from gnnkit.data.link_checks import attach_links, check_leaks, check_links
from gnnkit.data.link_splits import given_links, split_edges
from gnnkit.data.links import Links, message_graph
from gnnkit.data.lists import join_graphs, split_graphs
from gnnkit.data.negatives import relation_pairs, sample_non_edges, with_negatives
from gnnkit.data.notes import Notes, log_warnings, summarize, warn_one_way
from gnnkit.data.remote import PREPARATIONS, Neighbors, Remote
from gnnkit.data.splits import pick_masks, pick_split
from gnnkit.data.targets import BatchKey, Items, Targets
from gnnkit.data.transforms import (
    add_self_loops,
    categories_as_columns,
    gcn_norm,
    normalize_features,
    prepare_graph,
    random_split,
    remove_self_loops,
    to_undirected,
)
from gnnkit.data.typed import Relation, Schema, Typed
from gnnkit.data.typed_build import from_typed, to_typed
from gnnkit.data.typed_reverses import add_reverses
from gnnkit.data.typed_schema import parse_relation
from gnnkit.data.typed_splits import links_of_relation, relation_of
from gnnkit.data.typed_views import expect_typed, relation_edges, type_nodes

__all__ = [
    "BLOCK_ARRAYS",
    "IGNORED_LABEL",
    "METRICS",
    "PREPARATIONS",
    "SPLITS",
    "Batch",
    "BatchKey",
    "BatchLayout",
    "Block",
    "Graph",
    "Inputs",
    "Items",
    "Links",
    "Neighbors",
    "Notes",
    "Relation",
    "Remote",
    "Schema",
    "Targets",
    "Typed",
    "TypedInputs",
    "add_nodes",
    "add_reverses",
    "add_self_loops",
    "attach_links",
    "categories_as_columns",
    "check_classes",
    "check_graph",
    "check_leaks",
    "check_links",
    "check_same_data",
    "data_differences",
    "describe_data",
    "expect_graph",
    "expect_typed",
    "fingerprint",
    "fold_split",
    "from_csc",
    "from_edge_index",
    "from_networkx",
    "from_pandas",
    "from_scipy",
    "from_typed",
    "full_block",
    "gcn_norm",
    "given_links",
    "graph_items",
    "is_undirected",
    "join_graphs",
    "links_of_relation",
    "log_warnings",
    "make_folds",
    "message_graph",
    "missing_array",
    "normalize_features",
    "num_folds",
    "parse_relation",
    "part_fingerprints",
    "pick_masks",
    "pick_split",
    "prepare_graph",
    "random_graph_split",
    "random_split",
    "relation_edges",
    "relation_of",
    "relation_pairs",
    "remove_self_loops",
    "renumber_classes",
    "sample_non_edges",
    "split_edges",
    "split_graphs",
    "summarize",
    "to_networkx",
    "to_pandas",
    "to_scipy",
    "to_typed",
    "to_undirected",
    "type_nodes",
    "warn_one_way",
    "with_negatives",
]
