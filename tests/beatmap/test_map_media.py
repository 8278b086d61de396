"""Audio and covers of maps: what their files say, and files that are damaged."""

import io

import numpy as np
import PIL.Image
import pytest
import soundfile
from export_plans import AUDIO, audio, plan
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.beatmap.maps.covers import cover_name, drawn_cover, picture_of
from workbench.beatmap.maps.eggs import read_egg
from workbench.beatmap.maps.export import map_files
from workbench.beatmap.maps.strict import strict_faults
from workbench.errors import BeatmapError
from workbench.music.vorbis import vorbis_bytes


def written(kind: str, subtype: str | None = None, **tags: str) -> bytes:
    out = io.BytesIO()
    with soundfile.SoundFile(out, "w", 8000, 1, format=kind, subtype=subtype) as file:
        for key, value in tags.items():
            setattr(file, key, value)
        file.write(np.zeros(30 * 8000, np.float32))
    return out.getvalue()


def picture(width: int, height: int, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    PIL.Image.new("RGB", (width, height)).save(out, kind)
    return out.getvalue()


# --- audio


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40_000), st.integers(1, 2), st.sampled_from([8000, 22_050, 44_100, 48_000]))
def test_an_egg_says_what_libsndfile_says_of_it(count: int, channels: int, rate: int) -> None:
    content = vorbis_bytes(np.zeros((count, channels)), rate)
    egg, info = read_egg(content), soundfile.info(io.BytesIO(content))
    assert (egg.channels, egg.sample_rate) == (info.channels, info.samplerate) == (channels, rate)
    assert egg.sample_count == info.frames == count
    assert egg.seconds == count / rate
    assert egg.tags == ()


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_egg_is_read_or_refused_by_kind(data: st.DataObject) -> None:
    content = bytearray(audio(2.0))
    cut = data.draw(st.integers(0, len(content)))
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[at] = data.draw(st.integers(0, 255))
    try:
        read_egg(bytes(content[:cut]))
    except BeatmapError as error:
        assert error.kind in ("bad_audio", "audio_kind")


@pytest.mark.parametrize("part", [0.5, 0.9, 0.999])
def test_an_egg_that_is_cut_short_is_refused(part: float) -> None:
    whole = vorbis_bytes(np.random.default_rng(0).standard_normal(80_000) * 0.1, 8000)
    with pytest.raises(BeatmapError, match=r"cut short|damaged") as error:
        read_egg(whole[: int(len(whole) * part)])
    assert error.value.kind == "bad_audio"
    last = whole.rindex(b"OggS")
    with pytest.raises(BeatmapError, match="cut short"):
        read_egg(whole[:last])


@pytest.mark.parametrize(
    ("kind", "subtype", "told"),
    [
        ("MP3", None, "MP3"),
        ("WAV", "PCM_16", "WAV"),
        ("FLAC", None, "FLAC"),
        ("OGG", "OPUS", "Ogg that is not Vorbis"),
    ],
)
def test_audio_of_other_kinds_is_refused_whatever_it_is_called(
    kind: str, subtype: str | None, told: str
) -> None:
    content = written(kind, subtype)
    with pytest.raises(BeatmapError, match=told) as error:
        map_files(plan(audio=content))
    assert error.value.kind == "audio_kind"
    faults = strict_faults({**map_files(plan()), AUDIO: content})
    assert [fault.kind for fault in faults] == ["audio_kind"]


def test_tags_of_audio_are_refused_and_the_encoders_name_is_none() -> None:
    content = written("OGG", "VORBIS", title="A Song", artist="Me")
    assert read_egg(content).tags == ("TITLE=A Song", "ARTIST=Me")
    with pytest.raises(BeatmapError, match=r"audio tags \('?.*TITLE=A Song.*first of 2"):
        map_files(plan(audio=content))
    assert map_files(plan(audio=written("OGG", "VORBIS")))


def test_audio_of_another_name_is_refused() -> None:
    files = map_files(plan())
    renamed = {("song.mp3" if name == AUDIO else name): data for name, data in files.items()}
    renamed["Info.dat"] = files["Info.dat"].replace(b"song.egg", b"song.mp3")
    assert [fault.kind for fault in strict_faults(renamed)] == ["audio_kind"]


# --- covers


@pytest.mark.parametrize("title", ["", "A Song", "曲"])
def test_a_drawn_cover_is_a_square_and_the_same_every_time(title: str) -> None:
    content = drawn_cover(title)
    found = picture_of(content)
    assert (found.kind, found.width, found.height) == ("PNG", 512, 512)
    assert content == drawn_cover(title) != drawn_cover(title + "!")
    assert np.asarray(PIL.Image.open(io.BytesIO(content))).std() > 10  # something is drawn


@pytest.mark.parametrize(
    ("content", "is_taken"),
    [
        (picture(256, 256), True),
        (picture(300, 300, "JPEG"), True),
        (picture(255, 255), False),
        (picture(300, 256), False),
        (picture(300, 300, "BMP"), False),
        (picture(300, 300)[:80], False),
        (b"", False),
    ],
    ids=["least", "jpeg", "small", "oblong", "bmp", "cut", "empty"],
)
def test_covers_are_squares_of_256_pixels_and_more(content: bytes, is_taken: bool) -> None:
    if is_taken:
        name = cover_name(content)
        assert map_files(plan(cover=content))[name] == content
        return
    with pytest.raises(BeatmapError, match=r"odd cover|neither a whole"):
        map_files(plan(cover=content))
    files = map_files(plan())
    assert [f.kind for f in strict_faults({**files, "cover.png": content})] == ["odd_cover"]


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=50, deadline=None)
def test_bytes_that_are_no_picture_are_refused(content: bytes, is_marked: bool) -> None:
    with pytest.raises(BeatmapError) as error:
        picture_of(b"\x89PNG\r\n\x1a\n" + content if is_marked else content)
    assert error.value.kind == "odd_cover"
