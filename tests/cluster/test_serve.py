"""What the desk before replicas does where one of them dies with a puzzle: another is asked, and in the end the client is told."""

import asyncio
import warnings
from typing import Any

import pytest
from ray.exceptions import RayActorError

from trm.errors import QuestionError
from trm.serving.batching import Busy
from trm.serving.desk import NotHere

with warnings.catch_warnings():  # of Ray Serve, as it is imported
    warnings.simplefilter("ignore")
    from trm.cluster import serve


class Replicas:
    """Says one thing after the other, as a Ray Serve handle does."""

    def __init__(self, *said: Any) -> None:
        self.said, self.asked = list(said), list[Any]()
        self.ask = self

    def remote(self, what: str, values: Any) -> Any:
        self.asked.append((what, values))
        future = asyncio.get_running_loop().create_future()
        found = self.said.pop(0)
        if isinstance(found, RayActorError):
            future.set_exception(found)
        elif found is not None:
            future.set_result(found)
        return future


def test_another_replica_is_asked_where_one_died_and_foreseen_errors_are_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "PAUSE_SECONDS", 0.0)
    mended = Replicas(RayActorError(), RayActorError(), {"valid": True})
    assert asyncio.run(serve.RemoteDesk(mended).predict({"row": "1"})) == {"valid": True}
    assert mended.asked == [("predict", {"row": "1"})] * 3
    dead = Replicas(*[RayActorError()] * serve.TRIES)
    with pytest.raises(Busy, match="the replicas that were asked died; ask again in 5 s"):
        asyncio.run(serve.RemoteDesk(dead).model())
    for error in (QuestionError("a rule", remedy="mend it"), NotHere("nobody"), Busy("too many", 3)):
        with pytest.raises(type(error), match=str(error)):
            asyncio.run(serve.RemoteDesk(Replicas(error)).solve({}))


def test_who_goes_away_is_asked_for_no_longer() -> None:
    async def leave() -> bool:
        silent = Replicas(None)
        task = asyncio.ensure_future(serve.RemoteDesk(silent).predict({}))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert asyncio.run(leave())
