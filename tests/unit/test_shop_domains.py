"""What is taken for the domain of a shop."""

import pytest

from storecredit.stores.shop_domains import normalise_shop_domain


@pytest.mark.parametrize(
    "domain",
    [
        *("hats.example", "Hats.Example", "shop-7.hats.example", "my_shop.example", "hats"),
        *("hüte.example", "xn--hte-hoa.example", "दुकान.example", "192.0.2.7", "d" * 253),
    ],
)
def test_a_domain_is_kept_as_it_is_written(domain: str) -> None:
    assert normalise_shop_domain(domain) == domain


@pytest.mark.parametrize(
    "text",
    [
        *(" hats.example\n", "hats.example/", "hats.example.", "hats.example:8443"),
        *("https://hats.example", "HTTPS://hats.example/", "http://hats.example:80/cart?a=b#c"),
        *("https://hats.example?from=mail", "hats.example/sale/1"),
    ],
)
def test_of_an_address_the_domain_is_kept(text: str) -> None:
    assert normalise_shop_domain(text) == "hats.example"


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ".", "..", "hats..example", ".example", "https://", "https:///cart", "/cart"),
        *("Hats & Co", "hats example", "hats\u00a0example", "ann@hats.example", "a\0b", "100%"),
        *("https://ann:secret@hats.example", "https:/hats.example", "mailto:ann", "hats.example:x"),
        *("<b>hats</b>", "[::1]", "hats.example\\cart", "hats.example:123456"),
    ],
)
def test_what_is_no_domain_is_none(text: str) -> None:
    assert normalise_shop_domain(text) is None
