"""A server that cuts, lies and refuses, for the tests of fetching; frames of a made log, for those of static files."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from smartrec.data import Frames, Interactions, Trajectories, Vocabulary


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        site = self.server.site
        site.asked.append((self.path, self.headers.get("Range")))
        if site.failures:
            return self.answer(site.failures.pop(0), b"")
        content = site.files.get(self.path)
        if content is None:
            return self.answer(404, b"")
        if self.path.endswith(".md5"):
            return self.answer(200, content)
        return self.archive(content, site)

    def archive(self, content, site):
        start = int((self.headers.get("Range") or "bytes=0-")[len("bytes=") : -1]) if site.ranges else 0
        if start and start >= len(content):
            return self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        body = content[start:]
        announced = len(body) + site.lie
        cut = site.cuts.pop(0) if site.cuts else len(body)
        self.answer(206 if start else 200, body[:cut], headers, announced)

    def answer(self, code, body, headers=None, announced=None):
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_):
        pass


class Site:
    """A server of one archive and, where asked for, its checksum."""

    def __init__(self, name, content, checksum=True):
        self.files = {f"/{name}.zip": content}
        if checksum:
            self.files[f"/{name}.zip.md5"] = f"MD5 ({name}.zip) = {hashlib.md5(content).hexdigest()}\n".encode()
        self.asked, self.failures, self.cuts, self.ranges, self.lie = [], [], [], True, 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.site = self
        self.url = f"http://127.0.0.1:{self.server.server_port}/{name}.zip"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def ranges_asked(self):
        return [asked for path, asked in self.asked if path.endswith(".zip")]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def serve():
    sites = []

    def start(content, checksum=True, name="ml-latest-small"):
        sites.append(Site(name, content, checksum))
        return sites[-1]

    yield start
    for site in sites:
        site.close()


def make_frames(lengths, f, n_items=7, ratings=None, seed=0):
    rng = np.random.default_rng(seed)
    users = rng.permutation(np.repeat(np.arange(len(lengths)), lengths))
    scale = np.arange(-4, 6) if ratings is None else np.asarray(ratings)
    rows = len(users)
    log = Interactions(
        users, rng.integers(n_items, size=rows), rng.choice(scale, rows), rng.integers(5, size=rows),
        Vocabulary(range(len(lengths))), Vocabulary(range(n_items)),
    )  # fmt: skip
    return Frames(Trajectories.of(log), f)


def make_vectors(frames, d=3, seed=1):
    return np.random.default_rng(seed).normal(size=(frames.trajectories.n_items, d)).astype(np.float32)


@pytest.fixture(scope="session")
def frames_of():
    """Makes frames of users with so many answers each."""
    return make_frames


@pytest.fixture(scope="session")
def vectors_for():
    """Makes vectors of the items of frames."""
    return make_vectors
