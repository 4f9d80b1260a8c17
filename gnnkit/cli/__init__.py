"""The command line: one file a command, each thin above the public API."""
