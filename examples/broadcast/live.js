// Shows what is published to order.#, by server-sent events, or by a WebSocket when the page is opened as /?socket.
const $ = (selector) => document.querySelector(selector);
const pattern = 'order.#';

function show({ id, topic, payload }) {
  const line = document.createElement('li');
  line.dataset.id = id;
  line.textContent = `${id} ${topic} ${JSON.stringify(payload)}`;
  $('ol').prepend(line);
}

const status = (text) => { $('[role=status]').textContent = text; };

function stream() {
  const events = new EventSource('/live/' + encodeURIComponent(pattern)); // comes back by itself, with the id of the last event
  events.onopen = () => status('live');
  events.onerror = () => status('away');
  events.addEventListener('message', ({ data }) => show(JSON.parse(data)));
  events.addEventListener('cursor_expired', () => location.reload()); // away for longer than messages are kept
}

let after; // what an EventSource does by itself a socket has to be told
function socket() {
  const ws = new WebSocket(`${location.protocol.replace('http', 'ws')}//${location.host}/live`);
  ws.onopen = () => ws.send(JSON.stringify({ op: 'subscribe', id: 1, topic: pattern, after }));
  ws.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.cursor) { after = message.cursor; status('live'); }
    if (message.event === 'message') show(message.data);
    if (message.event === 'cursor_expired') location.reload();
  };
  ws.onclose = () => { status('away'); setTimeout(socket, 500 + 500 * Math.random()); };
}

$('form').onsubmit = async (event) => {
  event.preventDefault();
  const { topic, order } = Object.fromEntries(new FormData(event.target));
  const request = { method: 'POST', headers: { 'X-Request-ID': crypto.randomUUID() }, body: JSON.stringify({ topic, payload: { order: Number(order) } }) };
  const answer = await fetch('/publish', request);
  $('output').textContent = answer.ok ? `tasks for: ${(await answer.json()).tasks.map(({ subscription }) => subscription).join(', ') || 'nobody'}` : await answer.text();
};

const bySocket = new URLSearchParams(location.search).has('socket');
$('#via').textContent = bySocket ? 'WebSocket' : 'server-sent events';
if (bySocket) socket(); else stream();
