"""Slips in a command line: settings in another place, names misspelt, values of another kind, over all commands.

Rules: as in :mod:`tests.cli.mistakes`; ``says`` holds the way out.
"""

from __future__ import annotations

from tests.cli.mistakes import Mistake

_SPACE = "sweep: {trials: 2, space: {train.lr: [0.1, 0.2]}}\n"
_KARATE = "run --dataset karate"

SLIPS = [
    # Settings that belong elsewhere.
    Mistake("lr at the top of a file", "run c.yaml", ("lr belongs under train", "train.lr"), {"c.yaml": "lr: 0.1\n"}),
    Mistake("lr under model", "run c.yaml", ("lr belongs under train",), {"c.yaml": "model: {lr: 0.1}\n"}),
    Mistake("a key of 0.1.0 for TensorBoard", "run tensorboard=true", ("Write track=[tensorboard]",)),
    Mistake("a width under train", "run train.hidden_channels=8", ("hidden_channels belongs under model",)),
    Mistake("heads under train", "run train.heads=8", ("heads belongs under model", "Write model.heads")),
    Mistake("heads at the top", "run heads=8", ("Write model.heads",)),
    Mistake("a seed under train", "run train.seed=3", ("seed belongs at the top level", "Write seed")),
    Mistake("a name of several", "run train.name=x", ("Write dataset.name or model.name or name",)),
    Mistake("an option as a setting", "run hidden=32", ("Write model.hidden_channels",)),
    Mistake("another library's word", "run learning_rate=0.1", ("Write train.lr",)),
    Mistake("a word for a section", "run dataset=cora", ("Write dataset.name=cora",)),
    Mistake("a word for a section in a file", "run c.yaml", ("Write model.name=gat",), {"c.yaml": "model: gat\n"}),
    # Settings without effect.
    Mistake("heads of a sage", f"{_KARATE} --model sage model.heads=3", ("for 'gat'", "Leave it out")),
    Mistake("pooling of nodes", f"{_KARATE} model.pooling=mean", ("Leave pooling out", "task about graphs")),
    Mistake("folds of nodes", f"{_KARATE} --folds 3", ("Folds are for tasks about graphs",)),
    Mistake("a fold without folds", f"{_KARATE} --fold 1", ("--folds", "Give it as well")),
    Mistake("clusters and fan-outs", f"{_KARATE} train.clusters=3 --fanouts 5,5", ("Give one of them",)),
    # Files.
    Mistake("a file that is not there", "run c.yml", ("Cannot read c.yml", "Check the name")),
    Mistake("two files", "run a.yaml b.yaml", ("One configuration file", "a.yaml, b.yaml")),
    Mistake("a brace left open", "run c.yaml", ("c.yaml is not valid YAML", "line 1"), {"c.yaml": "train: {lr: 0.1\n"}),
    Mistake("a tab", "run c.yaml", ("c.yaml is not valid YAML", "line 2"), {"c.yaml": "train:\n\tlr: 0.1\n"}),
    Mistake("a file of one word", "run c.yaml", ("expected sections such as 'model:'",), {"c.yaml": "lr\n"}),
    Mistake(
        "a number in words in a file", "run c.yaml", ("'many'", "a whole number"), {"c.yaml": "train: {epochs: many}\n"}
    ),
    # Values.
    Mistake("a list for a number", "run train.lr=[0.1,0.2]", ("'train.lr'", "expected a number")),
    Mistake("a word for a list", "run tags=first", ("Write tags=[A,B]",)),
    Mistake("no epochs", "run --epochs 0", ("epochs is 0, expected at least 1",)),
    Mistake("a negative rate", "run --lr -1", ("lr is -1.0, expected a positive number",)),
    Mistake("dropout in percent", "run --dropout 50", ("from 0 up to below 1",)),
    Mistake("a fan-out too few", f"{_KARATE} --fanouts 10", ("Give one for each layer",)),
    Mistake("a precision in bits", "run --precision 16", ("expected one of float32, bfloat16, float64",)),
    Mistake("an optimiser misspelt", "run train.optimizer=adm", ("expected one of adam, adamw",)),
    Mistake("a schedule misspelt", "run train.schedule=cosin", ("expected one of constant, cosine",)),
    Mistake("a model misspelt", "run --model transformr", ("Did you mean 'transformer'?",)),
    Mistake("a data set misspelt", "run --dataset karat", ("Did you mean 'karate'?",)),
    Mistake("a task misspelt", "run --task node_clasification", ("Did you mean 'node_classification'",)),
    Mistake("saving at some time", "run --save-every soon", ("'200 batches'", "'10 minutes'")),
    Mistake("no seeds", f"{_KARATE} --seeds 0", ("expected at least 1",)),
    Mistake("graphs from one graph", f"{_KARATE} --task graph_classification", ("task about nodes or edges",)),
    Mistake("a model for other data", "run --init-from run --dataset digits", ("Take weights of a model with",)),
    Mistake("nothing left to resume", "run --resume run", ("Give more with --epochs",)),
    Mistake("resume and other weights", "run --resume run --init-from run", ("Give one of them",)),
    # Sweeps.
    Mistake("a sweep of nothing", "sweep c.yaml", ("sweep.space",), {"c.yaml": "train: {lr: 0.1}\n"}),
    Mistake("a sweep without a file", "sweep", ("FILE|FOLDER", "--help")),
    Mistake("a sweep of one value", "sweep c.yaml", ("a list of values",), {"c.yaml": "sweep: {space: {train.lr: 1}}"}),
    Mistake("an option of a sweep misspelt", "sweep c.yaml sweep.trial=2", ("'trials'",), {"c.yaml": _SPACE}),
    Mistake(
        "a sweep of a setting misspelt",
        "sweep c.yaml",
        ("'train.lr'",),
        {"c.yaml": _SPACE.replace("train.lr", "train.lrr")},
    ),
    # Runs.
    Mistake("runs of no folder", "runs nowhere", ("Name one that holds run folders",)),
    Mistake("a condition that is none", "runs . --where dataset", ("model=gcn", "test_accuracy>=0.8")),
    Mistake("a value that no run has", "runs . --where test_acuracy>0.5", ("Did you mean 'test_accuracy'",)),
    Mistake("a word for a number", "runs . --where test_accuracy>high", ("test_accuracy>0.8",)),
    Mistake("an order by nothing", "runs . --sort test_acuracy", ("Did you mean 'test_accuracy'",)),
    Mistake("columns of nothing", "runs . --columns run,test_acuracy", ("Did you mean 'test_accuracy'",)),
    # After training.
    Mistake("predictions as text", "predict run --output p.txt", (".parquet, .npy, .csv",)),
    Mistake(
        "predictions of no node", "predict run --output p.csv --nodes 99", ("expected one of 4 names such as '0'",)
    ),
    Mistake("predictions of no run", "predict nowhere --output p.csv", ("Give a folder that gnnkit run made",)),
    Mistake("embeddings as text", "embed run --output e.txt", (".parquet, .npy",)),
    Mistake("a layer that is none", "embed run --output e.npy --layers 9", ("layers 1 to 2",)),
    Mistake("an explanation of nothing", "explain run", ("--nodes", "--help")),
    Mistake("a method misspelt", "explain run --nodes 1 --method gradent", ("expected one of gradient",)),
    Mistake("a program of no format", "export run --output m.bin", ("*.pt2", "*.onnx")),
    Mistake("a map misspelt", "report run --map umep", ("expected auto, umap, tsne, pca",)),
    Mistake("a report of no run", "report nowhere", ("Give a folder that gnnkit run made",)),
    Mistake("reproducing no run", "reproduce nowhere", ("Give a folder that gnnkit run made",)),
    # Other commands.
    Mistake("one backend to compare", "compare --dataset mine --backends reference", ("--backends reference,pyg",)),
    Mistake(
        "a backend to compare misspelt",
        "compare --dataset mine --backends reference,refrence",
        ("Did you mean 'reference'",),
    ),
    Mistake("nothing to look at", "info", ("Missing argument", "gnnkit info --help")),
    Mistake("a data set of no name", "info karat", ("Did you mean 'karate'",)),
    Mistake("a command of data misspelt", "data chek mine", ("Did you mean 'check'?",)),
    Mistake("an option misspelt", "data partition mine --output g --parts 2", ("--out",)),
    Mistake("edges in YAML", "data import c.yaml --output g", (".csv", "Rename or convert it"), {"c.yaml": _SPACE}),
    Mistake("no batches", "bench --dataset mine --batches 0", ("expected at least 1",)),
    Mistake("one argument too many", "doctor me", ("(me)", "gnnkit doctor --help")),
    Mistake("a kind of plugin misspelt", "new-plugin swift --kind devic", ("Did you mean 'device'?",)),
]
