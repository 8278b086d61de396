"""Tables of labels: what they say of which file, and what is no table."""

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.caching.fingerprint import fingerprint
from workbench.errors import GrooveError
from workbench.groove.labels import read_labels, section_in_name, style_in_name
from workbench.groove.streams import LABEL_KINDS, MAX_LABELS

WORD = st.text(st.sampled_from("abcäß _"), max_size=6).map(str.strip)
NAME = st.text(st.sampled_from("abc_ ."), max_size=6).map("{}.mid".format)
ROWS = st.dictionaries(NAME, st.fixed_dictionaries(dict.fromkeys(LABEL_KINDS, WORD)), min_size=1)


def table(folder, text, *, encoding="utf-8"):
    path = folder / "labels.csv"
    path.write_text(text, encoding=encoding, newline="")
    return path


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, kinds=st.sets(st.sampled_from(LABEL_KINDS), min_size=1), data=st.data())
def test_every_file_has_the_labels_of_its_row(tmp_path_factory, rows, kinds, data):
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    columns = data.draw(st.permutations(["file", "bpm", *kinds]))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows({"file": name, "bpm": 1} | row for name, row in rows.items())
    labels = read_labels(path)
    assert set(labels.vocabulary) == kinds
    numbers = labels.numbers([*rows, "deep/" + next(iter(rows)), "no such file"])
    for kind in kinds:
        said = [row[kind] for row in rows.values()]
        assert labels.vocabulary[kind] == sorted(set(said) - {""})
        expected = [labels.vocabulary[kind].index(word) + 1 if word else 0 for word in said]
        assert numbers[kind].tolist() == [*expected, expected[0], 0]


def test_a_file_is_found_by_its_whole_name_before_its_last_part(tmp_path):
    text = "file,style\nx/a.mid,rock\ny/a.mid,jazz\n"
    labels = read_labels(table(tmp_path, text))
    names = ["x/a.mid", "y/a.mid", "z/a.mid", "/data/y/a.mid", "a.mid", "b.mid"]
    assert [labels.style(name) for name in names] == ["rock", "jazz", "rock", "rock", "rock", ""]
    other = read_labels(table(tmp_path, text + "a.mid,soul\n"))
    assert [other.style(name) for name in names] == ["rock", "jazz", "soul", "soul", "soul", ""]


def test_a_sub_style_counts_as_its_style_and_beat_type_as_section(tmp_path):
    text = "drummer,file,style,beat_type\nann,a.mid,rock/halftime,fill\nbob,b.mid, rock ,beat\n"
    labels = read_labels(table(tmp_path, text))
    assert labels.vocabulary == {
        "style": ["rock"],
        "drummer": ["ann", "bob"],
        "section": ["beat", "fill"],
    }
    assert [labels.section(name) for name in ("a.mid", "b.mid")] == ["fill", "beat"]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("file,style\na.mid,rock\n", "utf-8-sig"),
        ("file,style\r\na.mid,rock\r\n", "utf-8"),
        ('"file","style"\n"a.mid","rock"', "utf-8"),
        ("file,style\n\na.mid,rock,and,more\n", "utf-8"),
        ("style,file\nrock,a.mid\n", "utf-8"),
    ],
    ids=["byte order mark", "windows", "quoted", "long row", "other order"],
)
def test_tables_are_read_as_programs_write_them(tmp_path, text, encoding):
    assert read_labels(table(tmp_path, text, encoding=encoding)).style("a.mid") == "rock"


def test_a_short_row_has_no_label(tmp_path):
    labels = read_labels(table(tmp_path, "file,style,drummer\na.mid,rock\n"))
    assert labels.of_file["a.mid"] == {"style": "rock", "drummer": ""}


def test_no_table_knows_nothing():
    labels = read_labels(None)
    assert labels.vocabulary == {}
    assert labels.numbers(["a.mid"]) == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has the columns none; needs `file` and at least one of style, drummer, section"),
        (b"file,bpm\na.mid,3\n", "has the columns file, bpm"),
        (b"name,style\na.mid,rock\n", "has the columns name, style"),
        (b"name,style\na.mid,rock,more\n", "has the columns name, style"),
        (b"file,style\n", "the table is empty"),
        (b"file,style\n\xff\xfe.mid,rock\n", "no readable table of labels"),
        (b'file,style\n"' + b"a" * 140_000 + b'",rock\n', "no readable table of labels"),
        (None, "no readable table of labels"),
    ],
)
def test_what_is_no_table_is_refused_by_name(tmp_path, content, said):
    path = tmp_path / "labels.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(GrooveError) as caught:
        read_labels(path)
    assert str(caught.value).startswith(f"{path}: {said}")


@pytest.mark.parametrize(("count", "is_refused"), [(MAX_LABELS, False), (MAX_LABELS + 1, True)])
def test_there_is_an_end_to_the_number_of_labels(tmp_path, count, is_refused):
    rows = "".join(f"{number}.mid,style{number}\n" for number in range(count))
    path = table(tmp_path, "file,style\n" + rows)
    if is_refused:
        with pytest.raises(GrooveError, match=f"{count} values of style, at most {MAX_LABELS}"):
            read_labels(path)
    else:
        assert read_labels(path).numbers(["510.mid"])["style"].tolist()[0] <= MAX_LABELS


def test_what_is_said_of_some_files_alone_is_what_the_table_says(tmp_path):
    rows = "".join(f"{number}.mid,style{number % 3},beat\n" for number in range(20))
    labels = read_labels(table(tmp_path, "file,style,section\n" + rows))
    names = ["deep/3.mid", "no such.mid", "7.mid"]
    some = labels.of(names)
    assert len(some.of_file) == 2
    for kind, numbers in labels.numbers(names).items():
        assert some.numbers(names)[kind].tolist() == numbers.tolist()
    assert [some.section(name) for name in names] == [labels.section(name) for name in names]


def test_a_table_has_one_fingerprint_in_any_order_of_its_rows(tmp_path):
    rows = ["a.mid,rock\n", "b.mid,jazz\n", "c.mid,rock\n"]
    one = fingerprint(read_labels(table(tmp_path, "file,style\n" + "".join(rows))))
    turned = fingerprint(read_labels(table(tmp_path, "file,style\n" + "".join(rows[::-1]))))
    other = fingerprint(read_labels(table(tmp_path, "file,style\n" + "".join(rows[:2]))))
    assert one == turned != other


@pytest.mark.parametrize(
    ("name", "section", "style"),
    [
        ("drummer1/session1/12_funk_96_beat_4-4.mid", "beat", "funk"),
        ("drummer1_session1_12_funk_96_beat_4-4.mid", "beat", "funk"),
        ("drummer1__session1__12_funk-rock_96_fill_4-4.mid", "fill", "funk"),
        ("drummer1_session1_12_funk-rock_96_fill_4-4.mid", "fill", "funk"),
        ("My FILL.mid", "fill", ""),
        ("fill-in 3.mid", "fill", ""),
        ("fill/a.mid", "beat", ""),
        ("philharmonic filler.mid", "beat", ""),
    ],
)
def test_names_tell_section_and_style_where_no_table_does(name, section, style):
    assert section_in_name(name) == section
    assert style_in_name(name) == style
    labels = read_labels(None)
    assert (labels.section(name), labels.style(name)) == (section, style)


def test_the_demo_corpus_tells_in_its_names_what_its_table_says(corpus):
    labels = read_labels(corpus.folder / "labels.csv")
    for label in corpus.labels:
        assert labels.section(label.file) == section_in_name(label.file) == label.section
        assert labels.style(label.file) == style_in_name(label.file) == label.style
