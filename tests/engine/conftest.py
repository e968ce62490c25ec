"""A server that speaks S3, for tests of runs at an address."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket on a server of this process, and the environment that leads there."""
    moto: Any = pytest.importorskip("moto.server")
    s3fs: Any = pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # What it holds belongs to the process, also after a server of another module has stopped.
    urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", data=b"").close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("bucket")
        yield "s3://bucket"
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()
