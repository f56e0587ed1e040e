// What pages do better with a script; each works without. Everything is found by data-* attributes.
"use strict";

// Moments in the viewer's zone; UTC stays in the title. Those of charts are told to the minute.
function localize(root) {
  const language = document.documentElement.dataset.language || navigator.language;
  const format = (options) => new Intl.DateTimeFormat(language, options);
  const usual = format({ dateStyle: "medium", timeStyle: "medium" });
  const formats = {
    minute: format({ dateStyle: "medium", timeStyle: "short" }),
    hour: format({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" }),
  };
  for (const each of root.querySelectorAll("time[datetime]")) {
    const at = new Date(each.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    each.textContent = (formats[each.dataset.unit] ?? usual).format(at);
  }
}

// A form is sent once: the server knows its id, and the button says that it is on its way.
function sendOnce(form) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    // Later: a disabled button would not be sent along.
    setTimeout(() => {
      for (const button of form.querySelectorAll("button")) button.disabled = true;
    });
  });
}

// The second click of a double click does nothing: what was meant was done by the first, and the page may be
// another by now, with a button or a link where that one was.
document.addEventListener("click", (event) => {
  if (event.detail > 1 && event.target.closest("form[data-once] button, a[href]")) event.preventDefault();
});

// Whoever comes back to a page that the browser kept may send its forms again.
window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const form of document.querySelectorAll("form[data-once]")) {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("button")) button.disabled = false;
  }
});

function copyOnClick(button) {
  const source = document.getElementById(button.dataset.copy);
  if (!source || !navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select it and copy by hand";
    }
  });
}

localize(document);
document.querySelectorAll("form[data-once]").forEach(sendOnce);
document.querySelectorAll("[data-copy]").forEach(copyOnClick);
document.querySelectorAll("form[data-submit]").forEach((form) => form.requestSubmit());
