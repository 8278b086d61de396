"""Small Unity bundles made with UnityPy's own writer: packs and levels as the game has them.

The format around them is written by hand, empty, and UnityPy fills and saves it: UnityFS of
version 6, a serialized file of version 22 with type trees, as Unity 2022.3 writes them.
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import UnityPy
from UnityPy.enums import ClassIDType
from UnityPy.files.ObjectReader import ObjectReader
from UnityPy.files.SerializedFile import SerializedType
from UnityPy.helpers.Tpk import get_typetree_node
from UnityPy.helpers.TypeTreeNode import TypeTreeNode

VERSION = "2022.3.33f1"
TEXT, CLIP, BEHAVIOUR = 49, 83, 114

_ALIGNED = 0x4000
_LEAVES = {bool: ("UInt8", 1), int: ("SInt64", 8), float: ("double", 8)}

Object = tuple[int, int, dict[str, Any]]  # number, class, fields


def bundle(objects: list[Object], resources: Mapping[str, bytes] = {}) -> bytes:
    """Return a bundle of some objects, and of files beside them that they name."""
    files = {"CAB-test": _empty_file(), **resources}
    env = UnityPy.load(_plain_bundle(files))
    (archive,) = env.files.values()
    asset = archive.files["CAB-test"]
    for number, class_id, fields in objects:
        _add(asset, number, class_id, fields)
    return archive.save(packer="lz4")


def text(number: int, name: str, content: bytes) -> Object:
    """Return a text asset, which holds any bytes."""
    script = content.decode("utf-8", "surrogateescape")
    return number, TEXT, {"m_Name": name, "m_Script": script}


def clip(number: int, name: str, source: str, size: int, rate: int, channels: int) -> Object:
    """Return an audio clip whose sound lies in a file beside it."""
    return (
        number,
        CLIP,
        {
            "m_Name": name,
            "m_LoadType": 0,
            "m_Channels": channels,
            "m_Frequency": rate,
            "m_BitsPerSample": 16,
            "m_Length": 1.0,
            "m_IsTrackerFormat": False,
            "m_Ambisonic": False,
            "m_SubsoundIndex": 0,
            "m_PreloadAudioData": True,
            "m_LoadInBackground": False,
            "m_Legacy3D": True,
            "m_Resource": {
                "m_Source": f"archive:/CAB-test/{source}",
                "m_Offset": 0,
                "m_Size": size,
            },
            "m_CompressionFormat": 0,
        },
    )


def behaviour(number: int, name: str, fields: dict[str, Any]) -> Object:
    """Return an object of the game's own class."""
    head = {
        "m_GameObject": pointer(0),
        "m_Enabled": True,
        "m_Script": pointer(0),
        "m_Name": name,
    }
    return number, BEHAVIOUR, head | fields


def pointer(number: int) -> dict[str, int]:
    return {"m_FileID": 0, "m_PathID": number}


def fsb5(samples: np.ndarray, rate: int) -> bytes:
    """Return 16-bit samples `(n, channels)` as a sound bank of fmod, version 5, PCM."""
    data = samples.astype("<i2").tobytes()
    data += bytes(-len(data) % 32)
    frequencies = [8000, 11000, 11025, 16000, 22050, 24000, 32000, 44100, 48000]
    mode = (frequencies.index(rate) + 1) << 1 | (samples.shape[1] - 1) << 5
    header = struct.pack("<Q", mode | len(samples) << 34)
    head = struct.pack("<4s6I", b"FSB5", 1, 1, len(header), 0, len(data), 2)
    return head + bytes(32) + header + data


def level_bundle(
    *,
    sets: Mapping[str, Mapping[int, bytes]],
    lights: bytes = b"",
    audio_data: bytes = b"",
    sound: bytes,
    rate: int = 44_100,
    channels: int = 2,
) -> bytes:
    """Return the bundle of a level.

    Args:
        sets: Characteristic: number of a difficulty: its file.
        lights: Of all of them.
        audio_data: Its file.
        sound: What the clip's file holds.
        rate: Hz.
        channels: Of the sound.
    """
    objects = [
        clip(10, "Song", "CAB-test.resource", len(sound), rate, channels),
        text(11, "Song.audio.gz", audio_data),
        text(12, "Song.lightshow.gz", lights),
    ]
    listed, number = [], 100
    for characteristic, difficulties in sets.items():
        entries = []
        for difficulty, content in difficulties.items():
            objects.append(text(number, f"Song{difficulty}.beatmap.gz", content))
            entries.append(
                {
                    "_difficulty": difficulty,
                    "_beatmapAsset": pointer(number),
                    "_lightshowAsset": pointer(12 if lights else 0),
                }
            )
            number += 1
        listed.append(
            {
                "_beatmapCharacteristicSerializedName": characteristic,
                "_difficultyBeatmaps": entries,
            }
        )
    fields = {
        "_version": 1,
        "_audioClip": pointer(10),
        "_audioDataAsset": pointer(11 if audio_data else 0),
        "_difficultyBeatmapSets": listed,
    }
    objects.append(behaviour(1, "SongBeatmapLevelData", fields))
    return bundle(objects, {"CAB-test.resource": sound})


