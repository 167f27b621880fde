"""What follows from a recursion's calls: depth, what is summed once, where gradients flow."""

import pytest

from trm.config.recursion import QUESTION, Call, Latent, Recursion, several_latents, single_z, trm

Z_H, Z_L = Latent("z_H", "H_init"), Latent("z_L", "L_init")
UPDATE, ANSWER = Call("z_L", ("z_H", QUESTION, "z_L")), Call("z_H", ("z_H", "z_L"))


def test_trm_is_the_paper_s_figure() -> None:
    recursion = trm(3, 6)
    assert recursion.cycle == (UPDATE,) * 6 + (ANSWER,)
    assert (recursion.depth, recursion.plain_calls, recursion.answer, recursion.networks) == (21, 14, "z_H", ("blocks",))


def test_answer_and_question_are_added_once_a_cycle() -> None:
    assert [step.shares_sum for step in trm(2, 3).steps] == [False, True, True, False] * 2
    assert not any(step.shares_sum for step in single_z(2, 3).steps)
    assert not any(step.shares_sum for step in several_latents(3, 2, 3).steps)


def test_a_sum_made_without_gradient_is_made_again_with_one() -> None:
    recursion = Recursion((Z_H, Z_L), (UPDATE,) * 3 + (ANSWER,), H_cycles=2, differentiated_calls=2)
    assert [step.shares_sum for step in recursion.steps] == [False, True, True, False, False, True, False, False]


def test_gradients_flow_to_the_question_and_to_what_a_differentiated_call_made() -> None:
    steps = trm(2, 2).steps
    assert [step.trained_sources for step in steps[:3]] == [frozenset()] * 3
    assert [step.trained_sources for step in steps[3:]] == [{QUESTION}, {QUESTION, "z_L"}, {"z_L"}]


def test_latents_take_turns_and_each_is_summed() -> None:
    recursion = several_latents(2, 1, 3)
    assert [call.target for call in recursion.calls] == ["z_L1", "z_L2", "z_L1", "z_H"]
    assert recursion.calls[0].sources == ("z_H", QUESTION, "z_L1", "z_L2")
    assert [latent.initial for latent in recursion.latents] == ["H_init", "L1_init", "L2_init"]


def test_one_latent_of_several_is_trm() -> None:
    def unnamed(recursion: Recursion) -> list[tuple[str, tuple[str, ...]]]:
        return [(call.target[:3], tuple(name[:3] for name in call.sources)) for call in recursion.calls]

    assert unnamed(several_latents(1, 3, 4)) == unnamed(trm(3, 4))


@pytest.mark.parametrize(
    ("latents", "call", "differentiated"),
    [
        ((Z_H, Z_H), ANSWER, 1),
        ((Z_H,), ANSWER, 1),
        ((Z_H, Z_L), Call(QUESTION, ("z_H",)), 1),
        ((Z_H, Z_L), Call("z_H", ()), 1),
        ((Z_H, Z_L), Call("z_H", ("z_L", "z_L")), 1),
        ((Z_H, Z_L), ANSWER, 0),
        ((Z_H, Z_L), ANSWER, 3),
    ],
)
def test_what_is_no_recursion_is_refused(latents: tuple[Latent, ...], call: Call, differentiated: int) -> None:
    with pytest.raises(AssertionError):
        Recursion(latents, (call,), H_cycles=2, differentiated_calls=differentiated)
