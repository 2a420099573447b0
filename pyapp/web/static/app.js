// The pages work without this script; with it they are live. It never builds markup from data: what it puts into a page
// was rendered, and escaped, by the server.

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const relative = new Intl.RelativeTimeFormat("en"); // "1 day ago", which yesterday may not be

function tellTimes(root = document) {
  for (const time of root.querySelectorAll("time:not([data-exact])")) {
    const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
    const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS.at(-1);
    const text = Math.abs(seconds) < 1 ? "now" : relative.format(Math.trunc(seconds / size), unit);
    if (time.textContent !== text) time.textContent = text;
    if (time.title.endsWith("UTC")) time.title += `, here ${new Date(time.dateTime).toLocaleString()}`;
  }
}

// Runs a change of the page and gives the focus back to the same place in it.
function keepingFocus(change) {
  const active = document.activeElement;
  const one = (place) => place?.dataset.payout ?? place?.dataset.row;
  const row = one(active?.closest("[data-payout], [data-row]"));
  const label = active?.textContent;
  change();
  if (active?.isConnected || !active || active === document.body) return;
  const rows = row ? [...document.querySelectorAll("[data-payout], [data-row]")].filter((place) => one(place) === row) : [document];
  for (const place of rows) {
    const again = [...place.querySelectorAll("a, button")].find((one) => one.textContent === label);
    if (again) return again.focus({ preventScroll: true });
  }
}

function fragment(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  tellTimes(template.content);
  return template.content.firstElementChild;
}

// What a screen reader says of a change that its user can not see.
function say(text) {
  document.getElementById("said").textContent = text;
}

function showPayout({ id, row }) {
  const shown = [...document.querySelectorAll("tr[data-payout]")].filter((one) => one.dataset.payout === id);
  const fresh = fragment(row);
  for (const old of shown) old.replaceWith(fragment(row));
  say(["td:first-child", ".badge"].map((place) => fresh.querySelector(place)?.textContent ?? "").join(" "));
  if (shown.length > 0) return;
  for (const newest of document.querySelectorAll("tbody[data-newest]")) {
    const first = newest.firstElementChild;
    if (first && first.dataset.payout > id) continue; // older than all that is shown: ids grow with time
    const added = fragment(row);
    added.classList.add("new");
    newest.prepend(added);
    while (newest.children.length > Number(newest.dataset.newest)) newest.lastElementChild.remove();
    newest.closest("section, main").querySelector(".empty")?.remove();
  }
}

const SOON = 3000; // ms
let due = null;

// A list that any news belongs to is not loaded again for each of them.
function reloadSoon() {
  due ??= setTimeout(() => { due = null; reloadPayout(document.querySelector("[data-whole]")); }, SOON);
}

let reloading = false;
let again = false;

async function reloadPayout(whole) {
  if (reloading) { again = true; return; }
  reloading = true;
  try {
    await replacePayout(whole);
  } catch { // no answer, or half of one: what is shown stays, and is asked for again
    askAgain(whole, SOON);
  } finally {
    reloading = false;
  }
  const fresh = document.querySelector("[data-whole]");
  if (again && fresh) { again = false; reloadPayout(fresh); }
}

// What somebody is typing is not taken away, nor what they are about to press: another's would be in its place.
function isBeingFilledIn(whole) {
  return whole.querySelector(".decide:hover") || [...whole.querySelectorAll("input:not([type=hidden]), textarea")].some((one) => one.value !== one.defaultValue);
}

async function replacePayout(whole) {
  if (isBeingFilledIn(whole)) return askAgain(whole, SOON);
  const answer = await fetch(location.href);
  if (answer.redirected) return;
  if (!answer.ok) throw new Error(answer.statusText);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById(whole.id);
  if (!fresh) return;
  if (isBeingFilledIn(whole)) return askAgain(whole, SOON);
  tellTimes(fresh);
  keepingFocus(() => whole.replaceWith(fresh));
  const [before, after] = [whole, fresh].map((one) => one.querySelector("h1")?.textContent);
  if (before !== after) say(after);
  askAgain(fresh);
}