def write_pack(folder: Path, name: str, objects: list[Object]) -> Path:
    path = folder / f"{name}_pack_assets_all_0123456789abcdef.bundle"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bundle(objects))
    return path


def _empty_file() -> bytes:
    """Return a serialized file of version 22 with type trees and nothing else."""
    meta = VERSION.encode() + b"\0" + struct.pack("<i?", 19, True)  # for Windows
    meta += struct.pack("<iiiii", 0, 0, 0, 0, 0) + b"\0"  # types, objects, scripts, externals, refs
    start = 128  # UnityPy takes what is shorter for no such file
    head = struct.pack(">IIII?3xIqqq", 0, 0, 22, 0, False, len(meta), start, start, 0)
    return (head + meta).ljust(start, b"\0")


def _plain_bundle(files: Mapping[str, bytes]) -> bytes:
    """Return a bundle of files as they are."""
    data = b"".join(files.values())
    table, at = struct.pack(">i", len(files)), 0
    for name, content in files.items():
        flags = 4 if name == "CAB-test" else 0
        table += struct.pack(">qqI", at, len(content), flags) + name.encode() + b"\0"
        at += len(content)
    table = bytes(16) + struct.pack(">iIIH", 1, len(data), len(data), 0) + table
    head = b"UnityFS\0" + struct.pack(">I", 6) + b"5.x.x\0" + VERSION.encode() + b"\0"
    size = len(head) + 20 + len(table) + len(data)
    return head + struct.pack(">qIII", size, len(table), len(table), 0x40) + table + data


def _add(asset: Any, number: int, class_id: int, fields: dict[str, Any]) -> None:
    """Add an object, with a type of its own, to a serialized file."""
    node = get_typetree_node(class_id, asset.version)
    if class_id == BEHAVIOUR:
        node = _node(0, "MonoBehaviour", "Base", fields)
    made = SerializedType.__new__(SerializedType)
    made.__attrs_init__(
        class_id,
        is_stripped_type=False,
        script_type_index=-1,
        script_id=bytes(16),
        old_type_hash=bytes(16),
        node=_whole(node),
        type_dependencies=(),
    )
    asset.types.append(made)
    reader = ObjectReader(
        asset,
        asset.reader,
        number,
        len(asset.types) - 1,
        made,
        class_id,
        ClassIDType(class_id),
        0,
        0,
        None,
        None,
    )
    asset.objects[number] = reader
    reader.save_typetree(fields)


def _node(level: int, kind: str, name: str, value: Any) -> TypeTreeNode:
    """Return the type tree of a value: text, numbers, lists of one kind, and structures."""
    children: list[TypeTreeNode] = []
    size, flag = -1, 0
    if isinstance(value, dict):
        children = [_field(level + 1, key, each) for key, each in value.items()]
    elif isinstance(value, list | str):
        item = (
            TypeTreeNode(level + 2, "char", "data", 1, 1)
            if isinstance(value, str)
            else _field(level + 2, "data", value[0])
        )
        length = TypeTreeNode(level + 2, "int", "size", 4, 1)
        children = [_made(level + 1, "Array", "Array", [length, item], flag=_ALIGNED)]
    else:
        size = _LEAVES[type(value)][1]
        flag = _ALIGNED
    return _made(level, kind, name, children, size=size, flag=flag)


def _field(level: int, name: str, value: Any) -> TypeTreeNode:
    if isinstance(value, dict):
        kind = "PPtr<Object>" if set(value) == {"m_FileID", "m_PathID"} else "Thing"
    elif isinstance(value, list):
        kind = "vector"
    else:
        kind = "string" if isinstance(value, str) else _LEAVES[type(value)][0]
    if kind.startswith("PPtr"):
        parts = [
            _made(level + 1, "int", "m_FileID", [], size=4),
            _made(level + 1, "SInt64", "m_PathID", [], size=8),
        ]
        return _made(level, kind, name, parts, size=12)
    return _node(level, kind, name, value)


def _made(
    level: int,
    kind: str,
    name: str,
    children: list[TypeTreeNode],
    *,
    size: int = -1,
    flag: int = 0,
) -> TypeTreeNode:
    node = TypeTreeNode(level, kind, name, size, 1)
    node.m_Children = children
    node.m_MetaFlag = flag
    return node


def _whole(node: TypeTreeNode) -> TypeTreeNode:
    """Fill in what the writer wants of each node and the reader does not say."""
    for index, each in enumerate(node.traverse()):
        each.m_Index = index
        each.m_TypeFlags = each.m_TypeFlags or int(each.m_Type == "Array")
        each.m_MetaFlag = each.m_MetaFlag or 0
        each.m_RefTypeHash = 0
    return node
