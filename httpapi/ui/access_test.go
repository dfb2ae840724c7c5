package ui_test

import (
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/internal/browser"
)

// judge is JavaScript that lists what is wrong with a page for people who see badly, hear it read, use keys or a thumb.
const judge = `(() => {
  const wrong = [], shown = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && e.getClientRects().length > 0;
  const name = (e) => e.tagName.toLowerCase() + (e.className ? "." + String(e.className).replaceAll(" ", ".") : "") + " " + JSON.stringify((e.textContent || e.name || "").trim().slice(0, 30));
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (css) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const ground = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255, 255]; };
  for (const e of document.querySelectorAll("body *")) {
    if (!shown(e) || e.closest("svg, dialog:not([open]), .hidden, .skip")) continue;
    const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || e.matches("input:not([type=checkbox]), textarea");
    if (!text) continue;
    const r = ratio(rgba(getComputedStyle(e).color), ground(e));
    if (r < 4.5) wrong.push("contrast " + r.toFixed(2) + ": " + name(e));
    if (e.matches("[placeholder]") && !e.value) {
      const p = ratio(rgba(getComputedStyle(e, "::placeholder").color), ground(e));
      if (p < 4.5) wrong.push("contrast of the placeholder " + p.toFixed(2) + ": " + name(e));
    }
  }
  for (const e of document.querySelectorAll("button, a, input:not([type=hidden]), textarea, select, progress, meter, [role=img], img, table, [role=log]")) {
    if (!shown(e) || e.matches("table")) continue;
    const labelled = e.getAttribute("aria-label") || e.labels?.length || e.textContent.trim() || e.getAttribute("alt") !== null;
    if (!labelled) wrong.push("no name: " + e.outerHTML.slice(0, 120));
  }
  const said = {};
  for (const e of document.querySelectorAll("main button")) {
    if (!shown(e)) continue;
    const key = (e.getAttribute("aria-label") || e.textContent.trim()) + " " + e.form?.action;
    if (said[key]++) wrong.push("two buttons with the name " + key);
    said[key] = 1;
  }
  let level = 0;
  for (const h of document.querySelectorAll("h1, h2, h3, h4")) {
    if (!h.checkVisibility() || h.closest("dialog")) continue;
    const n = Number(h.tagName[1]);
    if (n > level + 1) wrong.push("heading " + n + " after " + level + ": " + name(h));
    level = n;
  }
  if (document.querySelectorAll("h1").length !== 1) wrong.push("h1: " + document.querySelectorAll("h1").length);
  const nav = document.querySelectorAll(".top nav [aria-current=page]").length;
  if (nav !== (["failure", "login"].includes(document.body.dataset.page) ? 0 : 1)) wrong.push("aria-current: " + nav);
  for (const th of document.querySelectorAll("thead th")) if (shown(th) && !th.textContent.trim() && !th.querySelector("input")) wrong.push("an empty column heading");
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) wrong.push("two elements have the id " + id);
  if (document.documentElement.scrollWidth > innerWidth) wrong.push("the page is " + document.documentElement.scrollWidth + " wide");
  if (innerWidth < 500) for (const e of document.querySelectorAll("button, input:not([type=hidden]), .button, summary, nav a, td.main > a")) {
    const box = (e.matches("input[type=checkbox]") ? e.parentElement : e).getBoundingClientRect();
    if (shown(e) && (box.height < 24 || box.width < 24)) wrong.push("too small to touch, " + Math.round(box.width) + "x" + Math.round(box.height) + ": " + name(e));
  }
  return [...new Set(wrong)].join("\n");
})()`

// TestPagesAreAccessible: on each page, in each state, in both themes and on a phone: every text can be read (a ratio of contrast of at
// least 4.5), every control has a name of its own and is large enough, headings are in order, nothing is wider than the screen.
func TestPagesAreAccessible(t *testing.T) {
	t.Parallel()
	sick, all, empty, guest := newRig(t, ""), newRig(t, ""), newRig(t, ""), newRig(t, token)
	sick.unwell()
	tab := browser.Open(t, guest.one+"/login")
	pages := []string{guest.one + "/login", all.one + "/tasks", all.one + "/tasks/nothing", sick.one + "/tasks?state=failed&kind=mail.send", sick.one + "/schedules?edit=late", sick.one + "/tasks/new"}
	for _, id := range all.states() {
		pages = append(pages, all.one+"/tasks/"+id.String())
	}
	for _, path := range paths {
		pages = append(pages, sick.one+path, empty.one+path)
	}
	for name, how := range looks {
		if name == "phone-dark" || name == "wide" {
			continue // their colours are those of others
		}
		tab.Look(how.width, how.dark)
		for _, page := range pages {
			tab.Go(page)
			if wrong := browser.Eval[string](tab, judge); wrong != "" {
				t.Errorf("%s, %s:\n  %s", page[strings.LastIndexByte(page, ':'):], name, strings.ReplaceAll(wrong, "\n", "\n  "))
			}
		}
	}
}

// TestFocusIsSeen: whatever has the focus by a key says so, with an outline.
func TestFocusIsSeen(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.unwell()
	tab := browser.Open(t, r.one+"/tasks")
	live(tab)
	for range 20 {
		tab.Keys("\t")
		if seen := browser.Eval[string](tab, `(() => { const e = document.activeElement, s = getComputedStyle(e); return e.matches(":focus-visible") && s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 || e.matches(".skip, body") ? "" : e.outerHTML })()`); seen != "" {
			t.Errorf("one does not see the focus on %s", seen)
		}
	}
}

// TestReducedMotion: who asks for less motion gets none.
func TestReducedMotion(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	page := r.watch(r.states()["indeterminate"])
	tab := browser.Open(t, page)
	tab.Still()
	tab.Go(page)
	if moving := browser.Eval[string](tab, `getComputedStyle(document.querySelector("progress")).animationName`); moving != "none" {
		t.Errorf("the bar of the watch page moves: %s", moving)
	}
	tab.Go(r.one + "/tasks?state=running")
	if moving := browser.Eval[string](tab, `getComputedStyle(document.querySelector("progress")).animationName`); moving != "none" {
		t.Errorf("a bar moves: %s", moving)
	}
}
