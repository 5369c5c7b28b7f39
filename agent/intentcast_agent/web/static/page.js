/* The page's one script. It decides nothing: it fetches what the server rendered and puts it in place, and lets a
   slider move with its number. Everything works without it, but not by itself. */
"use strict";

(() => {
  const policy = window.trustedTypes
    ? window.trustedTypes.createPolicy("intentcast", { createHTML: (html) => html })
    : { createHTML: (html) => html };
  const word = document.getElementById("live-word");
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // ---- Fetching fragments. Only from here, only what this server rendered: the one way text becomes elements.

  async function fetchFragment(address, signal) {
    const url = new URL(address, location.href);
    if (url.origin !== location.origin) throw new TypeError("not our own page");
    const answer = await fetch(url, { signal, credentials: "same-origin", headers: { Accept: "text/html" } });
    if (answer.status === 401) return lost();
    if (!answer.ok || answer.redirected) return null;
    const template = document.createElement("template");
    template.innerHTML = policy.createHTML(await answer.text());
    return template.content;
  }

  function lost() {
    say(document.body.dataset.lost || "");
    return null;
  }

  function say(text) {
    if (word && text && word.textContent !== text) word.textContent = text;
  }

  // Put new children in place of old ones; what has a key and is the same stays the very element, so that focus,
  // open details and the screen reader's place stay too.
  function swap(target, content) {
    // What has come wants more around it than this page has yet.
    const needs = content.querySelector("[data-needs]");
    if (needs && !document.querySelector(needs.dataset.needs)) return location.reload();
    const held = document.activeElement && target.contains(document.activeElement) ? document.activeElement.id : "";
    const open = new Set(all("details[id][open]", target).map((one) => one.id));
    const before = keyed(target);
    for (const fresh of all("[data-key]", content)) {
      const old = before.get(fresh.dataset.key);
      if (old && plainly(old) === plainly(fresh)) fresh.replaceWith(old);
      else if (!old && target.dataset.shown) fresh.classList.add("arrived");
    }
    for (const one of all("details[id]", content)) if (open.has(one.id)) one.open = true;
    target.replaceChildren(content);
    target.dataset.shown = "1";
    enliven(target);
    if (held) document.getElementById(held)?.focus({ preventScroll: true });
    const counted = target.querySelector("[data-count]");
    if (counted && counted.dataset.count !== target.dataset.counted) {
      if (target.dataset.counted !== undefined) say(counted.dataset.count);
      target.dataset.counted = counted.dataset.count;
    }
  }

  function keyed(root) {
    return new Map(all("[data-key]", root).map((one) => [one.dataset.key, one]));
  }

  function plainly(element) {
    // Whatever the script itself changes is not a difference.
    const copy = element.cloneNode(true);
    copy.classList.remove("arrived");
    if (!copy.getAttribute("class")) copy.removeAttribute("class");
    for (const one of all("input", copy)) one.removeAttribute("disabled");
    return copy.outerHTML;
  }

  // ---- Live parts: fetched again whenever the agent says that something happened.

  const wanted = new Map();

  function refresh(part) {
    const state = wanted.get(part.id) || { running: false, again: false };
    wanted.set(part.id, state);
    if (state.running || busy(part)) {
      state.again = true;
      return;
    }
    state.running = true;
    const began = performance.now();
    fetchFragment(part.dataset.live)
      .then((content) => {
        const here = document.getElementById(part.id);
        if (content && here && !busy(here)) swap(here, content);
      })
      .catch(() => {})
      .finally(() => {
        // At most half of the time goes into looking again, however fast things happen.
        const rest = Math.max(120, Math.min(performance.now() - began, 1000));
        setTimeout(() => {
          state.running = false;
          if (state.again) {
            state.again = false;
            refresh(part);
          }
        }, rest);
      });
  }

  // Somebody is typing into it: what they wrote is not taken away.
  function busy(part) {
    const at = document.activeElement;
    return part.contains(at) && at.matches("input:not([type=checkbox], [type=radio]), textarea, select");
  }

  function refreshAll() {
    for (const part of all("[data-live]")) refresh(part);
  }

  function follow() {
    if (!document.querySelector("[data-live]")) return;
    const events = new EventSource("/events");
    for (const name of ["mail", "clock", "haggle", "demand", "reload"]) events.addEventListener(name, refreshAll);
    // What happened between the page's own words and this stream, or while it was broken, nobody tells again.
    events.addEventListener("open", refreshAll);
    addEventListener("pagehide", () => events.close());
    addEventListener("pageshow", (event) => event.persisted && location.reload());
  }

  // ---- Forms that only ask: their answer takes the place of a part of the page.

  function askAsTyped(form) {
    let running = null;
    let waiting = 0;
    const ask = () => {
      running?.abort();
      running = new AbortController();
      const query = new URLSearchParams([...new FormData(form)].filter(([name, text]) => text && name !== "key"));
      const shown = `${form.getAttribute("action")}?${query}`;
      query.set("part", form.dataset.part || "1");
      fetchFragment(`${form.getAttribute("action")}?${query}`, running.signal)
        .then((content) => {
          const target = document.querySelector(form.dataset.swap);
          if (!content || !target) return;
          swap(target, content);
          if (target.dataset.live) target.dataset.live = `${form.getAttribute("action")}?${query}`;
          history.replaceState(null, "", shown);
        })
        .catch(() => {});
    };
    const soon = () => {
      clearTimeout(waiting);
      waiting = setTimeout(ask, 30);
    };
    form.addEventListener("input", soon);
    form.addEventListener("submit", (event) => {
      if (event.submitter && event.submitter.getAttribute("formmethod")) return;
      event.preventDefault();
      ask();
    });
    // Fields elsewhere on the page that belong to this form by their attribute.
    document.addEventListener("input", (event) => {
      if (event.target.form === form && !form.contains(event.target)) soon();
    });
  }

  // ---- Small things

  function enliven(root) {
    for (const slider of all("input[type=range][data-for]", root)) {
      const number = document.getElementById(slider.dataset.for);
      if (!number) continue;
      slider.hidden = false;
      slider.addEventListener("input", () => (number.value = slider.value));
      number.addEventListener("input", () => (slider.value = number.value));
    }
    for (const button of all("button[data-copy]", root)) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        const source = document.querySelector(button.dataset.copy);
        if (!source) return;
        await navigator.clipboard.writeText(source.value ?? source.textContent);
        say(button.dataset.copied || "");
      });
    }
    for (const button of all("button[data-print]", root)) {
      button.hidden = false;
      button.addEventListener("click", () => print());
    }
    for (const only of all("[data-scripted]", root)) only.hidden = only.dataset.scripted === "off";
  }

  // A form is sent once: the key in it makes a second copy harmless, the button says that the first is under way.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || event.defaultPrevented) return;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "1";
    form.setAttribute("aria-busy", "true");
    const button = event.submitter;
    if (button) setTimeout(() => (button.disabled = true));
  });
  addEventListener("pageshow", () => {
    for (const form of all("form[data-sent]")) {
      delete form.dataset.sent;
      form.removeAttribute("aria-busy");
      for (const button of all("button:disabled", form)) button.disabled = false;
    }
  });

  for (const part of all("[data-live]")) {
    part.dataset.shown = "1";
    part.dataset.counted = part.querySelector("[data-count]")?.dataset.count ?? "";
  }
  enliven(document);
  for (const form of all("form[data-swap]")) askAsTyped(form);
  // Times told as "in 5 min" grow old without any event.
  setInterval(refreshAll, 30000);
  follow();
})();
