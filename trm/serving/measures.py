"""What a server counts of itself, as Prometheus reads it: requests, their seconds, batches, the queue. No puzzle is in it."""

import threading
from collections import Counter
from collections.abc import Sequence

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128)


class Histogram:
    """Counts of values up to each bound, their number and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """One more value."""
        place = next((k for k, bound in enumerate(self._bounds) if value <= bound), len(self._bounds))
        self._counts[place] += 1
        self._sum += value

    def lines(self, name: str) -> list[str]:
        """As Prometheus reads it."""
        total, found = 0, []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            found.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*found, f"{name}_sum {self._sum:.6f}", f"{name}_count {total}"]


class Measures:
    """The counts of one server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._answers: Counter[str] = Counter()
        self._latency, self._rows = Histogram(SECONDS), Histogram(ROWS)
        self._step_seconds = 0.0
        self._row_steps = 0

    def requested(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        with self._lock:
            self._requests[method, route, status] += 1
            if route == "/predict" and status == 200:
                self._latency.add(seconds)

    def stepped(self, rows: int, seconds: float) -> None:
        """A batch of so many rows made a supervision step."""
        with self._lock:
            self._rows.add(rows)
            self._row_steps += rows
            self._step_seconds += seconds

    def answered(self, is_valid: bool | None) -> None:
        """A puzzle was answered."""
        with self._lock:
            self._answers["unknown" if is_valid is None else "yes" if is_valid else "no"] += 1

    def text(self, gauges: dict[str, tuple[str, float]]) -> str:
        """All of it in Prometheus's text format; `gauges` have a line of help and their value."""
        with self._lock:
            requests = [
                f'trm_serve_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}'
                for (method, route, status), count in sorted(self._requests.items())
            ]
            answers = [f'trm_serve_answers_total{{valid="{valid}"}} {count}' for valid, count in sorted(self._answers.items())]
            blocks = [
                _block("trm_serve_requests_total", "counter", "Requests by route and status.", requests),
                _block("trm_serve_answers_total", "counter", "Puzzles answered, by whether the rules are kept.", answers),
                _block(
                    "trm_serve_predict_seconds",
                    "histogram",
                    "Seconds of POST /predict.",
                    self._latency.lines("trm_serve_predict_seconds"),
                ),
                _block(
                    "trm_serve_batch_rows", "histogram", "Rows of a supervision step.", self._rows.lines("trm_serve_batch_rows")
                ),
                _block(
                    "trm_serve_row_steps_total",
                    "counter",
                    "Supervision steps of rows.",
                    [f"trm_serve_row_steps_total {self._row_steps}"],
                ),
                _block(
                    "trm_serve_step_seconds_total",
                    "counter",
                    "Seconds in supervision steps.",
                    [f"trm_serve_step_seconds_total {self._step_seconds:.6f}"],
                ),
            ]
        blocks += [_block(name, "gauge", told, [f"{name} {value:g}"]) for name, (told, value) in gauges.items()]
        return "".join(blocks)


def _block(name: str, kind: str, told: str, lines: Sequence[str]) -> str:
    return "\n".join([f"# HELP {name} {told}", f"# TYPE {name} {kind}", *lines]) + "\n"
