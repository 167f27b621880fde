"""What a checkpoint takes on its way to an S3 server on loopback, beside the raw upload of as many bytes.

python -m benchmarks.sweep.checkpoint_objects --out benchmarks/results/checkpoint_objects.jsonl

The server (moto) is a process of its own; each repetition makes both uploads, one after the other.
"""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.rows import emit, parser, spread

SIZES = {"model.safetensors": 3_000_000, "average.safetensors": 3_000_000, "state.safetensors": 4_000_000, "meta.json": 4_000}
SERVER = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


def main() -> int:
    asked = parser(__doc__)
    asked.add_argument("--repetitions", type=int, default=20)
    options = asked.parse_args()
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "benchmark",
            "AWS_SECRET_ACCESS_KEY": "benchmark",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        emit(measured(options.repetitions), options.out)
    finally:
        server.terminate()
        server.wait()
    return 0


def measured(repetitions: int) -> dict[str, object]:
    """Seconds of both uploads, alternating, in milliseconds."""
    import s3fs

    from trm.files.objects import Objects
    from trm.training.leg_files import put_checkpoint

    raw = s3fs.S3FileSystem()
    raw.mkdir("bench")
    objects = Objects("s3://bench/s")
    ours, theirs, ratios = list[float](), list[float](), list[float]()
    with tempfile.TemporaryDirectory() as place:
        folder, whole = Path(place) / "step", Path(place) / "whole"
        folder.mkdir()
        for name, size in SIZES.items():
            (folder / name).write_bytes(secrets.token_bytes(size))
        whole.write_bytes(secrets.token_bytes(sum(SIZES.values())))
        for number in range(repetitions + 1):
            start = time.perf_counter()
            raw.put_file(str(whole), f"bench/raw/{number}")
            between = time.perf_counter()
            put_checkpoint(objects, f"trials/0000/step-{number:08d}-attempt-0", folder)
            done = time.perf_counter()
            if number:  # the first opens connections
                theirs.append(1000 * (between - start))
                ours.append(1000 * (done - between))
                ratios.append((done - between) / (between - start))
    return {
        "figure": "checkpoint_objects",
        "bytes": sum(SIZES.values()),
        "objects": len(SIZES),
        "checkpoint_ms": spread(ours),
        "raw_upload_ms": spread(theirs),
        "ratio": spread(ratios),
    }


if __name__ == "__main__":
    sys.exit(main())
