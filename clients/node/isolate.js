// Handlers in processes of their own, one task at a time each: this same program again, which then speaks frames (docs/child.md) with this
// process. What does not end when it is told to is killed, and only its own task ends with it.
import { spawn, spawnSync } from 'node:child_process';
import { Ended } from './attempt.js';

const boot = 30_000; // ms until it must be ready
const end = 5000; // ms that a process has to end once nothing is left for it to do
const lastWords = 1000; // ms to hear what a process said before its end
const starts = 3; // of processes until a task fails because none comes up
const longest = 8192; // characters of a line of output that is kept

export class Children {
  #graceMs;
  #logger;
  #idle = [];
  #all = new Set();

  constructor({ graceMs, logger }) {
    if (!process.argv[1]) throw new TypeError('isolate: the program is started a second time, so it has to be a file');
    [this.#graceMs, this.#logger] = [graceMs, logger];
  }

  /** Starts so many, and returns once the first of them is ready: a program that does not come up takes no task. */
  async start(count) {
    for (let i = 0; i < count; i++) this.#idle.push(this.#child());
    await Promise.any(this.#idle.map((child) => child.ready)).catch(({ errors }) => {
      throw errors[0];
    });
  }

  /** What differs for the worker: its handlers run tasks here, and who is deaf is killed before it is called so. */
  options(kinds) {
    return { handlers: new Map(kinds.map((kind) => [kind, (task) => this.#run(task)])), graceMs: this.#graceMs + end };
  }

  async #run(task) {
    for (let left = starts; ; left--) {
      const child = this.#idle.find((it) => it.isReady && it.alive) ?? this.#idle.find((it) => it.alive) ?? this.#child();
      this.#idle = this.#idle.filter((it) => it !== child && it.alive);
      try {
        return await child.run(task, this.#graceMs);
      } catch (error) {
        if (!(error instanceof NotBegun)) throw error;
        if (left === 1) throw error.cause;
      } finally {
        if (child.alive) this.#idle.push(child);
        else void child.close();
      }
    }
  }

  /** Lets all end. */
  async close() {
    await Promise.all([...this.#all].map((child) => child.close()));
  }

  #child() {
    const child = new Child(this.#logger);
    this.#all.add(child);
    child.ended.then(() => this.#all.delete(child));
    return child;
  }
}

/** The process ended before it was given the task, which has not to suffer for it. */
class NotBegun extends Error {}

class Child {
  alive = true;
  isReady = false;
  #process;
  #task; // that runs: {task, resolve, reject}
  #last = ''; // line on stderr

  constructor(logger) {
    this.logger = logger;
    const [program, ...arguments_] = [...tied(), process.execPath, ...process.execArgv.filter((it) => !it.startsWith('--inspect')), ...process.argv.slice(1)];
    this.#process = spawn(program, arguments_, {
      env: { ...process.env, SCHEDULER_FD: '3', SCHEDULER_ORPHAN: 'exit' }, stdio: ['pipe', 'pipe', 'pipe', 'pipe'], detached: true, // a process group of its own
    });
    const [stdin, stdout, stderr, frames] = this.#process.stdio;
    for (const pipe of [stdin, stdout, stderr, frames]) pipe.on('error', () => {}); // the end of the process says it all
    lines(frames, (line) => this.#hear(line));
    lines(stdout, (line) => this.#print(line));
    lines(stderr, (line) => this.#print(this.#last = line));
    let up;
    this.ready = new Promise((resolve, reject) => (up = { resolve, reject }));
    this.ready.catch(() => {}).finally(() => clearTimeout(late));
    const late = setTimeout(() => this.#kill('SIGKILL'), boot);
    this.up = up.resolve;
    this.ended = new Promise((resolve) => {
      const over = (how) => {
        const error = Object.assign(new Error(`the process for tasks ended: ${how}${this.#last && `: ${this.#last}`}`), { code: 'worker_crashed' });
        up.reject(error);
        this.#task?.reject(error);
        for (const pipe of this.#process.stdio) pipe.destroy();
        resolve();
      };
      this.#process.once('error', (error) => over(error.message, this.alive = false));
      this.#process.once('exit', (code, signal) => {
        this.alive = false;
        this.#kill('SIGKILL'); // what it started, and left behind in its group
        const how = signal ? `killed by ${signal}` : `exit code ${code}`;
        const late = setTimeout(over, lastWords, how); // who left the group may hold its pipes open
        this.#process.once('close', () => over(how, clearTimeout(late)));
      });
    });
  }

  async run(task, graceMs) {
    const { id, signal } = task;
    let killer, onAbort;
    try {
      return await new Promise((resolve, reject) => {
        onAbort = () => {
          if (!this.#task) return reject(signal.reason); // it was not begun, and must not begin any more
          this.#send({ op: 'cancel', id, reason: signal.reason.code });
          killer = setTimeout(() => {
            this.alive = false;
            this.#kill('SIGKILL');
            reject(signal.reason);
          }, graceMs);
        };
        signal.addEventListener('abort', onAbort, { once: true });
        const begin = () => {
          if (signal.aborted) return reject(signal.reason);
          this.#task = { task, resolve, reject };
          return this.#send({ op: 'task', task });
        };
        this.ready.then(begin, (cause) => reject(new NotBegun('', { cause })));
      });
    } finally {
      this.#task = undefined;
      signal.removeEventListener('abort', onAbort);
      clearTimeout(killer);
    }
  }

  async close() {
    this.#send({ op: 'drain' });
    this.#process.stdin.end();
    const late = setTimeout(() => this.#kill('SIGKILL'), this.#task ? 0 : end);
    await this.ended;
    clearTimeout(late);
  }

  #hear(line) {
    let frame;
    try {
      frame = JSON.parse(line);
    } catch {
      frame = {};
    }
    const { op, id, ends, ...fields } = frame;
    if (op === 'ready') [this.isReady] = [true, this.up()];
    if (ends) this.alive = false; // it ends now: a next task would end with it
    const last = ['result', 'snooze', 'error'].includes(op);
    if (last) setImmediate(() => this.#obey(op, id, fields)); // what was printed before it is heard by then
    else this.#obey(op, id, fields);
  }

  #obey(op, id, fields) {
    if (!this.#task || this.#task.task.id !== id) return;
    const { task, resolve, reject } = this.#task;
    if (op === 'progress') task.progress(fields.current, fields.total, fields.message, fields.data);
    else if (op === 'log') task.log(fields.message);
    else if (op === 'checkpoint') {
      task.saveCheckpoint(fields.checkpoint).then(() => this.#send({ op: 'saved', id: task.id }), (error) => this.#send({ op: 'saved', id: task.id, error: error.message }));
    } else if (op === 'result') resolve(fields.result);
    else if (op === 'snooze') reject(new Ended({ op: 'release', ...fields }));
    else if (op === 'error') {
      const { code = 'error', message = '', stack = '', retryable = true, retry_after_ms } = fields;
      reject(new Ended({ op: 'fail', error: { code, message, stack }, retryable, ...(retry_after_ms !== undefined && { retry_after_ms }) }));
    }
  }

  #print(line) {
    if (this.#task) this.#task.task.log(line.slice(0, longest));
    else if (line !== '') this.logger.error(line);
  }

  #send(frame) {
    this.#process.stdin.write(`${JSON.stringify(frame)}\n`);
  }

  #kill(signal) {
    try {
      if (this.#process.pid) process.kill(-this.#process.pid, signal);
    } catch (error) {
      if (error.code !== 'ESRCH') throw error; // it ended meanwhile
    }
  }
}

/** What makes Linux kill a child when its parent is killed, however busy it is. */
function tied() {
  const words = ['setpriv', '--pdeathsig', 'KILL'];
  ties ??= process.platform === 'linux' && spawnSync(words[0], [...words.slice(1), 'true']).status === 0;
  return ties ? words : [];
}

let ties;

/** Calls back with each line of a stream. */
function lines(stream, take) {
  const parts = [];
  const whole = () => Buffer.concat(parts.splice(0)).toString();
  stream.on('data', (chunk) => {
    for (let at; (at = chunk.indexOf(10)) >= 0; chunk = chunk.subarray(at + 1)) {
      parts.push(chunk.subarray(0, at));
      take(whole());
    }
    if (chunk.length > 0) parts.push(chunk);
  });
  stream.on('end', () => parts.length > 0 && take(whole()));
}
