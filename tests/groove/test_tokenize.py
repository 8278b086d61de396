"""Tokens: every step of every piece in two windows, the same bytes for the same corpus."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from corpora import files_of, tree, write_beat, write_drums
from hypothesis import given
from hypothesis import strategies as st
from performances import GRIDS, columns_and_streams, grids_of, labels_of

from workbench.errors import CachingError, GrooveError, OptionsError
from workbench.groove.files import midi_files
from workbench.groove.inputs import REPEATS, repeats_of, where_number
from workbench.groove.labels import TEMPO_BOUNDS, TEMPOS, tempo_name
from workbench.groove.options import TokenizeOptions
from workbench.groove.pieces import pieces_of
from workbench.groove.streams import columns_of
from workbench.groove.tokenize import (
    LABELS,
    PARTS,
    TokenPiece,
    open_tokens,
    pieces_in,
    token_pieces,
    tokenize,
    window_steps,
    windows,
)
from workbench.streaming.listing import folder_source

WINDOW = 16


def piece_of(length, seed=0):
    generator = np.random.default_rng(seed)
    return TokenPiece(
        file="a.mid",
        digest=bytes(16),
        masks=generator.integers(0, 512, length),
        place=np.arange(length) % 4,
        beat=6 + np.arange(length) // 4 % 4,
        bar=np.arange(length) // 16,
        repeats=generator.integers(0, 513, (length, len(REPEATS))),
        labels=dict.fromkeys(LABELS, 1),
    )


def rows_in(tokens, part):
    return [
        row
        for file in tokens.source(part).files
        for row in pq.read_table(tokens.folder / file.name).to_pylist()
    ]


def files_in(tokens):
    return {row["file"] for part in PARTS for row in rows_in(tokens, part)}


def content(piece):
    return piece.masks.tobytes(), piece.metre.tobytes()


@pytest.fixture(scope="module")
def tokens(corpus, tmp_path_factory):
    options = TokenizeOptions(labels=corpus.folder / "labels.csv", held_out=0.2)
    output = tmp_path_factory.mktemp("tokens") / "shards"
    return tokenize(files_of(corpus.folder), output, options)


@given(length=st.integers(1, 200))
def test_every_step_is_in_a_first_and_in_a_second_half(length) -> None:
    piece = piece_of(length)
    halves = np.zeros((2, length), int)
    for row in windows(piece, WINDOW):
        for step in range(max(row["begin"], 0), max(row["begin"], 0) + len(row["place"])):
            halves[(step - row["begin"]) // (WINDOW // 2), step] += 1
    assert (halves == 1).all()


@given(length=st.integers(1, 200))
def test_windows_hold_what_the_piece_holds(length) -> None:
    piece = piece_of(length)
    for row in windows(piece, WINDOW):
        first, steps, history = max(row["begin"], 0), len(row["place"]), row["history"]
        assert 0 < steps <= WINDOW
        assert history == min(first, WINDOW // 2)
        assert row["masks"].tolist() == piece.masks[first - history : first + steps].tolist()
        for name in ("place", "beat", "bar"):
            column = getattr(piece, name)[first : first + steps]
            assert row[name].tolist() == column.tolist()
        assert row["repeats"].tolist() == piece.repeats[first : first + steps].ravel().tolist()


@given(grids=st.lists(GRIDS, min_size=1, max_size=3))
def test_pieces_are_the_steps_of_their_performances(grids) -> None:
    labels = labels_of(grids)
    columns = columns_of(grids, labels, n=2)
    names = [f"{index}.mid" for index in range(len(grids))]
    pieces = token_pieces(grids, columns, names, [bytes(16)] * len(grids))
    masks = np.concatenate([piece.masks for piece in pieces])
    assert masks.tolist() == columns.steps["target_steps"].tolist()
    for index, (piece, grid) in enumerate(zip(pieces, grids, strict=True)):
        bars = np.repeat(np.arange(len(grid.bar_steps)), grid.bar_steps)
        assert piece.bar.tolist() == bars.tolist()
        assert piece.labels["style"] == labels["style"][index]
        where = where_number(piece.place, piece.beat)
        alike = repeats_of(piece.masks, where, np.zeros(len(where), int))
        assert piece.repeats.tolist() == alike.tolist()
        assert TEMPOS[piece.labels["tempo"] - 1] == tempo_name(grid.bpm)


def test_shards_give_back_the_pieces_that_went_in(tokens, corpus) -> None:
    found = [*pieces_in(tokens, "train"), *pieces_in(tokens, "held")]
    grids = grids_of([corpus.folder / row for row in sorted(files_in(tokens))])
    columns, _ = columns_and_streams(grids)
    expected = pieces_of(columns, 4)
    assert len(found) == len(expected) > 20
    assert {content(piece) for piece in found} == {content(piece) for piece in expected}


def test_tempos_are_named_by_the_least_of_their_band() -> None:
    assert tempo_name(1.0) == "0"
    assert tempo_name(TEMPO_BOUNDS[0]) == str(TEMPO_BOUNDS[0])
    assert tempo_name(TEMPO_BOUNDS[-1] + 500) == str(TEMPO_BOUNDS[-1])
    assert [tempo_name(bound - 0.5) for bound in TEMPO_BOUNDS] == TEMPOS[:-1]


def test_shards_hold_every_piece_in_one_part(tokens, corpus) -> None:
    files = {part: {row["file"] for row in rows_in(tokens, part)} for part in PARTS}
    assert not files["train"] & files["held"]
    assert 0 < len(files["held"]) < len(files["train"])
    assert {part: len(names) for part, names in files.items()} == tokens.description["pieces"]
    kept = sum(tokens.description["pieces"].values())
    assert kept + sum(tokens.description["skipped"].values()) == tokens.description["files"]


def test_rows_come_in_the_order_of_digests_and_carry_the_labels(tokens, corpus) -> None:
    said = {label.file: label for label in corpus.labels}
    for part in PARTS:
        rows = rows_in(tokens, part)
        assert [row["digest"] for row in rows] == sorted(row["digest"] for row in rows)
        for row in rows:
            label = said[row["file"]]
            assert tokens.labels["style"][row["style"] - 1] == label.style
            assert tokens.labels["drummer"][row["drummer"] - 1] == label.drummer


def test_the_description_tells_every_shard_as_it_is(tokens) -> None:
    for part in PARTS:
        told = tokens.source(part)
        found = folder_source(tokens.folder, f"{part}-*.parquet")
        assert [(f.name, f.size, f.rows) for f in told.files] == [
            (f.name, f.size, f.rows) for f in found.files
        ]
        assert tokens.rows(part) == found.rows
    assert open_tokens(tokens.folder) == tokens
    assert list(open_tokens(tokens.folder).labels) == list(tokens.labels) == list(LABELS)


def test_neither_order_nor_processes_change_a_byte(corpus, tmp_path) -> None:
    source = files_of(corpus.folder)
    names = [source.name(index) for index in range(len(source))][:12]
    made = []
    for jobs, order in ((1, names), (2, names[::-1])):
        listed = tmp_path / f"{jobs}.txt"
        listed.write_text("\n".join(str(corpus.folder / name) for name in order))
        output = tmp_path / f"shards{jobs}"
        tokenize(midi_files(listed), output, TokenizeOptions(jobs=jobs))
        made.append(tree(output))
    assert made[0] == made[1]


def test_equal_files_count_once_and_poor_ones_are_told(tmp_path) -> None:
    for name in ("a", "b"):
        write_beat(tmp_path / "midi" / f"{name}.mid", seed=1)
    write_drums(tmp_path / "midi" / "few.mid", [0, 480])
    (tmp_path / "midi" / "bad.mid").write_bytes(b"MThd")
    tokens = tokenize(files_of(tmp_path / "midi"), tmp_path / "shards", TokenizeOptions(held_out=0))
    assert tokens.description["pieces"] == {"train": 1, "held": 0}
    assert tokens.description["skipped"].keys() >= {"duplicate", "few_notes"}
    assert sum(tokens.description["skipped"].values()) == 3


def test_shards_end_where_they_are_told_to(corpus, tmp_path) -> None:
    options = TokenizeOptions(shard_rows=64)
    tokens = tokenize(files_of(corpus.folder), tmp_path / "shards", options)
    counts = [file.rows for file in tokens.source("train").files]
    assert len(counts) > 1
    assert set(counts[:-1]) == {64}
    with pq.ParquetFile(tokens.folder / "train-00000.parquet") as parquet:
        assert parquet.metadata.row_group(0).num_rows == 64


def test_a_corpus_that_leaves_nothing_leaves_nothing_behind(tmp_path) -> None:
    write_drums(tmp_path / "midi" / "few.mid", [0, 480])
    with pytest.raises(GrooveError, match="1 few_notes"):
        tokenize(files_of(tmp_path / "midi"), tmp_path / "shards", TokenizeOptions())
    assert not (tmp_path / "shards").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["midi"]


def test_what_is_at_the_place_of_the_shards_stays(corpus, tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "poem.txt").write_text("kick")
    with pytest.raises(CachingError, match="holds something else"):
        tokenize(files_of(corpus.folder), tmp_path / "mine", TokenizeOptions())
    assert tree(tmp_path / "mine") == {"poem.txt": b"kick"}


def test_damaged_descriptions_are_refused_by_name(tokens, tmp_path) -> None:
    folder = tmp_path / "shards"
    shutil.copytree(tokens.folder, folder)
    whole = json.loads((folder / "tokens.json").read_text())
    for change in (
        {"format": 99},
        {"shards": {}},
        {"labels": {}},
        {"counting": []},
        {"repeats": [1]},
    ):
        (folder / "tokens.json").write_text(json.dumps(whole | change))
        with pytest.raises(GrooveError, match="shards"):
            open_tokens(folder)
    with pytest.raises(GrooveError, match="workbench groove tokenize"):
        open_tokens(tmp_path)


def test_a_window_is_sixteen_bars_whatever_the_resolution() -> None:
    assert [window_steps(resolution) for resolution in (4, 12)] == [256, 768]


def test_options_refuse_what_cannot_be() -> None:
    with pytest.raises(OptionsError, match="held_out"):
        TokenizeOptions(held_out=0.9)
