/** Where the server is. url and token default to SCHEDULER_URL and SCHEDULER_TOKEN. */
export interface ServerOptions {
  url?: string;
  token?: string;
  /** For one request, beside what it waits; 30,000. */
  timeoutMs?: number;
  /** Of what may be repeated; 4. */
  retries?: number;
}

export interface ClientOptions extends ServerOptions {
  /** After so many requests in a row without an answer (5; 0: never) none is made for pauseMs (10,000): a CircuitOpen is thrown at once. */
  circuit?: { failures?: number; pauseMs?: number };
}

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type State = 'blocked' | 'scheduled' | 'ready' | 'running' | 'completed' | 'failed' | 'cancelled';

/** What scheduler.submit() takes, by SQL. docs/reference/http.md says what each means. */
export interface NewTask<Payload = unknown> {
  kind: string;
  payload?: Payload;
  queue?: string;
  priority?: number;
  run_at?: string | Date;
  delay_ms?: number;
  max_attempts?: number;
  timeout_ms?: number;
  expires_at?: string | Date;
  unique_key?: string;
  idempotency_key?: string;
  backoff_ms?: number[];
  tags?: string[];
}

/** What POST /v1/tasks takes. */
export interface SubmitRequest<Payload = unknown> extends NewTask<Payload> {
  /** links.watch of the answer is a URL for a browser without a token. */
  watch?: boolean;
  watch_ttl_ms?: number;
  /** What it shows besides how far the task is and how it ended. */
  watch_shows?: ('lines' | 'result')[];
}

export interface SubmitOptions extends CallOptions {
  /** Seconds, up to 60, to wait for the end. */
  wait?: number;
  /** The idempotency key of a task that brings none. */
  requestId?: string;
  /** W3C trace context. */
  traceparent?: string;
}

export interface CallOptions {
  signal?: AbortSignal;
}

export interface Progress {
  current: number;
  total: number | null;
  percent: number | null;
  message: string | null;
  data: unknown;
  at: string | null;
}

/** A task as the server sends it. */
export interface TaskView<Payload = unknown, Result = unknown> {
  id: string;
  kind: string;
  queue: string;
  state: State;
  done: boolean;
  priority: number;
  payload: Payload;
  progress: Progress | null;
  result: Result | null;
  error: { code: string; message: string } | null;
  attempt: number;
  failures: number;
  crashes: number;
  max_attempts: number;
  run_at: string;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  worker: { id: string; name: string | null } | null;
  revision: number;
  timeout_ms: number | null;
  backoff_ms: number[] | null;
  expires_at: string | null;
  cancel_requested: boolean;
  unique_key: string | null;
  idempotency_key: string | null;
  schedule: string | null;
  tick_at: string | null;
  /** Of the message that it was made of; null: of none. */
  topic: string | null;
  message_id: string | null;
  traceparent: string | null;
  tags: string[];
  links: { self: string; cancel: string; retry: string; run: string; attempts: string; logs: string; why: string; watch?: string };
}

export interface Submitted {
  id: string;
  queue: string;
  state: State;
  run_at: string;
  created_at: string;
  /** Found by its idempotency_key. */
  replayed: boolean;
  /** Found by its unique_key. */
  existing: boolean;
  watch?: string;
}

/** A message and the tasks that were made of it. */
export interface Published {
  id: string;
  topic: string;
  published_at: string;
  tasks: { id: string; subscription: string; queue: string; kind: string }[];
}

export interface Reason {
  code: string;
  reason: string;
  fix: string | null;
}

export interface Attempt {
  attempt: number;
  outcome: 'running' | 'completed' | 'failed' | 'snoozed' | 'released' | 'crashed' | 'cancelled';
  worker: { id: string; name: string | null };
  started_at: string;
  ended_at: string | null;
  duration_ms: number | null;
  error: { code: string; message: string } | null;
  stack: string | null;
}

export interface LogLine {
  id: number;
  attempt: number;
  at: string;
  stream: 'log' | 'stdout' | 'stderr';
  message: string;
}

export type Change<Payload = unknown, Result = unknown> =
  | { event: 'task'; id: string; data: TaskView<Payload, Result> }
  | { event: 'log'; id: string; data: LogLine & { task: string } }
  | { event: 'gap'; id: string; data: { task: string; logs: string } }
  | { event: 'gone'; id: string; data: { task: string } };

