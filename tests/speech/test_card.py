"""The card of a gathered dataset: valid, kept in step, careful with what people wrote into it."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hub_clients import client_environment, clients_at
from hub_server import HubServer
from huggingface_hub import DatasetCard
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_speech import gathered_by, rows_of, write_older, write_speech

from workbench.speech.card import card
from workbench.speech.options import GatherOptions
from workbench.speech.state import GatherState, SourceState

SETTINGS = GatherOptions().settings()
LINES = ("---", "# A title", "", "- a: b", "| a | b |", "text", " ", "***", "<!-- note -->")
# Texts of people: any lines, such as cards are made of, and any signs.
TEXTS = st.lists(st.sampled_from(LINES) | st.text(max_size=9), max_size=6).map("\n".join)
KEYS = st.dictionaries(
    st.sampled_from(["license", "pretty_name", "tags", "size_categories", "x"]),
    st.text(max_size=9) | st.lists(st.text(max_size=5), max_size=3) | st.integers() | st.none(),
)
NAMES = st.text("ab |\\\n\r#-", min_size=1, max_size=9).filter(str.strip)


def state_of(*sources, **more):
    return GatherState(settings=SETTINGS, sources=sources, **more)


def source(name="c", **more):
    return SourceState(said=name, name=name, revision="", fingerprint="", **more)


def parts(content):
    """Return the keys and the text of a card, as the hub's own client finds them."""
    found = DatasetCard(content, ignore_metadata_errors=False)
    return found.data.to_dict(), found.text


STATE = state_of(source(kept=3, microseconds=3_600_000_000), rows=3, shards=1, size=99)
LATER = state_of(
    source(kept=5, microseconds=5_400_000_000), source("d"), rows=5, shards=2, size=200
)


@settings(max_examples=30)  # reading YAML is slow
@given(KEYS, TEXTS, TEXTS)
def test_what_people_wrote_is_kept_around_what_is_made_anew(keys, before, after):
    whole = card(STATE, "user/name", 16_000)
    front = yaml.safe_load(whole.split("---\n")[1])
    made = "<!-- gathered" + whole.partition("<!-- gathered")[2]
    older = f"---\n{yaml.safe_dump(front | keys)}---\n\n{before}\n{made}{after}"
    newer = card(LATER, "user/name", 16_000, older)
    told, text = parts(newer)
    assert {name: told.get(name) for name in keys} == keys
    assert newer.partition("<!-- gathered")[0].endswith(f"---\n\n{before}\n")
    assert newer.endswith(f"<!-- end of gathered -->\n{after}")
    assert text.count("<!-- gathered") == 1
    assert "5 clips, 1.50 hours, in 2 shards." in text
    assert "3 clips" not in text
    assert card(LATER, "user/name", 16_000, newer) == newer


@settings(max_examples=30)
@given(TEXTS | KEYS.map(lambda keys: f"---\n{yaml.safe_dump(keys)}---\n"), st.data())
def test_a_card_is_valid_whatever_was_there(older, data):
    cut = data.draw(st.integers(0, len(older)))
    content = card(STATE, "user/name", 16_000, older[cut:])
    told, _ = parts(content)
    assert told["configs"][0]["data_files"][0]["path"] == ["data/train-*.parquet"]
    assert told["dataset_info"]["splits"][0]["num_examples"] == 3
    assert card(STATE, "user/name", 16_000, content) == content


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("text", ["", "\nmine\n"])
def test_keys_are_kept_from_cards_of_any_editor(end, mark, text):
    older = (mark + "---\nlicense: mit\n---" + text).replace("\n", end)
    told, after = parts(card(STATE, "user/name", None, older))
    assert told["license"] == "mit"
    assert after.count("license") == 0
    assert ("mine" in after) == ("mine" in text)


@pytest.mark.parametrize(
    "older", ["---\nlicense: [\n---\nmine", "---\ndate: 2024-13-41\n---\nmine"]
)
def test_keys_that_cannot_be_read_are_kept_as_text(older):
    told, text = parts(card(STATE, "user/name", None, older))
    assert "configs" in told
    assert older in text


@pytest.mark.parametrize(
    "marks",
    [
        "<!-- end of gathered -->\nmine\n<!-- gathered: made anew with every shard -->\n",
        "<!-- gathered: made anew with every shard -->\nmine\n",
        "mine\n<!-- end of gathered -->\n",
    ],
)
def test_text_between_marks_that_are_no_pair_is_kept(marks):
    first = card(STATE, "user/name", None, marks)
    assert "mine" in first
    assert "mine" in card(LATER, "user/name", None, first)
    assert card(LATER, "user/name", None, first).count("clips, ") == 1


