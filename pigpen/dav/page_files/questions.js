// -- questions: one dialog for names, for replacing and for deleting ----------------------------

let lastQuestion = Promise.resolve();

// One at a time. `attempt` gets the text and whether to do so always; a Refusal of it is shown and
// the question stays. Resolves to what it returned; if the user would rather not, to what `refuse`
// returns, else to null. `given` may know the answer by the time the question's turn has come.
function question(parts) {
  const asked = lastQuestion.then(() => showQuestion(parts));
  lastQuestion = asked.catch(() => {});
  return asked;
}

function showQuestion({ title, detail = "", label = "", text = "", yes, no = "Cancel", ...more }) {
  const given = more.given?.() ?? null;
  if (given !== null) return given;
  const dialog = find("#question");
  const form = find("form", dialog);
  const field = form.elements.text;
  find("h2", dialog).textContent = title;
  find(".detail", dialog).textContent = detail;
  find(".field", dialog).hidden = !label;
  find(".field span", dialog).textContent = label;
  find(".always", dialog).hidden = !more.always;
  find(".yes", dialog).textContent = yes;
  find(".yes", dialog).classList.toggle("danger", Boolean(more.danger));
  find(".no", dialog).textContent = no;
  form.elements.always.checked = false;
  field.value = text;
  showFault("");
  dialog.showModal();
  if (label) field.setSelectionRange(0, more.selected ?? text.length);
  (label ? field : find(more.danger ? ".no" : ".yes", dialog)).focus();
  return answerOf(dialog, form, more);
}

function answerOf(dialog, form, { attempt, refuse = () => null }) {
  return new Promise((resolve) => {
    const busy = () => dialog.hasAttribute("aria-busy");
    let result = null;
    form.onsubmit = async (event) => {
      event.preventDefault();
      if (busy()) return;
      dialog.setAttribute("aria-busy", "true");
      showFault("");
      try {
        result = await attempt(form.elements.text.value, form.elements.always.checked);
        dialog.close();
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        showFault(error.message);
      } finally {
        dialog.removeAttribute("aria-busy");
      }
    };
    // what was sent cannot be called back
    dialog.oncancel = (event) => {
      if (busy()) event.preventDefault();
    };
    find(".no", dialog).onclick = () => {
      if (busy()) return;
      result = refuse(form.elements.always.checked);
      dialog.close();
    };
    dialog.onclose = () => resolve(result);
  });
}

function showFault(text) {
  find("#question-refusal").textContent = text;
  find("#question").querySelector("[name=text]").setAttribute("aria-invalid", String(Boolean(text)));
}
