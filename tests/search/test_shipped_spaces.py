"""Every search space and every recipe that is shipped: valid, satisfiable, fair at its first rung, and what the paper published."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trm.config.files import dump_yaml, load_yaml, parse_yaml, validated
from trm.config.losses import SoftmaxLoss
from trm.config.networks import DataShape
from trm.config.optimizers import MuonConfig
from trm.config.recursive_networks import HrmConfig, TrmConfig
from trm.config.run import RunConfig
from trm.models.cost import RunCost, run_cost, total_steps
from trm.models.precision import forward_dtype, loss_dtype
from trm.search.planning.preflight import preflight
from trm.search.planning.rung_choice import MOST_RUNGS, with_rungs
from trm.search.planning.survey import Survey
from trm.search.schedulers.asha import Asha
from trm.search.space.candidates import Candidate, Facts, Resolver
from trm.search.space.enumeration import random_params
from trm.search.space.loading import load_space
from trm.search.space.space import SearchSpace
from trm.tasks.arc.recipe import ArcRecipe
from trm.tasks.maze.recipe import MazeRecipe
from trm.tasks.mixture.recipe import MixtureRecipe
from trm.tasks.recipes import load_recipe, recipe_of
from trm.tasks.sudoku.recipe import SudokuRecipe

ROOT = Path(__file__).parents[2] / "search_spaces"
SPACES = sorted(path.stem for path in ROOT.glob("*.yaml"))
PAIR = ("sudoku4x4_small", "sudoku4x4_large")
"""Small to large: one searches what the other tries again."""
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
PAPER = ("arc1", "arc2", "maze_hard", "sudoku_attention", "sudoku_mlp")
"""Recipes of the TRM paper, which the others follow or stand beside."""
LIKE: dict[str, tuple[str, dict[str, Any]]] = {
    **{
        f"{name}_8gpu": (name, {"training.global_batch_size": 1536, "optim.lr": 2e-4, "optim.lr_warmup_steps": 4000})
        for name in ("arc1", "arc2", "maze_hard")
    },
    "sudoku_cgar": ("sudoku_mlp", {"training.depth_schedule": "cgar"}),
}
"""Recipe -> the one that it is, but for these values."""
HRM: dict[str, tuple[int, float, float, float, float]] = {
    "hrm_sudoku": (384, 20_000, 7e-5, 7e-5, 1.0),
    "hrm_sudoku_8gpu": (768, 20_000, 1e-4, 1e-4, 1.0),
    "hrm_sudoku_full": (2304, 100, 3e-4, 3e-4, 0.1),
    "hrm_maze_hard": (768, 20_000, 1e-4, 1e-4, 1.0),
    "hrm_arc1": (768, 100_000, 1e-4, 1e-2, 0.1),
    "hrm_arc2": (768, 100_000, 1e-4, 1e-2, 0.1),
}
"""Recipe of HRM's README -> batch, epochs, rates of the backbone and of the puzzle embedding, weight decay of both."""
SHAPES = {
    "sudoku4x4": DataShape(16, 6, 1),
    "sudoku6x6": DataShape(36, 8, 1),
    "sudoku9x9": DataShape(81, 11, 1),
    "sudoku_extreme": DataShape(81, 11, 1),
    "maze_hard": DataShape(900, 6, 1),
    "maze_hard_published": DataShape(900, 6, 1),
    "arc1": DataShape(900, 12, 960 * 9),
    "arc2": DataShape(900, 12, 1280 * 9),
}


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT.parent)


def shape_of(config: RunConfig | SearchSpace) -> DataShape:
    assert config.data.recipe is not None
    return SHAPES[Path(config.data.recipe).stem]


def cost_of(shape: DataShape) -> Callable[[RunConfig], RunCost]:
    def cost(config: RunConfig) -> RunCost:
        return run_cost(config, shape)

    return cost


def test_what_the_project_promises_is_there() -> None:
    wanted = {"sudoku4x4", "sudoku4x4_front", "sudoku4x4_families", "sudoku9x9", "sudoku9x9_modern"}
    assert set(SPACES) >= wanted | {"sudoku_extreme", "maze_hard", "arc1"}
    assert set(RECIPES) >= {"sudoku_attention", "sudoku_mlp", "maze_hard", "arc1", "arc2"}


