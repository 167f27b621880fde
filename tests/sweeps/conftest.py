"""What tests of object stores share: an S3 server on this machine."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A bucket of an S3 server on loopback, and credentials for it in the environment."""
    from moto.server import ThreadedMotoServer

    started = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing-key-id")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        import s3fs

        s3fs.S3FileSystem().makedirs("sweeps", exist_ok=True)  # an earlier server of this process had it too
        yield "s3://sweeps"
    s3fs.S3FileSystem.clear_instance_cache()  # they know this server's port
    started.stop()
