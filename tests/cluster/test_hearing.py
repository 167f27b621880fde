"""What a person hears of work elsewhere, without a cluster."""

from unittest.mock import MagicMock

from ray.actor import ActorHandle

from trm.cluster.hearing import Ear, Mouth


def test_all_parts_of_a_stage_are_told_together_and_the_end_of_each_always() -> None:
    ear, actor = Ear(), MagicMock(spec=ActorHandle)
    actor.report = MagicMock()
    actor.report.remote = ear.report
    for part in ("one", "two"):
        mouth = Mouth(actor)
        for done in range(1, 5):
            mouth.report("batches", done, 4, part=part)
    assert ear.heard() == ([], ("batches", 8, 8))
    Mouth(actor).report("others", 1, 3)
    assert ear.heard() == ([], ("others", 1, 3))
