// -- server: requests, and its refusals in words ----------------------------------------------

const WORDS = {
  401: "A login is needed: load this page again.",
  403: "This is not allowed here.",
  404: "It is not there any more.",
  405: "There is already something with this name.",
  409: "The folder is not there any more.",
  412: "There is already something with this name.",
  413: "This is larger than the server allows.",
  414: "This name is too long.",
  423: "It is locked: another program is using it.",
  502: "The storage behind this server gave no answer. Try again.",
  503: "The storage cannot be reached now. Try again.",
  504: "The storage behind this server gave no answer. Try again.",
  507: "There is not enough space left.",
};

const CONDITIONS = {
  "lock-token-submitted": WORDS[423],
  "no-conflicting-lock": WORDS[423],
  "quota-not-exceeded": "The quota leaves no room for this: delete something first.",
  "sufficient-disk-space": WORDS[507],
};

const LOST = "The connection was lost. Try again.";

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// all elements of this name; of what is no XML, none
function elementsIn(text, name) {
  if (!text.startsWith("<")) return [];
  const parsed = new DOMParser().parseFromString(text, "application/xml");
  return [...parsed.getElementsByTagNameNS("DAV:", name)];
}

// the element names in an error body (RFC 4918 14.5)
function conditionsIn(text) {
  return elementsIn(text, "error").flatMap((error) =>
    [...error.children].map((child) => child.localName),
  );
}

// what else pigpen refuses comes as JSON, with a sentence
function messageIn(text) {
  try {
    return JSON.parse(text).message;
  } catch {
    return undefined;
  }
}

// a Multi-Status names members that kept a change from being made
function memberIn(text) {
  const [href] = elementsIn(text, "href");
  const [status] = elementsIn(text, "status");
  if (!href || !status) return null;
  return { name: nameIn(href.textContent), status: Number(status.textContent.split(" ")[1]) };
}

function refusal(status, text) {
  if (status === 207) {
    const member = memberIn(text);
    const words = WORDS[member?.status] ?? "The server refused it.";
    return new Refusal(member?.status ?? status, member ? `“${member.name}”: ${words}` : words);
  }
  const known = conditionsIn(text).find((name) => name in CONDITIONS);
  const own = `The server refused it (${status}).`;
  const words = CONDITIONS[known] ?? WORDS[status] ?? messageIn(text) ?? own;
  return new Refusal(status, words);
}

// what is asked for never holds a login, which fetch would refuse
const address = (path) => new URL(path, location.origin).href;

const folder = () => document.body.dataset.folder;

const member = (path, name) => path + encodeURIComponent(name);

const nameIn = (path) => decodeURIComponent(path.replace(/\/$/, "").split("/").pop());

async function ask(method, path, headers = {}) {
  let answer;
  try {
    answer = await fetch(address(path), { method, headers });
  } catch {
    throw new Refusal(0, LOST);
  }
  if (answer.ok && answer.status !== 207) return answer;
  throw refusal(answer.status, await answer.text().catch(() => ""));
}

// why the server cannot take a name, or ""
function faultOf(name) {
  if (!name) return "Type a name.";
  if (name === "." || name === "..") return "Choose another name.";
  if (name.includes("/")) return "A name cannot have a slash.";
  if (/[\0-\x1f\x7f]/.test(name)) return "A name cannot have control characters.";
  return new TextEncoder().encode(name).length > 255 ? WORDS[414] : "";
}
