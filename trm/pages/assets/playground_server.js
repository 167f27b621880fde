// The server as the playground asks it: JSON, a token where it wants one, its errors in its own words.
"use strict";

(() => {
  const KEPT = "trm-token";

  class ServerError extends Error {
    constructor(message, status) {
      super(message);
      this.status = status;
    }
  }

  let asked = null; // one dialog at a time, whoever needs the token

  /** The token that a person types, kept for this tab alone. */
  function askToken() {
    asked ??= new Promise((resolve) => {
      const dialog = document.getElementById("token-dialog");
      const field = document.getElementById("token");
      field.value = "";
      dialog.addEventListener("close", () => {
        asked = null;
        if (field.value) sessionStorage.setItem(KEPT, field.value);
        resolve(field.value);
        field.value = "";
      }, { once: true });
      dialog.showModal();
      field.focus();
    });
    return asked;
  }

  /** A response and its JSON; null where it has none. */
  async function answered(path, options) {
    const token = sessionStorage.getItem(KEPT);
    const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    let response = null;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
    } catch {
      throw new ServerError("The server does not answer; is it still running?", 0);
    }
    try {
      return [response, await response.json()];
    } catch {
      return [response, null];
    }
  }

  /** What the server answers; a ServerError with its own words for what it refuses. */
  async function call(path, options = {}) {
    let [response, values] = await answered(path, options);
    while (response.status === 401) {
      sessionStorage.removeItem(KEPT);
      if (!(await askToken())) throw new ServerError("The server asks for its token.", 401);
      [response, values] = await answered(path, options);
    }
    if (response.ok && values === null) throw new ServerError("The server answered without JSON.", response.status);
    if (!response.ok) throw new ServerError(values?.error ?? `The server answered ${response.status}.`, response.status);
    return values;
  }

  const post = (path, body) => call(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });

  TRM.server = { get: call, post, ServerError };
})();
