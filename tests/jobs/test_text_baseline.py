"""The text baseline: a two-layer model with a tokenizer made on the spot is fine-tuned, asked, and compared."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.jobs.test_claims import rows_of
from trm.data.batches.split import Split
from trm.errors import CheckpointError, ConfigError, DatasetError, SweepError
from trm.jobs.claims import run_claims
from trm.jobs.compare import run_comparison
from trm.jobs.text_baseline import TextOptions, run_text_baseline
from trm.sweeps.places import held_folder
from trm.tasks.arc.augment import canvas
from trm.tasks.arc.votes import grid_hashes
from trm.text.answering import TextAnswer, evaluation_of, votes_of
from trm.text.prompts import RULE, Prompt, as_canvas, asked_prompts, grid_text, parsed_grid, training_prompts
from trm.text.settings import TextConfig

needs_extra = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("transformers", "peft")), reason="the extra llm is not installed"
)
quiet = pytest.mark.filterwarnings("ignore")  # what transformers and peft say of each other


# Words, without a model ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "grid"),
    [
        ("1 2\n3 4", [[1, 2], [3, 4]]),
        ("\n 12\n34 \nInput:\n5", [[1, 2], [3, 4]]),
        ("7", [[7]]),
        ("1 2\n3", None),
        ("the answer is 1", None),
        ("", None),
        ("1 -2", None),
        ("\n".join(["1"] * 31), None),
        (" ".join("1" * 31), None),
        (grid_text([[0] * 30] * 30), [[0] * 30] * 30),
    ],
)
def test_a_grid_is_what_a_text_begins_with(text: str, grid: list[list[int]] | None) -> None:
    found = parsed_grid(text)
    assert (None if found is None else found.tolist()) == grid
    assert as_canvas(found).any() == (grid is not None)


def split_of(name: str, grids: list[list[list[int]]], groups: list[int]) -> Split:
    made = canvas([np.array(grid, dtype=np.uint8) for grid in grids])
    return Split(name, made, made[::-1].copy(), np.array(groups, dtype=np.int32))


def test_a_question_shows_its_tasks_pairs_and_never_the_answer() -> None:
    train = split_of("train", [[[1, 2]], [[3, 4]], [[5]], [[6]]], [0, 0, 1, 2])
    test = split_of("test", [[[7, 7]], [[8]]], [0, 5])
    first, second = asked_prompts(train, test, [0, 1])
    assert first.text.count("Input:") == 3
    assert first.text.endswith("Input:\n7 7\nOutput:\n")
    assert "1 2\nOutput:\n6" in first.text
    assert (first.answer, first.puzzle) == ("8", 0)
    assert second.text.count("Input:") == 1
    asked = training_prompts(train)
    assert [(prompt.row, prompt.puzzle, prompt.answer) for prompt in asked] == [(0, 0, "6"), (1, 0, "5")]
    assert "Output:\n6" not in asked[0].text
    assert "Output:\n5" in asked[0].text


def scored(scoring: str, *texts: list[str]) -> dict[str, float]:
    """Test pairs of two tasks, each with answers."""
    split = split_of("test", [[[1, 2]], [[3]], [[4]]], [0, 0, 1])  # right: 4, 3, 1 2
    prompts = [Prompt(row, int(split.groups[row]), "", answer) for row, answer in enumerate(("4", "3", "1 2"))]
    answers = []
    for prompt, own in zip(prompts, texts, strict=True):
        for attempt, text in enumerate(own):
            grid = parsed_grid(text)
            is_right = grid is not None and grid.tolist() == parsed_grid(prompt.answer).tolist()  # type: ignore[union-attr]
            answers.append(TextAnswer(prompt.row, prompt.puzzle, attempt, text, 9, 9, 2, grid is not None, is_right))
    votes = votes_of(answers, prompts, split, TextConfig(model="m", scoring=scoring))
    assert (votes["vote"][votes["is_exact"]] == grid_hashes(split.labels)[votes["row"][votes["is_exact"]]]).all()
    return evaluation_of(votes, split).metrics


def test_answers_are_scored_as_votes_are() -> None:
    """The first of as many votes counts first; one without a grid is none of the others'."""
    found = scored("parsed", ["4", "9"], ["9", "3"], ["1 2\nso it is", "no"])
    assert (found["pass_at_1"], found["pass_at_2"]) == (0.75, 1.0)
    assert found["exact_accuracy"] == 0.5
    assert (found["tasks"], found["test_pairs"]) == (2, 3)
    assert scored("exact", ["4", "9"], ["9", "3"], ["1 2\nso it is", "no"])["pass_at_2"] == 0.5
    assert scored("parsed", ["3", "3", "4"], ["x", "", "?"], ["1 2", "1", "1"])["pass_at_1"] == 0


