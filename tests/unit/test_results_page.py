"""docs/results.md: what it has an operator paste is what a bucket and this service take."""

import json

from storecredit.settings import Settings
from tests.e2e.page_commands import Page

PAGE = Page("docs/results.md")
DAY_SECONDS = 24 * 3600


def test_the_settings_are_settings() -> None:
    exports = PAGE.block("export AWS_ACCESS_KEY_ID")
    [value] = [
        line.partition("=")[2]
        for line in exports.splitlines()
        if line.startswith("export STORECREDIT_RESULTS=")
    ]
    assert Settings(results=value).results == value == "s3://bucket/prefix"


def test_the_policy_allows_what_is_done_below_the_prefix_and_no_more() -> None:
    policy = json.loads(PAGE.blocks("json")[0])
    objects, whole = policy["Statement"]
    assert objects["Action"] == ["s3:PutObject", "s3:GetObject", "s3:DeleteObject"]
    assert objects["Resource"] == "arn:aws:s3:::bucket/prefix/*"
    assert (whole["Action"], whole["Resource"]) == ("s3:ListBucket", "arn:aws:s3:::bucket")


def test_the_lifecycle_deletes_nothing_before_the_sweep_does() -> None:
    [rule] = json.loads(PAGE.blocks("json")[1])["Rules"]
    assert rule["Status"] == "Enabled"
    assert rule["Filter"] == {"Prefix": "prefix/"}
    settings = Settings()
    longest = settings.result_retention_seconds + settings.generation_deadline_seconds
    assert rule["Expiration"]["Days"] * DAY_SECONDS > longest
