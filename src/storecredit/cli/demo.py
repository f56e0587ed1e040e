"""The demo store, and the shell lines that show with it what the service does.

The lines work as they stand when pasted into bash, zsh or a POSIX shell that has curl and base64.
The pictures are those that the service itself has under `/api/docs`.
"""

import json as json_text
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against
from storecredit.cli.options import DatabaseUrl, DataDir, Json, context_of, settings_of
from storecredit.cli.stores import made
from storecredit.data_files.served_at import noted_address

if TYPE_CHECKING:
    from storecredit.settings import Settings

NAME: Final = "Demo"
SHOP_DOMAIN: Final = "demo.example"
TIER: Final = "scale"
DEFAULT_TIER: Final = "default"
"""There always is one of that name."""
CREDITS: Final = 100
STORES_LOOKED_THROUGH: Final = 100

BLOCKED_TERM: Final = "forbidden"
"""What `serve --demo` has moderation block, unless STORECREDIT_BLOCKED_TERMS says otherwise."""

# The headings are `echo`, not `#`: zsh takes no comments at its prompt.
LINES: Final = r"""API=@API@/api/v1
AUTH='Authorization: Bearer @KEY@'
JSON='Content-Type: application/json'
field() { echo "$2" | sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }
wait_until_ended() { STATUS=$(curl -s "$API/generation/$1?wait=60" -H "$AUTH"); echo "$STATUS"; }
picture() {
  printf 'data:image/webp;base64,'
  curl -s "@API@/api/docs/$1.webp" | base64 | tr -d '\n'
}

echo '1. A generation of two pictures, of a bay by day and by night, and the credits it takes:'
CREATED=$(printf '{"prompt": "a day", "image_urls": ["%s", "%s"]}' \
  "$(picture day)" "$(picture night)" |
  curl -s "$API/generation/create" -H "$AUTH" -H "$JSON" -d @-); echo "$CREATED"

echo '2. An answer that waits until it has ended; then its image, in result.png:'
wait_until_ended "$(field session_id "$CREATED")"
curl -s -o result.png "$(field result_url "$STATUS")"; ls -l result.png

echo '3. The balance, so many less:'
curl -s "$API/credits/balance" -H "$AUTH"; echo

echo '4. Moderation blocks this one; status, balance and ledger show its credits coming back:'
BLOCKED=$(printf '{"prompt": %s, "image_urls": ["%s"]}' \
  @PROMPT@ "$(picture day)" |
  curl -s "$API/generation/create" -H "$AUTH" -H "$JSON" -d @-); echo "$BLOCKED"
wait_until_ended "$(field session_id "$BLOCKED")"
curl -s "$API/credits/balance" -H "$AUTH"; echo
curl -s "$API/credits/transactions?limit=2" -H "$AUTH"; echo
"""

PURCHASE_LINES: Final = r"""
echo '5. A purchase of 50 credits; nobody pays at the stand-in, and its webhook brings them:'
CHECKOUT=$(curl -s "$API/billing/checkout" -H "$AUTH" -H "$JSON" -d '{"credits": 50}')
echo "$CHECKOUT"
curl -s -o /dev/null -X POST "$(field checkout_url "$CHECKOUT")"
for _ in $(seq 60); do
  LEDGER=$(curl -s "$API/credits/transactions?type=purchase" -H "$AUTH")
  case "$LEDGER" in *'"type":"purchase"'*) break;; esac
  sleep 0.5
done; echo "$LEDGER"
curl -s "$API/credits/balance" -H "$AUTH"; echo
"""


def add_to(app: typer.Typer) -> None:
    """Put this module's command into the command line."""
    app.command("demo")(demo)


