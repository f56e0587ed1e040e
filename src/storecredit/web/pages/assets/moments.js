// A moment is typed in the viewer's zone, and sent in UTC. Without this the field is in UTC, and says so.
"use strict";
{
  const DAY_MS = 86_400_000;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const two = (number) => String(number).padStart(2, "0");
  const inUtc = (at) => `${at.toISOString().slice(0, 19)}Z`;

  // As a field has it, and without seconds where there are none.
  function onTheClock(at) {
    const day = `${String(at.getFullYear()).padStart(4, "0")}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
    const seconds = at.getSeconds() ? `:${two(at.getSeconds())}` : "";
    return `${day}T${two(at.getHours())}:${two(at.getMinutes())}${seconds}`;
  }

  function offset(at) {
    const minutes = Math.abs(at.getTimezoneOffset());
    const rest = minutes % 60 ? `:${two(minutes % 60)}` : "";
    return `UTC${at.getTimezoneOffset() > 0 ? "−" : "+"}${Math.floor(minutes / 60)}${rest}`;
  }

  // All moments at which the clocks here show this, the first first: none where they are put forward,
  // two where they are put back.
  function shownAt(text) {
    const asUtc = Date.parse(`${text}Z`);
    const offsets = [-DAY_MS, DAY_MS].map((aside) => new Date(asUtc + aside).getTimezoneOffset());
    return [...new Set(offsets)]
      .map((minutes) => new Date(asUtc + minutes * 60_000))
      .filter((at) => Date.parse(`${onTheClock(at)}Z`) === asUtc)
      .sort((one, other) => one - other);
  }

  function select(name) {
    const label = document.createElement("label");
    const choice = document.createElement("select");
    label.append("Clocks are put back then, and show this twice. Which do you mean? ", choice);
    choice.id = `which-${name}`;
    label.htmlFor = choice.id;
    const place = document.createElement("div");
    place.className = "which";
    place.hidden = true;
    place.append(label);
    return [place, choice];
  }

  class Field {
    constructor(input) {
      this.input = input;
      this.sent = document.createElement("input");
      this.sent.type = "hidden";
      this.sent.name = input.name;
      this.told = document.createElement("p");
      this.told.className = "hint";
      this.told.setAttribute("role", "status");
      [this.place, this.which] = select(input.name);
      input.removeAttribute("name");
      input.parentNode.append(this.told, this.place, this.sent);
      input.parentNode.querySelector("[data-zone]").textContent = `In your time zone, ${zone.replaceAll("_", " ")}.`;
      const at = new Date(`${input.value}Z`);
      if (!Number.isNaN(at.getTime())) input.value = onTheClock(at);
      this.read(at.getTime());
      input.addEventListener("input", () => this.read());
      this.which.addEventListener("change", () => this.say());
    }

    // wanted: which of two moments is meant, if it is known
    read(wanted) {
      const { value } = this.input;
      this.moments = value ? shownAt(value) : [];
      const isKnown = Number.isNaN(Date.parse(`${value}Z`)) || this.moments.length > 0;
      this.input.setCustomValidity(
        isKnown ? "" : "Clocks are put forward then, and never show this time: choose one before or after.");
      this.place.hidden = this.moments.length < 2;
      this.which.replaceChildren(...this.moments.map((at, number) =>
        new Option(`${number ? "The second time" : "The first time"}, ${offset(at)}`, number, false, at.getTime() === wanted)));
      this.say();
    }

    say() {
      const at = this.moments[Number(this.which.value) || 0];
      this.sent.value = at ? inUtc(at) : this.input.value;
      this.told.className = this.input.validity.customError ? "fault" : "hint";
      this.told.textContent = at
        ? `That is ${inUtc(at).slice(0, 16).replace("T", " ")} in UTC.` : this.input.validationMessage;
    }
  }

  for (const each of document.querySelectorAll("input[data-moment]")) new Field(each);
}
