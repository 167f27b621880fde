"""Faults of nodes, links and drivers at random moments of real sweeps: `python tests/cluster_nodes/campaign.py --faults 40`.

Each sweep must come to what the same sweep came to that nothing happened to: the same trials, results, decisions, leaderboard,
weights and curves, no stretch lost and none done twice.
"""

import json
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fixtures"), str(ROOT / "tests" / "cluster_nodes")]

from crash_cases import check_replay, check_whole, events_of, settled  # noqa: E402
from lab import Lab, Machine, is_possible, wait_for  # noqa: E402
from node_cases import SECRET, TRIALS, Cluster, begin_cluster, prepared, switch_off  # noqa: E402

from benchmarks.rows import emit, parser  # noqa: E402
from trm.search.journal.events import SweepEnded  # noqa: E402

STILL_SECONDS = 60.0
"""A sweep that does nothing for so long hangs, unless it says that it waits for a driver that may live."""


@dataclass
class Injected:
    """A fault, and how long it took until the sweep wrote something again."""

    fault: str
    at_seconds: float
    back_seconds: float = 0.0


@dataclass
class Run:
    """One sweep under faults."""

    cluster: Cluster
    draw: random.Random
    injected: list[Injected] = field(default_factory=list)

    def busy(self) -> Machine:
        """The worker with the leg; any, between two legs."""
        return self.cluster.busy() or self.draw.choice(self.cluster.workers)

    def lose_node(self) -> None:
        """The machine of the leg is switched off; another comes after a while."""
        self.cluster.leave(self.busy())
        time.sleep(self.draw.uniform(0, 8))
        self.cluster.join()

    def lose_all(self) -> None:
        """All workers are switched off; one comes after a while, then another."""
        for machine in list(self.cluster.workers):
            self.cluster.leave(machine)
        time.sleep(self.draw.uniform(3, 15))
        self.cluster.join()
        self.cluster.join()

    def kill_leg(self) -> None:
        """The leg's process is killed."""
        self.busy().send(signal.SIGKILL, self.cluster.leg)

    def cut_short(self) -> None:
        """The leg's machine is cut off, and back before it counts as dead."""
        self._cut(self.busy(), self.draw.uniform(1, 7))

    def cut_head(self) -> None:
        """The head is cut off from all workers for a moment."""
        self._cut(self.cluster.head, self.draw.uniform(1, 7))

    def cut_long(self) -> None:
        """The leg's machine is cut off until it counts as dead, works on alone meanwhile, and comes back."""
        machine = self.busy()
        machine.cut()
        time.sleep(self.draw.uniform(35, 45))
        machine.mend()
        time.sleep(5)
        self.cluster.leave(machine)  # its Ray has ended itself by now; where it has not, a machine is replaced all the same
        self.cluster.join()

    def lose_packets(self) -> None:
        """A tenth of what comes to the leg's machine is lost for a while."""
        machine = self.busy()
        machine.lose(0.1)
        time.sleep(self.draw.uniform(4, 10))
        machine.mend()

    def slow_link(self) -> None:
        """The link to the leg's machine carries 64 kbit/s for a while."""
        machine = self.busy()
        machine.slow(64)
        time.sleep(self.draw.uniform(4, 10))
        machine.mend()

    def drain_node(self) -> None:
        """The leg's machine is a spot node that is told to go."""
        machine = self.busy()
        self.cluster.drain(machine, 20)
        wait_for("the drained node is gone", lambda: not machine.has_raylet(), 60)
        self.cluster.leave(machine)
        self.cluster.join()

    def unequal_storage(self) -> None:
        """A machine joins that does not see the storage, and the leg's own is switched off."""
        stranger = self.cluster.join(f"mount -t tmpfs tmpfs {self.cluster.storage}")
        time.sleep(self.draw.uniform(0, 4))
        self.cluster.leave(self.busy() if self.cluster.busy() is not stranger else stranger)
        self.cluster.join()
        driver = self.cluster.driver
        wait_for("the stranger is named", lambda: "joined and takes no legs" in driver.said() or driver.code() is not None, 60)
        self.cluster.leave(stranger)

    def kill_driver(self) -> None:
        """The driver is killed, and started again."""
        driver = self.cluster.driver
        driver.machine.signal(driver.process, signal.SIGKILL)
        driver.process.wait(20)
        time.sleep(self.draw.uniform(0, 3))
        self.cluster.drive()

    def interrupt(self) -> None:
        """Ctrl-C, and started again."""
        driver = self.cluster.driver
        driver.machine.signal(driver.process, signal.SIGINT)
        code = driver.process.wait(60)
        if self.ended():
            return
        assert code == 130, driver.said()
        assert "go on with" in driver.said()
        self.cluster.drive()

    def second_driver(self) -> None:
        """Another driver of the same sweep is started; it is refused."""
        first = self.cluster.driver
        second = self.cluster.drive()
        self.cluster.drivers.pop()
        code = second.process.wait(60)
        second.log.rename(second.log.with_suffix(f".second-{len(self.injected)}"))
        if first.code() is None:
            said = second.log.with_suffix(f".second-{len(self.injected)}").read_text()
            assert code == 2, said
            assert "is held by a living driver" in said

    def lose_head(self) -> None:
        """The head is switched off with the driver on it, and with it go the workers; the sweep goes on at another address."""
        self.cluster.replace_head(2)

    def _cut(self, machine: Machine, seconds: float) -> None:
        machine.cut()
        time.sleep(seconds)
        machine.mend()

    def ended(self) -> bool:
        """Whether the sweep has come to its end."""
        return any(isinstance(event, SweepEnded) for event in events_of(self.cluster.folder))

    def inject(self, fault: Callable[[], None]) -> None:
        """Have it happen, and wait until the sweep goes on."""
        began = time.monotonic()
        fault()
        done = time.monotonic()
        record = Injected(fault.__name__, done - began)
        self.injected.append(record)
        since = time.time()
        while self.cluster.went_on() < since and not self.ended():
            self.check_driver()
            record.back_seconds = time.monotonic() - done
            waits_for_driver = re.search(r"looking (\d+) s for its heartbeat", self.cluster.driver.said())
            limit = STILL_SECONDS + (float(waits_for_driver[1]) if waits_for_driver else 0.0)
            assert record.back_seconds < limit, f"{fault.__name__}: still for {limit:.0f} s\n{self.cluster.driver.said()[-3000:]}"
            time.sleep(0.2)

    def check_driver(self) -> None:
        """The driver runs; where a Ray that broke has ended it, it said why, and is started again as a job's next try is."""
        code = self.cluster.driver.code()
        if code is None or self.ended():
            return
        said = self.cluster.driver.said()
        assert "Traceback" not in said, said
        assert "go on with" in said, said
        print(f"  driver ended with {code}: {said.strip().splitlines()[-2:]}", flush=True)
        assert code != 2, said
        self.cluster.drive()

    def to_the_end(self) -> None:
        """Nothing more happens; the driver's exit code is 0 in the end."""
        last, since = self.cluster.went_on(), time.monotonic()
        while (code := self.cluster.driver.code()) is None:
            latest = self.cluster.went_on()
            if latest != last:
                last, since = latest, time.monotonic()
            assert time.monotonic() - since < 2 * STILL_SECONDS, self.cluster.driver.said()[-3000:]
            time.sleep(0.2)
        if code != 0:
            self.check_driver()
            assert self.cluster.driver.process.wait(120) == 0, self.cluster.driver.said()


