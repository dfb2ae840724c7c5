// Compiled, never run: what people write has the types that they expect, and mistakes are found.
import {
  CircuitOpen, Client, ConnectionError, PermanentError, ProblemError, RetryAfter, Snooze, Stopped, Worker, publishTx, submitTx,
  type Attempt, type CallOptions, type Change, type ClientOptions, type Handler, type Json, type Lease, type LogLine, type NewTask, type ProblemCode,
  type Progress, type Published, type Queryable, type Reason, type ServerOptions, type State, type Submitted, type SubmitOptions,
  type SubmitRequest, type Task, type TaskView, type WorkerOptions,
} from '../index.js';

interface Mail { to: string }
interface Sent { id: number }

export async function produce(db: { query(text: string, values: unknown[]): Promise<{ rows: { id: string }[] }> }, stop: AbortSignal): Promise<string> {
  const client = new Client({ url: 'http://localhost:8080', token: 't', timeoutMs: 1, retries: 0 });
  const task = await client.submit<Mail, Sent>({ kind: 'mail.send', payload: { to: 'a' }, run_at: new Date(), tags: ['x'] }, { wait: 5, requestId: 'r', signal: stop });
  const id: number | undefined = task.result?.id;
  const done = await client.wait(task.id, { timeoutMs: 1000 });
  if (done.state === 'failed') throw new Error(`${done.error?.code} ${id}`);
  // @ts-expect-error: there is no such state
  if (done.state === 'dead') return '';
  // @ts-expect-error: a kind is needed
  await client.submit({ payload: {} });
  // @ts-expect-error: the payload is a Mail
  await client.submit<Mail>({ kind: 'mail.send', payload: { from: 'a' } });
  for await (const change of client.watch<Mail, Sent>(task.id, { logs: false })) {
    if (change.event === 'task') console.log(change.data.progress?.percent, change.data.payload.to);
    else if (change.event === 'log') console.log(change.data.message);
  }
  const [first] = await client.submitMany([{ kind: 'a' }, { kind: 'b', payload: 1 }]);
  console.log(first.replayed, (await client.why(task.id))[0].fix, (await client.publish('order.paid', { a: 1 })).tasks[0].subscription);
  await publishTx(db, 'order.paid', {});
  // @ts-expect-error: only HTTP makes watch URLs
  await submitTx(db, { kind: 'a', watch: true });
  return submitTx(db, { kind: 'a', payload: null, delay_ms: 5 });
}

export function work(): Promise<void> {
  const worker = new Worker({ queues: ['mail'], concurrency: 5, logger: console });
  worker.handle<Mail, Sent, { step: number }>('mail.send', async (task) => {
    task.progress(1, 2, 'half', { any: 'thing' });
    task.log(task.payload.to);
    await task.saveCheckpoint({ step: (task.checkpoint?.step ?? 0) + 1 });
    // @ts-expect-error: a checkpoint is a step
    await task.saveCheckpoint('x');
    if (task.signal.aborted) throw task.signal.reason as Stopped;
    if (task.attempt > 3) throw new PermanentError('no', { code: 'bad_address' });
    if (task.attempt > 2) throw new RetryAfter(1000, 'later');
    if (task.attempt > 1) throw new Snooze(1000);
    return { id: 7 };
  }).handle('other', () => 1);
  // @ts-expect-error: the result is Sent
  worker.handle<Mail, Sent>('third', () => 'x');
  return worker.run();
}

export function judge(error: unknown): boolean {
  if (error instanceof ProblemError) return error.code === 'lease_lost' || error.status >= 500;
  if (error instanceof CircuitOpen) return error.retryAfterMs > 0;
  return error instanceof ConnectionError && error.sent;
}

const server: ServerOptions = { url: 'http://localhost:8080', retries: 1 };
const options: ClientOptions = { ...server, circuit: { failures: 0 } };
const crew: WorkerOptions = { ...server, queues: ['mail'], drainTimeoutMs: 1, signals: false };
const send: Handler<Mail, Sent> = (task: Task<Mail>) => ({ id: task.payload.to.length });

export async function all(db: Queryable, call: CallOptions): Promise<Json> {
  const task: NewTask<Mail> = { kind: 'mail.send', payload: { to: 'a' }, tags: [] };
  const request: SubmitRequest<Mail> = { ...task, watch: true, watch_ttl_ms: 1000, watch_shows: ['lines'] };
  const how: SubmitOptions = { ...call, wait: 1, requestId: 'r' };
  const client = new Client(options);
  const view: TaskView<Mail, Sent> = await client.submit<Mail, Sent>(request, how);
  const state: State = view.state;
  const progress: Progress | null = view.progress;
  const stored: Submitted[] = await client.submitMany([request], call);
  const message: Published = await client.publish('a.b');
  const reasons: Reason[] = await client.why(view.id);
  const attempts: Attempt[] = await client.attempts(view.id);
  const lines: LogLine[] = await client.logs(view.id, { after: 3, ...call });
  const code: ProblemCode = 'lease_lost';
  const { items } = await client.call<{ items: { name: string }[] }>('GET', '/v1/queues', call);
  const lease: Lease = client.lease('token');
  if ((await lease.heartbeat({ progress: { current: 1 }, logs: ['line'], checkpoint: 1 })).cancelled) await lease.fail(new Error('cancelled'));
  const end: State = await lease.complete({ id: 7 });
  for await (const change of client.watch([view.id])) {
    const known: Change = change;
    // @ts-expect-error: not every change has a message
    console.log(known.data.message);
  }
  await publishTx(db, message.topic, {}, { idempotency_key: await submitTx(db, task) });
  const worker = new Worker(crew).handle('mail.send', send);
  worker.stop();
  return [state, end, items[0].name, progress?.percent ?? null, stored.length, reasons.length, attempts[0].outcome, lines[0].message, code];
}
