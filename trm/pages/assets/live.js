// A live page: asks its own server for what is new, and gives it to the sections in place; what a reader sorted or chose stays.
"use strict";

(() => {
  const SECONDS = 2, HIDDEN_SECONDS = 15, MOST_SECONDS = 20;
  let version = "", pause = SECONDS;

  async function look() {
    const found = await fetch(`${TRM.page.live}?since=${encodeURIComponent(version)}`, { cache: "no-store" });
    if (found.status === 204) return null;
    if (!found.ok) throw new Error(`the server answers ${found.status}`);
    return found.json();
  }

  async function take(news) {
    version = news.version;
    TRM.page.shared = news.shared;
    document.querySelector(".about").textContent = news.about;
    await TRM.sync(news.sections);
  }

  function say(text, isFault) {
    const holder = document.getElementById("live");
    holder.textContent = text;
    holder.className = isFault ? "failed" : "note";
  }

  async function follow() {
    try {
      const news = await look();
      pause = SECONDS;
      if (news !== null) await take(news);
      say(`live, looked ${new Date().toLocaleTimeString()}`, false);
    } catch (error) {
      pause = Math.min(MOST_SECONDS, 2 * pause);
      say(`not live: ${error.message}; asks again in ${pause} s`, true);
    }
    setTimeout(follow, 1000 * (document.hidden ? HIDDEN_SECONDS : pause));
  }

  document.addEventListener("trm:drawn", () => {
    if (TRM.page.live === null) return;
    version = TRM.page.version;
    follow();
  });
})();
