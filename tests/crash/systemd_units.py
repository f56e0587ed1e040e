"""The units of `deploy/systemd`, read as systemd reads them, as far as tests ask.

A unit is sections with lines of `name=value`; a name that comes again adds to a list
(systemd.syntax(7)).
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

SYSTEMD = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(path.name for path in SYSTEMD.iterdir())


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit's file; of a template (`name@.service`) one of its instances."""

    name: str
    instance: str = ""

    @property
    def text(self) -> str:
        return (SYSTEMD / self.name).read_text(encoding="utf-8").replace("%i", self.instance)

    def values(self, name: str) -> list[str]:
        """What stands after each line's `name=`."""
        lines = (line.partition("=") for line in self.text.splitlines())
        return [value for found, _, value in lines if found == name]

    def value(self, name: str) -> str:
        [found] = self.values(name)
        return found

    @property
    def command(self) -> list[str]:
        """The words after `storecredit`."""
        return shlex.split(self.value("ExecStart"))[1:]

    @property
    def settings(self) -> dict[str, str]:
        """By their names, those that the unit itself gives the service."""
        pairs = (line.partition("=") for line in self.values("Environment"))
        return {name.removeprefix("STORECREDIT_").lower(): value for name, _, value in pairs}
