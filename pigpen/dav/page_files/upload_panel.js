// -- the panel of uploads -------------------------------------------------------------------------

const MAX_SHOWN = 100;

let drawing = 0;

function drawSoon() {
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    draw();
  });
}

function clearPanel() {
  find("#uploads ul").replaceChildren();
}

function line(one) {
  const stop = make("button", { type: "button", className: "button plain", title: "Cancel" });
  stop.setAttribute("aria-label", `Cancel ${one.label}`);
  stop.append(icon("close"));
  stop.onclick = () => {
    one.cancel();
    drawSoon();
  };
  const bar = make("progress", { max: one.file.size || 1, value: 0 });
  bar.setAttribute("aria-label", one.label);
  const name = make("bdi", { className: "label", title: one.label }, one.label);
  const words = make("span", { className: "words" });
  one.line = make("li", {}, name, words, stop, bar);
  return one.line;
}

const STATES = { done: "Done", skipped: "Skipped", cancelled: "Cancelled" };

function drawLine(one) {
  const element = one.line ?? line(one);
  element.className = one.state;
  const words = STATES[one.state] ?? one.words;
  find(".words", element).textContent = words || formatSize(one.file.size);
  find("progress", element).value = one.state === "done" ? one.file.size || 1 : one.sent;
  find("progress", element).hidden = one.settled;
  find("button", element).hidden = one.settled;
  return element;
}

// what is under way and what failed come first: of very many, not all are shown
function linesToShow() {
  const rank = { active: 0, failed: 1, waiting: 2, cancelled: 3, skipped: 3, done: 4 };
  return [...queue.all].sort((a, b) => rank[a.state] - rank[b.state]).slice(0, MAX_SHOWN);
}

function draw() {
  const panel = find("#uploads");
  panel.hidden = !queue.all.length;
  if (panel.hidden) return;
  const list = find("ul", panel);
  const lines = linesToShow().map(drawLine);
  // only what moved is moved, so that a focused button keeps the focus
  lines.forEach((element, at) => {
    if (list.children[at] !== element) list.insertBefore(element, list.children[at] ?? null);
  });
  while (list.children.length > lines.length) list.lastChild.remove();
  drawTotal(panel);
}

function drawTotal(panel) {
  const kept = queue.all.filter((one) => one.state !== "cancelled" && one.state !== "skipped");
  const total = kept.reduce((sum, one) => sum + one.file.size, 0);
  const sent = kept.reduce((sum, one) => sum + (one.state === "done" ? one.file.size : one.sent), 0);
  const done = kept.filter((one) => one.state === "done").length;
  const failed = kept.filter((one) => one.state === "failed").length;
  const running = isBusy();
  find("h2", panel).textContent = running
    ? `Uploading ${done + 1 > kept.length ? done : done + 1} of ${kept.length.toLocaleString("en")}`
    : summary(done, failed);
  const bar = find("progress", panel);
  bar.hidden = !running;
  bar.max = total || 1;
  bar.value = Math.min(sent, total);
  const seconds = (performance.now() - queue.began) / 1000;
  const speed = seconds > 1 ? `, ${formatSize(Math.round(sent / seconds))}/s` : "";
  find(".amount", panel).textContent = running
    ? `${formatSize(Math.min(sent, total))} of ${formatSize(total)}${speed}`
    : "";
  find(".stop", panel).textContent = running ? "Cancel all" : "Close";
}

function summary(done, failed) {
  const uploaded = done || !failed ? `${count(done, "file", "files")} uploaded` : "";
  const missed = failed ? `${failed.toLocaleString("en")} failed` : "";
  return [uploaded, missed].filter(Boolean).join(", ");
}

async function finishQueue() {
  draw();
  if (queue.all.length) announce(find("#uploads h2").textContent);
  if (queue.changed) await refreshed();
}

function stopUploads() {
  if (!isBusy()) {
    find("#uploads").hidden = true;
    queue.all = [];
    find("#upload-button").focus();
    return;
  }
  queue.waiting = [];
  queue.all.forEach((one) => one.cancel());
  drawSoon();
}
