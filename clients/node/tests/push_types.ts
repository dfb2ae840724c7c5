// Compiled, never run: as types.ts, for what receives deliveries.
import { BadDelivery, verify, type BadDeliveryReason, type Delivery } from '../push.js';

interface Mail { to: string }

export async function receive(request: Request, secret: string | undefined): Promise<Response> {
  try {
    const task: Delivery<Mail> = verify<Mail>(await request.text(), request.headers, secret);
    // @ts-expect-error: the payload is a Mail
    console.log(task.payload.from);
    return new Response(JSON.stringify({ sent: task.payload.to, lease: task.lease, left: task.complete_within_ms }));
  } catch (error) {
    if (!(error instanceof BadDelivery)) throw error;
    const reason: BadDeliveryReason = error.reason;
    return new Response(reason, { status: 401 });
  }
}

export function raw(body: Uint8Array, headers: { [name: string]: string | string[] | undefined }): Delivery {
  // @ts-expect-error: a body that was parsed can't be verified
  verify({}, headers, 's');
  return verify(body, headers, ['old', 'new'], { toleranceSeconds: 60, now: 1 });
}
