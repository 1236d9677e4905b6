// -- start: what listens to what ------------------------------------------------------------------

const plain = (event) =>
  event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;

function clicked(event) {
  const more = event.target.closest("#listing button.more");
  if (more) return openMenu(more);
  const link = event.target.closest("#listing a, #path a");
  if (!link || !plain(event)) return undefined;
  const row = link.closest("tbody tr");
  const entry = row && describe(row);
  if (entry && !entry.isFolder) {
    if (!entry.kind) return undefined;
    event.preventDefault();
    return preview(entry);
  }
  // leaving the page would end what is being uploaded
  if (!isBusy()) return undefined;
  event.preventDefault();
  return go(new URL(link.href).pathname + new URL(link.href).search);
}

function start() {
  enrich();
  find(".tools").hidden = isReadOnly();
  document.addEventListener("click", clicked);
  document.addEventListener("keydown", keyOnRow);
  find("#new-folder-button").onclick = newFolder;
  find("#upload-button").onclick = () => find("#files").click();
  find("#upload-folder-button").onclick = () => find("#folders").click();
  find("#files").onchange = (event) => chosen(event.target);
  find("#folders").onchange = (event) => chosen(event.target);
  find("#uploads .stop").onclick = stopUploads;
  const dialog = find("#preview");
  find(".close", dialog).onclick = () => dialog.close();
  find(".previous", dialog).onclick = () => step(-1);
  find(".next", dialog).onclick = () => step(1);
  dialog.onclose = closedPreview;
  dialog.onkeydown = keyOnPreview;
  dialog.onclick = (event) => {
    if (event.target === dialog || event.target.classList.contains("stage")) dialog.close();
  };
  watchDrops();
  addEventListener("popstate", () => refreshed());
  addEventListener("scroll", () => find("#menu").togglePopover(false), { passive: true });
  addEventListener("beforeunload", (event) => {
    if (isBusy()) event.preventDefault();
  });
}

start();
