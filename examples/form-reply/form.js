// Sends the form without leaving the page. A stream from the scheduler tells how far the order is and when there is a reply, which
// the application then gives. Where no stream comes through, the application is asked at once: it answers when there is a reply.
const form = document.querySelector('form');
const status = document.querySelector('[role=status]');

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const answer = await fetch(form.action, { method: 'POST', body: new FormData(form) });
  const { errors = {}, poll, events } = await answer.json();
  for (const place of form.querySelectorAll('[data-for]')) place.textContent = errors[place.dataset.for] ?? '';
  if (answer.status === 202) follow(events, poll);
});

function show({ state, message, reply, error }) {
  status.textContent = reply ? `Parcel ${reply.parcel} is on its way.` : error ? `Sorry: ${error}` : message ?? state;
}

function follow(events, poll) {
  const stream = new EventSource(events);
  const ask = () => { clearTimeout(silent); stream.close(); reply(poll); };
  const silent = setTimeout(ask, 5000);
  stream.addEventListener('task', ({ data }) => {
    clearTimeout(silent);
    const task = JSON.parse(data);
    if (!task.done) show({ state: task.state, message: task.progress?.message });
  });
  stream.addEventListener('end', ask);
  stream.onerror = () => { if (stream.readyState === EventSource.CLOSED) ask(); };
}

async function reply(poll) {
  for (;;) {
    const answer = await fetch(poll, { headers: { Prefer: 'wait=20' } }).catch(() => null);
    const order = answer?.ok ? await answer.json() : null;
    if (order) show(order);
    if (order?.done) return;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}
