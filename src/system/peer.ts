/** Who is at the other end of a connected Unix socket. */
import type { Socket } from 'node:net';
import type { Addon } from '../addon/addon.js';

/**
 * The socket's descriptor. Node has no public way to it: `_handle.fd` is what its own child_process uses.
 * Undefined once the socket is closed.
 */
function descriptorOf(socket: Socket): number | undefined {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (typeof handle !== 'object' || handle === null) return undefined;
  const fd: unknown = Reflect.get(handle, 'fd');
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}

export type Peer = ReturnType<Addon['peerCredentials']>;

/** Undefined when it is gone already. */
export function peerOf(addon: Pick<Addon, 'peerCredentials'>, socket: Socket): Peer | undefined {
  const fd = descriptorOf(socket);
  return fd === undefined ? undefined : addon.peerCredentials(fd);
}
