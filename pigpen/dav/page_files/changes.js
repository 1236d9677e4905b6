// -- changes: new folder, rename, delete, and the menu of a row ---------------------------------

function checked(name) {
  const fault = faultOf(name);
  if (fault) throw new Refusal(0, fault);
  return name;
}

async function newFolder() {
  const name = await question({
    title: "New folder",
    label: "Name",
    yes: "Create",
    attempt: async (text) => {
      await ask("MKCOL", `${member(folder(), checked(text))}/`);
      return text;
    },
  });
  if (name === null) return;
  await refreshed({ name });
  announce(`The folder ${name} was made.`);
}

// the new name is selected without its suffix, which most want to keep
function stemLength({ name, isFolder }) {
  const dot = name.lastIndexOf(".");
  return isFolder || dot < 1 ? name.length : dot;
}

async function rename(entry) {
  const name = await question({
    title: "Rename",
    label: "New name",
    text: entry.name,
    selected: stemLength(entry),
    yes: "Rename",
    attempt: async (text) => {
      if (checked(text) === entry.name) return text;
      const path = member(folder(), text) + (entry.isFolder ? "/" : "");
      await ask("MOVE", entry.path, { Destination: address(path), Overwrite: "F" });
      return text;
    },
  });
  if (name === null || name === entry.name) return entry.link.focus();
  await refreshed({ name });
  announce(`${entry.name} is now called ${name}.`);
}

async function remove(entry) {
  const number = rows().indexOf(entry.row);
  const done = await question({
    title: `Delete “${entry.name}”?`,
    detail: entry.isFolder
      ? "The folder and everything in it will be deleted. This cannot be undone."
      : "This cannot be undone.",
    yes: "Delete",
    danger: true,
    attempt: async () => {
      await ask("DELETE", entry.path);
      return true;
    },
  });
  if (!done) return entry.link.focus();
  await refreshed({ number });
  announce(`${entry.name} was deleted.`);
}

// the change was made, whether or not its result can be shown
async function refreshed(where) {
  try {
    await refresh(where);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    complain(error.message);
  }
}

function menuItem(tag, symbol, text, properties = {}) {
  const item = make(tag, { className: "item", ...properties }, icon(symbol), text);
  item.setAttribute("role", "menuitem");
  item.tabIndex = -1;
  return item;
}

function openMenu(button) {
  const menu = find("#menu");
  const entry = describe(button.closest("tr"));
  const choose = (action) => () => {
    menu.togglePopover(false);
    action(entry);
  };
  const items = [
    menuItem("button", "rename", "Rename", { type: "button", onclick: choose(rename) }),
    menuItem("button", "delete", "Delete", {
      type: "button",
      className: "item danger",
      onclick: choose(remove),
    }),
  ];
  if (!entry.isFolder) {
    const close = () => menu.togglePopover(false);
    const properties = { href: entry.path, download: entry.name, onclick: close };
    items.unshift(menuItem("a", "download", "Download", properties));
  }
  menu.replaceChildren(...items);
  menu.togglePopover(true);
  placeMenu(menu, button.getBoundingClientRect());
  button.setAttribute("aria-expanded", "true");
  menu.ontoggle = (event) => {
    if (event.newState === "closed") button.removeAttribute("aria-expanded");
  };
  menu.onkeydown = (event) => keyOnMenu(event, items, button);
  items[0].focus();
}

function placeMenu(menu, beside) {
  const below = beside.bottom + menu.offsetHeight + 8 < window.innerHeight;
  menu.style.top = `${below ? beside.bottom + 4 : beside.top - menu.offsetHeight - 4}px`;
  menu.style.left = `${Math.max(8, beside.right - menu.offsetWidth)}px`;
}

function keyOnMenu(event, items, button) {
  const at = items.indexOf(document.activeElement);
  const targets = {
    ArrowDown: items[(at + 1) % items.length],
    ArrowUp: items.at(at - 1),
    Home: items[0],
    End: items.at(-1),
  };
  if (event.key in targets) {
    event.preventDefault();
    targets[event.key].focus();
  } else if (event.key === "Tab" || event.key === "Escape") {
    event.preventDefault();
    find("#menu").togglePopover(false);
    button.focus();
  }
}
