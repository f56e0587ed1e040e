"""The benchmark harness: its own arithmetic, and how it reads what others report."""

import io
import json
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from benchmarks import report
from benchmarks.__main__ import measure, parsed, plan, reason, wanted
from benchmarks.bench import Bench
from benchmarks.builds import measuring
from benchmarks.database_under_test import Counts
from benchmarks.figures import ALL, QUICK
from benchmarks.figures.batches import BATCH, Drawn
from benchmarks.figures.builds import COMPARISONS
from benchmarks.figures.ledger import Deducted, textbook_report
from benchmarks.load import NO_WRK, report_in
from benchmarks.results import (
    Goal,
    NotMeasured,
    Result,
    Spread,
    Verdict,
    medians,
    per_second,
    ratios,
)
from benchmarks.rounds import Plan, interleaved, order_of_round

WRK = """Running 1s test @ http://127.0.0.1:8000
  2 threads and 64 connections
Requests/sec:   1000.00

{"answers": 3000, "microseconds": 1500000, "bad_status": 0, "broken": 0, "p50": 9, "p99": 80, "p999": 99}
"""  # noqa: E501 - as wrk writes it
PGBENCH = """pgbench (18.4)
number of transactions actually processed: 5432
number of failed transactions: 0 (0.000%)
latency average = 5.890 ms
initial connection time = 30.121 ms
tps = 5432.101 (without initial connection time)
"""
MACHINE = {
    "cpu": "A processor",
    "cores": 2,
    "memory_gib": 4.0,
    "system": "Linux",
    "kernel": "6.1",
    "python": "3.11.7",
    "postgresql": "18.4",
    "file_system": "ext4",
    "fdatasync_microseconds": 20.0,
    "commit": "abc",
}
PLAN = Plan(rounds=3, seconds=1, short=True)


def test_the_line_of_the_machine_says_how_busy_it_was_where_that_was_noted() -> None:
    assert "load average" not in report.machine_line(MACHINE)
    busy = report.machine_line(MACHINE | {"load_average_before": 7.19})
    assert busy.endswith("; load average 7.19 before; commit abc.")


def test_a_ratio_is_taken_round_by_round() -> None:
    assert ratios([50.0, 10.0], [100.0, 40.0]) == (0.5, 0.25)
    with pytest.raises(ValueError, match="longer"):
        ratios([50.0], [100.0, 40.0])


def test_the_median_decides_and_the_spread_is_from_the_least_to_the_greatest() -> None:
    result = Result("F1", "create", goal=Goal(at_least=0.5), rounds=(0.4, 0.9, 0.6))
    assert result.spread == Spread(0.6, 0.4, 0.9)
    assert result.verdict is Verdict.MET


@pytest.mark.parametrize(
    "goal, value, verdict",
    [
        (Goal(at_least=0.5), 0.5, Verdict.MET),
        (Goal(at_least=0.5), 0.49, Verdict.MISSED),
        (Goal(at_most=2), 2.0, Verdict.MET),
        (Goal(at_most=2), 2.01, Verdict.MISSED),
        (None, 1.0, Verdict.SHOWN),
    ],
)
def test_a_goal_is_met_on_its_side(goal: Goal | None, value: float, verdict: Verdict) -> None:
    assert Result("F", "", goal=goal, rounds=(value,)).verdict is verdict


def test_a_goal_of_every_round_is_missed_by_one() -> None:
    most = Goal(at_most=3, in_every_round=True)
    assert Result("L2", "", goal=most, rounds=(1.0, 3.0, 2.0)).verdict is Verdict.MET
    assert Result("L2", "", goal=most, rounds=(1.0, 3.1, 2.0)).verdict is Verdict.MISSED
    least = Goal(at_least=3, in_every_round=True)
    assert Result("L2", "", goal=least, rounds=(4.0, 2.9, 5.0)).verdict is Verdict.MISSED
    assert str(most) == "each ≤ 3"


def test_what_has_no_value_is_neither_met_nor_missed() -> None:
    assert Result("F1", "", goal=Goal(at_least=0.0)).verdict is Verdict.NOT_MEASURED


