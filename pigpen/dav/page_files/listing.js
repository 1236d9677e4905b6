// -- listing: the table, its keys, and to fetch it again ----------------------------------------

const rows = () => findAll("#listing tbody tr");

function describe(row) {
  const link = find("a", row);
  const path = link.getAttribute("href");
  return {
    row,
    link,
    path,
    name: nameIn(path),
    isFolder: row.dataset.kind === "folder",
    kind: row.dataset.kind,
    size: Number(row.dataset.size),
  };
}

const twoDigits = (number) => String(number).padStart(2, "0");

function localTime(moment) {
  const date = [moment.getFullYear(), moment.getMonth() + 1, moment.getDate()].map(twoDigits);
  return `${date.join("-")} ${[moment.getHours(), moment.getMinutes()].map(twoDigits).join(":")}`;
}

const isReadOnly = () => document.body.dataset.access === "read";

// what the page has only where scripts run: local times, and a menu for each row
function enrich() {
  findAll("#listing .zone").forEach((zone) => zone.remove());
  findAll("#listing time[datetime]").forEach((time) => {
    const moment = new Date(time.dateTime);
    if (!isNaN(moment)) time.textContent = localTime(moment);
  });
  if (isReadOnly()) return;
  find("#listing .empty")?.append(make("span", {}, "Drop files here, or choose Upload files."));
  const head = find("#listing thead tr");
  head?.append(make("th", { scope: "col", className: "act" }, make("span", { className: "unseen" }, "Actions")));
  rows().forEach((row) => row.append(make("td", { className: "act" }, moreButton(row))));
}

function moreButton(row) {
  const button = make("button", { type: "button", className: "button plain more" }, icon("more"));
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-label", `Actions for ${describe(row).name}`);
  return button;
}

// Fetch a page of a folder and show it in place, so that uploads go on.
async function show(path) {
  const answer = await ask("GET", path, { Accept: "text/html" });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ["path", "listing"]) {
    find(`#${id}`).replaceChildren(...find(`#${id}`, page).childNodes);
  }
  document.title = page.title;
  Object.assign(document.body.dataset, page.body.dataset);
  find(".tools").hidden = isReadOnly();
  enrich();
}

const place = () => location.pathname + location.search;

// Fetch this page again; the row of `name` is focused, or the one at a number.
async function refresh({ name = null, number = null } = {}) {
  await show(place());
  const all = rows();
  const found = name === null ? null : all.find((row) => describe(row).name === name);
  const row = found ?? (number === null ? null : all[Math.min(number, all.length - 1)]);
  if (found) {
    found.classList.add("fresh");
    found.scrollIntoView({ block: "nearest" });
  }
  if (row) find("a", row).focus();
  else if (number !== null) find("#upload-button").focus();
}

async function go(path) {
  try {
    await show(path);
    history.pushState(null, "", path);
    window.scrollTo(0, 0);
    const current = find("#path [aria-current]");
    current.tabIndex = -1;
    current.focus();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    complain(error.message);
  }
}

function keyOnRow(event) {
  const row = event.target.closest?.("#listing tbody tr");
  if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
  const all = rows();
  const at = all.indexOf(row);
  const steps = {
    ArrowDown: () => find("a", all[Math.min(at + 1, all.length - 1)]).focus(),
    ArrowUp: () => find("a", all[Math.max(at - 1, 0)]).focus(),
    Home: () => find("a", all[0]).focus(),
    End: () => find("a", all.at(-1)).focus(),
    ...(isReadOnly() ? {} : { F2: () => rename(describe(row)), Delete: () => remove(describe(row)) }),
  };
  if (!(event.key in steps)) return;
  event.preventDefault();
  steps[event.key]();
}
