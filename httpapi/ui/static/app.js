// app makes the pages live. Without it they work by links and forms. Rows are patched from the API's stream of tasks; regions
// (data-live) are read again from the page's own URL. Whatever came from outside goes through textContent, never innerHTML.

const every = 5000; // milliseconds between two readings of the regions of a page that is looked at
const most = 100; // tasks of one stream
const $ = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const page = document.body.dataset.page;
const final = new Set(["completed", "failed", "cancelled", "gone"]); // gone: deleted, as the stream says

// lasted and ago spell times as the server does.
function lasted(ms) {
  const s = ms / 1000, two = (a, x, b, y) => `${a} ${x}` + (b ? ` ${b} ${y}` : "");
  if (s < 1) return `${Math.round(ms)} ms`;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 600) return two(Math.floor(s / 60), "min", Math.floor(s % 60), "s");
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
  return two(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
}
let skew = 0; // of the server's clock: times are as it sees them
function clock(from) { skew = Number(from.body.dataset.now || Date.now()) - Date.now(); }
function ago(t) {
  const ms = Date.now() + skew - t;
  const whole = (t) => (t < 10000 ? `${Math.floor(t / 1000)} s` : lasted(t)); // no tenths of what changes while one looks
  if (ms <= -1000) return "in " + whole(-ms);
  return ms < 1000 ? "now" : whole(ms) + " ago";
}
function tick() {
  for (const time of all("time:not([data-clock])")) {
    const said = ago(Date.parse(time.dateTime));
    if (time.textContent !== said) time.textContent = said;
  }
}

// patch shows a task, as the stream has it, in all places where it is.
function patch(task) {
  for (const place of all(`[data-task-id="${CSS.escape(task.id)}"]`)) {
    if (Number(place.dataset.revision ?? 0) > task.revision) continue;
    Object.assign(place.dataset, { state: task.state, revision: task.revision });
    const field = (name) => $(`[data-field="${name}"]`, place);
    const state = field("state");
    if (state && state.textContent !== task.state) {
      state.textContent = task.state;
      state.className = "state " + task.state;
    }
    if (field("attempt")) field("attempt").textContent = task.attempt || "";
    if (field("progress")) bar(field("progress"), task);
    const why = !task.error ? "" : task.state === "cancelled" ? task.error.message : `${task.error.code}: ${task.error.message}`;
    const took = task.state === "completed" && task.started_at ? "took " + lasted(Math.max(0, Date.parse(task.finished_at) - Date.parse(task.started_at))) : "";
    const note = took ? took : task.state !== "running" ? why : task.cancel_requested ? "cancelling" : (task.progress?.message ?? "");
    if (field("note")) field("note").textContent = note.slice(0, 160);
    if (field("message")) field("message").textContent = task.progress?.message ?? "";
  }
}
function bar(place, task) {
  if (task.state !== "running") return place.replaceChildren();
  let progress = $("progress", place);
  if (!progress) {
    progress = document.createElement("progress");
    progress.max = 100;
    progress.setAttribute("aria-label", "Progress of " + task.kind);
    place.replaceChildren(progress);
  }
  const percent = task.progress?.percent ?? null;
  let figure = $(".num", place);
  if (percent === null) {
    progress.removeAttribute("value");
    return figure?.remove();
  }
  if (!figure) {
    figure = Object.assign(document.createElement("span"), { className: "num" });
    place.append(" ", figure);
  }
  progress.value = percent;
  figure.textContent = Math.floor(percent) + " %";
}

// say tells whether the page is live.
function say(text) {
  const live = $("#live");
  if (!live || live.textContent === text) return;
  live.textContent = text;
  live.className = text === "live" ? "dim live" : "dim lost";
}