def demo(
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Make a store with 100 credits, and print its API key and the lines to try."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    store = against(settings, lambda rooms: make_store(rooms, settings), create=True)
    api_url = address_of_service(settings)
    if json:
        output.as_json({**store, "lines": lines(store["api_key"], api_url, settings)})
    else:
        show(store, api_url, settings)


async def make_store(rooms: Rooms, settings: "Settings") -> dict[str, Any]:
    """A new demo store with its API key, as `store create` shows it."""
    return await made(
        rooms,
        name=NAME,
        shop_domain=SHOP_DOMAIN,
        tier=TIER if TIER in settings.rate_limits else DEFAULT_TIER,
        credit_count=CREDITS,
        label="demo key",
        context=context_of(None, "demo"),
    )


async def make_first_store(rooms: Rooms, url: str, settings: "Settings") -> None:
    """Make and show a demo store if there are no stores; else say how to get at one.

    `url` is where the service listens.
    """
    stores = (await rooms.stores.list(STORES_LOOKED_THROUGH)).items
    if not stores:
        show(await make_store(rooms, settings), settings.public_url or url, settings)
        return
    store_id = next((str(each.store_id) for each in stores if each.name == NAME), "STORE_ID")
    where = "" if settings.database_url else _data_dir_flag(settings.data_dir)
    output.note(
        "There are stores already; the demo store's API key was shown when it was made.\n"
        f"For another key:        {_command()} key create {store_id}{where}\n"
        f"For another demo store: {_port_variable(url, settings)}{_command()} demo{where}"
    )


def show(store: dict[str, Any], api_url: str, settings: "Settings") -> None:
    """Print a demo store and the lines to try with it."""
    typer.echo(
        f"The store {store['name']} ({store['store_id']}) has {store['balance']} credits.\n"
        f"Its API key, shown this once: {store['api_key']}\n\n"
        "Paste this into another terminal:\n\n" + lines(store["api_key"], api_url, settings)
    )
    typer.echo(
        f'Moderation blocks the prompt of step 4 for its word "{_blocked_term(settings)}", which a '
        "service knows\nfrom STORECREDIT_BLOCKED_TERMS, or from `serve --demo` where that is unset."
    )


def lines(key: str, api_url: str, settings: "Settings") -> str:
    """The shell lines to paste for the store with this API key, at this address."""
    prompt = json_text.dumps(f"something {_blocked_term(settings)}")
    text = LINES + (PURCHASE_LINES if _nobody_pays(settings) else "")
    for name, value in {
        "@API@": api_url.rstrip("/"),
        "@KEY@": key,
        "@PROMPT@": shlex.quote(prompt),
    }.items():
        text = text.replace(name, value)
    return text


def address_of_service(settings: "Settings") -> str:
    """Where people reach the service: by its public name, or where it serves on this machine.

    `serve --port 9000` is no setting of other commands, so it leaves word in the data directory.
    """
    is_said = not settings.model_fields_set.isdisjoint({"host", "port"})
    noted = None if is_said else noted_address(settings.data_dir)
    return settings.public_url or noted or url_of(settings.host, settings.port)


def url_of(host: str, port: int) -> str:
    """Where a service that listens there is reached from this machine."""
    if not host.strip("0.:"):  # all addresses, of IPv4 or IPv6
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _blocked_term(settings: "Settings") -> str:
    return settings.blocked_terms[0] if settings.blocked_terms else BLOCKED_TERM


def _nobody_pays(settings: "Settings") -> bool:
    """Whether billing is on, and Paddle is a stand-in on this machine (`make shop`)."""
    on_this_machine = urlsplit(settings.paddle_api_url).hostname in {"127.0.0.1", "localhost"}
    return settings.paddle_api_key is not None and on_this_machine


def _command() -> str:
    """This command as it can be typed here: by its name, or by its path where that is not found."""
    if shutil.which("storecredit"):
        return "storecredit"
    return shlex.quote(str(Path(sys.executable).with_name("storecredit")))


def _port_variable(url: str, settings: "Settings") -> str:
    """What tells a command of another terminal where the service listens, if it has to be told."""
    port, default = urlsplit(url).port, type(settings).model_fields["port"].default
    return "" if port == default else f"STORECREDIT_PORT={port} "


def _data_dir_flag(data_dir: Path) -> str:
    return f" --data-dir {shlex.quote(str(data_dir.resolve()))}"
