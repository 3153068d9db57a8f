// Watches a log-in under way, counts its time down, and copies. The page works without it.
"use strict";

(() => {
  const watched = document.querySelector("[data-watch]");
  if (watched) {
    const look = async () => {
      try {
        const answer = await fetch(watched.dataset.watch, { headers: { Accept: "application/json" } });
        if (answer.status === 404 || (answer.ok && (await answer.json()).outcome !== "pending")) {
          location.replace(location.href); // the page says how it ended
          return;
        }
      } catch {
        // The gateway restarts, or the network is away: look again.
      }
      setTimeout(look, Math.max(1, Number(watched.dataset.everyS)) * 1000);
    };
    setTimeout(look, 1000);
  }

  const left = document.querySelector("[data-left-s]");
  if (left) {
    const endsAt = Date.now() + Number(left.dataset.leftS) * 1000;
    const tick = () => {
      const seconds = Math.max(0, Math.round((endsAt - Date.now()) / 1000));
      left.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    };
    left.setAttribute("aria-live", "off");
    tick();
    setInterval(tick, 1000);
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent.trim());
      button.textContent = button.dataset.copied;
    });
  }
})();