// follow opens a stream for the tasks of the page that are not done, again when those change. One that breaks is opened again after
// a while that differs from page to page: a server that starts again is not run over. A page that nobody looks at has none, for a
// browser has few connections to spend.
let stream = null, followed = "", again = null, breaks = 0, gone = false; // gone: there is nothing any more that the page is about
function unfollow() {
  stream?.close();
  stream = null;
  followed = "";
}
let last = Number($(".taskhead")?.dataset.line ?? 0); // id of the last log line that is shown
const later = () => { again = setTimeout(() => { again = null; follow(); }, backoff(breaks++)); };
const unfinished = () => [...new Set(all("[data-task-id]").filter((p) => !final.has(p.dataset.state)).map((p) => p.dataset.taskId))].slice(0, most);
function follow() {
  if (document.hidden || again || gone) return;
  const ids = unfinished();
  const head = $(".taskhead"), key = ids.join();
  if (key === followed) return;
  unfollow();
  if (!ids.length) return;
  followed = key;
  const single = head && head.dataset.taskId;
  const from = single ? (last ? `?after=0.${last}` : "") : "?logs=false&" + ids.map((id) => "task=" + id).join("&");
  stream = new EventSource((single ? `/v1/tasks/${single}/events` : "/v1/events") + from);
  stream.addEventListener("task", (e) => {
    const task = JSON.parse(e.data), before = $(`[data-task-id="${CSS.escape(task.id)}"]`)?.dataset.state;
    patch(task);
    if (before && before !== task.state) soon();
  });
  stream.addEventListener("log", (e) => line(JSON.parse(e.data)));
  stream.addEventListener("gone", (e) => {
    for (const place of all(`[data-task-id="${CSS.escape(JSON.parse(e.data).task)}"]`)) place.dataset.state = "gone";
    soon();
  });
  stream.addEventListener("end", () => {
    unfollow();
    soon();
    if (unfinished().some((id) => ids.includes(id))) later(); // the page knows better
  });
  stream.onopen = () => { breaks = 0; say("live"); };
  stream.onerror = () => {
    unfollow();
    say("reconnecting");
    later();
  };
}
// backoff is 1 to 3 s after the first failure, twice that after each other, up to a minute.
function backoff(failures) { return Math.min(20000, 1000 * 2 ** failures) * (1 + 2 * Math.random()); }
function line(l) {
  const log = $("#log");
  if (!log || l.id <= last) return;
  last = l.id;
  const item = document.createElement("li");
  const part = (tag, className, text) => item.append(Object.assign(document.createElement(tag), { className, textContent: text }), " ");
  item.className = l.stream;
  part("time", "", new Date(l.at).toISOString().slice(11, 19));
  item.firstChild.dateTime = l.at;
  item.firstChild.dataset.clock = "";
  part("span", "attempt dim", l.attempt);
  part("span", "line", l.message);
  append(log, item);
}
function append(log, item) {
  const bottom = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(item);
  while (log.children.length > 2000) log.firstChild.remove();
  if (bottom) log.scrollTop = log.scrollHeight;
}

// catchUp takes lines from a page that was read again: the stream of a task that is done may have been closed before they came.
function catchUp(fresh) {
  const log = $("#log");
  for (const item of log ? fresh.querySelectorAll("#log li") : []) {
    if (Number(item.dataset.line) <= last) continue;
    last = Number(item.dataset.line);
    append(log, item);
  }
}

