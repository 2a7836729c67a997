import pytest

from clawdbot_site.serving import dotenv


def test_it_reads_lines_as_people_write_them():
    text = """
# a comment
PORT=8001
export HOST = 0.0.0.0   # every address
MODEL_ENDPOINT='https://x/v1#frag'
API_KEY="a \\"quoted\\" # value\\n"  # why
EMPTY=
HASH=a#b
SPACED=two words
"""
    assert dotenv.parse(text) == {
        "PORT": "8001",
        "HOST": "0.0.0.0",
        "MODEL_ENDPOINT": "https://x/v1#frag",
        "API_KEY": 'a "quoted" # value\n',
        "EMPTY": "",
        "HASH": "a#b",
        "SPACED": "two words",
    }


@pytest.mark.parametrize("line", ["PORT 8001", "1A=2", "A='open", 'A="open'])
def test_it_names_the_line_it_cannot_read(line):
    with pytest.raises(dotenv.BadLine, match=r"\.env:2: "):
        dotenv.parse(f"# first\n{line}\n")


def test_it_lets_the_environment_win(tmp_path):
    file = tmp_path / ".env"
    file.write_text("PORT=1\nHOST=file\nAPI_KEY=file\n")
    environment = {"HOST": "environment", "API_KEY_FILE": "/run/secret"}
    dotenv.load(file, environment)
    assert environment == {"HOST": "environment", "API_KEY_FILE": "/run/secret", "PORT": "1"}


def test_it_takes_a_missing_file_for_an_empty_one(tmp_path):
    environment: dict[str, str] = {}
    dotenv.load(tmp_path / ".env", environment)
    assert environment == {}