def test_every_round_measures_everyone_once_and_each_goes_first_in_turn() -> None:
    orders = [order_of_round(["a", "b", "c"], number) for number in range(6)]
    assert [order[0] for order in orders[:3]] == ["a", "b", "c"]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    # Not always the same one before another.
    assert {order[order.index("a") - 1] for order in orders} == {"b", "c"}


def test_values_stay_with_their_contender() -> None:
    calls: list[str] = []

    def call(name: str) -> int:
        calls.append(name)
        return len(calls)

    measured = interleaved(Plan(rounds=2), {"a": lambda: call("a"), "b": lambda: call("b")})
    assert calls == ["a", "b", "b", "a"]
    assert measured == {"a": [1, 4], "b": [2, 3]}


def test_wrks_report_is_read() -> None:
    assert report_in(WRK).per_second == 2000
    assert report_in(WRK).p99 == 80


@pytest.mark.parametrize(
    "said",
    [
        WRK.replace('"bad_status": 0', '"bad_status": 1'),
        WRK.replace('"broken": 0', '"broken": 1'),
        WRK.replace('"answers": 3000', '"answers": 0'),
        "unable to connect to 127.0.0.1:8000",
    ],
)
def test_a_load_that_went_wrong_is_no_measurement(said: str) -> None:
    with pytest.raises(NotMeasured):
        report_in(said)


def test_pgbenchs_report_is_read() -> None:
    assert textbook_report(PGBENCH) == Deducted(5432, 5432.101)
    with pytest.raises(NotMeasured):
        textbook_report(PGBENCH.replace("failed transactions: 0", "failed transactions: 3"))
    with pytest.raises(NotMeasured):
        textbook_report("pgbench: error: connection failed")


def test_the_json_file_holds_every_round_and_the_machine(tmp_path: Path) -> None:
    result = Result(
        "F1",
        "create",
        goal=Goal(at_least=0.5),
        rounds=(0.4, 0.6, 0.7),
        absolute=per_second({"create": [8.0, 9.0, 12.0]}),
    )
    path = report.write([result, Result("F2", "", notes=("why",))], MACHINE, PLAN, tmp_path)
    written = json.loads(path.read_text())
    first, second = written["results"]
    assert written["machine"] == MACHINE
    assert written["plan"] == {"rounds": 3, "seconds": 1, "quick": True}
    assert first["rounds"] == [0.4, 0.6, 0.7]
    assert first["spread"] == {"median": 0.6, "least": 0.4, "greatest": 0.7}
    goal = {"at_least": 0.5, "at_most": None, "in_every_round": False}
    assert (first["goal"], first["verdict"]) == (goal, "met")
    assert first["absolute"] == {"create, /s": {"median": 9.0, "rounds": [8.0, 9.0, 12.0]}}
    assert (second["verdict"], second["notes"]) == ("not measured", ["why"])


