"""A small dataset in MNIST's format: its raw files, ways to damage them, and a server of them."""

import gzip
import socket
import struct
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in IDX format."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


RNG = np.random.default_rng(0)
ARRAYS = {
    "train_images": RNG.integers(0, 256, (20, 4, 3)),
    "train_labels": np.arange(20) % 5,
    "test_images": RNG.integers(0, 256, (10, 4, 3)),
    "test_labels": np.arange(10) % 5,
}
CONTENTS = {name: idx(array) for name, array in ARRAYS.items()}
# mtime 0: so that archives have the same bytes each time.
ARCHIVES = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in CONTENTS.items()}


def put(folder: Path, compressed: bool = True) -> Path:
    """Writes the raw files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for archive, content in ARCHIVES.items():
        path = folder / (archive if compressed else archive.removesuffix(".gz"))
        path.write_bytes(content if compressed else gzip.decompress(content))
    return folder


def flip(content: bytes) -> bytes:
    flipped = bytearray(content)
    flipped[len(flipped) // 2] ^= 1
    return bytes(flipped)


DAMAGES = {
    "a flipped byte": lambda path: path.write_bytes(gzip.compress(flip(gzip.decompress(path.read_bytes())))),
    "a flipped byte of the archive": lambda path: path.write_bytes(flip(path.read_bytes())),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-10]),
    "empty": lambda path: path.write_bytes(b""),
    "another file": lambda path: path.write_bytes(ARCHIVES["test_labels.gz"]),
    "a web page": lambda path: path.write_text("<html>not found</html>"),
}


class Mirror(ThreadingHTTPServer):
    """A web server on this machine, which serves files or answers as its attributes say."""

    def __init__(self) -> None:
        self.files = dict(ARCHIVES)
        self.status = 200
        self.length: str | None = None
        self.asked: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.asked.append(self.path)
                content = mirror.files.get(self.path.rpartition("/")[2])
                self.send_response(mirror.status if content is not None else 404)
                length = mirror.length or str(len(ARCHIVES.get(self.path.rpartition("/")[2], b"")))
                self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data"


def nowhere() -> str:
    """An address on this machine where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"
