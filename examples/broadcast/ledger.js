// Writes what happens to orders into a ledger, ten at a time.
import { Worker } from '../../clients/node/index.js';

const worker = new Worker({ queues: ['ledger'], concurrency: 10 });
worker.handle('ledger.write', async (task) => {
  task.log(`message ${task.message_id}: ${task.topic} ${JSON.stringify(task.payload)}`);
  return { entry: task.topic };
});
await worker.run();