def test_figures_are_chosen_by_name_or_all_or_the_quick_ones() -> None:
    assert wanted(parsed(["F1", "F4"])) == {"F1", "F4"}
    assert wanted(parsed(["--quick"])) == set(QUICK)
    assert wanted(parsed([])) >= {"F1", *QUICK}
    assert plan(parsed(["--quick"])).rounds == 3
    assert plan(parsed(["--rounds", "7", "--seconds", "2"])) == Plan(rounds=7, seconds=2)
    assert wanted(parsed(["--quick", "f6"])) == {"F6"}


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["F99"], "there is no figure F99; there are F1–F21, L1–L3, G1–G3, B1–B5"),
        (["--against", "/nowhere"], "/nowhere is no checkout with a .venv and benchmarks"),
        (["--rounds", "0"], "0 is not a whole number of at least 1"),
        (["--seconds", "-1"], "-1 is not a whole number of at least 1"),
        (["--seconds", "short"], "short is not a whole number of at least 1"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_starts(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parsed(arguments)
    assert said in capsys.readouterr().err


def test_without_wrk_it_is_said_first_and_the_lines_keep_their_titles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    results: list[Result] = []
    measure(parsed(["F1", "F3"]), tmp_path, results)
    assert [(result.what, result.notes) for result in results] == [
        ("create, one hot store", (NO_WRK,)),
        ("balance", (NO_WRK,)),
    ]
    assert capsys.readouterr().err.startswith(f"{NO_WRK}; not measured without it: F1, F3")


def test_another_build_is_named_before_it_is_compared_with(tmp_path: Path) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch()
    (tmp_path / "benchmarks").mkdir()
    options = parsed(["--against", str(tmp_path)])
    assert options.against == tmp_path
    assert wanted(options) == {"B1", "B2", "B3", "B4", "B5"}
    bench = Bench(PLAN, frozenset({"B1"}), tmp_path, lambda _step: None)
    with pytest.raises(NotMeasured, match="name its checkout with --against"):
        COMPARISONS[0].measure(bench)


def test_a_build_that_cannot_be_started_is_no_measurement(tmp_path: Path) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to("/bin/false")
    with (
        pytest.raises(NotMeasured, match="cannot be measured"),
        measuring(tmp_path, "create", 1, tmp_path),
    ):
        pass


def test_every_store_is_drawn_once_before_any_comes_again_and_its_rows_follow() -> None:
    drawn = Drawn(list(range(1, 10 * BATCH + 1)))
    batches = [drawn.batch() for _ in range(20)]
    for begin, seq in ((0, 2), (10, 3)):
        ten = batches[begin : begin + 10]
        assert len({each for ids, _ in ten for each in ids}) == 10 * BATCH
        assert {each for _, seqs in ten for each in seqs} == {seq}
    assert all(ids == sorted(ids) for ids, _ in batches)
    assert Drawn([7]).batch() == ([7] * BATCH, list(range(2, BATCH + 2)))


def test_our_own_reasons_come_without_the_name_of_their_class() -> None:
    assert reason(NotMeasured("it rained")) == "it rained"
    assert reason(OSError("no space")) == "OSError: no space"


def test_no_two_measurements_have_a_figure_in_common() -> None:
    names = [name for each in ALL for name in each.figures]
    assert len(names) == len(set(names))
    assert set(QUICK) <= set(names)


def test_a_value_is_written_with_as_many_digits_as_matter() -> None:
    assert report.number(0.123456) == "0.123"
    assert report.number(12345.6, "/s") == "12,346/s"
    assert report.number(87.65, "MiB") == "87.7 MiB"
    values = medians({"create, /s": [9000], "p50, ms": [1.0, 1.5, 4.0]})
    assert report.absolute(values) == "9,000/s create; 1.5 ms p50"


def printed(width: int) -> list[str]:
    """The lines that a run of one figure prints into a file or a pipe of that width."""
    result = Result(
        "F1", "create", rounds=(0.5,), absolute=per_second({"create": [9000], "empty": [18_000]})
    )
    into = io.StringIO()
    report.show(Console(width=width, file=into), [result], MACHINE)
    return into.getvalue().splitlines()


def test_absolute_values_stand_beside_their_line_or_below_it_where_there_is_no_room() -> None:
    beside = "9,000/s create; 18,000/s empty"
    wide = printed(160)
    (line,) = [line for line in wide if line.lstrip().startswith("F1 ")]
    assert line.endswith(beside)
    narrow = printed(80)
    place = next(place for place, line in enumerate(narrow) if line.startswith("F1 "))
    assert narrow[place + 1] == f"      {beside}"
    assert all(len(line) <= 80 for line in narrow)
    assert all(line == line.rstrip() for line in wide + narrow)


def test_a_result_can_be_read_back() -> None:
    result = Result("F1", "create", goal=Goal(at_most=2), rounds=(1.0,), notes=("so",))
    assert msgspec.convert(msgspec.to_builtins(result), type=Result) == result


@pytest.mark.parametrize(
    "after, agrees",
    [
        (Counts(110, 10, 10), True),
        (Counts(114, 14, 14), True),
        # A credit without an answer, an answer without a credit, a session without its job.
        (Counts(115, 15, 15), False),
        (Counts(109, 9, 9), False),
        (Counts(110, 10, 9), False),
    ],
)
def test_answers_are_held_against_what_was_written(after: Counts, *, agrees: bool) -> None:
    new = after - Counts(100, 0, 0)
    if agrees:
        new.agree_with(answered=10, connections=4)
        return
    with pytest.raises(NotMeasured):
        new.agree_with(answered=10, connections=4)
