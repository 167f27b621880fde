"""Asynchronous successive halving that pauses and promotes (arXiv 1810.05934, algorithm 2)."""

from collections.abc import Sequence

from trm.search.policies.policy import Adoption, Standing, Verdict


class PromotingAsha:
    """While trials still arrive, the best 1/eta of a rung go on; when none can arrive, its survivors do (see `trm.search.asha`)."""

    def group(self, trial: int) -> int:
        """All trials are one group."""
        return 0

    def first_rung(self, trial: int) -> int:
        """The first."""
        return 0

    def verdict(self, standing: Standing, trial: int, rung: int) -> Verdict:
        """Rests until it is promoted or left behind."""
        board = standing.boards[0][rung]
        return Verdict("paused", f"rank {board.rank(trial) + 1} of {len(board)} at rung {rung}")

    def left_behind(self, standing: Standing) -> list[tuple[int, str]]:
        """Those of settled rungs who are no survivors."""
        stops: list[tuple[int, str]] = []
        for index, board in enumerate(standing.boards.get(0, [])[:-1]):
            if not _is_settled(standing, index):
                break
            survivors = board.survivors()
            for trial in board.resting:
                if trial not in survivors and trial in standing.paused:
                    place = f"rank {board.rank(trial) + 1} of {len(board)} at rung {index}"
                    stops.append((trial, f"{place}, {len(survivors)} go on"))
        return stops

    def adoptions(self, standing: Standing) -> Sequence[Adoption]:
        """None."""
        return ()

    def promotion(self, standing: Standing) -> int | None:
        """The best that may go on, from the highest rung that has one."""
        boards = standing.boards.get(0, [])
        for index in range(len(boards) - 2, -1, -1):
            best = boards[index].promotable()
            if best is None and _is_settled(standing, index):
                best = boards[index].resting_survivor()
            if best is not None:
                return best
        return None

    def may_ask(self, standing: Standing) -> bool:
        """Always."""
        return True


def _is_settled(standing: Standing, index: int) -> bool:
    """Whether no further trial can reach rung `index`."""
    if not standing.is_asking_over or any(heading <= index for heading in standing.headings.values()):
        return False
    return all(board.resting_survivor() is None for board in standing.boards[0][:index])
