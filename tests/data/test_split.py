"""Which picture is on which side, once and for all."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from headstart import storage
from headstart.data.manifest import with_splits
from headstart.data.split import assign_splits, leaked
from headstart.data.split_table import apply_table, splits_table
from headstart.errors import DataError, RunError
from headstart.tasks.classification.spec import ClassSchema
from headstart.types import Manifest, Record, Split

CLASSES = ("a", "b", "c")


def record(
    name: str, target: int = 0, split: Split | None = None, group: str | None = None
) -> Record:
    content = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
    return Record(Path("photos") / name, name, content, content, target, split, group)


def many(counts: Sequence[int], split: Split | None = None, start: str = "") -> list[Record]:
    return [
        record(f"{start}{split or 'x'}/{CLASSES[target]}/{at}.png", target, split)
        for target, count in enumerate(counts)
        for at in range(count)
    ]


def manifest(records: Sequence[Record], root: str = "photos") -> Manifest:
    return Manifest(Path(root), "classification", ClassSchema(CLASSES), tuple(records))


def sides(found: Manifest) -> dict[str, Split | None]:
    return {entry.image: entry.split for entry in found.records}


def counts(found: Manifest) -> dict[tuple[int, Split | None], int]:
    return dict(Counter((entry.target, entry.split) for entry in found.records))


def test_shares_are_exact_in_every_class() -> None:
    found = assign_splits(manifest(many([10, 20, 100])))
    assert counts(found) == {
        (0, "train"): 7,
        (0, "val"): 2,
        (0, "test"): 1,
        (1, "train"): 14,
        (1, "val"): 4,
        (1, "test"): 2,
        (2, "train"): 70,
        (2, "val"): 20,
        (2, "test"): 10,
    }
    assert found.notes == (
        "split 70/20/10 by content; recorded, so that it stays when pictures are added",
    )


@pytest.mark.parametrize("count", [3, 7, 13, 29, 61])
def test_odd_numbers_are_off_by_less_than_one_picture(count: int) -> None:
    found = counts(assign_splits(manifest(many([count, count + 1]))))
    for target, total in ((0, count), (1, count + 1)):
        for side, share in (("train", 0.7), ("val", 0.2), ("test", 0.1)):
            assert 1 <= found[target, side] < share * total + 1


def test_the_order_of_the_records_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = many([13, 17, 20])
    plain = sides(assign_splits(manifest(records)))
    monkeypatch.setenv("HEADSTART_STATE", str(tmp_path / "other"))
    assert sides(assign_splits(manifest(records[::-1]))) == plain


def test_the_side_does_not_follow_names_or_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = many([50, 50])
    plain = [entry.split for entry in assign_splits(manifest(records)).records]
    monkeypatch.setenv("HEADSTART_STATE", str(tmp_path / "other"))
    renamed = [dataclasses.replace(r, image=f"new/{at}.png") for at, r in enumerate(records)]
    assert [entry.split for entry in assign_splits(manifest(renamed)).records] == plain
    # Not simply the first ones: each side has pictures from both halves of a class.
    assert set(plain[:25]) == set(plain[25:50]) == {"train", "val", "test"}


def grouped(seed: int) -> list[Record]:
    random = np.random.default_rng(seed)
    return [
        record(f"{group}/{at}.png", int(random.integers(0, 3)), group=f"person {group}")
        for group in range(40)
        for at in range(int(random.integers(1, 12)))
    ]


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_never_torn(seed: int) -> None:
    records = grouped(seed)
    found = assign_splits(manifest(records))
    by_group: dict[str, set[Split | None]] = {}
    for entry in found.records:
        by_group.setdefault(entry.group_key, set()).add(entry.split)
    assert len(by_group) == 40
    assert all(len(found_sides) == 1 for found_sides in by_group.values())
    shares = Counter(entry.split for entry in found.records)
    for side, share in (("train", 0.7), ("val", 0.2), ("test", 0.1)):
        assert shares[side] / len(records) == pytest.approx(share, abs=0.06)


def test_the_side_of_a_group_does_not_follow_its_name() -> None:
    patterns = set()
    for prefix in "abcdefgh":
        records = [record(f"{prefix}{at}", group=f"{prefix}{at:02}") for at in range(20)]
        found = assign_splits(manifest(records, prefix))
        patterns.add(tuple(entry.split for entry in found.records))
    assert len(patterns) == 8


def test_pictures_that_are_added_move_no_recorded_one() -> None:
    before = many([10, 12, 9])
    first = sides(assign_splits(manifest(before)))
    more = before + many([30, 1, 50], start="new/")
    second = sides(assign_splits(manifest(more)))
    assert {image: second[image] for image in first} == first
    # Quotas steer the new ones: in the end the shares are right.
    shares = Counter(second.values())
    assert shares["train"] / len(more) == pytest.approx(0.7, abs=0.03)
    assert shares["test"] / len(more) == pytest.approx(0.1, abs=0.03)


def test_relabelling_moves_nothing() -> None:
    records = many([10, 12, 9])
    first = sides(assign_splits(manifest(records)))
    relabelled = [
        dataclasses.replace(r, target=(r.target + at) % 3) for at, r in enumerate(records)
    ]
    assert sides(assign_splits(manifest(relabelled))) == first


def test_pictures_that_come_back_have_their_old_side() -> None:
    records = many([20, 20])
    first = sides(assign_splits(manifest(records)))
    assign_splits(manifest(records[:31]))
    assert sides(assign_splits(manifest(records))) == first


def test_group_names_of_any_kind_are_remembered() -> None:
    names = ["a,b", 'say "x"', "two\nlines", "\u2028", "c\rd", "train", "", "ä"]
    records = [
        record(f"{at}-{copy}", group=name) for at, name in enumerate(names) for copy in range(3)
    ]
    first = sides(assign_splits(manifest(records)))
    extra = many([40])
    second = sides(assign_splits(manifest(extra + records)))
    assert {image: second[image] for image in first} == first
    (ledger,) = (storage.state_dir() / "splits").glob("*.csv")
    assert ledger.read_text(encoding="utf-8").count("group:") == len(names)


def test_data_sets_do_not_share_their_ledger() -> None:
    assign_splits(manifest(many([10]), "one/photos"))
    assign_splits(manifest(many([10]), "two/photos"))
    assert len(list((storage.state_dir() / "splits").glob("photos-*.csv"))) == 2


def test_a_given_split_is_kept() -> None:
    records = many([4], "train") + many([2], "val") + many([3], "test")
    found = assign_splits(manifest(records))
    assert found.records == tuple(records)
    assert found.notes == ()
    assert not (storage.state_dir() / "splits").exists()


def test_validation_becomes_the_test_where_there_is_none() -> None:
    found = assign_splits(manifest(many([20, 40], "train") + many([5, 5], "val")))
    assert counts(found) == {
        (0, "train"): 18,
        (0, "val"): 2,
        (0, "test"): 5,
        (1, "train"): 36,
        (1, "val"): 4,
        (1, "test"): 5,
    }
    assert all((entry.split == "test") == entry.image.startswith("val/") for entry in found.records)
    assert found.notes == (
        (
            "there is no test split: the validation pictures become it, "
            "and validation is cut from train"
        ),
        "validation is 10% of the training pictures",
    )


def test_validation_is_cut_from_train_where_only_the_test_is_given() -> None:
    records = many([20, 40], "train") + many([5, 5], "test")
    found = assign_splits(manifest(records))
    assert counts(found)[0, "val"] == 2
    assert counts(found)[1, "val"] == 4
    test = [entry for entry in found.records if entry.split == "test"]
    assert test == records[60:]
    assert found.notes == ("validation is 10% of the training pictures",)


def test_a_train_folder_alone_is_split_three_ways() -> None:
    found = assign_splits(manifest(many([10], "train")))
    assert counts(found) == {(0, "train"): 7, (0, "val"): 2, (0, "test"): 1}


def test_pictures_without_a_side_train_where_others_have_one() -> None:
    records = many([4], "train") + many([2], "val") + many([3], "test") + many([6])
    found = assign_splits(manifest(records))
    assert counts(found) == {(0, "train"): 10, (0, "val"): 2, (0, "test"): 3}
    assert found.notes == ("6 pictures without a side are used for training",)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("test",), "the data has test but no train split: add one"),
        (("val",), "the data has val but no train split: add one"),
        (("test", "val"), "the data has test and val but no train split: add one"),
    ],
)
def test_data_without_train_is_refused(given: Sequence[Split], message: str) -> None:
    records = [entry for side in given for entry in many([5], side)]
    with pytest.raises(DataError, match=message):
        assign_splits(manifest(records))


def test_five_pictures_of_two_classes_reach_every_side() -> None:
    found = assign_splits(manifest(many([3, 2])))
    assert {entry.split for entry in found.records} == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (many([1, 1]), r"no picture for the test split \(2 pictures in all\): add pictures"),
        (many([1]), r"no picture for the val split \(1 pictures in all\): add pictures"),
        (
            many([1], "train") + many([3], "test"),
            r"no picture for the val split \(4 pictures in all\): add pictures",
        ),
    ],
)
def test_too_few_pictures_are_said(records: list[Record], message: str) -> None:
    with pytest.raises(DataError, match=message):
        assign_splits(manifest(records))


TORN = (
    record("1", split="train", group="anna"),
    record("2", split="test", group="anna"),
    record("3", split="val", group="ben"),
    record("4", split="train", group="ben"),
    record("5", split="train", group="cem"),
)


def test_groups_on_several_given_sides_are_refused() -> None:
    with pytest.raises(
        DataError,
        match=r"the given split leaks: 1 is of the same group \(anna\) as 2 in test; "
        r"4 is of the same group \(ben\) as 3 in val\. .*--allow-leak",
    ):
        assign_splits(manifest(TORN))


def test_given_leaks_are_kept_where_the_person_says_so() -> None:
    found = assign_splits(manifest(TORN), leaks="keep")
    assert found.records == TORN
    assert [entry.image for entry in leaked(found)] == ["2"]


def test_training_copies_of_given_leaks_are_left_out_on_request() -> None:
    found = assign_splits(manifest(TORN), leaks="drop")
    assert [entry.image for entry in found.records] == ["2", "3", "5"]
    assert [(o.image, o.reason) for o in found.omissions] == [
        ("1", "of the same group (anna) as 2 in test"),
        ("4", "of the same group (ben) as 3 in val"),
    ]
    assert [entry.image for entry in found.withheld] == ["1", "4"]
    assert leaked(found) == ()


def test_a_file_on_two_given_sides_is_refused() -> None:
    copy = dataclasses.replace(record("copy", split="test"), fingerprint=record("1").fingerprint)
    records = [record("1", split="train"), copy, record("2", split="val")]
    with pytest.raises(DataError, match=r"1 is the same file as copy in test"):
        assign_splits(manifest(records))


def twins_of(*pairs: tuple[str, ...]) -> list[tuple[Path, ...]]:
    return [tuple(Path("photos") / name for name in pair) for pair in pairs]


def test_near_duplicates_stay_on_one_side() -> None:
    records = many([30, 30])
    apart = sides(assign_splits(manifest(records, "apart")))
    torn = [
        (a.image, b.image)
        for a, b in zip(records[:30], records[30:], strict=True)
        if apart[a.image] != apart[b.image]
    ]
    assert len(torn) >= 5
    found = sides(assign_splits(manifest(records, "together"), twins_of(*torn)))
    assert len(found) == 60
    assert all(found[first] == found[second] for first, second in torn)


def test_a_conflict_that_appears_later_leaves_out_the_training_copy() -> None:
    records = many([30])
    first = sides(assign_splits(manifest(records)))
    trains = next(image for image, side in first.items() if side == "train")
    tests = next(image for image, side in first.items() if side == "test")
    new = record("new")
    again = assign_splits(manifest([*records, new]), twins_of((trains, tests, "new")))
    second = sides(again)
    assert {image: second[image] for image in first if image != trains} == {
        image: side for image, side in first.items() if image != trains
    }
    assert second["new"] == "test"
    assert [(o.image, o.reason) for o in again.omissions] == [
        (trains, f"a near-duplicate of {tests} in test")
    ]
    # It is not forgotten either: without the near-duplicate it trains again.
    assert sides(assign_splits(manifest(records))) == first


def test_two_recorded_groups_that_join_lose_only_what_touches() -> None:
    """One near-duplicate between two persons must not cost all pictures of one of them."""
    records = [record(f"{at}", group=f"p{at % 20}") for at in range(100)]
    first = sides(assign_splits(manifest(records)))
    trains = next(image for image, side in first.items() if side == "train")
    tests = next(image for image, side in first.items() if side == "test")
    again = assign_splits(manifest(records), twins_of((trains, tests)))
    assert len(again.records) == 99
    assert [o.image for o in again.omissions] == [trains]


def test_another_rule_for_groups_moves_no_recorded_picture() -> None:
    records = many([40])
    first = sides(assign_splits(manifest(records)))
    regrouped = [
        dataclasses.replace(entry, group=f"pair {at // 2}") for at, entry in enumerate(records)
    ]
    again = assign_splits(manifest(regrouped))
    second = sides(again)
    assert second.items() <= first.items()
    assert len(again.omissions) == 40 - len(second)
    assert 0 < len(again.omissions) < 20
    by_group: dict[str, set[Split | None]] = {}
    for entry in again.records:
        by_group.setdefault(entry.group_key, set()).add(entry.split)
    assert all(len(found) == 1 for found in by_group.values())


def test_a_new_picture_of_a_recorded_group_goes_to_its_side() -> None:
    records = [record(f"{at}", group=f"p{at % 20}") for at in range(100)]
    first = sides(assign_splits(manifest(records)))
    more = [*records, *(record(f"new {at}", group=f"p{at}") for at in range(20))]
    second = sides(assign_splits(manifest(more)))
    assert all(second[f"new {at}"] == first[str(at)] for at in range(20))


def test_near_duplicates_across_given_sides_are_said() -> None:
    records = many([4], "train") + many([2], "val") + many([3], "test")
    found = assign_splits(manifest(records), twins_of(("train/a/0.png", "test/a/1.png")))
    assert found.records == tuple(records)
    (note,) = found.notes
    assert note == (
        "1 pictures have a near-duplicate on another side of the given split "
        "(such as train/a/0.png: a near-duplicate of test/a/1.png in test)"
    )


def test_a_state_folder_that_cannot_be_written_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()  # permissions would not stop an administrator
    monkeypatch.setenv("HEADSTART_STATE", str(tmp_path / "file"))
    with pytest.raises(
        RunError,
        match=r"cannot write the split ledger in .*splits: .*; set HEADSTART_STATE to a folder",
    ):
        assign_splits(manifest(many([10])))


def test_two_processes_do_not_decide_at_the_same_time() -> None:
    assign_splits(manifest(many([10])))
    (lock,) = (storage.state_dir() / "splits").glob("*.lock")
    with (
        storage.exclusive_lock(lock, "unused"),
        pytest.raises(RunError, match="another process is splitting photos; try again"),
    ):
        assign_splits(manifest(many([10])))


def table(tmp_path: Path, found: Manifest) -> Path:
    path = tmp_path / "runs" / "one" / "splits.csv"
    storage.write_text(path, splits_table(found))
    return path


def test_a_run_keeps_its_split(tmp_path: Path) -> None:
    records = [
        *many([3], "train"),
        record('odd, "name".png', 1, "val", "group, one"),
        record("z.png", 1, "test"),
    ]
    path = table(tmp_path, manifest(records))
    assert path.read_text(encoding="utf-8").splitlines()[0] == "image,fingerprint,group,split"
    forgotten = [dataclasses.replace(entry, split=None) for entry in records]
    assert apply_table(manifest(forgotten), path).records == tuple(records)


CHANGES: Mapping[str, tuple[list[Record], str]] = {
    "added": (many([5], "train"), r"train/a/4\.png and 0 more"),
    "removed": (many([3], "train"), r"train/a/3\.png and 0 more"),
    "changed": (
        [*many([3], "train"), dataclasses.replace(record("other"), image="train/a/3.png")],
        r"train/a/3\.png and 1 more",
    ),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_a_run_is_not_resumed_on_other_pictures(tmp_path: Path, change: str) -> None:
    path = table(tmp_path, manifest(many([4], "train")))
    records, named = CHANGES[change]
    with pytest.raises(
        RunError, match=rf"changed since .*one was started \({named}\): start a new run instead"
    ):
        apply_table(manifest(records), path)


@pytest.mark.parametrize(
    ("given", "stays"),
    [(("train", "test"), False), (("train", "val"), False), (("train", None), True)],
)
def test_a_run_is_not_resumed_after_a_picture_was_given_to_the_test(
    tmp_path: Path, given: tuple[Split, Split | None], stays: bool
) -> None:
    records = [record("a", split="train"), record("b", split="train"), record("c", split="test")]
    path = table(tmp_path, manifest(records))
    first, second = given
    now = [
        dataclasses.replace(records[0], split=first),
        dataclasses.replace(records[1], split=second),
        dataclasses.replace(records[2], split=second),
    ]
    if stays:
        assert apply_table(manifest(now), path).records == tuple(records)
        return
    with pytest.raises(RunError, match=r"b.* is on the train side of .* given to the test now"):
        apply_table(manifest(now), path)


def test_notes_are_kept() -> None:
    before = dataclasses.replace(manifest([record("a")]), notes=("one",))
    assert with_splits(before, [record("b")], "two").notes == ("one", "two")
