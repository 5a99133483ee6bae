"use strict";
// Forms with `data-passkey` get a passkey from the browser before they are sent. Where the server refuses to begin, the
// form goes as it is, and the page that comes back says why.
const able = "PublicKeyCredential" in window && "parseRequestOptionsFromJSON" in PublicKeyCredential;

for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.hidden = !able;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const status = form.querySelector("[role=status]");
    status.textContent = "";
    const asked = new URLSearchParams(new FormData(form));
    asked.set("do", "passkey-options");
    asked.set("for", form.dataset.passkey);
    try {
      const answer = await fetch("account", { method: "POST", body: asked });
      if (answer.ok) {
        const { challenge_id, options } = await answer.json();
        const credential = form.dataset.passkey === "register"
          ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
          : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
        form.elements.challenge_id.value = challenge_id;
        form.elements.credential.value = JSON.stringify(credential);
      }
      form.submit();
    } catch {
      status.textContent = "No passkey was used. Try again, or choose another way.";
    }
  });
}