@pytest.mark.parametrize("name", SPACES)
def test_every_sample_of_a_space_is_a_valid_run(name: str) -> None:
    space = load_space(ROOT / f"{name}.yaml")
    resolver = Resolver(space, cost_of(shape_of(space)))
    generator = random.Random(name)
    found = [resolver.resolve(random_params(space, generator)) for _ in range(300)]
    candidates = [one for one in found if isinstance(one, Candidate)]
    assert len(candidates) > 60, "most draws break a rule"
    for one in candidates:
        again = RunConfig.model_validate(one.config.model_dump(mode="json"))
        assert again == one.config
        assert again.training.steps == one.max_steps
        assert again.optim.ema_warmup
        assert again.optim.lr_warmup_steps <= 0.03 * one.max_steps


@pytest.mark.parametrize("name", SPACES)
def test_every_space_is_fair_at_its_first_rung(name: str) -> None:
    space = load_space(ROOT / f"{name}.yaml")
    seen = preflight(with_rungs(Survey(space, cost_of(shape_of(space)))))
    assert seen.spread <= 16.5
    assert seen.dearest.rung_steps[0] >= 100
    assert seen.accepted / seen.drawn > 0.2


@pytest.mark.parametrize("name", sorted({*SPACES} - {*PAIR}))
def test_every_space_searches_what_matters_and_starts_well(name: str) -> None:
    space = load_space(ROOT / f"{name}.yaml")
    wanted = {"model.H_cycles", "model.L_cycles", "model.hidden_size", "optim.lr", "optim.weight_decay"}
    has_attention = "model.mlp_t" in space.search or not space.base["model"].get("mlp_t", False)
    assert wanted | ({"model.num_heads"} if has_attention else set()) <= set(space.search)
    assert "training.global_batch_size" not in space.search
    assert space.start_points
    assert space.budget.trials is not None
    assert "sampler" not in space.model_fields_set, "who sets nothing gets what is best known"
    assert space.sampler.type == ("tpe" if space.objective.against else "surrogate")
    assert space.scheduler.type == "asha"


@pytest.mark.parametrize("name", SPACES)
def test_evaluation_stays_a_small_part_of_a_trial(name: str) -> None:
    space = load_space(ROOT / f"{name}.yaml")
    shape = shape_of(space)
    resolver = Resolver(space, cost_of(shape))
    recipe = load_recipe(str(space.data.recipe), space.data.overrides)
    rows = space.base.get("evaluation", {}).get("max_examples") or recipe.validation
    rows *= 1 + (recipe.num_aug if isinstance(recipe, ArcRecipe) else 0)
    generator = random.Random(name)
    starts = [space.complete(point) for point in space.start_points] or [random_params(space, generator) for _ in range(50)]
    start = next(found for found in map(resolver.resolve, starts) if isinstance(found, Candidate))
    once = rows * run_cost(start.config, shape).forward_flops_row * start.config.model.halt_max_steps
    rungs = MOST_RUNGS if space.scheduler == Asha() else len(start.rung_steps)
    assert rungs * once <= 0.1 * start.max_steps * start.step_flops


def test_small_and_large_search_the_same_on_other_widths() -> None:
    small, large = (load_space(ROOT / f"{name}.yaml") for name in PAIR)
    assert small.search == large.search
    assert large.sampler.type == "carried"
    assert (small.base["model"].pop("hidden_size"), large.base["model"].pop("hidden_size")) == (24, 64)
    assert small.base == large.base


def test_the_demo_is_small_enough_for_two_cores() -> None:
    space = load_space(ROOT / "sudoku4x4.yaml")
    seen = preflight(Survey(space, cost_of(SHAPES["sudoku4x4"])))
    assert seen.dearest.step_flops <= 5.2e9
    trials = space.budget.trials or 0
    first, last = seen.rung_amounts
    assert trials * first + trials // 3 * (last - first) <= 15e12
    assert (space.resources.slots, space.resources.threads, space.resources.gpus) == (2, 1, 0)


def test_the_families_start_with_each_network_at_about_the_same_cost() -> None:
    space = load_space(ROOT / "sudoku4x4_families.yaml")
    networks = space.search["model.architecture"].values_in_order
    found = [Resolver(space, cost_of(SHAPES["sudoku4x4"])).resolve(space.complete(point)) for point in space.start_points]
    starts = [one for one in found if isinstance(one, Candidate)]
    assert [one.params["model.architecture"] for one in starts] == networks
    flops = [one.step_flops for one in starts if one.params["model.architecture"] != "cell_mlp"]  # which is small
    assert max(flops) < 1.2 * min(flops)
    assert [one.metric for one in space.objective.against] == ["params", "inference_flops"]


