"""Links that commands print lead to where the service serves, whatever port it was given."""

import httpx

from tests.e2e.conftest import Storecredit

STORE = ("store", "create", "--name", "Hats", "--shop-domain", "hats.example")


def test_links_lead_to_the_service_that_runs(storecredit: Storecredit) -> None:
    serving = storecredit.start("serve", "--port", "0")
    serving.await_event("serving")
    assert storecredit(*STORE).status == 0

    console = storecredit("console").output.strip()
    assert console.startswith(f"{serving.url}/console/sign-in/")
    assert httpx.get(console).status_code == 200
    portal = storecredit("store", "portal-link", "Hats").output
    assert f" {serving.url}/portal/sign-in/" in portal
    assert f"API={serving.url}/api/v1\n" in storecredit("demo").output

    # Its public name comes before that.
    named = {"STORECREDIT_PUBLIC_URL": "https://credits.example"}
    link = storecredit("console", **named).output
    assert link.startswith("https://credits.example/console/sign-in/")


def test_a_disk_that_takes_no_files_does_not_keep_the_service_from_serving(
    storecredit: Storecredit,
) -> None:
    (storecredit.data_dir / "served.at").mkdir()
    serving = storecredit.start("serve", "--port", "0")
    assert httpx.get(f"{serving.url}/health/ready").status_code == 200
    assert storecredit("console").output.startswith("http://127.0.0.1:8080/console/sign-in/")