# With a model -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder as the hub has them: two layers of Llama, a token a letter."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    letters = sorted(set("InputOutput:0123456789 \n") | set(RULE))
    words = {word: number for number, word in enumerate(["<pad>", "<end>", "<unknown>", *letters])}
    made = Tokenizer(models.WordLevel(words, unk_token="<unknown>"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.decoder = decoders.Fuse()
    folder = tmp_path_factory.mktemp("model")
    PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<end>", pad_token="<pad>", unk_token="<unknown>", clean_up_tokenization_spaces=False
    ).save_pretrained(folder)
    set_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}
    config = LlamaConfig(
        vocab_size=len(words),
        max_position_embeddings=512,
        eos_token_id=1,
        pad_token_id=0,
        bos_token_id=None,
        initializer_range=0.2,
        **shape,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ARC's files: grids that are answered by themselves."""
    folder = tmp_path_factory.mktemp("arc")
    for subset, count in (("training", 2), ("evaluation", 2)):
        (folder / subset).mkdir()
        for number in range(count):
            rng = np.random.default_rng([count, number, len(subset)])
            grids = [rng.integers(0, 10, (2, 2)).tolist() for _ in range(4)]
            pairs = [{"input": grid, "output": grid} for grid in grids]
            task = {"train": pairs[:3], "test": pairs[3:]}
            (folder / subset / f"{subset}{number}.json").write_text(json.dumps(task))
    subsets = "subsets: [training, evaluation]\ntest_set: evaluation\n"
    (folder / "recipe.yaml").write_text(f"name: arc1\ntask: arc\npath: {folder}\n{subsets}num_aug: 0\nvalidation: none\n")
    return folder


def options(place: Path, tasks: Path, model: str, out: str, *overrides: str) -> TextOptions:
    said = (f"model={model}", f"data.recipe={tasks}/recipe.yaml", "lr=0.02", *overrides)
    return TextOptions(None, said, str(place / out), str(place / "runs"))


@needs_extra
@quiet
def test_a_model_is_fine_tuned_asked_and_reported_as_an_evaluation(
    tmp_path: Path, tasks: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own: Callable[..., TextOptions] = lambda out, *more: options(tmp_path, tasks, model, out, *more)  # noqa: E731
    assert run_text_baseline(own("tuned")) == 0
    report = json.loads((tmp_path / "tuned" / "evaluation" / "report.json").read_text())
    losses = report["tuned"]["losses"]
    assert (report["tuned"]["examples"], report["tuned"]["steps"], len(losses)) == (14, 4, 2)  # 14 demonstrations, 8 a step
    assert losses[1] < losses[0] - 0.5, losses
    assert report["votes"]["pass"]["2"]["by_task"]["count"] == 2
    assert report["text"]["largest_budget"] == 12, "two rows of three letters, one more, their ends, the token that ends all"
    texts = pq.read_table(tmp_path / "tuned" / "evaluation" / "texts.parquet").to_pylist()
    assert [(row["row"], row["attempt"]) for row in texts] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert {path.name for path in (tmp_path / "tuned" / "adapters").iterdir()} >= {"adapter_model.safetensors", "tuned.json"}

    capsys.readouterr()
    assert run_text_baseline(own("tuned")) == 0  # its adapters are there
    again = json.loads((tmp_path / "tuned" / "evaluation" / "report.json").read_text())
    assert "adapters of" in capsys.readouterr().err
    assert (again["metrics"], again["tuned"]) == (report["metrics"], report["tuned"])
    assert pq.read_table(tmp_path / "tuned" / "evaluation" / "texts.parquet").to_pylist() == texts
    with held_folder(tmp_path / "tuned", lambda folder: True), pytest.raises(SweepError, match="is held by a living driver"):
        run_text_baseline(own("tuned"))
    with pytest.raises(ConfigError, match=r"adapters of another fine-tuning: rank was 16, is 8; give another --out"):
        run_text_baseline(own("tuned", "rank=8"))

    assert run_text_baseline(own("plain", "epochs=0", "attempts=1", "scoring=exact")) == 0
    plain = str(tmp_path / "plain" / "evaluation")
    assert run_comparison(str(tmp_path / "tuned" / "evaluation"), plain, None) == 0
    assert "pass_at_2" in capsys.readouterr().out
    assert run_claims([plain], None, str(tmp_path)) == 0
    ours = [row["metric"] for row in rows_of(tmp_path) if row["is_ours"] == "True"]
    assert ours == ["pass@1 of tasks, 0 augmentations", "pass@2 of tasks, 0 augmentations"]


@needs_extra
@quiet
def test_what_does_not_fit_is_counted(tmp_path: Path, tasks: Path, model: str) -> None:
    run_text_baseline(options(tmp_path, tasks, model, "short", "epochs=0", "most_tokens=40"))
    report = json.loads((tmp_path / "short" / "evaluation" / "report.json").read_text())
    assert (report["text"]["unasked"], report["metrics"]["pass_at_2"]) == (4, 0)
    with pytest.raises(ConfigError, match=r"at most 40 tokens \(most_tokens\), the shortest of 14 has"):
        run_text_baseline(options(tmp_path, tasks, model, "none", "most_tokens=40"))


@needs_extra
@quiet
@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (
            ("model=/nowhere",),
            CheckpointError,
            "must name a causal model of transformers with safetensors, '/nowhere' cannot be loaded",
        ),
        (("quantized=4bit",), ConfigError, "quantized: 4bit needs CUDA and bitsandbytes, this is cpu"),
        (("ranks=3",), ConfigError, "ranks"),
        (("data.recipe=datasets/sudoku4x4.yaml",), ConfigError, "is of ARC tasks, the data set holds sudoku puzzles"),
        (("data.recipe=null", "data.folder=/nowhere"), DatasetError, "nowhere"),
    ],
)
def test_bad_input_is_refused(
    tmp_path: Path, tasks: Path, model: str, overrides: tuple[str, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run_text_baseline(options(tmp_path, tasks, model, "out", *overrides))
    if error is CheckpointError:
        assert not (tmp_path / "runs" / "data").exists(), "no data set is built for a model that is not there"


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find: Any = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "peft" else find(name, *rest))
    with pytest.raises(ConfigError, match=r"peft.* is not installed; pip install 'trm-search\[llm\]'"):
        run_text_baseline(options(tmp_path, tasks, "m", "out"))
