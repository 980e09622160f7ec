"""The plan: choices that depend on nothing but data, settings and processor; bytes by hand."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import pytest

from headstart.config import TrainConfig, train_config
from headstart.errors import ConfigError, RunError
from headstart.models.backbones import load_backbone
from headstart.models.heads import PooledHead
from headstart.models.network import Network
from headstart.tasks.learning import HeadKind, HeadOptions, TaskDefaults
from headstart.training import engines
from headstart.training import plan as plan_module
from headstart.training.budget import affordable_size
from headstart.training.engines import EngineKey
from headstart.training.plan import Plan
from headstart.types import Manifest, Record, Size, Split

CHANNELS_BEFORE_STAGE_6 = 192
"""Of EfficientNet-Lite0 (M. Tan, 2020); its map at 64 px is 2 x 2."""

DEFAULTS = TaskDefaults()

VIEW_BYTES = CHANNELS_BEFORE_STAGE_6 * 2 * 2 * 2


@pytest.fixture(scope="module")
def network() -> Network:
    backbone = load_backbone("efficientnet_lite0", pretrained=False)
    return Network(backbone, PooledHead(backbone.outputs, 3, HeadOptions(dropout=0.2))).eval()


class Prices:
    """Costs that rise with every question, or stay where they are told to."""

    def __init__(self, factor: float | None = None) -> None:
        self._clock = itertools.count(1)
        self._factor = factor

    def _next(self, usual: float) -> float:
        return next(self._clock) / 1000 if self._factor is None else usual * self._factor

    def view(self, key: EngineKey) -> float:
        return self._next(0.005)

    def step(self, stage: int, precision: str) -> float:
        """Early stages cost more."""
        return self._next(0.002 * (9 - stage))

    @property
    def making(self) -> float:
        return self._next(0.002)

    @property
    def score(self) -> float:
        return self._next(0.01)


def manifest(train: int = 1000, val: int = 100, test: int = 50) -> Manifest:
    sides: list[Split] = ["train"] * train + ["val"] * val + ["test"] * test
    records = [
        Record(Path(f"{at}.png"), f"{at}.png", f"{at:032x}", f"{at:032x}", at % 3, side)
        for at, side in enumerate(sides)
    ]
    return Manifest(Path(), "classification", None, tuple(records))


def make_plan(
    config: TrainConfig,
    manifest: Manifest,
    network: Network,
    prices: Prices | None = None,
    defaults: TaskDefaults = DEFAULTS,
) -> Plan:
    return plan_module.make_plan(config, manifest, network, defaults, prices or Prices())


def config(**settings: object) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "data": Path("photos"),
            "image_size": 64,
            "train_size": 64,
            "engine": "torch-float32",
            "batch_size": 32,
            "lr": 1e-3,
            "loss": "any",
            **settings,
        }
    )


def test_choices_do_not_depend_on_measurements(network: Network) -> None:
    prices = Prices()
    first, second = (make_plan(config(), manifest(), network, prices) for _ in range(2))
    assert first.expected_seconds != second.expected_seconds
    blank = {"expected_seconds": {}}
    assert dataclasses.replace(first, **blank) == dataclasses.replace(second, **blank)
    assert (first.n_train, first.n_val, first.n_test) == (1000, 100, 50)
    assert first.n_stages == 8


def test_what_was_given_is_kept(network: Network) -> None:
    given = {
        "strategy": "finetune",
        "split_stage": 4,
        "views": 1,
        "epochs": 7,
        "freeze_epochs": 0,
        "engine": "torch-float32",
        "precision": "32-true",
    }
    plan = make_plan(config(**given, lr=0.5, batch_size=7), manifest(), network)
    assert {name: getattr(plan, name) for name in given} == given
    assert plan.settings() == given
    assert (plan.lr, plan.batch_size, plan.loss) == (0.5, 7, "any")


def test_bytes_by_hand(network: Network) -> None:
    plan = make_plan(config(split_stage=6, views=2), manifest(), network)
    assert plan.store_bytes == VIEW_BYTES * (1000 * 3 + 100)


def test_fewer_views_are_stored_where_they_do_not_fit(network: Network) -> None:
    """By hand: 5,000,000 bytes hold 3,255 views: 3 of each of 1,000 pictures and 100."""
    limited = config(split_stage=6, max_store_bytes=5_000_000)
    plan = make_plan(limited, manifest(), network)
    assert plan.views == 2
    assert plan.store_bytes <= 5_000_000
    assert "2 views instead of 7" in plan.describe()


def test_then_a_later_stage_is_split_whose_maps_are_smaller(network: Network) -> None:
    """By hand: stage 5 gives 112 channels of 4 x 4 and stage 6 gives 192 of 2 x 2."""
    defaults = TaskDefaults(trained_share=0.37)
    limited = config(max_store_bytes=VIEW_BYTES * 2100)
    plan = make_plan(limited, manifest(), network, defaults=defaults)
    assert (plan.split_stage, plan.views, plan.store_bytes) == (6, 1, VIEW_BYTES * 2100)
    assert "split at stage 6 instead of 5" in plan.describe()


def test_then_everything_trains_and_nothing_is_stored(network: Network) -> None:
    limited = config(max_store_bytes=1_000_000)
    plan = make_plan(limited, manifest(), network)
    assert (plan.strategy, plan.split_stage, plan.store_bytes) == ("full", 0, 0)
    assert plan.live
    assert "the limit of 1 MB allows no stored views" in plan.describe()


def test_what_was_asked_for_and_does_not_fit_is_refused(network: Network) -> None:
    limited = config(views=5, split_stage=6, max_store_bytes=5_000_000)
    with pytest.raises(ConfigError, match=r"need at least 9 MB, more than the allowed 5 MB"):
        make_plan(limited, manifest(), network)


def test_the_strategy_features_trains_the_head_alone(network: Network) -> None:
    plan = make_plan(config(strategy="features", epochs=9), manifest(), network)
    assert plan.split_stage == plan.n_stages
    assert plan.epochs == 0
    assert plan.store_bytes == 1280 * 2 * (1000 * (plan.views + 1) + 100)
    assert "the whole backbone" in plan.describe()


@pytest.mark.parametrize("strategy", ["finetune", "features", "full"])
def test_without_augmentation_there_is_only_the_plain_view(network: Network, strategy: str) -> None:
    plan = make_plan(config(strategy=strategy, augment="none"), manifest(), network)
    assert plan.views == 0


def test_a_head_without_a_convex_start_trains_longer_before_the_stages() -> None:
    backbone = load_backbone("efficientnet_lite0", pretrained=False)
    head = PooledHead(backbone.outputs, 3, HeadOptions("mlp"))
    plan = make_plan(config(), manifest(), Network(backbone, head).eval())
    assert (plan.freeze_epochs, plan.epochs) == (DEFAULTS.epochs, DEFAULTS.epochs)


def test_a_solved_head_is_not_trained_alone_unless_asked() -> None:
    backbone = load_backbone("efficientnet_lite0", pretrained=False)
    network = Network(backbone, PooledHead(backbone.outputs, 3, HeadOptions("stats")))
    features = config(strategy="features")
    plan = make_plan(features, manifest(), network, Prices(1.0))
    assert (plan.freeze_epochs, plan.epochs) == (0, 0)
    assert "the head, solved at once" in plan.describe()
    assert make_plan(config(), manifest(), network, Prices(1.0)).freeze_epochs == 0
    asked = config(strategy="features", freeze_epochs=2)
    assert make_plan(asked, manifest(), network, Prices(1.0)).freeze_epochs == 2
    budget = config(strategy="features", budget=1e6)
    assert make_plan(budget, manifest(), network, Prices(1.0)).freeze_epochs == 0
    network.head.solved = False
    assert make_plan(features, manifest(), network, Prices(1.0)).freeze_epochs > 0


@pytest.mark.parametrize("kind", ["linear", "stats", "mlp"])
def test_a_head_that_no_epoch_trains_must_be_solvable(kind: HeadKind, tmp_path: Path) -> None:
    backbone = load_backbone("efficientnet_lite0", pretrained=False)
    network = Network(backbone, PooledHead(backbone.outputs, 3, HeadOptions(kind)))
    asked = config(strategy="features", freeze_epochs=0)
    later = config(strategy="features", freeze_epochs=0, start_from=tmp_path)
    refused = [later, asked] if kind == "mlp" else [later]
    for one in refused:
        with pytest.raises(ConfigError, match="--freeze-epochs must be at least 1"):
            make_plan(one, manifest(), network, Prices(1.0))
    if kind != "mlp":
        assert make_plan(asked, manifest(), network, Prices(1.0)).freeze_epochs == 0


def test_a_stage_that_does_not_exist_is_refused(network: Network) -> None:
    message = r"--split-stage must be 0 to 8 for efficientnet_lite0, got 9"
    with pytest.raises(ConfigError, match=message):
        make_plan(config(split_stage=9), manifest(), network)


def test_an_engine_that_does_not_exist_is_refused(network: Network) -> None:
    message = r"--engine must be one of .*torch-float32.*, got 'abacus'"
    with pytest.raises(ConfigError, match=message):
        make_plan(config(engine="abacus"), manifest(), network)


def test_wrong_choices_are_listed_together(network: Network) -> None:
    with pytest.raises(ConfigError) as caught:
        make_plan(config(engine="abacus", split_stage=99), manifest(), network)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("stage", [0, 8])
def test_the_first_and_the_last_cut_are_planned(network: Network, stage: int) -> None:
    plan = make_plan(config(split_stage=stage, views=0), manifest(40, 10, 10), network)
    assert plan.split_stage == stage
    assert plan.store_bytes > 0


def test_the_plan_survives_json(network: Network) -> None:
    plan = make_plan(config(), manifest(), network)
    assert Plan.from_json(json.loads(json.dumps(dataclasses.asdict(plan)))) == plan


@pytest.mark.parametrize("strategy", ["features", "finetune"])
def test_the_settled_configuration_gives_the_same_plan(
    network: Network, tmp_path: Path, strategy: str
) -> None:
    """``config.yaml`` of a run, given to another one with ``--config``."""
    asked = config(strategy=strategy)
    plan = make_plan(asked, manifest(), network)
    file = tmp_path / "config.yaml"
    file.write_text(asked.model_copy(update=plan.settings()).to_yaml())
    again = make_plan(train_config({}, file), manifest(), network)
    blank = {"expected_seconds": {}}
    assert dataclasses.replace(again, **blank) == dataclasses.replace(plan, **blank)


def test_a_person_reads_views_bytes_epochs_and_time(network: Network) -> None:
    asked = config(split_stage=6, views=2, epochs=7, freeze_epochs=3, engine="torch-float32")
    text = make_plan(asked, manifest(), network).describe()
    for part in ("stages 0 to 5 of 8", "torch-float32", "2 augmented + 1 plain", "5 MB"):
        assert part in text
    assert "3 epochs of the head, then 7 epochs of head and stages 6 and up" in text
    assert "time   about" in text


@pytest.mark.parametrize(
    ("given", "training", "frozen"),
    [
        # A step from stage 6 on costs 6 ms, running a picture a quarter of that.
        ({"split_stage": 6, "epochs": 7}, 0.006 * (7 * 1025 + 3100 * 0.25), 0.005 * 3100),
        # Nothing is stored: two views and the plain one of each picture are made for the head, too.
        ({"strategy": "full", "epochs": 7}, 0.02 * 7 * 1025 + 0.0065 * 3100, 0.0),
        ({"strategy": "features"}, 0.0, 0.005 * 3100),
    ],
)
def test_the_expected_time_by_hand(
    network: Network, given: dict[str, object], training: float, frozen: float
) -> None:
    asked = config(views=2, freeze_epochs=3, engine="torch-float32", **given)
    expected = make_plan(asked, manifest(), network, Prices(1.0)).expected_seconds
    head = 3 * 1000 * 1e-4
    assert expected["training"] == pytest.approx(training + head)
    assert expected["frozen part"] == pytest.approx(frozen)
    assert expected["evaluation"] == pytest.approx(0.01 * 150)


SMALLER: dict[str, object] = {"image_size": 96, "train_size": 64, "split_stage": 6, "views": 2}


def test_smaller_views_take_fewer_bytes_and_less_time(network: Network) -> None:
    """Maps of validation pictures are 3 x 3, those of training pictures 2 x 2."""
    plan = make_plan(config(**SMALLER, epochs=7, freeze_epochs=0), manifest(), network, Prices(1.0))
    assert plan.store_bytes == 3000 * VIEW_BYTES + 100 * VIEW_BYTES * 9 // 4
    assert plan.expected_seconds["frozen part"] == pytest.approx(0.005 * 3100)
    # A validation picture has 2.25 times the pixels of a view that is trained on.
    seen, reduced = 1000 + 100 * 2.25 * 0.25, 3000 + 100 * 2.25
    assert plan.expected_seconds["training"] == pytest.approx(0.006 * (7 * seen + 0.25 * reduced))
    assert "each training picture at 64x64 pixels of 96x96, " in plan.describe()
    assert Plan.from_json(json.loads(json.dumps(dataclasses.asdict(plan)))) == plan


def test_a_plan_of_another_version_is_refused(network: Network) -> None:
    written = dataclasses.asdict(make_plan(config(), manifest(), network))
    older = {name: value for name, value in written.items() if name != "train_size"}
    for value in (older, {**written, "lanes": 2}):
        with pytest.raises(RunError, match="finish the run with that version, or start a new one"):
            Plan.from_json(value)


def test_few_views_of_another_size_are_not_worth_a_conversion(network: Network) -> None:
    asked = config(**SMALLER, engine="openvino-float32")
    few, many = (make_plan(asked, manifest(val=count), network) for count in (2722, 2723))
    assert 2722 * 96 * 96 < engines.OPENVINO_FROM["float32"] < 2723 * 96 * 96
    assert few.engine_keys == (
        EngineKey("openvino-float32", 6, (64, 64)),
        EngineKey("torch-float32", 6, (96, 96)),
    )
    assert many.engine_keys[1] == EngineKey("openvino-float32", 6, (96, 96))
    same = make_plan(asked.model_copy(update={"train_size": (96, 96)}), manifest(), network)
    assert set(same.engine_keys) == {EngineKey("openvino-float32", 6, (96, 96))}
    torch_alone = make_plan(config(**SMALLER), manifest(val=2723), network)
    assert {key.name for key in torch_alone.engine_keys} == {"torch-float32"}


def test_validation_pictures_count_for_the_engine_that_runs_them(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def default_engine(pixels: int, device: str) -> str:
        asked.append(pixels)
        return "torch-float32"

    monkeypatch.setattr(engines, "default_engine", default_engine)
    for train_size in ((64, 64), (96, 96)):
        free = config(**{**SMALLER, "engine": None, "train_size": train_size})
        make_plan(free, manifest(), network)
    assert asked == [3000 * 64 * 64, 3100 * 96 * 96]


def test_views_of_an_earlier_run_are_reduced_already(network: Network) -> None:
    asked = config(split_stage=6, views=2, epochs=7, freeze_epochs=0, engine="torch-float32")
    costs = Prices(1.0)
    plan = plan_module.make_plan(
        asked, manifest(), network, DEFAULTS, costs, missing=lambda _: (0, 0)
    )
    assert plan.expected_seconds["frozen part"] == 0
    assert plan.expected_seconds["training"] == pytest.approx(0.006 * 7 * 1025)


@pytest.mark.parametrize("budget", [30, 60, 120, 240, 480, 2000])
def test_a_budget_is_kept(network: Network, budget: int) -> None:
    plan = make_plan(config(budget=budget), manifest(), network, Prices(1.0))
    assert sum(plan.expected_seconds.values()) <= 0.9 * budget
    assert f"chosen for {budget} s in all" in plan.describe()


def test_a_larger_budget_buys_more_until_there_is_nothing_more_to_buy(network: Network) -> None:
    plans = [
        make_plan(config(budget=budget), manifest(), network, Prices(1.0))
        for budget in (30, 60, 120, 240, 480, 20_000)
    ]
    costs = [sum(plan.expected_seconds.values()) for plan in plans]
    assert costs == sorted(costs)
    assert plans[0].strategy == "features"
    assert (plans[-1].strategy, plans[-1].split_stage) == ("finetune", 6)
    assert plans[-1].epochs == 2 * DEFAULTS.epochs
    # A machine of half the speed gets less done in the same time.
    slow = make_plan(config(budget=240), manifest(), network, Prices(2.0))
    assert slow.epochs * slow.views < plans[3].epochs * plans[3].views


def test_what_was_asked_for_is_kept_within_a_budget(network: Network) -> None:
    plan = make_plan(config(budget=60, epochs=11, views=2), manifest(), network, Prices(1.0))
    assert plan.views == 2
    assert plan.epochs in (0, 11)
    whole = make_plan(
        config(budget=60, strategy="finetune", split_stage=6), manifest(), network, Prices(1.0)
    )
    assert (whole.strategy, whole.split_stage) == ("finetune", 6)


def test_a_budget_that_is_too_short_says_so_and_goes_on(network: Network) -> None:
    plan = make_plan(config(budget=10), manifest(), network, Prices(3.0))
    assert (plan.strategy, plan.views) == ("features", 0)
    assert "more than the 10 s given" in plan.describe()


@pytest.mark.parametrize(
    ("pictures", "expected"),
    # By hand: 60 s of 100 are allowed; 1000 pictures at 0.01 s need 10, 24,000 need 240: half.
    [(1000, (224, 320)), (6000, (224, 320)), (24_000, (96, 160)), (10**9, (96, 96))],
)
def test_pictures_become_smaller_where_one_look_at_each_takes_too_long(
    pictures: int, expected: Size
) -> None:
    assert affordable_size((224, 320), pictures, 0.01, 100.0) == expected
