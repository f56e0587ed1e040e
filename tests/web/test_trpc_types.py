"""The published types of `/api/trpc`, by TypeScript's compiler and against what is answered."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from msgspec import NODEFAULT, inspect

from storecredit.web.trpc.procedures import PROCEDURES
from storecredit.web.trpc.router_types import module, result_of, typed
from tests.e2e.page_commands import Page
from tests.web.node import DIRECTORY, compiled, node
from tests.web.users import UserClient
from tests.web.users import result_of as given_by

NODE_NEXT = {"module": "nodenext", "moduleResolution": "nodenext"}


async def test_they_are_served_to_anybody(api: httpx.AsyncClient) -> None:
    answer = await api.get("/api/trpc.d.ts")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == module()


def test_an_app_compiles_with_them_and_its_mistakes_do_not(tmp_path: Path) -> None:
    (tmp_path / "storecredit.d.ts").write_text(module())
    (tmp_path / "typed.ts").write_text((DIRECTORY / "typed.ts").read_text())
    assert compiled(tmp_path, noEmit=True) == ""

    for name in ("typed.ts", "storecredit.d.ts"):
        path = tmp_path / name
        path.write_text(path.read_text().replace("'./storecredit'", "'./storecredit.js'"))
    assert compiled(tmp_path, noEmit=True, **NODE_NEXT) == ""


def test_a_field_of_another_type_is_seen(tmp_path: Path) -> None:
    declared = module().replace("updated_at: Date;", "updated_at: string;")
    (tmp_path / "storecredit.d.ts").write_text(declared)
    (tmp_path / "typed.ts").write_text((DIRECTORY / "typed.ts").read_text())
    assert "typed.ts" in compiled(tmp_path, noEmit=True)


def test_the_clients_on_the_page_compile_with_what_it_installs(tmp_path: Path) -> None:
    page = Page("docs/b2c.md")
    installed = re.sub(r"^npm i( -D)?", "", page.block("npm i"), flags=re.MULTILINE).split()
    node()
    for name in installed:  # by their names and no others, as pnpm does it
        package = tmp_path / "node_modules" / name
        package.parent.mkdir(parents=True, exist_ok=True)
        package.symlink_to(DIRECTORY / "node_modules" / name)
    (tmp_path / "storecredit.d.ts").write_text(module())
    client, use = page.blocks("ts")
    (tmp_path / "credits.ts").write_text(client)
    (tmp_path / "use.ts").write_text(use)
    assert compiled(tmp_path, noEmit=True) == ""


async def test_what_is_answered_is_of_the_published_types(user: UserClient) -> None:
    session_id = await user.created()
    inputs: dict[str, object] = {"generation.getById": {"sessionId": session_id}}
    for path, procedure in PROCEDURES.items():
        if procedure.kind.name == "QUERY":
            answer = await user.query(path, *([inputs[path]] if path in inputs else []))
            value = given_by(answer)
            assert problems(value, result_of(procedure)) == []
            assert value or value == 0


def problems(value: Any, type_: inspect.Type) -> list[str]:
    """Where a value is not of this type."""
    match type_:
        case inspect.StructType(fields=fields):
            may_be_unset = {
                it.encode_name for it in fields if not it.required and it.default is NODEFAULT
            }
            told = [
                it for it in fields if it.encode_name in value or it.encode_name not in may_be_unset
            ]
            wanted = [field.encode_name for field in told]
            if not isinstance(value, dict) or list(value) != wanted:
                return [f"{value} has other fields than {wanted}"]
            return [it for field in told for it in problems(value[field.encode_name], field.type)]
        case inspect.ListType(item_type=item):
            return [it for each in value for it in problems(each, item)]
        case inspect.UnionType(types=types):
            found = [problems(value, each) for each in types]
            return [] if [] in found else [it for each in found for it in each]
        case inspect.EnumType(cls=cls):
            return [] if value in list(cls) else [f"{value} is no {cls}"]
        case _:
            names = {"number": int, "string": str, "Date": datetime, "null": type(None)}
            is_right = type(value) is names[typed(type_)]
            return [] if is_right else [f"{value!r} is no {typed(type_)}"]
