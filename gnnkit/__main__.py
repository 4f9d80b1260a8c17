"""``python -m gnnkit``: the command line, as torchrun and others start it."""

from gnnkit.cli.main import main

if __name__ == "__main__":
    main()