/** Submits tasks over HTTP, reads and controls them, follows them. */
export class Client {
  constructor(options?: ClientOptions);
  /** The task once it is durable; with wait, as it is when it is done or the time is over. */
  submit<Payload = unknown, Result = unknown>(task: SubmitRequest<Payload>, options?: SubmitOptions): Promise<TaskView<Payload, Result>>;
  /** Up to 10,000 tasks, all or none. */
  submitMany(tasks: SubmitRequest[], options?: CallOptions): Promise<Submitted[]>;
  task<Payload = unknown, Result = unknown>(id: string, options?: CallOptions): Promise<TaskView<Payload, Result>>;
  /** The task once it is done, or as it is after timeoutMs. */
  wait<Payload = unknown, Result = unknown>(id: string, options?: CallOptions & { timeoutMs?: number }): Promise<TaskView<Payload, Result>>;
  cancel(id: string, options?: CallOptions & { reason?: string }): Promise<TaskView>;
  /** Brings a failed or cancelled task back. */
  retry(id: string, options?: CallOptions): Promise<TaskView>;
  /** Why it does not run, the reason to mend first on top. */
  why(id: string, options?: CallOptions): Promise<Reason[]>;
  attempts(id: string, options?: CallOptions): Promise<Attempt[]>;
  logs(id: string, options?: CallOptions & { after?: number; limit?: number }): Promise<LogLine[]>;
  /** Publishes to a topic: a task for each subscription that matches. */
  publish(topic: string, payload?: unknown, options?: CallOptions & { idempotency_key?: string; requestId?: string; traceparent?: string }): Promise<Published>;
  /** One call, for what has no method here: the body of the answer, parsed. repeatable: it does no harm twice; by itself, what only reads. */
  call<Answer = any>(method: string, path: string, options?: CallOptions & { body?: unknown; headers?: { [name: string]: string }; wait?: number; repeatable?: boolean }): Promise<Answer>;
  /** The right to end an attempt that was pushed and answered by 202: token is the delivery's lease. */
  lease(token: string): Lease;
  /** Follows one task, or up to 100, live, until all are done. */
  watch<Payload = unknown, Result = unknown>(ids: string | string[], options?: CallOptions & { after?: string; logs?: boolean }): AsyncGenerator<Change<Payload, Result>, void, void>;
}

/** The right to end one attempt. Its calls reject with a ProblemError of the code lease_lost when the attempt is over by anybody else's doing. */
export interface Lease {
  /** The task is done. */
  complete(result?: unknown, options?: CallOptions): Promise<State>;
  /** An error means what it means in a handler: PermanentError, RetryAfter and Snooze too. */
  fail(error: unknown, options?: CallOptions): Promise<State>;
  /** Hands the task back, which counts as no failure. */
  release(options?: CallOptions & { delayMs?: number; reason?: string }): Promise<State>;
  /** cancelled: somebody asked to cancel the task: stop, and fail. */
  heartbeat(report?: CallOptions & { progress?: { current?: number; total?: number; message?: string; data?: unknown }; logs?: string[]; checkpoint?: unknown }): Promise<{
    cancelled: boolean; expires_at: string;
  }>;
}

/** A database client in a transaction: that of pg, or one made like it. */
export interface Queryable {
  query(text: string, values: any[]): Promise<{ rows: any[] } | any[]>;
}

/** Submits a task in the transaction that db is in; returns its id. traceparent: the W3C trace context that it belongs to. */
export function submitTx(db: Queryable, task: NewTask & { traceparent?: string }): Promise<string>;
/** Publishes to a topic in the transaction that db is in; returns the message's id. */
export function publishTx(db: Queryable, topic: string, payload?: unknown, options?: { idempotency_key?: string; traceparent?: string }): Promise<string>;

/** What a handler is given. */
export interface Task<Payload = any, Checkpoint = any> {
  readonly id: string;
  readonly queue: string;
  readonly kind: string;
  readonly payload: Payload;
  /** Counts attempts from 1; the same task never runs twice with the same number. */
  readonly attempt: number;
  readonly failures: number;
  readonly max_attempts: number;
  readonly priority: number;
  readonly timeout_ms: number | null;
  readonly run_at: string;
  readonly created_at: string;
  readonly schedule: string | null;
  readonly tick_at: string | null;
  readonly traceparent: string | null;
  /** Of the message that it was made of; null: of none. */
  readonly topic: string | null;
  readonly message_id: string | null;
  /** What an earlier attempt stored. */
  readonly checkpoint: Checkpoint | null;
  /** Aborted, with a Stopped as the reason, when the task is to end: cancelled, timeout, lost or shutdown. */
  readonly signal: AbortSignal;
  /** Reports how far it is; the last report counts. */
  progress(current: number, total?: number | null, message?: string | null, data?: unknown): void;
  /** Writes a line to the task's log. */
  log(message: string): void;
  /** Stores where the work has got to. Ends once it is stored, throws when it can't be. */
  saveCheckpoint(value: Checkpoint): Promise<void>;
}

