// Shows an export live. The browser talks to the scheduler itself, by a link that its page was given for this one task; where
// streams do not come through it asks the application once a second, until one does.
const main = document.querySelector('main');
const $ = (selector) => main.querySelector(selector);
let last = 0; // id of the last line shown
let events; // the stream
let live = false; // it has said something
let asking = false;

function show({ status, progress, message, result }, via) {
  $('[role=status]').textContent = status;
  $('progress').value = progress;
  $('#message').textContent = message ?? '';
  $('#via').textContent = `(${via})`;
  if (result) $('#result').textContent = `${result.rows} rows in ${result.file}`;
}

function print(line) {
  if (line.id <= last) return;
  last = line.id;
  $('pre').append(line.message + '\n');
  $('pre').scrollTop = $('pre').scrollHeight;
}

function stream() {
  events = new EventSource(main.dataset.watch + '/events'); // comes back by itself, and goes on where it was
  const silent = setTimeout(poll, 5000); // held back by a proxy, or slow
  events.addEventListener('task', ({ data }) => {
    clearTimeout(silent);
    live = true;
    const task = JSON.parse(data);
    show({ status: task.done ? task.state : 'processing', progress: task.state === 'completed' ? 100 : task.progress?.percent ?? 0,
      message: task.error?.message ?? task.progress?.message, result: task.result }, 'live');
  });
  events.addEventListener('log', ({ data }) => print(JSON.parse(data)));
  events.addEventListener('end', () => events.close());
  events.onerror = () => {
    if (events.readyState !== EventSource.CLOSED) return;
    clearTimeout(silent);
    live = false;
    poll();
  };
}

async function poll() {
  if (asking) return;
  for (asking = true; !live;) {
    const answer = await fetch(`/api/task-status?id=${main.dataset.id}&after=${last}`).catch(() => null);
    if (answer?.ok) {
      const task = await answer.json();
      if (live) break;
      task.lines.forEach(print);
      show(task, 'polled');
      if (task.status !== 'processing' && task.lines.length === 0) {
        events?.close(); // which would be tried for ever
        break;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  asking = false;
}

if (window.EventSource && !new URLSearchParams(location.search).has('poll')) stream(); else poll();
