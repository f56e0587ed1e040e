"""The form of an API key and of a web origin: what is accepted, and that typing errors are not."""

import re
import zlib
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storecredit.stores.api_keys import BASE62, START_LENGTH, is_well_formed, key_hash, new_key
from storecredit.stores.origins import normalise_origin

KEY_LENGTH = 44
keys = st.builds(new_key)
positions = st.integers(min_value=0, max_value=KEY_LENGTH - 1)


def test_a_new_key_has_the_documented_form() -> None:
    assert re.fullmatch(r"sc_live_[0-9A-Za-z]{36}", new_key())


def test_a_new_key_is_well_formed_and_no_two_are_alike() -> None:
    made = {new_key() for _ in range(1000)}
    assert len(made) == 1000
    assert all(map(is_well_formed, made))


def test_every_character_of_the_alphabet_comes_up() -> None:
    drawn = {character for _ in range(200) for character in new_key()[len("sc_live_") : -6]}
    assert drawn == set(BASE62)


@given(drawn=st.binary(min_size=32, max_size=32), other=st.binary(min_size=32, max_size=32))
def test_the_same_drawn_bytes_make_the_same_key_and_others_another(
    drawn: bytes, other: bytes
) -> None:
    key = new_key(drawn=drawn)
    assert is_well_formed(key)
    assert key == new_key(drawn=drawn)
    assert (key == new_key(drawn=other)) == (drawn == other)


def crc_32_in_base62(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    while number:
        number, digit = divmod(number, 62)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits


@given(random=st.text(alphabet=BASE62, min_size=30, max_size=30))
def test_the_checksum_is_the_crc_32_of_all_that_precedes_it(random: str) -> None:
    start = f"sc_live_{random}"
    assert is_well_formed(start + crc_32_in_base62(start).rjust(6, "0"))


def test_a_small_checksum_keeps_its_leading_zeros() -> None:
    starts = (f"sc_live_{number:030d}" for number in range(10_000))
    start, checksum = next(
        (start, checksum) for start in starts if len(checksum := crc_32_in_base62(start)) == 4
    )
    assert is_well_formed(f"{start}00{checksum}")
    assert not is_well_formed(start + checksum)


def test_a_key_once_handed_out_stays_valid() -> None:
    # Written down: keys in customers' hands must be understood by every later version.
    assert is_well_formed("sc_live_0000000000000000000000000000003MDnNh")


@given(key=keys, position=positions, replacement=st.sampled_from(BASE62))
def test_one_wrong_character_is_noticed(key: str, position: int, replacement: str) -> None:
    wrong = key[:position] + replacement + key[position + 1 :]
    assert is_well_formed(wrong) == (wrong == key)


@given(key=keys, position=st.integers(min_value=8, max_value=KEY_LENGTH - 8))
def test_two_neighbours_exchanged_are_noticed(key: str, position: int) -> None:
    wrong = key[:position] + key[position + 1] + key[position] + key[position + 2 :]
    assert is_well_formed(wrong) == (wrong == key)


@given(key=keys, position=positions)
def test_a_missing_or_doubled_character_is_noticed(key: str, position: int) -> None:
    assert not is_well_formed(key[:position] + key[position + 1 :])
    assert not is_well_formed(key[: position + 1] + key[position:])


@given(key=keys)
def test_what_people_paste_around_a_key_is_noticed(key: str) -> None:
    for wrong in (f" {key}", f"{key} ", f"{key}\n", f'"{key}"', key.upper(), f"Bearer {key}"):
        assert not is_well_formed(wrong)


@given(text=st.text(max_size=60))
def test_any_text_at_all_gets_an_answer(text: str) -> None:
    assert not is_well_formed(text)
    assert not is_well_formed(f"sc_live_{text}")


@pytest.mark.parametrize("digits", ["\u0660" * 36, "\uff10" * 36, "\u00e9" * 36])
def test_digits_of_other_scripts_are_no_base62(digits: str) -> None:
    assert not is_well_formed(f"sc_live_{digits}")


def test_a_key_is_kept_as_its_sha_256() -> None:
    key = new_key()
    assert key_hash(key) == sha256(key.encode("ascii")).digest()
    assert len(key_hash(key)) == 32


def test_the_start_shown_to_people_gives_four_random_characters_away() -> None:
    assert START_LENGTH - len("sc_live_") == 4


@pytest.mark.parametrize(
    "origin, normal",
    [
        ("https://shop.example", "https://shop.example"),
        ("HTTPS://Shop.Example", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("http://shop.example:80", "http://shop.example"),
        ("http://shop.example:443", "http://shop.example:443"),
        ("https://shop.example:8443", "https://shop.example:8443"),
        ("https://shop.example/", "https://shop.example"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("chrome-extension://abcdefghij", "chrome-extension://abcdefghij"),
    ],
)
def test_an_origin_has_one_way_to_be_written(origin: str, normal: str) -> None:
    assert normalise_origin(origin) == normal
    assert normalise_origin(normal) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "*",
        "shop.example",
        "https://",
        "https://*",
        "https://shop.example/path",
        "https://shop.example?x=1",
        "https://user@shop.example",
        "https://shop.example:",
        "https://shop.example:65536",
        "https://shop.example:\u0668\u0660",
        "https://bücher.example",
        "https://shop.example\n",
        " https://shop.example",
        "https://shop.example https://other.example",
        "https://" + "a" * 300,
    ],
)
def test_what_is_no_single_origin_is_none(text: str) -> None:
    assert normalise_origin(text) is None
