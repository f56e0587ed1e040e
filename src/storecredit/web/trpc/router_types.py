"""The types of `/api/trpc` for the app's compiler: a TypeScript module that declares `AppRouter`.

Made of the table in `procedures.py`, which also checks inputs; results are what the procedures'
functions say that they return. Of @trpc/server only those types are used that its main entry
exports so that routers can be declared (`src/@trpc/server/index.ts`).
"""

from collections.abc import Iterable, Iterator, Mapping
from inspect import getdoc
from textwrap import indent
from typing import Any, Final, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, inspect

from storecredit.web.trpc.calls import Kind, Procedure
from storecredit.web.trpc.errors import STATUS_AND_NUMBER, TrpcCode
from storecredit.web.trpc.events import Tracked
from storecredit.web.trpc.procedures import ERRORS, PROCEDURES
from storecredit.web.trpc.typescript import INDENT, Field, commented, object_type, union_type

HEAD: Final = """\
// The types of storecredit's /api/trpc: `createTRPCClient<AppRouter>` of @trpc/client 11.
// Made by `make docs`, and served at /api/trpc.d.ts.

import type {
  TRPCBuiltRouter,
  TRPCDefaultErrorShape,
  TRPCMutationProcedure,
  TRPCQueryProcedure,
  TRPCSubscriptionProcedure,
} from '@trpc/server';

type Call<Input, Output> = { input: Input; output: Output; meta: object };
type Query<Input, Output> = TRPCQueryProcedure<Call<Input, Output>>;
type Mutation<Input, Output> = TRPCMutationProcedure<Call<Input, Output>>;
type Tracked<Output> = AsyncIterable<{ id: string; data: Output }>;
type Subscription<Input, Output> = TRPCSubscriptionProcedure<Call<Input, Tracked<Output>>>;

"""
TAIL: Final = "\nexport {};\n"
ROUTER: Final = """\
export type AppRouter = TRPCBuiltRouter<
  { ctx: object; meta: object; errorShape: TRPCDefaultErrorShape; transformer: true },
"""
_PLAIN: Final[Mapping[type[inspect.Type], str]] = {
    inspect.IntType: "number",
    inspect.BoolType: "boolean",
    inspect.StrType: "string",
    inspect.UUIDType: "string",
    inspect.DateTimeType: "Date",
    inspect.NoneType: "null",
}
"""How what `superjson.py` writes arrives in the app."""
Named = inspect.StructType | inspect.EnumType


def module() -> str:
    """The text of the module."""
    declared = "\n".join(map(_declaration, _published()))
    routers: dict[str, list[Field]] = {}
    for path, procedure in PROCEDURES.items():
        router, _, name = path.partition(".")
        routers.setdefault(router, []).append(_field(name, procedure))
    record = object_type(Field(name, object_type(calls)) for name, calls in routers.items())
    about = commented(["Any call can be refused with:", *_refusals(ERRORS)])
    return f"{HEAD}{declared}\n{about}{ROUTER}{indent(record, INDENT)}\n>;\n{TAIL}"


def result_of(procedure: Procedure[Any]) -> inspect.Type:
    """What a procedure gives, as its function says; of a subscription, what its event holds."""
    given = get_type_hints(procedure.run)["return"]
    if procedure.kind is Kind.SUBSCRIPTION:
        [given] = [get_args(each)[0] for each in get_args(given) if get_origin(each) is Tracked]
    return inspect.type_info(given)


def results() -> Iterator[tuple[str, str, list[str]]]:
    """The name, type and description of each type that a result is made of."""
    for type_ in _published():
        yield typed(type_), _body(type_), told(type_.cls)


def _published() -> Iterable[Named]:
    """The types with names of their own, each once and after those that it holds."""
    given = [result_of(procedure) for procedure in PROCEDURES.values()]
    return {type_.cls: type_ for result in given for type_ in _named(result)}.values()


def typed(type_: inspect.Type) -> str:
    """The type in TypeScript. Raises TypeError for one that nothing here gives."""
    match type_:
        case inspect.StructType(cls=cls) | inspect.EnumType(cls=cls):
            return cls.__name__.removesuffix("View")
        case inspect.ListType(item_type=item):
            return f"Array<{typed(item)}>"
        case inspect.UnionType(types=types):
            return " | ".join(typed(each) for each in types)
        case _ if type(type_) in _PLAIN:
            return _PLAIN[type(type_)]
        case _:
            raise TypeError(f"no TypeScript type is named for {type_}")


def _named(type_: inspect.Type) -> Iterator[Named]:
    """The types in a type that have names of their own, each after those that it holds."""
    match type_:
        case inspect.StructType(fields=fields):
            for field in fields:
                yield from _named(field.type)
            yield type_
        case inspect.EnumType():
            yield type_
        case inspect.ListType(item_type=item):
            yield from _named(item)
        case inspect.UnionType(types=types):
            for each in types:
                yield from _named(each)
        case _:
            return


def _declaration(type_: Named) -> str:
    head, name = commented(told(type_.cls)), typed(type_)
    if isinstance(type_, inspect.StructType):
        return f"{head}export interface {name} {_body(type_)}\n"
    return f"{head}export type {name} = {_body(type_)};\n"


def _body(type_: Named) -> str:
    if isinstance(type_, inspect.EnumType):
        return union_type(member.value for member in type_.cls)
    return object_type(
        Field(it.encode_name, typed(it.type), is_optional=_may_be_unset(it)) for it in type_.fields
    )


def _may_be_unset(field: inspect.Field) -> bool:
    """Whether it may be left out: msgspec tells of no default then, and does not require it."""
    return not field.required and field.default is field.default_factory is NODEFAULT


def _field(name: str, procedure: Procedure[Any]) -> Field:
    kind = procedure.kind.value.capitalize()
    input_ = "void" if procedure.input is None else procedure.input.type
    call = f"{kind}<{input_}, {typed(result_of(procedure))}>"
    return Field(name, call, [*told(procedure.run), *_refusals(procedure.errors)])


def _refusals(errors: Mapping[TrpcCode, str]) -> list[str]:
    return [f"- {code} ({STATUS_AND_NUMBER[code][0]}): {why}." for code, why in errors.items()]


def told(documented: object) -> list[str]:
    """What a function or class says of itself, line by line."""
    return (getdoc(documented) or "").splitlines()
