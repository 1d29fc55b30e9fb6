// News without a click: when something durable happens, the content is fetched again and put in place.
// Everything works without this file. It sends nothing, changes nothing, and never touches a form that is being filled in.
(() => {
  "use strict";
  const WAIT_MS = 700;
  const QUIET_MS = 30000;
  const live = document.getElementById("live");
  let timer = null;
  let held = false;
  let dirty = false;

  const say = (text) => { if (live && live.textContent !== text) live.textContent = text; };
  const main = () => document.getElementById("main");

  // Somebody who writes, chooses or reads a selection is not disturbed.
  const busy = () => {
    const active = document.activeElement;
    const within = active && main().contains(active) && active !== main() && !active.matches("a, summary, pre");
    return dirty || within || String(document.getSelection()).length > 0;
  };

  const key = (details, index) => index + " " + (details.querySelector("summary") || details).textContent;
  const folds = () => new Map([...main().querySelectorAll("details")].map((one, i) => [key(one, i), one.open]));

  const refresh = async () => {
    if (document.hidden || busy()) { held = true; return; }
    held = false;
    let text;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!answer.ok || answer.redirected) { say("not live: reload the page"); return; }
      text = await answer.text();
    } catch { say("not live: the daemon does not answer"); return; }
    if (busy()) { held = true; return; }
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const open = folds();
    const focused = document.activeElement && main().contains(document.activeElement)
      ? document.activeElement.getAttribute("href") : null;
    for (const id of ["main", "nav", "banner"]) {
      const now = document.getElementById(id);
      const then = fresh.getElementById(id);
      if (now && then && now.innerHTML !== then.innerHTML) now.replaceChildren(...then.childNodes);
    }
    [...main().querySelectorAll("details")].forEach((one, i) => {
      const was = open.get(key(one, i));
      if (was !== undefined) one.open = was;
    });
    if (focused) {
      const again = [...main().querySelectorAll("a")].find((one) => one.getAttribute("href") === focused);
      if (again) again.focus({ preventScroll: true });
    }
    say("live");
  };

  const later = () => { if (timer === null) timer = setTimeout(() => { timer = null; refresh(); }, WAIT_MS); };

  document.addEventListener("input", (event) => { if (event.target.closest("main form[method=post]")) dirty = true; });
  document.addEventListener("reset", () => { dirty = false; });
  document.addEventListener("focusout", () => { if (held) later(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && held) later(); });

  const source = new EventSource("/live");
  source.addEventListener("open", () => say("live"));
  source.addEventListener("error", () => say("not live: the connection is lost"));
  for (const name of ["record", "state", "lagged"]) source.addEventListener(name, later);
  window.addEventListener("pagehide", () => source.close());
  setInterval(refresh, QUIET_MS);
})();
