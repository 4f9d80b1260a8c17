// Makes the search work on pages that are opened from the disk. Browsers start no worker from a file, so the script of
// the worker runs in a hidden frame; messages between both are events.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const place = new URL(url, document.baseURI);
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.inner = frame.contentWindow;
      this.inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      const load = (source) =>
        new Promise((done) => {
          const script = frame.contentDocument.createElement("script");
          script.src = new URL(source, place);
          script.onload = done;
          frame.contentDocument.head.append(script);
        });
      this.inner.importScripts = (...sources) =>
        sources.reduce((earlier, source) => earlier.then(() => load(source)), Promise.resolve());
      this.loaded = load(place);
    }

    postMessage(data) {
      this.loaded.then(() => this.inner.dispatchEvent(new MessageEvent("message", { data })));
    }
  };
  // By this name the theme's script of the search knows that it runs in a frame.
  window.IFrameWorker = window.Worker;
}
