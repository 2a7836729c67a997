import json

import pytest
from django.core.management import CommandError, call_command

from plugins.intents.elsewhere import everyday
from tests.plugins.intents.examples import EXAMPLES

FILE = {
    "train": [[text, intent] for intent, texts in EXAMPLES.items() for text in texts[::2]],
    "val": [[text, intent] for intent, texts in EXAMPLES.items() for text in texts[1::4]],
    "test": [[text, intent] for intent, texts in EXAMPLES.items() for text in texts[3::4]],
    "oos_train": [[text, "oos"] for text in everyday()[::4]],
    "oos_val": [[text, "oos"] for text in everyday()[1::4]],
    "oos_test": [[text, "oos"] for text in everyday()[2::4]],
}


def measured(tmp_path, capsys, document, *options):
    path = tmp_path / "intents.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
    call_command("evalintents", str(path), *options)
    return json.loads(capsys.readouterr().out)


def code(tmp_path, capsys, document, *options):
    with pytest.raises(CommandError) as failed:
        measured(tmp_path, capsys, document, *options)
    assert "\n" not in str(failed.value)
    return failed.value.returncode, str(failed.value)


def test_it_prints_how_good_it_is(tmp_path, capsys):
    found = measured(tmp_path, capsys, FILE, "--min-in-scope", "0.3", "--min-oos-recall", "0.3")
    assert list(found) == ["in_scope_accuracy", "oos_recall"]
    assert found["in_scope_accuracy"] >= 0.3 and found["oos_recall"] >= 0.3


def test_a_file_without_texts_outside_rejects_nothing(tmp_path, capsys):
    only = {name: FILE[name] for name in ("train", "test")}
    found = measured(tmp_path, capsys, only)
    assert found["oos_recall"] is None and found["in_scope_accuracy"] > 0.4
    assert code(tmp_path, capsys, only, "--min-oos-recall", "0.1")[0] == 1


def test_it_measures_what_has_no_words(tmp_path, capsys):
    found = measured(tmp_path, capsys, {"train": [["!!", "a"], ["😀", "b"]], "test": [["yes", "a"]]})
    assert found == {"in_scope_accuracy": 0.0, "oos_recall": None}
    outside = {"train": [["", "a"]], "test": [["yes", "a"]], "oos_val": [["no", "x"]], "oos_test": [["no", "oos"]]}
    assert measured(tmp_path, capsys, outside)["oos_recall"] == 1.0


def test_texts_labelled_oos_are_outside_wherever_they_stand(tmp_path, capsys):
    mixed = {
        "train": FILE["train"] + FILE["oos_train"], "val": FILE["val"] + FILE["oos_val"],
        "test": FILE["test"] + FILE["oos_test"],
    }  # fmt: skip
    assert measured(tmp_path, capsys, mixed) == measured(tmp_path, capsys, FILE)


def test_what_is_demanded_and_not_reached_is_exit_code_1(tmp_path, capsys):
    assert code(tmp_path, capsys, FILE, "--min-in-scope", "1", "--min-oos-recall", "1")[0] == 1


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("", "not JSON"),
        ("[]", "expected an object"),
        ("[" * 5000, "not JSON"),
        ({}, "train: there are no examples"),
        ({**FILE, "train": {}}, "train: expected a list"),
        ({**FILE, "val": [["a"]]}, "val[0]: expected [text, label]"),
        ({**FILE, "oos_val": [["a", 1]]}, "oos_val[0]"),
        ({**FILE, "test": [["a", "strange"]]}, "test: no example in train has the label 'strange'"),
        ({**FILE, "test": []}, "test: there are no examples"),
    ],
)
def test_a_file_that_is_wrong_is_exit_code_2_and_one_line(tmp_path, capsys, document, said):
    returned, message = code(tmp_path, capsys, document)
    assert returned == 2 and said in message


def test_a_missing_file_is_exit_code_2(capsys):
    with pytest.raises(CommandError) as failed:
        call_command("evalintents", "nowhere.json")
    assert failed.value.returncode == 2 and "nowhere.json" in str(failed.value)