@settings(max_examples=50)
@given(st.lists(NAMES, min_size=1, max_size=4, unique=True))
def test_the_table_has_a_line_a_source_whatever_its_name(names):
    sources = [source(name, kept=n, skipped={"empty": 2}) for n, name in enumerate(names)]
    text = card(state_of(*sources), "t", 16_000)
    table = text.partition("|---|")[2].partition("\n")[2].partition("<!--")[0].splitlines()
    cells = [line.replace("\\|", "").split("|") for line in table]
    assert [len(line) for line in cells] == [9] * len(names)
    assert [(line[3].strip(), line[6].strip()) for line in cells] == [
        (str(n), "2 empty") for n in range(len(names))
    ]


def test_rows_hours_and_reasons_are_told_a_source():
    sources = [
        source(
            "one",
            kept=1200,
            microseconds=int(1.25 * 3.6e9),
            skipped={"empty": 3, "too_long": 1},
            transcribed=7,
            is_done=True,
        ),
        source("two", kept=34, microseconds=int(0.5 * 3.6e9)),
    ]
    text = card(state_of(*sources, rows=1234, shards=5, older_rows={"one": 6}), "t", 16_000)
    assert "1234 clips, 1.75 hours, in 5 shards." in text
    assert "| one | - | 1200 | 1.25 | 7 | 3 empty, 1 too_long | whole |" in text
    assert "| two | - | 34 | 0.50 | 0 | - | in progress |" in text
    assert "| one | - | 6 | - | - | - | gathered by an older program |" in text


@pytest.mark.parametrize(
    ("rate", "kind"), [(16_000, {"audio": {"sampling_rate": 16_000}}), (None, "audio")]
)
def test_the_card_names_columns_and_language(rate, kind):
    told, text = parts(card(STATE, "hf://user/name", rate))
    columns = {column["name"]: column for column in told["dataset_info"]["features"]}
    assert columns["audio"]["dtype"] == kind
    assert columns["confidence_score"]["dtype"] == "float32"
    assert told["language"] == ["th"]
    assert "# name\n" in text


# --- as the datasets library reads it


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    """What `datasets` gives of each place, and the rows that were gathered there."""
    place = tmp_path_factory.mktemp("card")
    one, two = write_speech(place / "one"), write_speech(place / "two", plain=True)
    folders = {name: place / f"gathered {name}" for name in ("once", "appended", "mixed", "raw")}
    write_older(folders["mixed"], [2, 3], name="one")
    with HubServer(place / "hub") as hub, clients_at(hub, place / "home"):
        small = ["--upload-batch-size", 4, "--work-dir", place / "work"]
        for name in ("once", "appended"):
            for to in (folders[name], f"hf://user/{name}"):
                gathered_by(one, "--to", to, *small)
                if name == "appended":
                    gathered_by(two, "--to", to, "--append", *small)
        gathered_by(one, "--to", folders["mixed"], "--accept-legacy", *small)
        gathered_by(two, "--to", folders["raw"], "--no-standardization", *small)
        places = [*map(str, folders.values()), "user/once", "user/appended"]
        script = Path(__file__).with_name("streamed_once.py")
        done = subprocess.run(
            [sys.executable, str(script), *places],
            env=os.environ | client_environment(hub, place / "reader"),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    told = dict(zip([*folders, "user/once", "user/appended"], json.loads(done.stdout), strict=True))
    return told, {name: rows_of(folder) for name, folder in folders.items()}


def digested(rows):
    """Return rows with the digest of their sound in its place."""
    digests = [hashlib.sha256(row["audio"]["bytes"]).hexdigest() for row in rows]
    return [
        row | {"audio": row["audio"] | {"bytes": digest}}
        for row, digest in zip(rows, digests, strict=True)
    ]


@pytest.mark.parametrize("place", ["once", "appended", "user/once", "user/appended"])
def test_a_gathered_dataset_streams_without_a_warning_and_with_the_same_rows(streamed, place):
    told, rows = streamed
    want = digested(rows[place.removeprefix("user/")])
    assert told[place]["rows"] == want
    assert len(want) == (22 if "appended" in place else 10)
    assert {row["dataset_name"] for row in want} >= {"one"}
    assert told[place]["confidence"] == "float32"
    assert (told[place]["audio"], told[place]["sample_rate"]) == ("Audio", 16_000)


def test_rows_of_the_older_program_stream_before_our_own(streamed):
    told, rows = streamed
    got = told["mixed"]["rows"]
    assert [row["ID"] for row in got] == [f"S{n}" for n in range(1, 11)]
    assert [row["source_ref"] for row in got[:5]] == [None] * 5
    assert got[5:] == digested(rows["mixed"])


def test_sound_that_passed_as_it_was_has_no_rate_of_its_own(streamed):
    told, rows = streamed
    assert told["raw"]["sample_rate"] is None
    assert told["raw"]["rows"] == digested(rows["raw"])