FAULTS = (
    "lose_node",
    "kill_leg",
    "cut_short",
    "drain_node",
    "kill_driver",
    "cut_head",
    "unequal_storage",
    "second_driver",
    "lose_packets",
    "lose_head",
    "interrupt",
    "slow_link",
    "lose_all",
    "cut_long",
)


def deck(draw: random.Random, only: list[str]) -> Iterator[str]:
    """Every fault once, in an order of chance, again and again."""
    while True:
        yield from draw.sample(only, len(only))


def undisturbed(made: Lab, storage: Path, space: Path) -> Path:
    """The same sweep without a fault: its folder."""
    cluster = begin_cluster(made, storage, space, "undisturbed", 1)
    cluster.drive()
    Run(cluster, random.Random(0)).to_the_end()
    switch_off(cluster)
    return cluster.folder


def check_same(folder: Path, whole: Path) -> None:
    """What the sweep came to, beside what it should have."""
    check_whole(folder, TRIALS)
    check_replay(folder)
    assert settled(folder) == settled(whole)
    for path in folder.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), f"the token stands in {path}"


def under_faults(made: Lab, storage: Path, space: Path, name: str, faults: Iterator[str], count: int, draw: random.Random) -> Run:
    """A sweep that up to `count` faults happen to, at random moments, to its end."""
    cluster = begin_cluster(made, storage, space, name, 2)
    cluster.drive()
    run = Run(cluster, draw)
    wait_for("the first leg", lambda: cluster.open_leg() is not None, 120)
    while len(run.injected) < count and not run.ended():
        time.sleep(draw.uniform(0.5, 6))
        run.check_driver()
        if run.ended():
            break
        fault = next(faults)
        print(f"{name}: {fault}", flush=True)
        run.inject(getattr(run, fault))
        print(f"  {json.dumps(run.injected[-1].__dict__)}", flush=True)
    run.to_the_end()
    switch_off(cluster)
    return run


def main() -> None:
    """Inject faults until there were enough, sweep after sweep."""
    options = parser(__doc__)
    options.add_argument("--faults", type=int, default=40)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", nargs="*", default=list(FAULTS), choices=list(FAULTS))
    options.add_argument("--keep", type=Path, help="an empty folder that everything stays in")
    given = options.parse_args()
    if not is_possible():
        sys.exit("it needs root, ip, unshare, nsenter, and a kernel with namespaces and bridges")
    draw = random.Random(given.seed)
    faults = deck(draw, given.only)
    folder = given.keep or Path(tempfile.mkdtemp(prefix="nodes-"))
    runs: list[Run] = []
    began = time.monotonic()
    with prepared(folder) as (made, storage, space):
        whole = undisturbed(made, storage, space)
        print(f"undisturbed: {time.monotonic() - began:.0f} s", flush=True)
        while (left := given.faults - sum(len(run.injected) for run in runs)) > 0:
            run = under_faults(made, storage, space, f"faults-{len(runs)}", faults, min(left, 10), draw)
            check_same(run.cluster.folder, whole)
            runs.append(run)
    injected = [fault for run in runs for fault in run.injected]
    for name in dict.fromkeys(fault.fault for fault in injected):
        back = [fault.back_seconds for fault in injected if fault.fault == name]
        row = {"question": "a fault of a node, a link or a driver", "fault": name, "times": len(back)}
        emit({**row, "back_seconds": [round(seconds, 1) for seconds in back]}, given.out)
    emit(
        {
            "question": "faults at random moments of real sweeps on machines of their own",
            "faults": len(injected),
            "sweeps": len(runs),
            "same_as_undisturbed": True,
            "longest_still_seconds": round(max(fault.back_seconds for fault in injected), 1),
            "seconds": round(time.monotonic() - began),
        },
        given.out,
    )


if __name__ == "__main__":
    main()
