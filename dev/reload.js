// Reloads the page when appserver dev has another version to show than the one that the page was made from.
(() => {
  const script = document.currentScript;
  const events = new URL("events", script.src);
  const manual = script.dataset.manual === "true";
  let source = null;
  const fresh = () => {
    if (!manual) {
      location.reload();
      return;
    }
    document.body.dataset.fresh = "true"; // the request was no GET: whoever made it decides
  };
  const listen = () => {
    if (source !== null || document.hidden) {
      return;
    }
    source = new EventSource(events);
    source.onmessage = (e) => {
      if (e.data !== script.dataset.version) {
        close();
        fresh();
      }
    };
    source.onerror = () => {
      if (source !== null && source.readyState === EventSource.CLOSED) { // for good: whoever answered was not dev
        close();
        setTimeout(listen, 1000);
      }
    };
  };
  const close = () => {
    if (source !== null) {
      source.close();
      source = null;
    }
  };
  // Browsers have six connections for each host: those in the background must not take them.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : listen()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", listen);
  listen();
})();
