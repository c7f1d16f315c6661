// Fetches the page again every few seconds, and puts in what has changed. Without it the page works all the same.
"use strict";
(() => {
  const SECONDS = 10;
  const parts = () => document.querySelectorAll("[data-live]");
  const stale = document.getElementById("stale");
  const pulse = document.querySelector(".pulse");
  if (!pulse) return; // a page that does not change by itself
  pulse.classList.add("on");

  const isInUse = (part) => {
    const selection = document.getSelection();
    const isSelected = selection && !selection.isCollapsed && selection.anchorNode && part.contains(selection.anchorNode);
    return part.contains(document.activeElement) || isSelected;
  };

  const tell = (text) => {
    if (stale.textContent !== text) stale.textContent = text;
    pulse.classList.toggle("on", !text);
  };

  const put = (fresh) => {
    // What is in use stays as it is, and then so does the time that the page is from.
    const isKept = [...parts()].some(isInUse);
    for (const part of parts()) {
      const other = fresh.getElementById(part.id);
      if (!other || isInUse(part) || (isKept && part.id === "as-of") || other.isEqualNode(part)) continue;
      const opened = new Set([...part.querySelectorAll("details[open]")].map((one) => one.id));
      const next = document.importNode(other, true);
      for (const one of next.querySelectorAll("details")) one.open = opened.has(one.id);
      part.replaceWith(next);
    }
    document.title = fresh.title;
  };

  const refresh = async () => {
    if (document.hidden) return;
    const since = document.getElementById("as-of").textContent;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(8000) });
      if (answer.redirected) return tell("You are logged out. Load the page again to log in.");
      if (!answer.ok) return tell(`Not refreshed since ${since}: the server answers ${answer.status}. It is tried again.`);
      put(new DOMParser().parseFromString(await answer.text(), "text/html"));
      tell("");
    } catch {
      tell(`Not refreshed since ${since}: the server does not answer. It is tried again.`);
    }
  };

  setInterval(refresh, SECONDS * 1000);
  document.addEventListener("visibilitychange", refresh);
  document.addEventListener("issuer:refresh", refresh); // for tests
})();