// refresh reads the page again and puts its regions in the place of those shown. What is selected, focused or being typed stays.
let waiting = null, reading = false, missed = false, failures = 0; // missed: there was reason to read while it was being read
function soon(ms = 150) { clearTimeout(waiting); waiting = setTimeout(refresh, ms); }
async function refresh() {
  clearTimeout(waiting);
  missed ||= reading;
  if (document.hidden || reading || !$("[data-live]")) return;
  reading = true;
  const began = performance.now();
  let next = every;
  try {
    const answer = await fetch(location.href, { headers: { "X-Refresh": String(last) } });
    const text = answer.ok ? await answer.text() : "";
    if (document.hidden) return; // it is read again once somebody looks
    if (answer.redirected) return ended();
    if (answer.status >= 500) throw answer;
    failures = 0;
    gone = answer.status === 404;
    if (gone) unfollow();
    if (!answer.ok) return say(gone ? "gone" : "not to be read any more");
    const fresh = new DOMParser().parseFromString(text, "text/html");
    for (const region of all("[data-live]")) {
      const other = fresh.getElementById(region.id);
      if (other && !region.contains(typing()) && !region.contains(marked())) swap(region, other);
    }
    catchUp(fresh);
    clock(fresh);
    $("#said a")?.parentElement.replaceChildren(); // signed in again
    document.title = fresh.title;
    if (!again) say(fresh.body.dataset.build === document.body.dataset.build ? "live" : "a new version: load the page again");
  } catch {
    if (!document.hidden) say("waiting for the server");
    next = backoff(failures++);
  } finally {
    const once = missed && !failures; // what was read may be older than that
    reading = missed = false;
    tick();
    follow();
    chosen();
    if (once) soon(Math.max(150, performance.now() - began)); // a slow server is not asked all the time
    else waiting = setTimeout(refresh, Math.max(next * (0.9 + 0.2 * Math.random()), 20 * (performance.now() - began))); // pages do not keep step
  }
}
// ended leads to the login, unless something was typed that would be lost.
function ended() {
  const typed = all("input:not([type=checkbox]):not([type=hidden]), textarea").some((field) => field.value !== field.defaultValue);
  if (!typed) return location.reload();
  say("signed out");
  if ($("#said a")) return;
  const link = Object.assign(document.createElement("a"), { textContent: "Sign in again", href: "/login", target: "_blank" });
  $("#said").replaceChildren("The session has ended. What you typed is still here. ", link, " in another tab, then go on.");
}
// marked is where text is selected: whoever is about to copy it keeps it.
let markedAt = 0;
document.addEventListener("selectionchange", () => { markedAt = performance.now(); });
function marked() {
  const selection = getSelection();
  return selection && !selection.isCollapsed && performance.now() - markedAt < 30000 ? selection.anchorNode : null;
}
function typing() {
  const at = document.activeElement;
  return at && at.matches("input:not([type=checkbox]), textarea, select") ? at : null;
}
function swap(region, other) {
  if (Number(region.dataset.revision) > Number(other.dataset.revision)) return; // the stream knows more than the page that was read
  const picked = new Set(all("input[name=id]:checked", region).map((b) => b.value));
  for (const box of all("input[name=id]", other)) box.checked = picked.has(box.value);
  for (const d of all("details[open]", region)) { const same = all("details", other)[all("details", region).indexOf(d)]; if (same) same.open = true; }
  for (const box of all(".all", other)) box.hidden = false;
  const at = document.activeElement, inside = region.contains(at), before = same(at, region);
  for (const place of all("[data-task-id]", other)) { // the stream may know more than the page that was read
    const now = $(`[data-task-id="${place.dataset.taskId}"]`, region);
    if (now && Number(now.dataset.revision) > Number(place.dataset.revision)) place.replaceWith(now.cloneNode(true));
  }
  if (region.isEqualNode(other)) return;
  for (const name of other.getAttributeNames()) region.setAttribute(name, other.getAttribute(name));
  region.replaceChildren(...other.childNodes);
  unveil(region);
  if (inside && before) $(before, region)?.focus({ preventScroll: true });
}
// same is a selector that finds an element again in a region that was read again.
function same(element, region) {
  const row = row_(element)?.dataset.taskId, quoted = (name) => `[${name}="${CSS.escape(element?.getAttribute(name) ?? "")}"]`;
  if (row) return `tr[data-task-id="${row}"] ` + (element.matches("input") ? "input" : "td.main a");
  for (const name of ["aria-label", "href", "value"]) if (element?.hasAttribute(name)) return element.localName + quoted(name);
  return element?.matches("summary") && region.contains(element) ? "summary" : "";
}
const row_ = (element) => element?.closest?.("tr[data-task-id], tr");

// unveil shows what only works with this module.
function unveil(within) { for (const b of all(".copy, .all", within)) b.hidden = false; }

// chosen says how many rows are selected.
function chosen() {
  const n = all("input[name=id]:checked").length, said = $(".chosen");
  if (!said) return;
  said.textContent = n ? `${n} selected:` : "Selected:";
  said.parentElement.hidden = !n;
}

