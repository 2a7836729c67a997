"""Lists as files and folders, in and out, and the two commands."""

import io
from types import SimpleNamespace

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from compliance.compiling import compile_guard
from compliance.models import SensitiveWordList
from compliance.wordfiles import as_csv, as_text, read_files, read_folder, read_words
from compliance.wordlists import lists_of, replace_words, versions_of

ODD = ["plain", 'a "quote"', "a, comma", "=1+1", "; semi", "坏人", "'single'", "tab\u3000wide"]


def run(command, *args, **options):
    out = io.StringIO()
    call_command(command, *map(str, args), stdout=out, **options)
    return out.getvalue()


@pytest.mark.parametrize(("write", "is_csv"), [(as_text, False), (as_csv, True)])
def test_it_reads_back_what_it_writes(write, is_csv):
    assert read_words(write(ODD).encode(), is_csv=is_csv) == ODD


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.txt", b"fine\n\xff\n", "a.txt:2: not UTF-8 text."),
        ("a.txt", b"fine\n\n" + b"x" * 65, "a.txt:3: longer than 64 characters."),
        ("a.csv", b'one,1\n"two\nlines",2\nthree\n', "a.csv:3: holds a control character."),
        ("a.csv", b"one\n\n" + b"x" * 65 + b",2\n", "a.csv:3: longer than 64 characters."),
        ("a.csv", b"one\n" + b"x" * 200_000, "a.csv:2: field larger than field limit"),
        ("a.txt", b"x" * (16 * 2**20 + 1), "a.txt: larger than 16 MiB."),
        ("", b"fine\n\xff\n", "Line 2: not UTF-8 text."),
    ],
)
def test_it_names_file_and_line_of_what_is_wrong(name, data, said):
    with pytest.raises(ValidationError) as refused:
        read_words(data, name)
    assert refused.value.messages[0].startswith(said)


def test_it_reads_a_folder_by_name_and_leaves_out_what_are_no_lists(tmp_path):
    (tmp_path / "b.txt").write_text("one\n")
    (tmp_path / "a.CSV").write_text("two,x\n")
    (tmp_path / "readme.md").write_text("three\n")
    (tmp_path / "deeper.txt").mkdir()
    assert read_folder(tmp_path) == [("a", ["two"]), ("b", ["one"])]


def test_it_tells_all_mistakes_of_several_files():
    with pytest.raises(ValidationError) as refused:
        read_files([("a.txt", b"\xff"), ("b.txt", b"fine"), ("c.txt", b"x" * 65)])
    assert refused.value.messages == ["a.txt:1: not UTF-8 text.", "c.txt:1: longer than 64 characters."]
    with pytest.raises(ValidationError, match=r"No file ends in .txt or .csv"):
        read_files([])


# Commands ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rude.txt").write_text("bad\nworse\n")
    (tmp_path / "spam.csv").write_text("buy,ads\nbad,x\n")
    return tmp_path


def test_a_folder_makes_a_list_a_file(cast, folder):
    assert run("loadwords", folder, tenant="acme", action="record") == (
        "acme/rude: 2 words, version 1, action record\nacme/spam: 2 words, version 1, action record\n"
    )
    assert dict(lists_of(cast.acme.pk).values_list("name", "words")) == {"rude": "bad\nworse", "spam": "buy\nbad"}
    [version] = versions_of(lists_of(cast.acme.pk).get(name="rude"))
    assert (version.saved_by, version.note) == ("loadwords", "loaded rude")


def test_a_folder_makes_one_list_where_it_is_named(cast, folder):
    run("loadwords", folder, tenant="acme", name="all")
    assert lists_of(cast.acme.pk).get().words == "bad\nworse\nbuy"


def test_it_refuses_two_files_for_one_list(cast, folder):
    (folder / "rude.csv").write_text("ruder\n")
    with pytest.raises(CommandError, match=r"Several files would be the list rude\."):
        run("loadwords", folder, tenant="acme")
    assert not lists_of(cast.acme.pk).exists()
    run("loadwords", folder, tenant="acme", name="all")
    assert lists_of(cast.acme.pk).get().words == "ruder\nbad\nworse\nbuy"


