"""What holds of the tests as a whole."""

from collections import Counter
from pathlib import Path


def test_no_two_modules_of_tests_have_one_name():
    """They would be one module to Python, and the second would not be collected."""
    names = Counter(path.name for path in Path(__file__).parent.rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
