// -- preview: what the browser can show itself --------------------------------------------------

const MAX_TEXT_BYTES = 64 * 1024;

let previewed = null;

const previewable = () => rows().map(describe).filter((entry) => entry.kind && !entry.isFolder);

function preview(entry) {
  const dialog = find("#preview");
  const stage = find(".stage", dialog);
  previewed = entry;
  find("h2", dialog).textContent = entry.name;
  Object.assign(find(".download", dialog), { href: entry.path, download: entry.name });
  const all = previewable();
  const at = all.findIndex((other) => other.path === entry.path);
  find(".previous", dialog).disabled = at <= 0;
  find(".next", dialog).disabled = at < 0 || at === all.length - 1;
  stopMedia();
  stage.className = `stage ${entry.kind}`;
  stage.replaceChildren(...SHOW[entry.kind](entry));
  if (!dialog.open) {
    dialog.showModal();
    find(".close", dialog).focus();
  }
}

const SHOW = {
  image: (entry) => [media("img", entry, { alt: entry.name })],
  audio: (entry) => [media("audio", entry, { controls: true, autoplay: true })],
  video: (entry) => [media("video", entry, { controls: true, autoplay: true, playsInline: true })],
  pdf: (entry) =>
    navigator.pdfViewerEnabled === false
      ? [instead(entry, "This browser shows no PDF within a page.")]
      : [make("iframe", { src: entry.path, title: entry.name })],
  text: (entry) => {
    const text = make("pre", { tabIndex: 0 });
    const note = make("p", { className: "note" }, "Loading …");
    showText(entry, text, note);
    return [text, note];
  },
};

function media(tag, entry, properties) {
  const element = make(tag, { ...properties, src: entry.path });
  element.onerror = () => {
    if (entry === previewed) {
      element.replaceWith(instead(entry, "This browser cannot show this file."));
    }
  };
  return element;
}

function instead(entry, words) {
  const link = make("a", { className: "button primary", href: entry.path, download: entry.name });
  link.append(icon("download"), make("span", {}, "Download"));
  return make("div", { className: "instead" }, make("p", {}, words), link);
}

async function showText(entry, text, note) {
  try {
    const bytes = entry.size ? await firstBytes(entry.path, MAX_TEXT_BYTES) : new Uint8Array();
    text.textContent = decode(bytes);
    const cut = entry.size > bytes.length;
    note.textContent = cut ? `The first 64 KiB of ${formatSize(entry.size)}` : "";
    note.hidden = !cut && entry.size > 0;
    if (!entry.size) note.textContent = "This file is empty.";
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    note.textContent = error.message;
  }
}

// also of a server that sends more than was asked for
async function firstBytes(path, limit) {
  const answer = await ask("GET", path, { Range: `bytes=0-${limit - 1}` });
  const reader = answer.body.getReader();
  const bytes = new Uint8Array(limit);
  let size = 0;
  try {
    while (size < limit) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes.set(value.subarray(0, limit - size), size);
      size += Math.min(value.length, limit - size);
    }
  } catch {
    throw new Refusal(0, LOST);
  }
  await reader.cancel();
  return bytes.subarray(0, size);
}

// a character cut at the end is left out, not shown as broken
function decode(bytes) {
  const marks = { "254,255": "utf-16be", "255,254": "utf-16le" };
  const encoding = marks[bytes.subarray(0, 2).join()] ?? "utf-8";
  return new TextDecoder(encoding).decode(bytes, { stream: true });
}

// what plays would go on playing, and loading
function stopMedia() {
  findAll("#preview audio, #preview video").forEach((element) => {
    element.onerror = null;
    element.removeAttribute("src");
    element.load();
  });
}

function step(distance) {
  const all = previewable();
  const next = all[all.findIndex((entry) => entry.path === previewed?.path) + distance];
  if (next) preview(next);
}

function closedPreview() {
  stopMedia();
  find("#preview .stage").replaceChildren();
  // the row may be another, if the listing was fetched again meanwhile
  rows().map(describe).find((entry) => entry.path === previewed.path)?.link.focus();
  previewed = null;
}

function keyOnPreview(event) {
  if (event.target.closest("audio, video, pre") || event.altKey || event.ctrlKey) return;
  const distance = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!distance) return;
  event.preventDefault();
  step(distance);
}
