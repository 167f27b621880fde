"""How long does `--help` of every job take, as a whole process?"""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.rows import emit, parser, spread

REPEATS = 7


def main() -> int:
    arguments = parser(__doc__).parse_args()
    for job in sorted(Path("ray_jobs").glob("*.py")):
        seconds = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            subprocess.run([sys.executable, str(job), "--help"], check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
        emit({"figure": "help_seconds", "job": job.stem, **spread(seconds)}, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
