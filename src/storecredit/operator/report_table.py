"""A report as a table, for files and terminals: one column per figure, two per currency."""

from msgspec.structs import asdict

from storecredit.operator.figures import By, Figures, Measure, Report, ReportRow

Cell = str | int | None
END_USERS = "end users"
"""Stands where a plan's or store's name would."""


def report_table(report: Report) -> tuple[list[str], list[list[Cell]]]:
    """The names of the columns, and the rows; without `by` one row, the total.

    Money is in the currency's smallest unit: `paid_USD`, `returned_USD`.
    """
    currencies = [money.currency for money in report.total.money]
    names = [*_keys(report.by), *(measure.value for measure in Measure), "balance_change"]
    names += [f"{what}_{currency}" for currency in currencies for what in ("paid", "returned")]
    if report.by is None:
        return names, [_numbers(report.total, currencies)]
    rows = [[*_key(row, report.by), *_numbers(row, currencies)] for row in report.rows]
    return names, rows


def _keys(by: By | None) -> list[str]:
    match by:
        case None:
            return []
        case By.STORE:
            return ["store_id", "store_name"]
        case _:
            return [by.value]


def _key(row: ReportRow, by: By) -> list[Cell]:
    match by:
        case By.DAY:
            return [None if row.day is None else row.day.isoformat()]
        case By.PLAN:
            return [END_USERS if row.end_users else row.plan]
        case By.STORE:
            return [
                None if row.store_id is None else str(row.store_id),
                END_USERS if row.end_users else row.store_name,
            ]


def _numbers(figures: Figures, currencies: list[str]) -> list[Cell]:
    fields = asdict(figures)
    money = {each.currency: each for each in figures.money}
    cells: list[Cell] = [fields[measure.value] for measure in Measure]
    cells.append(figures.balance_change)
    for currency in currencies:
        found = money.get(currency)
        cells += [found.paid, found.returned] if found else [0, 0]
    return cells
