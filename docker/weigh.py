"""What an image weighs, a line a layer: `python docker/weigh.py FOLDER`, which `buildah push IMAGE dir:FOLDER` wrote.

Compressed is what a registry keeps and a node pulls; unpacked is what a node's disk holds.
"""

import gzip
import json
import subprocess
import sys
from pathlib import Path

MEGA = 1_000_000
ZSTD = b"\x28\xb5\x2f\xfd"


def unpacked_bytes(blob: Path) -> int:
    """The size of a layer as it lies on a node's disk, as a tar archive."""
    with blob.open("rb") as file:
        if file.read(len(ZSTD)) == ZSTD:
            counted = subprocess.run(['zstd -dcq < "$0" | wc -c', blob], shell=True, check=True, capture_output=True)
            return int(counted.stdout)
    with gzip.open(blob) as stream:
        return sum(len(part) for part in iter(lambda: stream.read(MEGA), b""))


def layers(folder: Path) -> list[tuple[str, int, int]]:
    """Of each layer: the line of the Dockerfile that made it, its bytes compressed and unpacked."""
    manifest = json.loads((folder / "manifest.json").read_text())
    config = json.loads((folder / manifest["config"]["digest"].partition(":")[2]).read_text())
    made_by = [entry.get("created_by", "") for entry in config["history"] if not entry.get("empty_layer")]
    blobs = [folder / layer["digest"].partition(":")[2] for layer in manifest["layers"]]
    assert len(made_by) == len(blobs), "a layer of the image has no line in its history"
    return [(line, blob.stat().st_size, unpacked_bytes(blob)) for line, blob in zip(made_by, blobs, strict=True)]


def main() -> None:
    """Print the table, and the sums with torch's layer and without it."""
    found = layers(Path(sys.argv[1]))
    rows = [*found, ("all", sum(row[1] for row in found), sum(row[2] for row in found))]
    rest = [row for row in found if not row[0].split("#(nop)")[0].rstrip().endswith(" torch")]
    assert len(rest) == len(found) - 1, "one layer is torch's"
    rows.append(("all but torch's", sum(row[1] for row in rest), sum(row[2] for row in rest)))
    print(f"{'compressed':>10} {'unpacked':>9}  MB")
    for line, compressed, unpacked in rows:
        print(f"{compressed / MEGA:10.1f} {unpacked / MEGA:9.1f}  {' '.join(line.split())[:90]}")


if __name__ == "__main__":
    main()
