// What may be thrown: by calls of the server, and by handlers to say how an attempt ends.

/** The server refused, or could not do what was asked for. Decide by code: docs/problems.md has them all. */
export class ProblemError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the server answered ${status}`);
    this.name = 'ProblemError';
    this.status = status;
    this.code = problem.code ?? 'unknown';
    this.errors = problem.errors ?? [];
    this.taskId = problem.task_id ?? null;
    this.state = problem.state ?? null;
    this.requestId = problem.request_id ?? null;
    this.retryAfterMs = undefined; // what the server asks to wait
  }
}

/** No answer came. Whether the server did what was asked for is not known, unless sent is false. */
export class ConnectionError extends Error {
  constructor(message, sent, cause) {
    super(message, { cause });
    this.name = 'ConnectionError';
    this.code = 'no_answer';
    this.sent = sent;
  }
}

/** Nothing was asked: the last requests all went without an answer, and the next is tried only after retryAfterMs. */
export class CircuitOpen extends ConnectionError {
  constructor(retryAfterMs) {
    super(`the server did not answer lately; not asked again for ${retryAfterMs} ms`, false);
    this.name = 'CircuitOpen';
    this.code = 'circuit_open';
    this.retryAfterMs = retryAfterMs;
  }
}

/** Thrown by a handler: the attempt fails, and the task is not tried again. */
export class PermanentError extends Error {
  constructor(message, options = {}) {
    super(message, options);
    this.name = 'PermanentError';
    this.code = options.code ?? 'permanent';
  }
}

/** Thrown by a handler: the attempt fails, and the next one comes after so many milliseconds instead of the task's backoff. */
export class RetryAfter extends Error {
  constructor(milliseconds, message = 'to be tried again later', options = {}) {
    super(message, options);
    this.name = 'RetryAfter';
    this.code = options.code ?? 'retry_after';
    this.milliseconds = span(milliseconds);
  }
}

/** Thrown by a handler: run the task again after so many milliseconds. It counts as no failure. */
export class Snooze extends Error {
  constructor(milliseconds, reason = '') {
    super(reason || 'snoozed');
    this.name = 'Snooze';
    this.milliseconds = span(milliseconds);
    this.reason = reason;
  }
}

/** Why task.signal was aborted. code: cancelled, timeout, lost (another attempt may be running) or shutdown. */
export class Stopped extends Error {
  constructor(code) {
    super(reasons[code] ?? `the task was told to stop: ${code}`);
    this.name = 'Stopped';
    this.code = code;
  }
}

const reasons = {
  cancelled: 'the task was cancelled',
  timeout: 'the attempt took longer than timeout_ms',
  lost: 'the lease is lost: another attempt may be running',
  shutdown: 'the worker is shutting down',
};

function span(milliseconds) {
  if (!(milliseconds >= 0 && milliseconds <= Number.MAX_SAFE_INTEGER)) throw new RangeError('milliseconds to wait are 0 or more');
  return Math.round(milliseconds);
}
