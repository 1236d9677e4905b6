// -- uploads: a few at a time, folders first, nothing replaced unasked --------------------------

// browsers open six connections to a server; the page needs some itself
const AT_ONCE = 4;
// larger ones are asked about first: a server that refuses them may have to cut the connection
const ASK_FIRST_BYTES = 256 * 1024;

const queue = {
  waiting: [],
  active: new Set(),
  all: [],
  folders: new Map(),
  // what the user said for all names that are taken: "replace", "skip" or null
  verdict: null,
  began: 0,
  // folders whose files are still being found
  gathering: 0,
  // whether the listing is an old one
  changed: false,
};

const isBusy = () => queue.active.size > 0 || queue.waiting.length > 0 || queue.gathering > 0;

class Upload {
  constructor(file, path, label) {
    this.file = file;
    this.path = path;
    this.label = label;
    this.sent = 0;
    // waiting, active, done, failed, skipped, cancelled
    this.state = "waiting";
    this.words = "";
    this.request = null;
  }

  get settled() {
    return this.state !== "waiting" && this.state !== "active";
  }

  cancel() {
    if (this.settled) return;
    this.state = "cancelled";
    this.request?.abort();
  }

  put(replaces) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      this.request = request;
      request.open("PUT", address(this.path));
      if (!replaces) request.setRequestHeader("If-None-Match", "*");
      if (this.file.lastModified > 0) {
        request.setRequestHeader("X-OC-Mtime", String(Math.floor(this.file.lastModified / 1000)));
      }
      request.upload.onprogress = (event) => {
        this.sent = event.loaded;
        drawSoon();
      };
      request.onload = () => {
        if (request.status >= 200 && request.status < 207) resolve();
        else reject(refusal(request.status, request.responseText));
      };
      request.onerror = () => reject(new Refusal(0, LOST));
      request.onabort = () => reject(new Refusal(0, "Cancelled."));
      request.send(this.file);
    });
  }
}

// `items`: files with the folders they lie in below `root`, as ["photos", "2024"]
function upload(items, root) {
  if (!isBusy()) beginQueue();
  for (const { file, folders } of items) {
    const label = [...folders, file.name].join("/");
    const parent = folders.reduce((path, name) => `${member(path, name)}/`, root);
    const one = new Upload(file, member(parent, file.name), label);
    one.parent = { root, folders };
    queue.all.push(one);
    queue.waiting.push(one);
  }
  drawSoon();
  startMore();
}

function beginQueue() {
  Object.assign(queue, { all: [], verdict: null, changed: false, began: performance.now() });
  queue.folders.clear();
  clearPanel();
}

function startMore() {
  while (queue.active.size < AT_ONCE && queue.waiting.length) {
    const one = queue.waiting.shift();
    if (one.state !== "waiting") continue;
    queue.active.add(one);
    run(one);
  }
  drawSoon();
  if (!isBusy()) finishQueue();
}

async function run(one) {
  one.state = "active";
  try {
    await makeFolders(one.parent.root, one.parent.folders);
    if (one.state === "active") await send(one);
    if (one.state === "active") {
      one.state = "done";
      queue.changed = true;
    }
  } catch (error) {
    if (one.state !== "cancelled") {
      one.state = "failed";
      one.words = error instanceof Refusal ? error.message : String(error);
    }
  } finally {
    one.request = null;
    queue.active.delete(one);
    startMore();
  }
}

async function send(one) {
  const asksFirst = one.file.size > ASK_FIRST_BYTES;
  try {
    if (asksFirst && (await exists(one.path))) throw new Refusal(412, WORDS[412]);
    if (one.state === "active") await one.put(false);
  } catch (error) {
    if (error.status !== 412 || one.state !== "active") throw error;
    await replace(one);
  }
}

async function exists(path) {
  try {
    await ask("HEAD", path);
    return true;
  } catch (error) {
    if (error.status === 404) return false;
    throw error;
  }
}

async function replace(one) {
  one.sent = 0;
  const verdict = queue.verdict ?? (await askVerdict(one));
  if (one.state !== "active") return;
  if (verdict === "skip") {
    one.state = "skipped";
    return;
  }
  try {
    await one.put(true);
  } catch (error) {
    throw error.status === 405 ? new Refusal(405, "A folder has this name.") : error;
  }
}

async function askVerdict(one) {
  const answer = await question({
    title: `Replace “${one.label}”?`,
    detail: "There is already something with this name.",
    yes: "Replace",
    no: "Skip",
    danger: true,
    always: queue.all.length > 1,
    // someone may have answered for all while this waited
    given: () => queue.verdict ?? (one.state === "active" ? null : "skip"),
    attempt: (text, always) => settle("replace", always),
    refuse: (always) => settle("skip", always),
  });
  return answer ?? "skip";
}

function settle(verdict, always) {
  if (always) queue.verdict = verdict;
  return verdict;
}

// each folder is made once; that it exists is no failure
function makeFolders(root, names) {
  let path = root;
  let made = Promise.resolve();
  for (const name of names) {
    path = `${member(path, name)}/`;
    const own = path;
    if (!queue.folders.has(own)) queue.folders.set(own, made.then(() => makeFolder(own)));
    made = queue.folders.get(own);
  }
  return made;
}

async function makeFolder(path) {
  try {
    await ask("MKCOL", path);
    queue.changed = true;
  } catch (error) {
    if (error.status !== 405) throw error;
  }
}
