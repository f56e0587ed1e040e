// What changes while a page is open. Its page says where it is told, and what is to be put where, by data-* attributes
// (templates/live.html). Texts come as text: nothing that is told is ever taken for markup.
"use strict";
{
  const SILENCE_MS = 50_000; // the service says something every 15 s
  const HIDDEN_MS = 3_000; // a browser has six connections for all of its windows
  const AGAIN_FIRST_MS = 5_000;
  const AGAIN_MAX_MS = 120_000;
  const RESTORED_MS = 6_000;
  const FRESH_MS = 1_500;
  const NOTHING = "–";
  const NAMES = ["queue", "latest", "counts", "balance", "movements", "generations"];

  const language = document.documentElement.dataset.language || navigator.language;
  const numbers = new Intl.NumberFormat(language);
  const isStill = matchMedia("(prefers-reduced-motion: reduce)");

  const written = {
    number: (value) => numbers.format(value),
    signed: (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + numbers.format(Math.abs(value)),
    words: (value) => {
      const words = String(value).toLowerCase().replaceAll("_", " ");
      return words.charAt(0).toUpperCase() + words.slice(1);
    },
    id: (value) => {
      const id = String(value);
      return id.length <= 20 ? id : `${id.slice(0, 6)}…${id.slice(-6)}`;
    },
    text: (value) => String(value),
    age: (value) => {
      const seconds = Math.max(0, Math.round((Date.now() - Date.parse(value)) / 1000));
      const [count, unit] =
        seconds < 90 ? [seconds, "second"] : seconds < 5400 ? [seconds / 60, "minute"] : [seconds / 3600, "hour"];
      return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 0 })
        .format(count);
    },
  };

  // Said only where it is another: what stands there may be selected, or read out.
  function say(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function moment(element, value) {
    const utc = new Date(value).toISOString();
    const at = `${utc.slice(0, 19)}Z`;
    if (element.querySelector("time")?.dateTime === at) return;
    const time = document.createElement("time");
    time.dateTime = at;
    time.title = `${at.slice(0, 10)} ${at.slice(11, 19)} UTC`;
    element.replaceChildren(time);
    localize(element);
  }

  function put(element, value) {
    const how = element.dataset.as || (typeof value === "number" ? "number" : "text");
    delete element.dataset.since;
    element.toggleAttribute("data-nothing", value === null || value === undefined);
    if (value === null || value === undefined) return say(element, NOTHING);
    if (how === "moment") return moment(element, value);
    const most = Number(element.dataset.most);
    if (most && value > most) return say(element, `${numbers.format(most)}+`);
    if (how === "age") element.dataset.since = value;
    say(element, written[how](value));
  }

  function putTexts(name, state) {
    for (const element of document.querySelectorAll("[data-live]")) {
      const [first, ...path] = element.dataset.live.split(".");
      if (first === name) put(element, (path.length ? path : [name]).reduce((found, each) => found?.[each], state));
    }
  }

  const filled = (pattern, item, written) => pattern.replace(/\{(\w+)\}/g, (_, name) => written(String(item[name])));

  function putFields(row, item) {
    for (const element of row.querySelectorAll("[data-field]")) {
      const { field, or, zero, as, kinds, href } = element.dataset;
      const value = item[field];
      if (or && value === null) say(element, written.id(item[or]));
      else if (zero && value === 0) say(element, written.number(item[zero]));
      else put(element, value === "" ? "" : value);
      if (href) element.href = filled(href, item, encodeURIComponent);
      if (as === "id" || or) element.title = item[or || field];
      for (const each of kinds ? kinds.split(" ") : []) {
        const [of, kind] = each.split("=");
        element.classList.toggle(kind, value === of);
      }
    }
  }

  function putRows(name, items) {
    const rows = document.querySelector(`tbody[data-live-rows="${name}"]`);
    const template = document.querySelector(`template[data-live-row="${name}"]`);
    if (!rows || !template) return;
    const known = new Map([...rows.rows].map((row) => [row.dataset.key, row]));
    for (const item of [...items].reverse()) {
      const model = template.content.querySelector("tr");
      const key = filled(model.dataset.key, item, String);
      let row = known.get(key);
      if (!row) {
        row = document.importNode(model, true);
        row.dataset.key = key;
        rows.prepend(row);
        if (!isStill.matches) {
          row.classList.add("fresh");
          setTimeout(() => row.classList.remove("fresh"), FRESH_MS);
        }
      }
      putFields(row, item);
    }
    while (rows.rows.length > Number(rows.dataset.max || 20)) rows.rows[rows.rows.length - 1].remove();
    const isEmpty = rows.rows.length === 0;
    for (const each of document.querySelectorAll(`[data-live-table="${name}"]`)) each.hidden = isEmpty;
    for (const each of document.querySelectorAll(`[data-live-empty="${name}"]`)) each.hidden = !isEmpty;
  }

  class Connection {
    constructor(place) {
      this.address = place.dataset.events;
      this.place = place;
      this.status = place.querySelector("[role=status]");
      this.button = document.createElement("button");
      this.button.type = "button";
      this.button.className = "plain";
      this.button.addEventListener("click", () => this.pauseOrGoOn());
      this.place.append(" ", this.button);
      this.isPaused = false;
      this.isOver = false;
      this.wasLost = false;
      this.failures = 0;
      this.source = null;
      this.tell("");
      document.addEventListener("visibilitychange", () => this.seen());
      addEventListener("pagehide", () => this.close());
      addEventListener("pageshow", (event) => event.persisted && this.seen());
      this.seen();
    }

    // What nobody sees is not told.
    seen() {
      clearTimeout(this.hiding);
      if (document.hidden) this.hiding = setTimeout(() => this.close(), HIDDEN_MS);
      else this.open();
    }

    open() {
      if (this.source || this.isPaused || this.isOver) return;
      clearTimeout(this.again);
      this.source = new EventSource(this.address);
      this.source.addEventListener("error", () => this.broke());
      this.source.addEventListener("ping", () => this.heard());
      this.source.addEventListener("connection", (event) => this.hearState(JSON.parse(event.data).state));
      this.source.addEventListener("signed-out", () => this.end());
      for (const name of NAMES) {
        this.source.addEventListener(name, (event) => {
          this.heard();
          const state = JSON.parse(event.data);
          putTexts(name, state);
          if (Array.isArray(state)) putRows(name, state);
        });
      }
      this.heard();
    }

    close() {
      clearTimeout(this.again);
      clearTimeout(this.silence);
      this.source?.close();
      this.source = null;
    }

    // A connection that is dead says nothing, and the browser does not notice.
    heard() {
      clearTimeout(this.silence);
      this.silence = setTimeout(() => {
        this.close();
        this.lose("Connection lost, trying again");
        this.open();
      }, SILENCE_MS);
    }

    hearState(state) {
      this.heard();
      this.failures = 0;
      if (state === "lost") return this.lose("The database does not answer, trying again");
      clearTimeout(this.restoring);
      if (this.wasLost) this.restoring = setTimeout(() => this.tell("Live"), RESTORED_MS);
      this.tell(this.wasLost ? "Up to date again" : "Live");
      this.wasLost = false;
    }

    // The browser comes again by itself, unless it was refused.
    broke() {
      this.lose("Connection lost, trying again");
      if (this.source?.readyState !== EventSource.CLOSED) return;
      this.close();
      this.failures += 1;
      const wait = Math.min(AGAIN_FIRST_MS * 2 ** (this.failures - 1), AGAIN_MAX_MS);
      this.again = setTimeout(() => this.seen(), wait);
    }

    lose(text) {
      clearTimeout(this.restoring);
      this.wasLost = true;
      this.tell(text);
    }

    end() {
      this.isOver = true;
      this.close();
      this.tell("You are signed out, so nothing changes here any more. ");
      this.button.remove();
      const link = document.createElement("a");
      const door = location.pathname.split("/")[1];
      link.href = `/${door}/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`;
      link.textContent = "Sign in";
      this.place.append(link);
      this.place.classList.add("lost");
    }

    pauseOrGoOn() {
      this.isPaused = !this.isPaused;
      if (this.isPaused) {
        this.close();
        clearTimeout(this.restoring);
        this.tell("Paused");
      } else {
        this.wasLost = false;
        this.tell("");
        this.open();
      }
    }

    tell(text) {
      say(this.status, text);
      this.button.textContent = this.isPaused ? "Go on" : "Pause";
      this.place.classList.toggle("lost", this.wasLost && !this.isPaused);
    }
  }

  document.querySelectorAll("[data-events]").forEach((place) => new Connection(place));
  setInterval(() => {
    for (const each of document.querySelectorAll("[data-since]")) say(each, written.age(each.dataset.since));
  }, 1000);
}
