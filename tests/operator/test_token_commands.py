"""`storecredit token`: made, listed and revoked."""

from tests.e2e.in_process import InProcess


def test_a_token_is_made_listed_and_revoked(command: InProcess) -> None:
    done = command("token", "create", "ann", "--scope", "read", "--scope", "credits", "--json")
    made = done.json()
    assert "only time the token is shown" in done.errors
    assert made["token"].startswith(made["token_start"])
    assert (made["name"], made["scopes"], made["expires_at"]) == ("ann", ["credits", "read"], None)
    command("token", "create", "bob", "--scope", "all", "--expires-in", "90d", "--as", "ann")

    listed = command("token", "list").output
    assert "ann" in listed
    assert made["token"] not in listed
    taken = command("token", "create", "ann", "--scope", "all")
    assert taken.status == 1
    assert "Nothing was made" in taken.errors
    assert command("token", "create", "admin", "--scope", "all").status == 2

    assert command("token", "revoke", "ann", "--reason", "left", "--json").json()["revoked"] is True
    assert "no token" in command("token", "revoke", "eve").errors
    entries = command("audit", "--json").json()["items"]
    assert [(entry["action"], entry["reason"]) for entry in entries] == [
        ("token.revoke", "left"),
        ("token.create", ""),
        ("token.create", ""),
    ]
    assert command("token", "list", "--json").json()["items"][1]["revoked_at"] is not None


def test_an_id_is_meant_though_it_is_the_name_of_another(command: InProcess) -> None:
    create = ("token", "create", "--scope", "read", "--json")
    ann = command(*create, "ann").json()["token_id"]
    command(*create, ann)
    assert command("token", "revoke", ann, "--json").json()["token_id"] == ann
    named, first = command("token", "list", "--json").json()["items"]
    assert named["revoked_at"] is None
    assert first["revoked_at"] is not None
