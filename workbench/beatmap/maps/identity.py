"""The map service's own name of a level: a SHA-1 of its files' bytes.

Info first, then v4's AudioData, then the difficulties in the order of the Info, in v4 each with
its light show behind it, again each time that one is shared. Audio and cover are not in it.
"""

import hashlib
from collections.abc import Iterable


def level_hash(files: Iterable[bytes]) -> str:
    """Return the hash of some files' bytes as they lie, 40 hexadecimal digits in lower case."""
    digest = hashlib.sha1(usedforsecurity=False)
    for data in files:
        digest.update(data)
    return digest.hexdigest()
