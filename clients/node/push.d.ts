/** A task as `scheduler worker --push` posts it. */
export interface Delivery<Payload = any, Checkpoint = any> {
  /** The same in every attempt: the idempotency key towards others. */
  readonly id: string;
  readonly queue: string;
  readonly kind: string;
  readonly payload: Payload;
  readonly attempt: number;
  readonly failures: number;
  readonly max_attempts: number;
  readonly priority: number;
  readonly run_at: string;
  readonly created_at: string;
  readonly schedule: string | null;
  readonly tick_at: string | null;
  readonly topic: string | null;
  readonly message_id: string | null;
  readonly checkpoint: Checkpoint | null;
  /** After an answer of 202 you have so long. */
  readonly complete_within_ms: number;
  /** The right to end this attempt after a 202, for Client.lease. */
  readonly lease: string;
  readonly traceparent: string | null;
}

/** Why a request is no good. */
export type BadDeliveryReason = 'missing' | 'timestamp' | 'signature' | 'body';

/** Thrown by verify: answer 401. */
export class BadDelivery extends Error {
  constructor(reason: BadDeliveryReason, message: string);
  readonly reason: BadDeliveryReason;
}

/** Those of fetch, of node:http, or any object of names, in any case, and values. */
export type DeliveryHeaders = { forEach(each: (value: string, name: string) => void): void } | { readonly [name: string]: string | readonly string[] | undefined };

/**
 * The task in a request that was signed with one of the secrets (whsec_…), within toleranceSeconds (300) of now (Unix seconds). body: as it came, to the
 * last byte. Throws a BadDelivery, or a TypeError for what is no secret, as an empty one.
 */
export function verify<Payload = any, Checkpoint = any>(body: string | Uint8Array, headers: DeliveryHeaders, secrets: string | undefined | readonly string[],
  options?: { toleranceSeconds?: number; now?: number }): Delivery<Payload, Checkpoint>;