def recipe_run(name: str) -> RunConfig:
    return validated(RunConfig, load_yaml(ROOT / "recipes" / f"{name}.yaml"), name)


def test_every_recipe_is_held_by_a_test() -> None:
    assert {*RECIPES} == {*PAPER, *LIKE, *HRM, "sudoku_sic"}


@pytest.mark.parametrize("name", LIKE)
def test_a_variant_differs_from_its_recipe_in_what_it_says(name: str) -> None:
    other, changes = LIKE[name]
    wanted = recipe_run(other).model_dump(mode="json")
    for path, value in changes.items():
        section, _, leaf = path.partition(".")
        wanted[section][leaf] = value
    assert recipe_run(name) == RunConfig.model_validate(wanted)


@pytest.mark.parametrize("name", HRM)
def test_the_recipes_of_hrm_are_those_of_its_readme(name: str) -> None:
    config = recipe_run(name)
    recipe = load_recipe(str(config.data.recipe), config.data.overrides)
    training, optim, model = config.training, config.optim, config.model
    told = training.global_batch_size, training.epochs, optim.lr, optim.puzzle_emb_lr, optim.weight_decay
    assert told == HRM[name]
    assert optim.puzzle_emb_weight_decay == optim.weight_decay
    assert isinstance(model, HrmConfig)
    assert (model.hidden_size, model.H_cycles, model.H_layers, model.L_layers, model.puzzle_len) == (512, 2, 4, 4, 1)
    is_full = name == "hrm_sudoku_full"
    assert (model.L_cycles, model.halt_max_steps, model.pos_encodings) == ((8, 8, "learned") if is_full else (2, 16, "rope"))
    assert (optim.ema, optim.lr_warmup_steps, optim.lr_min_ratio) == (False, 2000, 0.1 if is_full else 1.0)
    assert recipe.puzzle_task == name.split("_")[1].removesuffix("1").removesuffix("2")
    shape = SHAPES.get(Path(str(config.data.recipe)).stem)
    if shape is not None and recipe.puzzle_task != "arc":
        assert (
            network_parameters(config, shape) == {"sudoku": 27_275_266, "maze": 27_270_146}[recipe.puzzle_task] + 512 * 82 * is_full
        )


def test_the_recipe_of_sic_is_that_of_its_paper() -> None:
    config = recipe_run("sudoku_sic")
    optim, loss = config.optim, config.training.loss
    assert isinstance(optim, MuonConfig)
    assert (config.training.global_batch_size, config.training.steps) == (384, 8000)
    assert (optim.lr, optim.weight_decay, optim.momentum, optim.rest_lr, optim.rest_weight_decay) == (0.02, 0.005, 0.95, 1e-4, 1.0)
    assert (optim.schedule, optim.lr_min_ratio, optim.lr_adjustment) == ("cosine", 0.0, "original")
    assert isinstance(loss, SoftmaxLoss)
    assert (loss.label_smoothing, loss.halt_loss_weight) == (0.2, 0.05)
    assert isinstance(config.model, TrmConfig)
    assert (config.model.ffn, config.model.mlp_t) == ("normed_swiglu", True)
    paper = recipe_run("sudoku_mlp")
    rows = total_steps(paper, run_cost(paper, SHAPES["sudoku9x9"]), epoch_rows=1000) * paper.training.global_batch_size
    assert rows / (384 * 8000) == pytest.approx(16, abs=0.5), "as the paper counts"


def test_the_steps_of_the_recipes_follow_from_their_epochs() -> None:
    steps = {
        name: total_steps(recipe_run(name), run_cost(recipe_run(name), SHAPES["maze_hard"]), epoch_rows=1000)
        for name in ("hrm_sudoku", "hrm_maze_hard", "maze_hard_8gpu")
    }
    assert steps == {"hrm_sudoku": 52_083, "hrm_maze_hard": 26_041, "maze_hard_8gpu": 32_552}


def network_parameters(config: RunConfig, shape: DataShape) -> int:
    table = shape.num_puzzle_identifiers * config.model.puzzle_ndim
    return run_cost(config, shape).params_count - table