export type Handler<Payload = any, Result = unknown, Checkpoint = any> = (task: Task<Payload, Checkpoint>) => Result | Promise<Result>;

export interface WorkerOptions extends ServerOptions {
  /** Taken from in this order; ['default']. */
  queues?: string[];
  /** Tasks at once, 1 to 500; 1. */
  concurrency?: number;
  /** Of silence until the server gives its tasks to others, 5,000 to 86,400,000; 60,000. A heartbeat is sent three times as often. */
  ttlMs?: number;
  /** How long what runs may take to finish at a shutdown; 30,000. */
  drainTimeoutMs?: number;
  /** How long a handler may go on once task.signal told it to stop, until the task's end is told without it, 0 to 60,000; 5,000. */
  graceMs?: number;
  /** Of one call for tasks, seconds up to 60, and no longer than a third of ttlMs; 20. */
  waitSeconds?: number;
  /** Shown to people; host:pid. */
  name?: string;
  /** Of the program, shown to people. */
  version?: string;
  /** Each task runs in a process of its own, which is this program again, and is killed when it does not end in time; false. */
  isolate?: boolean;
  /** false: SIGTERM and SIGINT are the program's own matter. */
  signals?: boolean;
  logger?: { error(line: string): void };
}

/** Runs tasks: as a child of scheduler worker --cmd, or with leases over HTTP. */
export class Worker {
  constructor(options?: WorkerOptions);
  /** Says what runs the tasks of a kind. */
  handle<Payload = any, Result = unknown, Checkpoint = any>(kind: string, handler: Handler<Payload, Result, Checkpoint>): this;
  /** Works until SIGTERM or SIGINT, stop(), or until it is told to; then lets running tasks finish. */
  run(): Promise<void>;
  /** Handlers that run on although they were told to stop, and keep their slots; when all slots are lost so, run() rejects with the code all_deaf. */
  readonly deaf: number;
  /** Takes nothing more and lets run() return once what runs is done. */
  stop(): void;
}

/** The server refused, or could not do what was asked for. Decide by code. */
export class ProblemError extends Error {
  readonly status: number;
  readonly code: ProblemCode;
  readonly errors: { pointer?: string; parameter?: string; header?: string; detail: string }[];
  readonly taskId: string | null;
  readonly state: State | null;
  readonly requestId: string | null;
  /** What the server asks to wait. */
  readonly retryAfterMs?: number;
}

/** docs/problems.md explains each. A later server may have more. */
export type ProblemCode =
  | 'malformed_json' | 'bad_cursor' | 'cursor_expired' | 'unauthorized' | 'forbidden' | 'not_found' | 'watch_not_found' | 'method_not_allowed' | 'request_timeout'
  | 'state_conflict' | 'unique_conflict' | 'lease_lost' | 'precondition_failed' | 'payload_too_large' | 'unsupported_media_type' | 'misdirected'
  | 'validation_failed' | 'idempotency_key_reused' | 'bad_cron' | 'internal' | 'database_unavailable' | 'schema_mismatch' | 'timeout'
  | 'upgrade_required' | 'redirected' | (string & {});

/** No answer came. Whether the server did what was asked for is not known, unless sent is false. */
export class ConnectionError extends Error {
  readonly code: 'no_answer' | 'circuit_open';
  readonly sent: boolean;
}

/** Nothing was asked, since the last requests all went without an answer. */
export class CircuitOpen extends ConnectionError {
  readonly code: 'circuit_open';
  readonly sent: false;
  readonly retryAfterMs: number;
}

/** Thrown by a handler: the attempt fails, and the task is not tried again. */
export class PermanentError extends Error {
  constructor(message: string, options?: { code?: string; cause?: unknown });
  readonly code: string;
}

/** Thrown by a handler: the attempt fails, and the next one comes after so many milliseconds instead of the task's backoff. */
export class RetryAfter extends Error {
  constructor(milliseconds: number, message?: string, options?: { code?: string; cause?: unknown });
  readonly code: string;
  readonly milliseconds: number;
}

/** Thrown by a handler: run the task again after so many milliseconds. It counts as no failure. */
export class Snooze extends Error {
  constructor(milliseconds: number, reason?: string);
  readonly milliseconds: number;
  readonly reason: string;
}

/** Why task.signal was aborted. */
export class Stopped extends Error {
  readonly code: 'cancelled' | 'timeout' | 'lost' | 'shutdown';
}
