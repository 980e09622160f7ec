"""Lists of URLs in the forms that people have, and what is said of a broken one."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.collecting.download import Turns, host_of
from headstart.collecting.lists import Wanted, read_lists
from headstart.errors import DataError

A, B = "http://a.test/1,2.jpg", "http://a.test/ä b.jpg"


def write(folder: Path, text: str, name: str = "cat.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_text(text, encoding=encoding)
    return path


@pytest.mark.parametrize(
    "text",
    [
        f"{A}\n{B}\n",
        f"url\n{A}\n\n{B}\n",
        f'"{A}"\r\n"{B}"\r\n',
        f"\ufeffurl\n{A}\n{B}",
        f'url,source\n"{A}",\n{B},\n',
        f"url;label\n{A};cat\n{B}; cat \n",
        f"label\turl\ncat\t{A}\ncat\t{B}\n",
    ],
    ids=["plain", "header", "quoted", "mark", "table", "semicolons", "tabs"],
)
def test_every_form_says_the_same(text: str, tmp_path: Path) -> None:
    listed = read_lists([write(tmp_path, text)])
    assert listed.wanted == (Wanted("cat", A), Wanted("cat", B))
    assert listed.notes == ()


def test_several_lists_are_read_in_their_order(tmp_path: Path) -> None:
    lists = [write(tmp_path, A, "dog.csv"), write(tmp_path, A, "cat.csv")]
    assert [entry.label for entry in read_lists(lists).wanted] == ["dog", "cat"]


def test_rows_that_say_nothing_new_are_counted(tmp_path: Path) -> None:
    text = f"url;label;licence\n{A};cat;CC0\n{A};cat;\n;cat;\n{A};dog;\n"
    listed = read_lists([write(tmp_path, text)])
    assert [entry.key for entry in listed.wanted] == [("cat", A), ("dog", A)]
    assert listed.wanted[0].licence == "CC0"
    assert listed.notes == (
        "cat.csv line 4 has no URL",
        "cat.csv: rows that repeat a URL of the same class: 1",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cat.csv is empty"),
        ("\ufeff \n", "cat.csv is empty"),
        ("url\n", "cat.csv holds no URLs"),
        ("url,label\n", "cat.csv holds no URLs"),
        ("link,label\nx,y\n", "the column 'url' is missing; found link, label"),
        (f"url,label\n{A},cat\n", "line 2: more values than the 2 columns"),
        ("url,url\nx,y\n", "two columns have the same name"),
    ],
)
def test_a_broken_list_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_lists([write(tmp_path, text)])


def test_unreadable_lists_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv cannot be read as UTF-8 text"):
        read_lists([tmp_path / "none.csv"])
    with pytest.raises(DataError, match=r"cat\.csv cannot be read as UTF-8 text"):
        read_lists([write(tmp_path, B, encoding="latin-1")])
    with pytest.raises(DataError, match="the list holds no URLs"):
        read_lists([])


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        ("", "is empty"),
        ("../up", "holds '/', which a folder's name must not"),
        ("a\\b", r"holds '\\\\', which a folder's name must not"),
        ("why?", r"holds '\?'"),
        (".hidden", "begins or ends with a dot"),
        ("end.", "begins or ends with a dot"),
        ("Aux.old", "is no name for a folder on Windows"),
        ("ä" * 101, "is longer than 200 bytes"),
        ("Cat", "differs from the class 'cat' by letter case only"),
    ],
)
def test_labels_that_cannot_be_folders_are_refused(
    label: str, problem: str, tmp_path: Path
) -> None:
    table = write(tmp_path, f"url;label\n{A};cat\n{B};{label}\n", "urls.csv")
    with pytest.raises(DataError, match=rf"urls\.csv line 3: the label .* {problem}"):
        read_lists([table])


def test_classes_that_are_there_count(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="differs from the class 'CAT' by letter case only"):
        read_lists([write(tmp_path, A)], ["CAT"])


def test_two_spellings_of_an_accent_are_one_class(tmp_path: Path) -> None:
    text = f"url;label\n{A};caf\u00e9\n{B};cafe\u0301\n"
    assert {entry.label for entry in read_lists([write(tmp_path, text)]).wanted} == {"caf\u00e9"}


def test_many_problems_are_counted(tmp_path: Path) -> None:
    text = "url;label\n" + f"{A};x/y\n" * 8
    with pytest.raises(DataError, match=r"line 6: .*; and 3 more$"):
        read_lists([write(tmp_path, text)])


def test_hosts_take_turns() -> None:
    wanted = [Wanted("c", f"http://{host}/{n}") for host in ("a", "b") for n in range(3)]
    turns = Turns(wanted, per_host=2)
    begun = list(iter(turns.next, None))
    assert [host_of(entry.url) for entry in begun] == ["a", "b", "a", "b"]
    turns.ended(begun[1])
    assert turns.next() == wanted[5]
    assert turns.next() is None
    turns.ended(begun[0])
    turns.ended(begun[2])
    assert turns.next() == wanted[2]
    turns.ended(wanted[2])
    assert turns.next() is None
