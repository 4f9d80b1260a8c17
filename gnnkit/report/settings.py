"""The configuration of runs as tables: what matters in words, what differs between runs, and everything."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

from gnnkit.nn import conv_name
from gnnkit.report.collect import RunFacts
from gnnkit.report.page import Panel, Table
from gnnkit.report.words import NONE, moment, setting
from gnnkit.runs.listing import flat_settings
from gnnkit.tasks import NodeClassification


def configuration(runs: Sequence[RunFacts]) -> Panel:
    """All settings of runs; of several, first those in which they differ."""
    panel = Panel()
    columns = ["", *(run.label for run in runs)]
    every = [{key: setting(value) for key, value in flat_settings(run.config)} for run in runs]
    keys = list(dict.fromkeys(key for settings in every for key in settings))
    rows = [[key, *(settings.get(key, NONE) for settings in every)] for key in keys]
    if len(runs) == 1:
        panel.tables.append(Table("In short", ["", ""], _in_short(runs[0])))
    else:
        different = [row for row in rows if len(set(row[1:])) > 1]
        if different:
            panel.tables.append(Table("Settings that differ", columns, different))
        else:
            panel.notes.append("The runs have the same settings.")
    for caption, facts in (("Where and when", _circumstances), ("Versions and hardware", _environment)):
        made = [facts(run) for run in runs]
        names = list(dict.fromkeys(name for found in made for name in found))
        table = [[name, *(found.get(name, NONE) for found in made)] for name in names]
        panel.tables.append(Table(caption, columns if len(runs) > 1 else ["", ""], table))
    panel.tables.append(Table("All settings", columns if len(runs) > 1 else ["", ""], rows, folded=True))
    return panel


def model_in_words(run: RunFacts) -> str:
    """The model as "gcn, 2 layers, 16 wide"."""
    spec = run.record.manifest["model"]
    layers = spec["num_layers"]
    # Releases up to 0.1 recorded the options of convolutions among the model's own settings.
    num_heads = spec.get("conv_options", {}).get("heads", spec.get("heads", 1))
    heads = f", {num_heads} heads" if num_heads > 1 else ""
    return (
        f"{conv_name(spec['conv'])}, {layers} layer{'s' if layers != 1 else ''}, {spec['hidden_channels']} wide{heads}"
    )


def _in_short(run: RunFacts) -> List[List[str]]:
    train: Mapping[str, Any] = run.config.get("train") or {}
    spec = run.record.manifest["model"]
    extras = [f"norm {spec['norm']}"] if spec.get("norm", "none") != "none" else []
    extras += ["residual"] if spec.get("residual") else []
    extras += (
        [f"jumping knowledge {spec['jumping_knowledge']}"] if spec.get("jumping_knowledge", "none") != "none" else []
    )
    batches = "the whole graph"
    if train.get("batch_size") is not None:
        fanouts = "" if run.is_about_graphs else f", fan-outs {setting(train.get('fanouts'))}"
        batches = f"{train['batch_size']:,} {'graphs' if run.is_about_graphs else 'nodes'}{fanouts}"
    return [
        ["data set", run.record.manifest["data"]["name"]],
        ["task", setting(run.record.manifest.get("task", NodeClassification.name)).replace("_", " ")],
        ["model", ", ".join([model_in_words(run), *extras])],
        ["dropout", f"{spec['dropout']:g}, of the input {spec['input_dropout']:g}"],
        ["batch", batches],
        ["epochs", f"{setting(train.get('epochs'))}, {_patience(train)}"],
        ["optimiser", _optimizer(train)],
        ["schedule", setting(train.get("schedule"))],
        ["evaluation", setting(train.get("evaluation"))],
        ["precision", setting(train.get("precision"))],
        ["seed", setting(run.config.get("seed"))],
    ]


def _optimizer(train: Mapping[str, Any]) -> str:
    name = setting(train.get("optimizer", "adam"))
    return f"{name}, learning rate {train.get('lr', 0):g}, weight decay {train.get('weight_decay', 0):g}"


def _patience(train: Mapping[str, Any]) -> str:
    patience = train.get("patience")
    return "no early stopping" if patience is None else f"at most {patience} without a better one"


def _circumstances(run: RunFacts) -> Dict[str, str]:
    manifest = run.record.manifest
    return {
        "run folder": str(run.path),
        "status": setting(manifest.get("status")),
        "started": moment(manifest.get("started")),
        "finished": moment(manifest.get("finished")),
        "backend": setting(manifest["backend"]["name"]),
        "device": setting(manifest["device"]["name"]),
        "command": setting(manifest.get("command")),
        "git revision": _revision(manifest.get("git")),
    }


def _revision(git: Optional[Mapping[str, Any]]) -> str:
    """The code in the folder that the run was started in."""
    if not git:
        return NONE
    state = {True: ", with changes that are not committed", None: ", unknown whether with changes"}
    return f"{git['revision'][:12]}{state.get(git.get('dirty'), '')}"


def _environment(run: RunFacts) -> Dict[str, str]:
    manifest = run.record.manifest
    values = {"gnnkit": manifest.get("gnnkit"), "Python": manifest.get("python"), "torch": manifest.get("torch")}
    values.update(manifest["backend"])
    values.update(manifest["device"])
    if manifest.get("processor"):
        values["processor"] = manifest["processor"]
    return {name: setting(value) for name, value in values.items() if name != "name"}
