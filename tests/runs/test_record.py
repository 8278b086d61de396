import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import RunsError
from workbench.runs.record import RESULT_MIME, Recorded, plain_results

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
)
RESULTS = st.dictionaries(
    st.text(min_size=1, max_size=8), SCALARS | st.lists(SCALARS, max_size=5), min_size=1, max_size=5
)


@settings(deadline=None)
@given(RESULTS)
def test_results_survive_json_and_show_themselves_alike_each_time(values) -> None:  # type: ignore[no-untyped-def]
    plain = plain_results(values)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain == values
    shown = Recorded(values=plain)._repr_mimebundle_()
    assert shown[RESULT_MIME] == values
    assert shown["text/plain"] == Recorded(values=json.loads(json.dumps(plain))).__repr__()


def test_scalars_of_numpy_are_numbers() -> None:
    plain = plain_results({"a": np.float32(0.5), "b": np.int64(3), "c": [np.bool_(True)]})
    assert plain == {"a": 0.5, "b": 3, "c": [True]}
    assert [type(plain["a"]), type(plain["b"]), type(plain["c"][0])] == [float, int, bool]
    assert repr(Recorded(values=plain)) == "a = 0.5, b = 3, c = [true]"


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, np.float32("nan"), [1.0, -math.inf], {"a": 1}, [[1]], 1j, b"x", [0] * 65],
)
def test_what_is_no_result_is_refused_by_name(value: object) -> None:
    with pytest.raises(RunsError, match="loss") as refusal:
        plain_results({"fine": 1, "loss": value})
    assert "fine" not in str(refusal.value)


def test_recording_nothing_is_refused() -> None:
    with pytest.raises(RunsError, match="nothing to record"):
        plain_results({})


def test_recording_is_imported_without_anything_heavy() -> None:
    program = (
        "import sys\nfrom workbench.runs import record\n"
        "heavy = {'IPython', 'papermill', 'nbformat', 'numpy', 'yaml'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
