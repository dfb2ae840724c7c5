/** Id of the key that a server derives from its API token. */
export const derivedId: 'd1';

/** The key of a server that has an API token and no SCHEDULER_WATCH_KEYS. Throws for a token of less than 16 bytes. */
export function derive(apiToken: string): Uint8Array;

/** What a token shows besides how far the task is and how it ended. */
export type WatchShow = 'lines' | 'result';

/** A token for one task: secret is raw bytes, at least 32; taskId a UUID; expiresAt Unix seconds. Throws for what no server takes. */
export function mint(keyId: string, secret: Uint8Array, taskId: string, expiresAt: number, shows?: WatchShow[]): string;

/** Why a token is no good. */
export type WatchTokenReason = 'malformed' | 'version' | 'key' | 'signature' | 'expired';

/** What a token stands for. keys: secrets by key id; now: Unix seconds. Throws an Error with a reason. */
export function verify(token: string, keys: Record<string, Uint8Array>, now?: number): { keyId: string; taskId: string; expiresAt: number; shows: WatchShow[] };
