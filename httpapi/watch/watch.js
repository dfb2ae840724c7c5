// <task-progress src="/watch/…" lines>: a task's bar, live, and its log. Events, whose detail is the task: task, done, failed; line; and gone.
const words = { blocked: 'Waiting', scheduled: 'Waiting', ready: 'Waiting', running: 'Running', completed: 'Done', failed: 'Failed', cancelled: 'Cancelled' };

class TaskProgress extends HTMLElement {
  static observedAttributes = ['src'];
  #parts;
  #life;
  #done;
  #last;

  connectedCallback() {
    const part = (selector, tag, attributes) => {
      let e = this.querySelector(selector);
      if (!e) {
        e = this.appendChild(document.createElement(tag));
        for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
      }
      return e;
    };
    this.#parts = {
      state: part('[role=status]', 'span', { role: 'status' }),
      bar: part('progress', 'progress', { max: 100, 'aria-label': this.getAttribute('label') ?? 'Progress' }),
      text: part('.text', 'span', { class: 'text' }),
    };
    if (this.hasAttribute('lines')) this.#parts.log = part('pre', 'pre', { role: 'log', tabindex: 0, 'aria-label': 'Output', hidden: '' });
    this.#follow();
  }

  attributeChangedCallback(_, before, src) {
    if (src !== before) this.#last = 0;
    if (this.#parts && this.isConnected) this.#follow();
  }

  disconnectedCallback() { this.#life?.abort(); }

  // Streams; where that fails thrice, polls.
  async #follow() {
    this.#life?.abort();
    const { signal } = (this.#life = new AbortController());
    this.#done = false;
    const src = this.getAttribute('src');
    for (let tries = 3; src && !signal.aborted && !this.#done;) {
      if (tries) tries = (await this.#stream(src, signal)) ? 3 : tries - 1;
      if (signal.aborted || this.#done) return;
      const seconds = await this.#poll(src, signal);
      if (!signal.aborted && !this.#done) await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    }
  }

  // Resolves when the stream is over: did anything come? A proxy may hold it back.
  #stream(src, signal) {
    return new Promise((resolve) => {
      let came = false;
      const stream = new EventSource(src + '/events');
      const over = () => { stream.close(); clearTimeout(silent); resolve(came); };
      const silent = setTimeout(over, 5000);
      signal.addEventListener('abort', over);
      stream.addEventListener('task', (e) => { came = true; clearTimeout(silent); this.#show(JSON.parse(e.data)); });
      stream.addEventListener('log', (e) => this.#line(JSON.parse(e.data)));
      stream.addEventListener('gone', over);
      stream.addEventListener('end', over);
      stream.onerror = () => { if (stream.readyState === stream.CLOSED) over(); };
    });
  }

  // Resolves to the seconds until the next.
  async #poll(src, signal) {
    try {
      const answer = await fetch(src, { headers: { Accept: 'application/json' }, cache: 'no-store', credentials: 'omit', signal });
      if (answer.ok) this.#show(await answer.json());
      else if (answer.status === 404) this.#gone();
      return Math.max(1, Number(answer.headers.get('Retry-After')) || 5);
    } catch {
      return 5;
    }
  }

  #show(task) {
    if (this.#life.signal.aborted || this.#done) return;
    const { state, bar, text } = this.#parts, p = task.progress ?? {}, known = task.state === 'completed' ? 100 : p.percent;
    const value = known ?? (task.state === 'running' ? null : 0);
    if (value === null) bar.removeAttribute('value'); else bar.value = value;
    const word = task.error && task.state === 'scheduled' ? 'Waiting to try again' : words[task.state] ?? task.state;
    if (state.textContent !== word) state.textContent = word; // only what is new is read aloud
    const why = task.done || task.state === 'scheduled' && !p.message ? task.error?.message : '';
    text.textContent = [known != null ? Math.floor(known) + '%' : p.current ? p.current + ' so far' : '', why || p.message].filter(Boolean).join(' · ');
    this.dataset.state = task.state;
    this.#tell('task', task);
    if (task.done) this.#end(task.state === 'completed' ? 'done' : 'failed', task);
  }

  #line(line) {
    if (line.id <= this.#last) return; // told before
    this.#last = line.id;
    const { log } = this.#parts;
    if (log) {
      const end = log.scrollTop + log.clientHeight > log.scrollHeight - 9;
      log.append(line.message + '\n');
      log.hidden = false;
      if (end) log.scrollTop = log.scrollHeight;
    }
    this.#tell('line', line);
  }

  #gone() {
    const { state, bar, text } = this.#parts;
    state.textContent = 'Not available';
    bar.value = 0;
    text.textContent = 'This link shows nothing (any more).';
    this.dataset.state = 'gone';
    this.#end('gone', null);
  }

  #end(name, task) {
    this.#done = true;
    this.#tell(name, task);
  }

  #tell(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true })); }
}

if (!customElements.get('task-progress')) customElements.define('task-progress', TaskProgress);