@pytest.mark.parametrize("name", PAPER)
def test_every_recipe_is_a_complete_run_on_a_shipped_data_set(name: str) -> None:
    config = recipe_run(name)
    recipe = load_recipe(str(config.data.recipe), config.data.overrides)
    expected = MazeRecipe if "maze" in name else ArcRecipe if "arc" in name else SudokuRecipe
    assert isinstance(recipe, expected)
    assert (config.model.hidden_size, config.model.H_cycles, config.model.halt_max_steps) == (512, 3, 16)
    assert config.model.L_cycles == (6 if "sudoku" in name else 4)
    assert config.optim.weight_decay == (0.1 if "arc" in name else 1.0)
    assert config.optim.puzzle_emb_lr == (1e-2 if "arc" in name else 1e-4)
    assert config.optim.ema
    assert not config.optim.ema_warmup
    assert config.model.mlp_t == (name == "sudoku_mlp")
    published = {"maze_hard": "maze_hard_published", "arc1": "arc1_concept", "arc2": "arc2_concept"}
    assert recipe.name == published.get(name, "sudoku_extreme")
    assert forward_dtype(config.model, "cuda") == torch.bfloat16
    assert loss_dtype(config.training, "cuda") == torch.float64


def test_the_published_training_sets_are_trained_on_whole() -> None:
    recipes = {}
    for name in PAPER:
        config = recipe_run(name)
        recipes[name] = load_recipe(str(config.data.recipe), config.data.overrides)
    maze, sudoku = recipes["maze_hard"], recipes["sudoku_mlp"]
    assert isinstance(maze, MazeRecipe)
    assert isinstance(sudoku, SudokuRecipe)
    assert (maze.train, maze.has_validation) == (None, False)
    assert (sudoku.train, sudoku.num_aug) == (1000, 1000)
    for name in ("arc1", "arc2"):
        arc = recipes[name]
        assert isinstance(arc, ArcRecipe)
        assert (arc.num_aug, arc.validation, arc.subsets[-1]) == (1000, "none", "concept")


def test_the_published_lengths_come_out() -> None:
    config = validated(RunConfig, load_yaml(ROOT / "recipes" / "sudoku_attention.yaml"), "recipe")
    cost = run_cost(config, SHAPES["sudoku9x9"])
    assert total_steps(config, cost, epoch_rows=1000) == 65_104
    assert cost.step_flops == pytest.approx(36.6e12, rel=0.01)
    mixer = validated(RunConfig, load_yaml(ROOT / "recipes" / "sudoku_mlp.yaml"), "recipe")
    assert run_cost(mixer, SHAPES["sudoku9x9"]).step_flops == pytest.approx(32.8e12, rel=0.01)
    maze = validated(RunConfig, load_yaml(ROOT / "recipes" / "maze_hard.yaml"), "recipe")
    assert run_cost(maze, SHAPES["maze_hard"]).step_flops == pytest.approx(306e12, rel=0.01)


def page_example(page: str, key: str) -> dict[str, Any]:
    """The one YAML example of a page that has this key."""
    blocks = [part.split("```")[0] for part in (ROOT.parent / page).read_text().split("```yaml\n")[1:]]
    (found,) = [mapping for mapping in (parse_yaml(block, page) for block in blocks) if key in mapping]
    return found


def test_the_page_on_data_shows_a_mixture_that_works() -> None:
    mixture = recipe_of(page_example("docs/data.md", "parts"), "docs/data.md")
    assert isinstance(mixture, MixtureRecipe)
    assert [part.weight for part in mixture.parts] == [3, 1]
    assert load_recipe(ROOT.parent / str(mixture.parts[0].recipe)).puzzle_task == "arc"


def test_the_page_on_spaces_shows_one_that_works(tmp_path: Path) -> None:
    mapping = page_example("docs/space.md", "search")
    mapping["base"]["recipe"] = str(ROOT / mapping["base"]["recipe"])
    dump_yaml(tmp_path / "example.yaml", mapping)
    space = load_space(tmp_path / "example.yaml", ["budget.trials=40", "search.model.H_cycles.high=4"])
    seen = preflight(Survey(space, cost_of(SHAPES["sudoku9x9"])))
    assert space.budget.trials == 40
    assert seen.accepted > 0


def test_the_readme_shows_a_space_that_works(tmp_path: Path) -> None:
    dump_yaml(tmp_path / "my_space.yaml", page_example("README.md", "search"))
    space, cost = load_space(tmp_path / "my_space.yaml", []), cost_of(SHAPES["sudoku6x6"])
    seen = preflight(with_rungs(Survey(space, cost, Facts())))
    assert (seen.accepted, len(seen.rung_amounts)) == (seen.drawn, 3)
