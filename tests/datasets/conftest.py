"""Fixtures of the data set tests: a cache of their own, and a small web server."""

from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no other place where files could be found."""
    monkeypatch.setenv("GNNKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GNNKIT_DATA", raising=False)
    return tmp_path / "cache"


class _Handler(http.server.SimpleHTTPRequestHandler):
    cut = False

    def copyfile(self, source, outputfile):
        content = source.read()
        outputfile.write(content[: len(content) // 2] if type(self).cut else content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path):
    """A web server for the folder ``tmp_path/www``; ``server.handler.cut = True`` makes it hang up half-way."""
    folder = tmp_path / "www"
    folder.mkdir()
    handler = type("Handler", (_Handler,), {})
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    web.handler, web.folder, web.url = handler, folder, f"http://127.0.0.1:{web.server_address[1]}/"
    yield web
    web.shutdown()
    thread.join()
    web.server_close()
