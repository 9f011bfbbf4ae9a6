// The stream of server-sent events: kept open, opened again when it breaks, watched for silence.

const SILENT_MS = 8_000; // the worker tells how it is every second
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 15_000;
const EVENTS = ["signals", "usual", "funnels", "alerts", "vitals", "trouble"];

export class Stream {
  /** `take(event, data)` for each event; `changed(state, why)` when it is "open", "lost", "locked" or "refused". */
  constructor(take, changed) {
    this.take = take;
    this.changed = changed;
    this.source = null;
    this.retryMs = FIRST_RETRY_MS;
    this.heardAt = Date.now();
    setInterval(() => this.#watch(), 1_000);
  }

  open(view) {
    this.view = view;
    this.close();
    this.wanted = true;
    this.#connect();
  }

  close() {
    this.wanted = false;
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  #connect() {
    clearTimeout(this.timer);
    this.source?.close();
    const source = new EventSource(this.#address());
    this.source = source;
    this.heardAt = Date.now();
    for (const name of EVENTS) {
      source.addEventListener(name, (event) => {
        if (source !== this.source) return;
        this.heardAt = Date.now();
        this.retryMs = FIRST_RETRY_MS;
        this.changed("open");
        this.take(name, JSON.parse(event.data));
      });
    }
    source.onerror = () => {
      if (source !== this.source) return;
      this.changed("lost");
      source.close();
      this.#retry();
    };
  }

  #retry() {
    if (!this.wanted) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      // An event source does not say why it was refused.
      const { status, why } = await this.#probe();
      if (!this.wanted) return;
      if (status === 200) return this.#connect();
      if (status === 401) return this.changed("locked");
      if (status) this.changed("refused", why);
      this.#retry();
    }, this.retryMs);
    this.retryMs = Math.min(this.retryMs * 1.6, LONGEST_RETRY_MS);
  }

  #address() {
    return `/api/v1/stream?${new URLSearchParams(this.view)}`;
  }

  async #probe() {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), 5_000);
    try {
      const response = await fetch(this.#address(), { signal: abort.signal });
      const why = response.ok ? "" : ((await response.json().catch(() => null))?.detail ?? response.statusText);
      return { status: response.status, why };
    } catch {
      return { status: 0, why: "" };
    } finally {
      clearTimeout(timer);
      abort.abort();
    }
  }

  #watch() {
    if (this.wanted && this.source && Date.now() - this.heardAt > SILENT_MS) {
      this.changed("lost");
      this.source.close();
      this.source = null;
      this.#retry();
    }
  }
}