def test_it_changes_nothing_where_a_file_is_wrong(cast, folder):
    (folder / "x.txt").write_text("x" * 65)
    with pytest.raises(CommandError, match="x.txt:1: longer"):
        run("loadwords", folder, tenant="acme")
    assert not lists_of(cast.acme.pk).exists()


def test_it_loads_lists_of_the_platforms_with_what_they_can_be(cast, folder):
    run("loadwords", folder / "rude.txt", platform=True, mandatory=True, public=True, switches="pinyin,forms")
    found = lists_of(None).get()
    assert (found.name, found.mandatory, found.public, found.switches) == ("rude", True, True, ["forms", "pinyin"])
    run("loadwords", folder / "rude.txt", platform=True, switches="none", enabled=False)
    found = lists_of(None).get()
    assert (found.mandatory, found.switches, found.enabled) == (True, [], False)


def test_it_ships_a_sample_that_is_off(cast):
    said = run("loadwords", sample=True)
    found = lists_of(None).get()
    assert said == f"platform/Sample: {found.size} words, version 1, action block, switched off\n"
    assert 12 <= found.size <= 30
    assert any(word.isascii() for word in found.words.splitlines())
    assert not all(word.isascii() for word in found.words.splitlines())
    assert compile_guard().default is None
    run("loadwords", sample=True, enabled=True, mandatory=True)
    assert compile_guard().default is not None
    run("loadwords", sample=True)
    assert lists_of(None).get().enabled, "loaded again it stays as it is"


@pytest.mark.parametrize(
    ("args", "options", "said"),
    [
        (["x.txt"], {}, "--tenant SLUG or --platform"),
        ([], {"tenant": "acme"}, "name a file"),
        (["-"], {"tenant": "acme"}, "no name"),
        (["nowhere.txt"], {"tenant": "acme"}, "No such file"),
        (["sample"], {"tenant": "nobody"}, "no tenant 'nobody'"),
        (["sample"], {"tenant": "acme", "switches": "telepathy"}, "'telepathy' is none of"),
        (["sample"], {"tenant": "acme", "public": True}, "Only a list of the platform's"),
    ],
)
def test_it_says_what_it_cannot_load(cast, folder, args, options, said):
    args = [str(folder / "rude.txt") if each == "sample" else each for each in args]
    with pytest.raises(CommandError, match=said):
        run("loadwords", *args, **options)
    assert not SensitiveWordList.objects.everywhere().exists()


def test_it_reads_standard_input(cast, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"one\ntwo")))
    run("loadwords", "-", tenant="acme", name="rude")
    assert lists_of(cast.acme.pk).get().words == "one\ntwo"


def test_it_exports_what_it_loads(cast, tmp_path):
    for name in ("rude", "a/b", "a:b"):
        replace_words(tenant=cast.acme, name=name, words=[*ODD, name])
    out = tmp_path / "out"
    run("exportwords", out, tenant="acme")
    assert {path.name.partition("-")[0] for path in out.iterdir()} == {"rude.txt", "a_b"}
    assert len(list(out.iterdir())) == 3
    assert read_words((out / "rude.txt").read_bytes()) == [*ODD, "rude"]
    run("exportwords", out / "one.csv", tenant="acme", name="rude")
    run("loadwords", out / "one.csv", tenant="globex", name="copy")
    assert lists_of(cast.globex.pk).get().words == lists_of(cast.acme.pk).get(name="rude").words
    assert run("exportwords", "-", tenant="acme", name="a:b") == as_text([*ODD, "a:b"])
    with pytest.raises(CommandError, match="no list 'nothing'"):
        run("exportwords", "-", tenant="acme", name="nothing")
    assert run("exportwords", tmp_path / "none", platform=True) == ""
