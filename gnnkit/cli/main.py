"""The ``gnnkit`` command. Nothing heavy is imported before a command runs, so that help answers at once."""

from __future__ import annotations

import typer

from gnnkit.cli import (
    backends,
    compare,
    conform,
    convert_weights,
    data,
    datasets,
    doctor,
    new_plugin,
    plan,
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
app.command("convert-weights", epilog=convert_weights.EXAMPLE)(convert_weights.convert_weights)
app.command("plan", epilog=plan.EXAMPLE)(plan.plan)
app.command("backends", epilog=backends.EXAMPLE)(backends.backends)
app.command("datasets", epilog=datasets.EXAMPLE)(datasets.datasets)
app.add_typer(data.app, name="data")
app.command("conform", epilog=conform.EXAMPLE)(conform.conform)
app.command("new-plugin", epilog=new_plugin.EXAMPLE)(new_plugin.new_plugin)
app.command("doctor", epilog=doctor.EXAMPLE)(doctor.doctor)


def main() -> None:
    """Entry point of the ``gnnkit`` script."""
    app()


if __name__ == "__main__":
    main()