document.addEventListener("change", (e) => {
  if (e.target.matches(".all")) for (const box of all("input[name=id]", e.target.closest("table"))) box.checked = e.target.checked;
  chosen();
});
document.addEventListener("submit", (e) => {
  const asked = e.submitter?.dataset.confirm;
  if (asked && !confirm(asked)) return e.preventDefault();
  if (e.target.matches("form[method=get]")) for (const field of e.target.elements) if (!field.value) field.disabled = true; // a short URL
  if (!e.target.matches("form.form")) return;
  e.preventDefault();
  store(e.target, e.submitter ?? $("button", e.target));
});
// store sends a form that somebody has filled in. What was typed stays when it is refused, with the reason below.
async function store(form, button) {
  const body = new URLSearchParams(new FormData(form, button));
  button.disabled = true;
  let why = "The server did not answer. What you typed is still here.";
  try {
    const answer = await fetch(form.getAttribute("action"), { method: "POST", body, headers: { "X-Refresh": "0" } }); // which leaves what is said to the page
    if (answer.redirected) return location.assign(answer.url);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    why = all(".failed h1, .failed h1 + p", page).map((part) => part.textContent).join(": ") || why;
  } catch { /* no answer */ }
  button.disabled = false;
  $(".wrong", form)?.remove();
  const alert = Object.assign(document.createElement("p"), { className: "wrong whole", textContent: why });
  alert.setAttribute("role", "alert");
  (button.closest(".whole") ?? button).before(alert);
  alert.scrollIntoView({ block: "nearest" });
}
document.addEventListener("click", async (e) => {
  const button = e.target;
  if (!button.matches(".copy")) return;
  const { copy, from } = button.dataset, label = button.textContent;
  await copyText(copy ?? $(from ?? "pre", from ? document : button.parentElement).textContent);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = label === "Copied" ? "Copy" : label; }, 1500);
});
async function copyText(text) {
  try { await navigator.clipboard.writeText(text); } catch { // plain HTTP has no clipboard
    const field = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
}

// keys: one hand, no mouse.
const places = { o: "/", t: "/tasks", d: "/dead", q: "/queues", s: "/schedules", p: "/topics", n: "/endpoints", w: "/workers", e: "/events", i: "/settings" };
let going = false;
document.addEventListener("keydown", (e) => {
  if (e.key === "Escape") typing()?.blur();
  if (e.ctrlKey || e.metaKey || e.altKey || typing() || $("dialog[open]")) return;
  if (going) { going = false; if (places[e.key]) location.assign(places[e.key]); return; }
  const does = { "/": () => ($("[data-filter]") ? $("[data-filter]").focus() : location.assign("/tasks")), j: () => move(1), k: () => move(-1),
    x: () => $("input[name=id]", row_(document.activeElement) ?? undefined)?.click(), r: () => act("retry"), c: () => act("cancel"),
    g: () => { going = true; setTimeout(() => { going = false; }, 1500); }, "?": () => $("#keys").showModal() }[e.key];
  if (does) { e.preventDefault(); does(); }
});
function move(by) {
  const links = all("td.main > a"), at = links.indexOf(row_(document.activeElement) && $("td.main > a", row_(document.activeElement)));
  links[Math.min(links.length - 1, Math.max(0, at + by))]?.focus();
}
function act(verb) {
  const own = row_(document.activeElement)?.querySelector(`button[value="${verb}"]`); // of a group of dead letters
  if (own) return own.click();
  const form = $("#pick") ?? $("#act"), button = form && $(`button[value="${verb}"]`, form);
  if (!button) return;
  const box = $("input[name=id][type=checkbox]", row_(document.activeElement) ?? document.createElement("i"));
  if (box && !all("input[name=id]:checked", form).length) { box.checked = true; chosen(); }
  if (form.matches("#act") || all("input[name=id]:checked", form).length) button.click();
}

for (const here of all("[aria-current=page]")) { // on a phone the lists of links are wider than the screen
  const strip = here.closest("nav");
  strip.scrollLeft = here.offsetLeft - strip.offsetLeft - (strip.clientWidth - here.offsetWidth) / 2;
}
unveil(document);
clock(document);
tick();
chosen();
follow();
const log = $("#log");
if (log) log.scrollTop = log.scrollHeight;
setInterval(tick, 1000);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return soon(0);
  clearTimeout(again);
  again = null;
  unfollow();
  say("paused");
});
if (page !== "login" && page !== "failure") {
  if (!stream) say("live");
  waiting = setTimeout(refresh, every);
}
