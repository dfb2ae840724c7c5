// Server-sent events as an async iterator that outlives its connections.
import { ConnectionError } from './errors.js';
import { pause, problem } from './http.js';

const silence = 45_000; // the server says something every 15 s

/** Yields {event, id, data} until the server says that there is no more. */
export async function* follow(http, path, { after, signal } = {}) {
  let seen = after;
  let retry = 2000;
  for (let fruitless = 0; ; fruitless++) {
    let asked = 0; // ms that the server asks to wait
    const stop = new AbortController();
    const onAbort = () => stop.abort();
    signal?.throwIfAborted();
    signal?.addEventListener('abort', onAbort);
    try {
      const headers = { accept: 'text/event-stream', ...(seen !== undefined && { 'last-event-id': seen }) };
      const response = await http.open('GET', path, { headers, signal: stop.signal });
      if (response.status === 204) return;
      if (!response.ok) throw problem(response, await response.text());
      for await (const frame of frames(response.body, stop)) {
        if (frame.retry !== undefined) retry = frame.retry;
        if (frame.event === undefined) continue;
        fruitless = 0;
        if (frame.id !== undefined) seen = frame.id;
        if (frame.event === 'end') return;
        yield { event: frame.event, id: seen, data: JSON.parse(frame.data) };
      }
    } catch (error) {
      signal?.throwIfAborted();
      const again = error instanceof ConnectionError || error.status >= 500 || [408, 429].includes(error.status);
      if (!again || fruitless >= 10) throw error;
      asked = error.retryAfterMs ?? 0;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      stop.abort(); // also when whoever iterates leaves
    }
    await pause(Math.max(asked, retry * (0.75 + Math.random() / 2)), signal);
  }
}

/** The frames of a stream. A silent connection is dead. */
async function* frames(body, stop) {
  const decoder = new TextDecoder();
  let text = '';
  let dog = setTimeout(() => stop.abort(), silence);
  try {
    for await (const chunk of body) {
      clearTimeout(dog);
      dog = setTimeout(() => stop.abort(), silence);
      text += decoder.decode(chunk, { stream: true });
      for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) yield parse(text.slice(0, end));
    }
  } catch (error) {
    throw new ConnectionError(`the stream broke off: ${error.message}`, true, error);
  } finally {
    clearTimeout(dog);
  }
}

function parse(block) {
  const frame = {};
  for (const line of block.split('\n')) {
    const [, name, value] = /^([^:]+):? ?(.*)$/s.exec(line) ?? [];
    if (name === 'event' || name === 'id') frame[name] = value;
    else if (name === 'retry') frame.retry = Number(value);
    else if (name === 'data') frame.data = frame.data === undefined ? value : `${frame.data}\n${value}`;
  }
  return frame;
}
