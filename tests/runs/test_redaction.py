import html
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import FAKE_TOKEN
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.runs.redaction import (
    Redaction,
    absolute_places,
    environment_secrets,
    is_secret,
)

SECRET_VALUES = st.text(st.characters(codec="utf-8"), min_size=8, max_size=40).filter(
    lambda text: "*" not in text and text.strip()
)
SPELLINGS = st.sampled_from(
    [
        str,
        lambda text: json.dumps(text)[1:-1],
        lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
        lambda text: repr(text)[1:-1],
        html.escape,
        lambda text: quote(text, safe="/"),
    ]
)


@settings(deadline=None)
@given(SECRET_VALUES, SPELLINGS, st.text(max_size=10), st.text(max_size=10))
def test_a_secret_appears_in_no_spelling(secret, spelling, before, after) -> None:  # type: ignore[no-untyped-def]
    written = spelling(secret)
    redacted = Redaction(secrets=(secret,)).tree({"a": [before + written + after], "b": 1})
    assert redacted["b"] == 1
    assert written not in redacted["a"][0]
    assert "***" in redacted["a"][0]


@settings(deadline=None)
@given(st.text(alphabet="abc /.~\n", max_size=40))
def test_a_text_without_secrets_and_places_stays_as_it_is(text: str) -> None:
    assert Redaction(secrets=("hunter2hunter2",), places=(("/data/x", "HERE"),)).text(text) == text


def test_places_give_way_longest_first_and_only_as_whole_names() -> None:
    redaction = Redaction(
        places=(
            ("/srv", "~"),
            ("/srv/house", "PROJECT"),
            ("/srv/house/outputs/.x.part/", ""),
            ("/srv/house/outputs/.x.part", "."),
        )
    )
    found = redaction.text(
        "/srv/house/outputs/.x.part/a.mid /srv/house/outputs/.x.part /srv/house/b /srv/c\n"
        "/srvless /mnt/srv/d '/srv' file:///srv/e \x1b[32m/srv/f\x1b[0m"
    )
    assert found == ("a.mid . PROJECT/b ~/c\n/srvless /mnt/srv/d '~' file://~/e \x1b[32m~/f\x1b[0m")


def test_pictures_are_left_alone_and_drawings_are_not() -> None:
    data = {"image/png": FAKE_TOKEN, "image/svg+xml": FAKE_TOKEN, "text/plain": FAKE_TOKEN}
    assert Redaction().tree(data) == {
        "image/png": FAKE_TOKEN,
        "image/svg+xml": "***",
        "text/plain": "***",
    }


def test_only_values_under_a_secrets_name_are_taken_from_the_environment() -> None:
    environ = {
        "HF_TOKEN": "abcdefgh1",
        "AWS_SECRET_ACCESS_KEY": "abcdefgh2",
        "WANDB_API_KEY": "abcdefgh3",
        "DB_PASSWORD": "abcdefgh4",
        "KAGGLE_KEY": "abcdefgh5",
        "TOKENIZERS_PARALLELISM": "abcdefgh6",
        "HF_TOKEN_PATH": "/srv/.cache/huggingface/token",
        "HOME": "/srv/home",
        "SHORT_TOKEN": "1",
    }
    assert environment_secrets(environ) == tuple(f"abcdefgh{n}" for n in range(1, 6))


@settings(deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_secret_is_blotted_out_of_a_file_and_nothing_else_is(
    tmp_path_factory: pytest.TempPathFactory, before: bytes, after: bytes
) -> None:
    folder = tmp_path_factory.mktemp("files")
    secret = "long/secret+value="
    (folder / "data.bin").write_bytes(b"\0" + before + secret.encode() + after)
    (folder / "empty").touch()
    redaction = Redaction(secrets=(secret,))
    assert redaction.folder(folder) == ["data.bin"]
    assert (folder / "data.bin").read_bytes() == b"\0" + before + b"*" * len(secret) + after
    assert redaction.folder(folder) == []


def test_a_secret_is_found_as_utf_8_and_as_latin_1_and_may_be_no_text(tmp_path: Path) -> None:
    secrets = ("geheim-ü-1234", "bytes-\udcff-1234")
    words = [b"geheim-\xc3\xbc-1234", b"geheim-\xfc-1234", b"bytes-\xff-1234"]
    (tmp_path / "all.bin").write_bytes(b"\0".join(words))
    assert Redaction(secrets=secrets).folder(tmp_path) == ["all.bin"]
    blots = [b"*" * len(word) for word in words]
    assert (tmp_path / "all.bin").read_bytes() == b"\0".join(blots)


def test_a_form_is_looked_for_in_text_files_and_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text(FAKE_TOKEN)
    folder = tmp_path / "run"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "log.txt").write_text(f"token {FAKE_TOKEN}\n")
    (folder / "deep" / "log.txt").chmod(0o444)
    (folder / "weights.bin").write_bytes(b"\0" * 8 + FAKE_TOKEN.encode())
    (folder / "link").symlink_to(outside)
    assert Redaction().folder(folder) == ["deep/log.txt"]
    assert outside.read_text() == FAKE_TOKEN
    assert (folder / "deep" / "log.txt").read_text() == f"token {'*' * len(FAKE_TOKEN)}\n"
    assert (folder / "weights.bin").read_bytes().endswith(FAKE_TOKEN.encode())


@pytest.mark.parametrize(
    "text",
    [
        "/home/zoe/midi",
        "in '/var/folders/x'",
        "/tmp/tmpabc",
        "(/Users/zoe/a)",
        "C:\\Users\\zoe",
        "/own/place/a",
    ],
)
def test_a_path_of_this_computer_is_found(text: str) -> None:
    assert len(absolute_places(text, ["/own/place"])) == 1


@pytest.mark.parametrize(
    "text",
    [
        "https://x.org/home/a",
        "notes/tmp/x",
        "/usr/share/sounds",
        "/srvless/a",
        "/own/places",
        "~/a",
    ],
)
def test_other_paths_are_not_found(text: str) -> None:
    assert absolute_places(text, ["/own/place"]) == []


@pytest.mark.parametrize(
    "text",
    [
        "the bearer instruments are loud",
        "hf_hub_download",
        "hf_transfer",
        "risk-averse-and-more-words",
    ],
)
def test_ordinary_words_have_no_secrets_form(text: str) -> None:
    assert not is_secret(text)
    assert is_secret(f"{text} {FAKE_TOKEN}")
