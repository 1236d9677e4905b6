// -- dropping: files and whole folders, from the desktop or a chooser ---------------------------

const hasFiles = (event) => !isReadOnly() && [...(event.dataTransfer?.types ?? [])].includes("Files");

// a folder gives its members a hundred at a time
async function membersOf(entry) {
  const reader = entry.createReader();
  const members = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return members;
    members.push(...some);
  }
}

// a folder without members is an item without a file
async function* filesBelow(entry, folders = []) {
  if (entry.isFile) {
    yield { file: await new Promise((resolve, reject) => entry.file(resolve, reject)), folders };
    return;
  }
  const inside = [...folders, entry.name];
  const members = await membersOf(entry);
  if (!members.length) yield { file: null, folders: inside };
  for (const inner of members) yield* filesBelow(inner, inside);
}

async function uploadEntries(entries) {
  const root = folder();
  if (!isBusy()) beginQueue();
  queue.gathering += 1;
  for (const entry of entries) {
    if (entry instanceof File) upload([{ file: entry, folders: [] }], root);
    else await uploadBelow(entry, root);
  }
  queue.gathering -= 1;
  startMore();
}

async function uploadBelow(entry, root) {
  try {
    for await (const item of filesBelow(entry)) {
      if (item.file) upload([item], root);
      else await makeFolders(root, item.folders);
    }
  } catch (error) {
    const words = error instanceof Refusal ? error.message : "It cannot be read.";
    complain(`“${entry.name}”: ${words}`);
  }
}

// the browser forgets what was dropped when this returns, so all is taken at once
function drop(event) {
  if (!hasFiles(event)) return;
  event.preventDefault();
  showDrop(false);
  const entries = [...event.dataTransfer.items]
    .filter((item) => item.kind === "file")
    .map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile())
    .filter(Boolean);
  uploadEntries(entries);
}

let dragged = 0;

function showDrop(shown) {
  if (!shown) dragged = 0;
  find("#drop").hidden = !shown;
}

function watchDrops() {
  addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    dragged += 1;
    showDrop(true);
  });
  addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    dragged -= 1;
    if (dragged <= 0) showDrop(false);
  });
  addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  addEventListener("drop", drop);
}

// a chooser of folders tells where each file was: "photos/2024/a.jpg"
function chosen(input) {
  const items = [...input.files].map((file) => ({
    file,
    folders: (file.webkitRelativePath || "").split("/").slice(0, -1),
  }));
  input.value = "";
  if (items.length) upload(items, folder());
}
