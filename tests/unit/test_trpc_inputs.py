"""What is said of an input that is wrong, however much of it is."""

import json

import pytest

from storecredit.web.trpc.errors import TrpcError
from storecredit.web.trpc.inputs import ISSUES_MAX, checked, fields, items, string


def test_of_an_array_of_wrong_items_some_are_told() -> None:
    hats = items(fields(type=string, url=string))
    for sent, told in ((ISSUES_MAX, ISSUES_MAX), (ISSUES_MAX + 1, ISSUES_MAX)):
        with pytest.raises(TrpcError) as refused:
            checked(fields(accessories=hats), {"accessories": [1] * sent})

        paths = [issue["path"] for issue in json.loads(refused.value.message)]
        assert paths == [["accessories", place] for place in range(told)]


def test_of_an_array_of_right_items_all_are_taken() -> None:
    sent = ["hat"] * (ISSUES_MAX + 1)
    assert checked(items(string), sent) == sent
