// -- elements: to find and to make them, and words for numbers ---------------------------------

const find = (selector, root = document) => root.querySelector(selector);

const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  svg.setAttribute("class", `icon ${name}`);
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#${name}`);
  svg.append(use);
  return svg;
}

function formatSize(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let amount = bytes / 1024;
  while (amount >= 1023.95 && units.length > 1) {
    amount /= 1024;
    units.shift();
  }
  return `${amount.toFixed(1)} ${units[0]}`;
}

const count = (number, one, many) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

// for who hears the page
function announce(text) {
  find("#status").textContent = text;
}

// for who sees it, too, and stays until they go on
function complain(text) {
  const notice = find("#notice");
  const close = make("button", { type: "button", className: "button plain", title: "Close" });
  close.setAttribute("aria-label", "Close");
  close.append(icon("close"));
  close.onclick = () => notice.togglePopover(false);
  notice.replaceChildren(make("span", {}, text), close);
  notice.togglePopover(true);
  announce(text);
}
