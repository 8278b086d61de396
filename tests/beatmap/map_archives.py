"""Maps as files and zips for tests, sound ones and hostile ones, and their level hashes."""

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Mapping

AUDIO = b"OggS" + bytes(range(256)) * 16


def map_files(number: int = 0, *, notes: int = 8) -> dict[str, bytes]:
    """Return the files of a map in version 2; no two numbers have one hash."""
    info = {
        "_version": "2.0.0",
        "_songName": f"Song {number}",
        "_songSubName": "",
        "_songAuthorName": "Nobody",
        "_levelAuthorName": "Mapper",
        "_beatsPerMinute": 120 + number,
        "_songTimeOffset": 0,
        "_shuffle": 0,
        "_shufflePeriod": 0.5,
        "_previewStartTime": 0,
        "_previewDuration": 10,
        "_songFilename": "song.ogg",
        "_coverImageFilename": "cover.jpg",
        "_environmentName": "DefaultEnvironment",
        "_difficultyBeatmapSets": [
            {
                "_beatmapCharacteristicName": "Standard",
                "_difficultyBeatmaps": [
                    {
                        "_difficulty": "Expert",
                        "_difficultyRank": 7,
                        "_beatmapFilename": "Expert.dat",
                        "_noteJumpMovementSpeed": 16,
                        "_noteJumpStartBeatOffset": 0,
                    }
                ],
            }
        ],
    }
    placed = [
        {"_time": at, "_lineIndex": at % 4, "_lineLayer": 0, "_type": at % 2, "_cutDirection": 1}
        for at in range(notes)
    ]
    difficulty = {"_version": "2.0.0", "_notes": placed, "_obstacles": [], "_events": []}
    return {
        "Info.dat": json.dumps(info).encode(),
        "Expert.dat": json.dumps(difficulty).encode(),
        "song.ogg": AUDIO,
        "cover.jpg": b"\xff\xd8\xff" + bytes([number % 256]) * 100,
    }


def hash_of(files: Mapping[str, bytes]) -> str:
    """Return the level hash of `map_files`."""
    return hashlib.sha1(files["Info.dat"] + files["Expert.dat"]).hexdigest()


def zipped(files: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip of files, the same bytes every time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            entry.compress_type = method
            archive.writestr(entry, content)
    return out.getvalue()


def with_entry(name: str, content: bytes = b"x", **fields: object) -> bytes:
    """Return the zip of a sound map with one further entry, whose fields are as given."""
    out = io.BytesIO(zipped(map_files()))
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo("placeholder", (2020, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        for field, value in fields.items():
            setattr(entry, field, value)
        entry.filename = name  # past what its constructor would mend
        archive.writestr(entry, content)
    return out.getvalue()


def with_list_saying(archive: bytes, name: str, *, size: int | None = None, flag: int = 0) -> bytes:
    """Return a zip whose list says another size of one file, or flags it."""
    changed = bytearray(archive)
    at = changed.find(b"PK\x01\x02")
    while at >= 0:
        length = struct.unpack_from("<H", changed, at + 28)[0]
        if changed[at + 46 : at + 46 + length] == name.encode():
            if size is not None:
                struct.pack_into("<L", changed, at + 24, size)
            flags = struct.unpack_from("<H", changed, at + 8)[0]
            struct.pack_into("<H", changed, at + 8, flags | flag)
        at = changed.find(b"PK\x01\x02", at + 4)
    return bytes(changed)
