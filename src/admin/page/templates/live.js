// Keeps the sentence on the overview as it is now. Everything else waits for the next look.
"use strict";
(() => {
  const sentence = document.querySelector("[data-figure=sentence]");
  if (!sentence || !window.EventSource) return;
  const events = new EventSource("/page/figures");
  events.onmessage = (event) => {
    const now = JSON.parse(event.data);
    if (sentence.textContent !== now.sentence) sentence.textContent = now.sentence;
    sentence.classList.toggle("good", now.is_well);
    sentence.classList.toggle("bad", !now.is_well);
    document.title = (now.is_well ? "" : "! ") + "Overview · renewald";
  };
})();
