"""Which webhooks count as Paddle's."""

import logging

import pytest

from stand_ins.paddle.webhooks import sign
from storecredit.billing.paddle.signature import Signatures
from storecredit.settings import Settings

SECRET = "pdl_ntfset_not_a_real_one"
BODY = '{"event_id":"evt_1","name":"Zoë"}'.encode()
NOW = 1_700_000_000
# printf '1700000000:{"event_id":"evt_1","name":"Zoë"}' | openssl dgst -sha256 -hmac …
H1 = "37340be2a63ed6d1b84edeb7d2349f1c98fb8636f4c4b36cf23e706ab8a3a4be"


def signatures(
    secret: str | None = SECRET, *, tolerance_seconds: int = 5, now: float = NOW
) -> Signatures:
    given: dict[str, object] = {"paddle_webhook_tolerance_seconds": tolerance_seconds}
    if secret is not None:
        given["paddle_webhook_secret"] = secret
    return Signatures(Settings.model_validate(given), clock=lambda: now)


def header(*secrets: str, at: float = NOW) -> str:
    return sign(BODY, *secrets, at=at)


def test_what_openssl_signs_is_authentic() -> None:
    assert signatures().is_authentic(BODY, f"ts={NOW};h1={H1}")


def test_the_stand_in_signs_as_openssl_does() -> None:
    assert header(SECRET) == f"ts={NOW};h1={H1}"


def test_one_of_several_signatures_is_enough() -> None:
    assert signatures().is_authentic(BODY, header("the new one", SECRET))


def test_one_of_several_secrets_is_enough() -> None:
    several = signatures(f"the new one, {SECRET}")
    assert several.is_authentic(BODY, header(SECRET))
    assert several.is_authentic(BODY, header("the new one"))
    assert not several.is_authentic(BODY, header("the newest one"))


def test_an_unknown_algorithm_beside_ours_does_no_harm() -> None:
    assert signatures().is_authentic(BODY, f"{header(SECRET)};h2=abc=")


@pytest.mark.parametrize("seconds", [-5, 5])
def test_within_the_tolerance(seconds: int) -> None:
    assert signatures().is_authentic(BODY, header(SECRET, at=NOW + seconds))


@pytest.mark.parametrize("seconds", [-301, -6, 6, 301])
def test_beyond_the_tolerance(seconds: int) -> None:
    assert not signatures().is_authentic(BODY, header(SECRET, at=NOW + seconds))


def test_the_tolerance_is_a_setting() -> None:
    patient = signatures(tolerance_seconds=300)
    assert patient.is_authentic(BODY, header(SECRET, at=NOW - 300))
    assert not patient.is_authentic(BODY, header(SECRET, at=NOW - 301))


def test_the_clock_is_looked_at_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEST_MODE", "1")
    assert not signatures().is_authentic(BODY, header(SECRET, at=NOW - 6))


@pytest.mark.parametrize("body", [b"", BODY + b" ", BODY.replace(b"1", b"2"), b"\xff\xfe"])
def test_another_body(body: bytes) -> None:
    assert not signatures().is_authentic(body, header(SECRET))


def test_a_signed_body_that_is_no_text() -> None:
    assert not signatures().is_authentic(b"\xff", sign(b"\xff", SECRET, at=NOW))


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        ";",
        "ts",
        f"ts={NOW}",
        f"h1={H1}",
        f"ts=;h1={H1}",
        f"ts={NOW};h1=",
        f"ts={NOW};h1={H1[:-1]}",
        f"ts={NOW};h1={H1.upper()}",
        f"ts={NOW};h1={H1[:-1]}é",
        f"ts={NOW};h1={H1}=",
        f"ts=-{NOW};h1={H1}",
        f"ts={NOW}.0;h1={H1}",
        f"ts=\u0661\u0667\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660;h1={H1}",
        f"ts={'9' * 13};h1={H1}",
        f"ts={NOW + 1};ts={NOW};h1={H1}",
        f"ts={NOW};ts={NOW + 1};h1={H1}",
        f"ts={NOW};h1={H1};" + "x" * 1000,
        f"ts={NOW};" + f"h1={'0' * 64};" * 8 + f"h1={H1}",
        "\x00",
    ],
)
def test_a_header_that_is_none_of_paddles(given: str | None) -> None:
    assert not signatures().is_authentic(BODY, given)


@pytest.mark.parametrize("secret", [None, "", " , "])
def test_without_a_secret_nothing_is_authentic(secret: str | None) -> None:
    unset = signatures(secret)
    for key in ("", " ", SECRET):
        assert not unset.is_authentic(BODY, header(key))


def test_nothing_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A logger outside the hierarchy has this one to write to.
    monkeypatch.setattr(logging, "lastResort", caplog.handler)
    with caplog.at_level(logging.DEBUG):
        signatures().is_authentic(BODY, header(SECRET))
        signatures().is_authentic(BODY, header("forged"))
    assert caplog.records == []
