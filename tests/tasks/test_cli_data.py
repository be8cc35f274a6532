"""``smartrec data fetch``, as a person types it and interrupts it; the server is on this machine."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

NAME = "ml-latest-small"


def an_archive():
    rng = np.random.default_rng(0)
    lines = (
        f"{k % 99 + 1},1,{half / 2},{800_000_000 + 7919 * k}" for k, half in enumerate(rng.integers(1, 11, 40_000))
    )
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{NAME}/ratings.csv", "userId,movieId,rating,timestamp\n" + "\n".join(lines) + "\n")
        archive.writestr(f"{NAME}/movies.csv", "movieId,title,genres\n1,Toy Story (1995),Comedy\n")
    return target.getvalue()


ARCHIVE = an_archive()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        content = ARCHIVE
        if self.path.endswith(".md5"):
            content = hashlib.md5(ARCHIVE).hexdigest().encode()
        elif self.path != f"/{NAME}.zip":
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        start = int(asked[len("bytes=") : -1]) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        stop = self.server.stall_at or len(content)
        self.wfile.write(content[start:stop])
        if stop < len(content):
            self.server.release.wait(60)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    site = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.asked, site.stall_at, site.release = [], None, threading.Event()
    site.url = f"http://127.0.0.1:{site.server_port}/{NAME}.zip"
    threading.Thread(target=site.serve_forever, args=(0.01,), daemon=True).start()
    yield site
    site.release.set()
    site.shutdown()
    site.server_close()


def start(*arguments, cwd):
    environment = {**os.environ, "SMARTREC_DATA": str(cwd / "data"), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    command = [sys.executable, "-m", "smartrec", "data", *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd, env=environment, **streams)


def call(*arguments, cwd):
    process = start(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_fetch_then_describe(server, tmp_path):
    path = tmp_path / "data" / f"{NAME}.zip"
    code, out, err = call("fetch", NAME, "--url", server.url, cwd=tmp_path)
    assert (code, out) == (0, f"{NAME}: {path}\n"), err
    assert len(err.splitlines()) == 1
    assert "terms of use: https://" in err
    assert "\x1b" not in err
    assert path.read_bytes() == ARCHIVE
    code, out, err = call("fetch", NAME, "--url", server.url, cwd=tmp_path)
    assert (code, out) == (0, f"{NAME}: {path}\n")
    assert "is there already" in err
    code, out, err = call("describe", NAME, cwd=tmp_path)
    assert code == 0, err
    assert "40,000" in out


def test_fetch_to_a_folder(server, tmp_path):
    code, _, err = call("fetch", NAME, "--to", "mine", "--url", server.url, cwd=tmp_path)
    assert code == 0, err
    assert (tmp_path / "mine" / f"{NAME}.zip").read_bytes() == ARCHIVE


def test_interrupted_in_the_middle_it_keeps_the_part_and_goes_on(server, tmp_path):
    folder = tmp_path / "data"
    part = folder / f"{NAME}.zip.part"
    server.stall_at = 1 << 16
    process = start("fetch", NAME, "--url", server.url, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from there" in err
    assert "Traceback" not in err
    assert [path.name for path in folder.iterdir()] == [part.name]
    kept = part.read_bytes()
    assert ARCHIVE.startswith(kept)

    server.stall_at = None
    code, _, err = call("fetch", NAME, "--url", server.url, cwd=tmp_path)
    assert code == 0, err
    assert server.asked[-1] == f"bytes={len(kept)}-"
    assert (folder / f"{NAME}.zip").read_bytes() == ARCHIVE


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["fetch", "ml20m"], "Did you mean 'ml-20m'"),
        (["fetch", NAME, "--url", "file:///etc/passwd"], "allowed: an address like https://"),
        (["fetch", NAME, "--to", "/proc/nowhere"], "cannot write to folder /proc/nowhere"),
        (["describe", "ml-20m"], "Run: smartrec data fetch ml-20m"),
    ],
)
def test_mistakes_get_one_message_and_no_traceback(arguments, fragment, tmp_path):
    code, _, err = call(*arguments, cwd=tmp_path)
    assert code == 2
    assert fragment in err
    assert "Traceback" not in err


def test_what_the_server_does_not_have(server, tmp_path):
    code, _, err = call("fetch", NAME, "--url", f"{server.url}x", cwd=tmp_path)
    assert code == 2
    assert "HTTP 404" in err
    assert "Traceback" not in err
    assert list((tmp_path / "data").iterdir()) == []
