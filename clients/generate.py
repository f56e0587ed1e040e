"""Writes what of the clients is made from docs/openapi.json: `make clients`.

The document is cut down to what a store's key may ask for, and given to one generator for each
language. Tests fail while what they would write is not what is there. Nothing here needs a network;
the types need what `npm ci` has put into tests/openapi.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

CLIENTS: Final = Path(__file__).parent
DOCUMENT: Final = CLIENTS.parent / "docs" / "openapi.json"
MODELS: Final = CLIENTS / "python" / "src" / "storecredit_client" / "models.py"
TYPE_GENERATOR: Final = (
    CLIENTS.parent / "tests" / "openapi" / "node_modules" / ".bin" / "openapi-typescript"
)
TYPES: Final = CLIENTS / "typescript" / "src" / "openapi.ts"
SECONDS_MAX: Final = 60

_STORES: Final[list[dict[str, list[str]]]] = [{"api_key": []}]
"""The security of an operation that is a store's."""
_STORES_TAG: Final = "stores"
"""Of an operation that is a store's, and of an event that a store may hear."""
_SCHEMAS: Final = "#/components/schemas/"
_SECRETS: Final = (
    re.compile(r"^    secret: str$", re.MULTILINE),
    re.compile(r"^class PortalSessionView:\n(?:(?!class ).*\n)*?    url: str$", re.MULTILINE),
)
"""Fields of models that are told once, and to nobody else."""
_HEADER: Final = "Made by `make clients` from docs/openapi.json."
_DATACLASS: Final = {"frozen": True, "kw_only": True, "slots": True}
_MODEL_OPTIONS: Final = (
    *("--input-file-type", "openapi", "--openapi-scopes", "schemas"),
    *("--output-model-type", "dataclasses.dataclass", "--target-python-version", "3.11"),
    *("--dataclass-arguments", json.dumps(_DATACLASS)),
    *("--output-datetime-class", "datetime"),
    *("--enum-field-as-literal", "none", "--use-specialized-enum"),
    # A value that is not listed is no error: `open_enums.py`.
    *("--import-overrides", '{"StrEnum": "storecredit_client.open_enums"}'),
    # The same name for the same thing, whatever else is in the document.
    *("--naming-strategy", "full-path", "--collapse-root-models"),
    *("--capitalise-enum-members", "--use-annotated", "--use-double-quotes"),
    *("--use-schema-description", "--use-field-description", "--use-single-line-docstring"),
    *("--formatters", "builtin", "--disable-timestamp"),
    *("--custom-file-header", f'"""What the API takes and answers. {_HEADER}"""'),
)
_TYPE_OPTIONS: Final = (
    *("--root-types", "--root-types-no-schema-prefix"),
    # What has a default may be left out of what is sent.
    "--default-non-nullable=false",
)


def stores_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """What an OpenAPI document has for stores: operations, webhooks and the schemas of these."""
    paths = {path: _stores_operations(item) for path, item in document["paths"].items()}
    part = {
        **document,
        "paths": {path: item for path, item in paths.items() if item},
        "webhooks": {
            name: item
            for name, item in document["webhooks"].items()
            if item["post"]["tags"] == [_STORES_TAG]
        },
        "tags": [tag for tag in document["tags"] if tag["name"] == _STORES_TAG],
    }
    schemas = document["components"]["schemas"]
    used = _used({"paths": part["paths"], "webhooks": part["webhooks"]}, schemas)
    kept = {name: schema for name, schema in schemas.items() if name in used}
    return part | {"components": {"schemas": kept | {"WebhookEvent": _any_event(part)}}}


def models(document: Mapping[str, Any]) -> str:
    """The Python module of an OpenAPI document's schemas."""
    schemas = document["components"]["schemas"]
    # The client has one envelope for all.
    plain = {name: it for name, it in schemas.items() if not name.endswith("Envelope")}
    narrowed = {**document, "components": {"schemas": plain}, "paths": {}}
    command = (sys.executable, "-m", "datamodel_code_generator", *_MODEL_OPTIONS)
    return _without_secrets_in_logs(_generated(command, narrowed, "models.py"))


def types(document: Mapping[str, Any]) -> str:
    """The TypeScript module of an OpenAPI document's operations and schemas."""
    made = _generated((str(TYPE_GENERATOR),), document, "openapi.ts", *_TYPE_OPTIONS)
    names = "".join(f"    {json.dumps(name)},\n" for name in document["webhooks"])
    return (
        f"// {_HEADER}\n{made}"
        "/** Every type of event that a store may hear. */\n"
        f'export const eventTypes: readonly WebhookEvent["type"][] = [\n{names}];\n'
    )


def _without_secrets_in_logs(module: str) -> str:
    """The module, with secrets left out where a model is printed or logged."""
    for secret in _SECRETS:
        module, found = secret.subn(r"\g<0> = field(repr=False)", module)
        assert found, "a registered endpoint has a secret, and a link is one"
    return module.replace("import dataclass\n", "import dataclass, field\n", 1)


def _any_event(document: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of whichever event of a document: the document itself has one for each."""
    posted = [item["post"]["requestBody"]["content"] for item in document["webhooks"].values()]
    return {
        "description": "What an endpoint of a store's may be told.",
        "oneOf": [content["application/json"]["schema"] for content in posted],
    }


def _stores_operations(item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        method: {**operation, "responses": _without_headers(operation["responses"])}
        for method, operation in item.items()
        if operation.get("security") == _STORES
    }


def _without_headers(responses: Mapping[str, Any]) -> dict[str, Any]:
    """Nobody reads them by their types, and they are most of the document."""
    return {
        status: {name: part for name, part in response.items() if name != "headers"}
        for status, response in responses.items()
    }


def _used(part: Any, schemas: Mapping[str, Any]) -> set[str]:
    """The names of the schemas that a part of the document refers to, and that these refer to."""
    used: set[str] = set()
    unread = [part]
    while unread:
        new = set(_referred(unread.pop())) - used
        used |= new
        unread += [schemas[name] for name in new]
    return used


def _referred(part: Any) -> Iterator[str]:
    match part:
        case {"$ref": str(name)} if name.startswith(_SCHEMAS):
            yield name.removeprefix(_SCHEMAS)
        case dict():
            for value in part.values():
                yield from _referred(value)
        case list():
            for value in part:
                yield from _referred(value)
        case _:
            return


def _generated(
    command: tuple[str, ...], document: Mapping[str, Any], name: str, *options: str
) -> str:
    """What a generator writes. Raises AssertionError with what it says, if it fails or warns."""
    with TemporaryDirectory() as directory:
        given, made = Path(directory, "openapi.json"), Path(directory, name)
        given.write_text(json.dumps(document), encoding="utf-8")
        places = {
            "models.py": ("--input", str(given), "--output", str(made)),
            "openapi.ts": (str(given), "--output", str(made)),
        }
        done = subprocess.run(  # noqa: S603 - the programs are named above
            [*command, *places[name], *options],
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return made.read_text(encoding="utf-8")


def main() -> None:
    """Write both."""
    document = stores_document(json.loads(DOCUMENT.read_bytes()))
    MODELS.write_text(models(document), encoding="utf-8")
    TYPES.write_text(types(document), encoding="utf-8")


if __name__ == "__main__":
    main()
