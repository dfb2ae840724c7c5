// Client and worker of scheduler. See README.md.
export { Client } from './client.js';
export { CircuitOpen, ConnectionError, PermanentError, ProblemError, RetryAfter, Snooze, Stopped } from './errors.js';
export { publishTx, submitTx } from './tx.js';
export { Worker } from './worker.js';
