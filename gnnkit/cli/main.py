"""The ``gnnkit`` command. Nothing heavy is imported before a command runs, so that help answers at once."""

from __future__ import annotations

import os
import sys

import typer

from gnnkit.cli import (
    backends,
    bench,
    compare,
    conform,
    convert_weights,
    data,
    datasets,
    doctor,
    embed,
    export,
    new_plugin,
    plan,
    predict,
    report,
    reproduce,
    run,
)

app = typer.Typer(
    name="gnnkit",
    help="Write a graph neural network once; train it with plain torch, PyTorch Geometric or DGL, on any device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run", epilog=run.EXAMPLE)(run.run)
app.command("compare", epilog=compare.EXAMPLE)(compare.compare)
app.command("reproduce", epilog=reproduce.EXAMPLE)(reproduce.reproduce)
app.command("predict", epilog=predict.EXAMPLE)(predict.predict)
app.command("embed", epilog=embed.EXAMPLE)(embed.embed)
app.command("export", epilog=export.EXAMPLE)(export.export)
app.command("report", epilog=report.EXAMPLE)(report.report)
app.command("convert-weights", epilog=convert_weights.EXAMPLE)(convert_weights.convert_weights)
app.command("plan", epilog=plan.EXAMPLE)(plan.plan)
app.command("bench", epilog=bench.EXAMPLE)(bench.bench)
app.command("backends", epilog=backends.EXAMPLE)(backends.backends)
app.command("datasets", epilog=datasets.EXAMPLE)(datasets.datasets)
app.add_typer(data.app, name="data")
app.command("conform", epilog=conform.EXAMPLE)(conform.conform)
app.command("new-plugin", epilog=new_plugin.EXAMPLE)(new_plugin.new_plugin)
app.command("doctor", epilog=doctor.EXAMPLE)(doctor.doctor)


def main() -> None:
    """Entry point of the ``gnnkit`` script."""
    try:
        app()
    except SystemExit as end:
        _leave_at_once(end.code)
        raise


def _leave_at_once(code: object) -> None:
    """End the process if a loader's thread is still in a kernel, where the end of the interpreter would not be safe."""
    loading = sys.modules.get("gnnkit.loading.prefetch")  # Not imported: nothing was loaded.
    if loading is None or not loading.threads_at_work():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