// What a bank says that ends nothing is no news; it is looked for when the bank has been asked again.
function askAgain(whole, wait) {
  if (!wait && !whole?.dataset.again) return;
  wait ??= Math.min(Math.max(Date.parse(whole.dataset.again) - Date.now() + 1000, 5000), 600_000);
  setTimeout(() => { if (whole.isConnected) reloadPayout(whole); }, wait);
}

let since = document.body.dataset.since;
let source = null;

// Only a page that is seen listens: a browser has six connections for all of its tabs.
function listen() {
  if (!since || source || document.hidden) return;
  const offline = document.getElementById("offline");
  source = new EventSource(`/live?since=${encodeURIComponent(since)}`);
  source.onopen = () => { offline.hidden = true; };
  source.onerror = () => {
    offline.hidden = false;
    if (source.readyState === EventSource.CLOSED) { source = null; findOutWhy(offline); }
  };
  source.onmessage = (event) => {
    since = event.lastEventId;
    const news = JSON.parse(event.data);
    for (const place of document.querySelectorAll("[data-balance]")) {
      const balance = news.balances[place.dataset.currency];
      if (balance) place.textContent = balance[place.dataset.balance];
    }
    for (const count of document.querySelectorAll("[data-awaiting]")) count.textContent = news.awaiting;
    keepingFocus(() => news.payouts.forEach(showPayout));
    const told = new Set(news.payouts.map(({ id }) => id));
    const whole = document.querySelector("[data-whole]");
    if (whole?.hasAttribute("data-any")) reloadSoon();
    else if (whole && (news.more || told.has(whole.dataset.whole))) reloadPayout(whole);
    const untold = [...document.querySelectorAll("tr[data-payout]")].some((row) => !told.has(row.dataset.payout));
    if (news.more && untold) document.getElementById("stale").hidden = false;
  };
}

function hush() {
  source?.close();
  source = null;
}

// A stream that is refused says nothing of why; a fetch does.
async function findOutWhy(offline) {
  const end = new AbortController();
  try {
    const answer = await fetch(`/live?since=${encodeURIComponent(since)}`, { signal: end.signal });
    if (answer.status === 401) {
      since = null;
      offline.hidden = true;
      document.getElementById("ended").hidden = false;
    } else if (answer.status === 403) { // another merchant has signed in: nothing of this page is theirs
      location.reload();
    }
  } catch { // not there either
  } finally {
    end.abort();
  }
  setTimeout(listen, SOON);
}

addEventListener("pagehide", hush);
addEventListener("online", () => { hush(); listen(); });
addEventListener("offline", () => { if (source) document.getElementById("offline").hidden = false; });
document.addEventListener("visibilitychange", () => { if (document.hidden) hush(); else listen(); });

document.addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.firstChild.data = "Copied";
  say("Copied");
  setTimeout(() => { button.firstChild.data = "Copy"; }, 1500);
});

document.addEventListener("submit", (event) => {
  const button = event.target.querySelector("button");
  if (event.target.hasAttribute("data-once")) {
    if (button.hasAttribute("aria-disabled")) event.preventDefault();
    button.setAttribute("aria-disabled", "true");
  }
});

// Of the modes only those are offered that can pay the account, in the currency, that are chosen.
const mode = document.querySelector("select#mode:has([data-pays])");
function offerModes() {
  const { currency, bank_account_id: account } = mode.form.elements;
  const kind = account.selectedOptions[0].dataset.kind;
  for (const option of mode.querySelectorAll("[data-pays]")) {
    option.hidden = option.disabled = option.dataset.currency !== currency.value || !option.dataset.pays.split(" ").includes(kind);
  }
  if (mode.selectedOptions[0]?.disabled) mode.selectedIndex = 0;
}
if (mode) {
  mode.form.addEventListener("change", offerModes);
  offerModes();
}

// a page that comes back from the browser's cache is out of date
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// the cookie of a session is kept on a secure connection only
for (const one of document.querySelectorAll("[data-insecure]")) one.hidden = isSecureContext;

// whoever sent a form that was refused goes on where the fault is
document.querySelector("[autofocus]") ?? document.querySelector("[aria-invalid]:is(input, select, textarea), [aria-invalid] input")?.focus();

tellTimes();
setInterval(tellTimes, 10_000);
askAgain(document.querySelector("[data-whole]"));
listen();
document.querySelector(".bar nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
