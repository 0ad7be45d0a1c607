from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.kit.ids import is_id, new_id

_MILLISECONDS = st.integers(0, 2**48 - 1)
_ENTROPY = st.binary(min_size=10, max_size=10)


def test_the_uuidv7_of_rfc_9562_comes_out_as_its_typeid() -> None:
    """RFC 9562, appendix A.6: 017F22E2-79B0-7CC3-98C4-DC0C0C07398F, made on 2022-02-22 at 19:22:22 UTC.

    The entropy is its rand_a (CC3) and rand_b (18C4DC0C0C07398F), 12 and 62 bits. The expected text was worked out
    apart from our code, from the 128 bits with two zeros before them, five bits a letter (TypeID specification).
    """
    at = datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)
    entropy = (0xCC3 << 62 | 0x18C4DC0C0C07398F).to_bytes(10)
    made = new_id("prefix", milliseconds=round(at.timestamp() * 1000), entropy=entropy)
    assert made == "prefix_01fwhe4ydgfk1shh6w1g60eecf"


@given(_MILLISECONDS, _ENTROPY)
def test_version_and_variant_are_those_of_a_uuidv7(milliseconds: int, entropy: bytes) -> None:
    suffix = new_id("x", milliseconds=milliseconds, entropy=entropy).removeprefix("x_")
    value = 0
    for letter in suffix:
        value = value * 32 + "0123456789abcdefghjkmnpqrstvwxyz".index(letter)
    assert value >> 80 == milliseconds
    assert value >> 76 & 0xF == 7
    assert value >> 62 & 0b11 == 0b10


@given(_MILLISECONDS, _MILLISECONDS, _ENTROPY, _ENTROPY)
def test_ids_sort_by_their_time(first: int, second: int, some: bytes, other: bytes) -> None:
    earlier, later = sorted([first, second])
    if earlier != later:
        assert new_id("x", milliseconds=earlier, entropy=some) < new_id("x", milliseconds=later, entropy=other)


def test_ids_differ_within_one_millisecond() -> None:
    assert len({new_id("det", milliseconds=1) for _ in range(1000)}) == 1000


@given(_MILLISECONDS, _ENTROPY)
def test_what_is_made_is_well_formed(milliseconds: int, entropy: bytes) -> None:
    assert is_id(new_id("det", milliseconds=milliseconds, entropy=entropy), "det")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "det",
        "det_",
        "run_01h455vb4pex5vsknk084sn02q",
        "det_01h455vb4pex5vsknk084sn02",
        "det_01h455vb4pex5vsknk084sn02qq",
        "det_81h455vb4pex5vsknk084sn02q",  # more than 128 bits
        "det_01H455VB4PEX5VSKNK084SN02Q",
        "det_01h455vb4pex5vsknk084sn0iq",  # i, l, o and u are no digits
        "det_01h455vb4pex5vsknk084sn02q\n",
        "_01h455vb4pex5vsknk084sn02q",
    ],
)
def test_what_is_no_id_of_this_prefix_is_refused(text: str) -> None:
    assert not is_id(text, "det")


def test_the_example_of_the_typeid_specification_is_an_id() -> None:
    """TypeID 0.3, valid.json: prefix_01h455vb4pex5vsknk084sn02q is 01890a5d-ac96-774b-bcce-b302099a8057."""
    value = 0x01890A5DAC96774BBCCEB302099A8057
    entropy = ((value >> 64 & 0xFFF) << 62 | value & (1 << 62) - 1).to_bytes(10)
    made = new_id("prefix", milliseconds=value >> 80, entropy=entropy)
    assert made == "prefix_01h455vb4pex5vsknk084sn02q"
    assert is_id(made, "prefix")
