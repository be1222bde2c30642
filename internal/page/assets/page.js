// The page without reloads. Everything here can also be done without it.
"use strict";

const root = document.documentElement;
const live = document.getElementById("live");
const search = document.getElementById("search");
const field = document.getElementById("q");
let loading; // AbortController of the newest request
let events; // EventSource

function tell(mood, text) {
  live.dataset.mood = mood;
  const label = document.getElementById("live-text");
  if (label.textContent !== text) label.textContent = text;
}

// show takes what has changed over from another rendering of the page, and keeps the focus
// and what is open.
function show(fresh) {
  const focused = document.activeElement?.id;
  for (const part of fresh.querySelectorAll("[data-live]")) {
    const old = document.getElementById(part.id);
    if (!old) continue;
    const open = [...old.querySelectorAll("details[open]")].map((each) => each.id);
    for (const id of open) part.querySelector(`#${id}`)?.setAttribute("open", "");
    if (old.innerHTML === part.innerHTML) continue;
    const scrolled = old.querySelector(".scroll")?.scrollLeft ?? 0;
    old.replaceChildren(...[...part.childNodes].map((node) => document.importNode(node, true)));
    const scroll = old.querySelector(".scroll");
    if (scroll) scroll.scrollLeft = scrolled;
  }
  if (focused && document.activeElement === document.body) {
    document.getElementById(focused)?.focus({ preventScroll: true });
  }
  root.dataset.state = fresh.documentElement.dataset.state;
}

// load asks for the page again, as the address and the search field say.
async function load() {
  loading?.abort();
  const mine = (loading = new AbortController());
  try {
    const answer = await fetch(location.pathname + location.search, { signal: mine.signal, cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    show(new DOMParser().parseFromString(await answer.text(), "text/html"));
    if (events?.readyState === EventSource.OPEN) tell("good", "Live, as of");
  } catch {
    if (!mine.signal.aborted) lost();
  }
}

function lost() {
  tell("bad", "Connection lost, tries again. As of");
}

// listen waits for news. A browser tries again by itself, but not after an answer that is an
// error; and it has few connections, so a page that nobody sees gives its own back.
function listen() {
  events?.close();
  if (document.hidden) return;
  const mine = (events = new EventSource("/events"));
  mine.addEventListener("state", (event) => {
    if (event.data === root.dataset.state) tell("good", "Live, as of");
    else load();
  });
  mine.addEventListener("error", () => {
    lost();
    if (mine.readyState === EventSource.CLOSED) setTimeout(() => mine === events && listen(), 3000);
  });
}

function ask(address) {
  history.replaceState(null, "", address);
  load();
}

document.getElementById("callers-live").addEventListener("click", (event) => {
  const link = event.target.closest("a[id]");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  field.value = new URL(link.href).searchParams.get("q") ?? "";
  ask(link.href);
});

function find() {
  ask(`/?${new URLSearchParams(new FormData(search))}`);
}

let typing;
field.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(find, 200);
});
search.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(typing);
  find();
});

document.addEventListener("visibilitychange", listen);
addEventListener("pagehide", () => events?.close());
addEventListener("pageshow", (event) => event.persisted && listen());
listen();
